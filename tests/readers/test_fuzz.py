"""A few of the cases of fuzz.py; `python tests/readers/fuzz.py` runs 2,000."""

from tests.readers import fuzz


def test_damaged_files_give_an_error_or_the_right_numbers():
    counts, faults = fuzz.run(300, first=50_000)
    assert not faults
    assert counts["right"] > 50 and counts["refused"] > 50
