"""The report is one file that fetches nothing, holds the figures and the numbers, and escapes what users write."""

import re

import pytest

from tests import small_system as small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.helpers import run_command

    folder = tmp_path_factory.mktemp("report")
    small.write(folder)
    done = run_command(0, ["run", "deck.yaml", "--set", "title=a < b & c"], folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_report_holds_figures_numbers_and_origin(folder):
    text = (folder / "out" / "report.html").read_text()
    assert "<title>a &lt; b &amp; c</title>" in text
    assert text.count("data:image/png;base64,") >= 4
    for part in (
        "Raman spectrum",
        "composition",
        "M. Grumet et al.",
        "share of the Raman intensity below 50",
        "off-diagonal",
        "Where it comes from",
        "smoothing: 20",
        "numpy",
    ):
        assert part in text
    assert not re.search(r'(src|href)="(?!data:)', text)


@pytest.mark.slow
def test_warnings_of_every_step_and_the_convention_are_in_the_report(folder):
    text = (folder / "out" / "report.html").read_text()
    assert "the model extrapolates there" in text and "17 % of the atoms, in" in text  # the latter from the log
    for words in ("laser 514.5 nm", "no Bose factor", "smoothing gaussian sigma 20 cm^-1"):
        assert words in text and words in (folder / "out" / "raman.dat").read_text()


def test_warnings_of_the_results_are_in_the_report(folder):
    text = (folder / "out" / "report.html").read_text()
    assert text.rindex('class="warning"') < text.index("<h2>Summary</h2>")  # all at the top


def test_nothing_to_report_is_said(mlraman, tmp_path):
    small.write(tmp_path)
    assert "no results to report on" in mlraman(0, "report", "deck.yaml", code=3).stderr
