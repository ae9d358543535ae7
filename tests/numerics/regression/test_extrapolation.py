"""Learning curves beyond their last point."""

import numpy as np
import pytest

from mlraman_hpc.numerics.regression.extrapolation import expected_error, expected_r2

SIZES = np.array([10, 14, 20, 28, 40, 57, 80])


def test_a_power_law_is_continued():
    errors = 3.0 * SIZES[:, None] ** -0.6 * np.ones((1, 4))
    low, value, high = expected_error(SIZES, errors, [160, 320])
    np.testing.assert_allclose(value, 3.0 * np.array([160, 320]) ** -0.6, rtol=1e-10)
    assert (low < value).all() and (value < high).all() and high[1] / low[1] > high[0] / low[0]
    assert (high <= errors[-1, 0] * (1 + 1e-9)).all()


def test_what_is_not_known_is_nan():
    errors = np.ones((7, 2))
    assert np.isnan(expected_error(SIZES, errors, [400, 40])).all()  # too far, and not beyond the last
    assert np.isnan(expected_error(SIZES[:2], errors[:2], [28])).all()
    assert np.isnan(expected_error(SIZES, 0 * errors, [160])).all()


def test_an_error_that_does_not_fall_stays():
    errors = 1 + 0.01 * np.arange(7)[:, None] * np.ones((1, 3))
    low, value, high = expected_error(SIZES, errors, [160])
    assert low < value <= high
    np.testing.assert_allclose(value, 1.06, rtol=0.02)


def test_the_band_covers_bent_curves():
    """Power laws with a floor, and with a slope that grows, noisy over five draws."""
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        floor, slope = rng.uniform(0, 0.06), rng.uniform(0.3, 0.8)
        sizes = np.append(SIZES, 160)
        curve = np.sqrt((sizes / 10.0) ** (-2 * slope) + floor**2)
        errors = curve[:-1, None] * (1 + 0.1 * rng.normal(size=(7, 5)))
        low, _, high = expected_error(SIZES, errors, [160])[:, 0]
        inside.append(low <= curve[-1] <= high)
    assert np.mean(inside) > 0.85


def test_r2_is_that_of_the_error():
    r2 = 1 - 0.5 * (SIZES[:, None] / 10.0) ** -1.0 * np.ones((1, 3))
    low, value, high = expected_r2(SIZES, r2, [160])[:, 0]
    assert value == pytest.approx(1 - 0.5 / 16) and low < value < high < 1
