"""Documentation in a terminal."""

from mlraman_hpc.reports.terminal_text import wrapped

TEXT = """# A heading that is longer than the width of the terminal stays

Some words that make
one paragraph of several lines.
- an item whose words go on
  below its first one
- another

    I = a formula that is long and stays

| a table | that is wide and stays as it stands |
|---|---|

```bash
code that is long and stays as it stands
```
"""


def test_running_text_is_filled_and_the_rest_stays():
    lines = wrapped(TEXT, 24).splitlines()
    assert lines[0] == TEXT.splitlines()[0]
    assert lines[2:8] == [
        "Some words that make one",
        "paragraph of several",
        "lines.",
        "- an item whose words go",
        "  on below its first one",
        "- another",
    ]
    assert lines[9] == "    I = a formula that is long and stays"
    assert lines[11] == "| a table | that is wide and stays as it stands |"
    assert lines[15] == "code that is long and stays as it stands"
    assert wrapped(TEXT, 24).split() == TEXT.split()
