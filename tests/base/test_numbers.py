import math

import pytest

from mlraman_hpc.base.numbers import number, percent, scientific


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.23433, 0.0051, "0.2343 ± 0.0051"),
        (1.1519, 0.0357, "1.152 ± 0.036"),
        (4567.2, 123.4, "4567 ± 123"),
        (0.23433, math.nan, "0.234"),
        (0.23433, 0.0, "0.234"),
        (249.1143962917839, 8.7e-14, "249"),
        (math.nan, 0.1, "–"),
    ],
)
def test_as_many_digits_as_the_error_has(value, error, text):
    assert number(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.0312e-5, 1.9e-6, "(3.03 ± 0.19) × 10⁻⁵"),
        (2.31e12, 1.2e11, "(2.31 ± 0.12) × 10¹²"),
        (9.99e-7, 2e-6, "(10 ± 20) × 10⁻⁷"),
        (2.04e-7, math.nan, "2 × 10⁻⁷"),
        (0.0, 1.0, "–"),
        (math.nan, math.nan, "–"),
    ],
)
def test_powers_of_ten(value, error, text):
    assert scientific(value, error) == text


def test_percent():
    assert [percent(value) for value in (0.0461, 0.3, 0.0, 1e-9, math.nan)] == ["4.6 %", "30 %", "0 %", "0 %", "–"]
