"""The report is one file that fetches nothing, holds the figures and the numbers, and escapes what users write."""

import re
import struct

import pytest

from mlraman_hpc.reports import html
from tests import small_system as small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.helpers import run_command

    folder = tmp_path_factory.mktemp("report")
    small.write(folder)
    done = run_command(0, ["run", "deck.yaml", "--set", "title=a < b & c"], folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_report_holds_figures_numbers_and_origin(folder):
    text = (folder / "out" / "report.html").read_text()
    assert "<title>a &lt; b &amp; c</title>" in text
    assert text.count("data:image/png;base64,") >= 4
    for part in (
        "Raman spectrum",
        "share of the Raman intensity below 50",
        "off-diagonal",
        "Where it comes from",
        "smoothing: 20",
        "numpy",
    ):
        assert part in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_warnings_of_the_results_are_in_the_report(folder):
    assert 'class="warning"' in (folder / "out" / "report.html").read_text()


def test_nothing_to_report_is_said(mlraman, tmp_path):
    small.write(tmp_path)
    assert "no results to report on" in mlraman(0, "report", "deck.yaml", code=3).stderr


def test_numbers_are_flush_right_and_words_are_not():
    made = html.table(["a", "b"], [["1.5", "word"], ["-2", "not determined"]])
    assert made.count('class="number"') == 2


@pytest.mark.parametrize(
    ("text", "flush"),
    [
        ("3.0e-05 ± 2.2e-06", True),
        ("45 %", True),
        ("(2.31 ± 0.12)e-05", True),
        ("< 1.0e-06", True),
        ("0.85 / 0.92", True),
        ("9debfb54", False),
        ("2026-11-22 12:38 UTC", False),
        ("", False),
        ("–", False),
    ],
)
def test_what_counts_as_a_number(text, flush):
    assert ('class="number"' in html.table(["a"], [[text]])) == flush


def test_figures_keep_their_size_and_stay_legible_on_a_phone(tmp_path):
    """3 inches at 300 dots are 30 rem at most, and never less than 16.5."""
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 900, 500)
    (tmp_path / "a.png").write_bytes(header)
    assert 'style="width: min(100%, 30.0rem); min-width: 16.5rem"' in html.figure(tmp_path / "a.png", "words")
