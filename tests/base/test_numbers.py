import math

import pytest

from mlraman_hpc.base.numbers import diffusion, number, percent, probability, r_squared, scientific


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
        (1.2e-9, 9.8e-6, "(0.0 ± 9.8) × 10⁻⁶"),
        (-1e-9, 9.8e-6, "(0.0 ± 9.8) × 10⁻⁶"),
        (-0.001, 0.0021, "-0.0010 ± 0.0021"),
        (2345678.0, 12345.0, "(2.346 ± 0.012) × 10⁶"),
        (1.2, 0.0996, "1.20 ± 0.10"),
        (2.04e-7, math.nan, "2.04 × 10⁻⁷"),
        (0.0, math.nan, "0"),
    ],
)
def test_as_many_digits_as_the_error_has(value, error, text):
    assert number(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.0312e-5, 1.9e-6, "(3.03 ± 0.19) × 10⁻⁵"),
        (2.31e12, 1.2e11, "(2.31 ± 0.12) × 10¹²"),
        (9.99e-7, 2e-6, "(1.0 ± 2.0) × 10⁻⁶"),
        (2.04e-7, math.nan, "2.0 × 10⁻⁷"),
        (0.0, 1.0, "–"),
        (math.nan, math.nan, "–"),
    ],
)
def test_powers_of_ten(value, error, text):
    assert scientific(value, error) == text


def test_percent():
    values = (0.0461, 0.3, 0.996, 0.0996, 2.143, 0.0, 1e-9, math.nan)
    texts = ["4.6 %", "30 %", "100 %", "10 %", "214 %", "0 %", "0 %", "–"]
    assert [percent(value) for value in values] == texts


def test_diffusion_or_its_bound():
    assert diffusion(3.03e-5, 1.9e-6, 3.4e-5) == "(3.03 ± 0.19) × 10⁻⁵"
    assert diffusion(math.nan, math.nan, 4.6e-9) == "< 4.6 × 10⁻⁹"
    assert diffusion(math.nan, math.nan, math.nan) == diffusion(math.nan, 1e-9, -1e-9) == "not determined"


def test_r_squared_shows_what_it_misses():
    values = (0.5512, 0.9361, 0.99987, 1.0, -0.43, 0.99999999, math.nan)
    assert [r_squared(value) for value in values] == ["0.55", "0.936", "0.99987", "1.00", "-0.43", "1.000000", "–"]
    assert r_squared(0.93612, 0.0042) == "0.9361 ± 0.0042"


def test_probability():
    values = (0.0, 0.0049, 0.68, 0.996, 0.9999, math.nan)
    assert [probability(value) for value in values] == ["below 0.001", "0.005", "0.68", "0.996", "above 0.999", "–"]
