"""Limit of a spectrum at zero wavenumber from a periodogram."""

import numpy as np

from mlraman_hpc.numerics.transport.zero_limit import LEAST_BINS, limit_at_zero


def periodogram(spectrum, rng, components=3):
    return spectrum * rng.chisquare(2 * components, size=len(spectrum)) / (2 * components)


def test_limits_and_their_errors():
    """A constant, a Debye shape, a peak at higher wavenumber: mean within 6 %; two errors hold nine of ten."""
    k = np.arange(1, 145)
    for shape in (np.ones(144), 1 / (1 + (k / 40) ** 2), 1 + 3 * np.exp(-((k - 110) ** 2) / 200)):
        rng = np.random.default_rng(0)
        limits = [limit_at_zero(periodogram(shape, rng), 3) for _ in range(150)]
        value, error = np.array([(limit.value, limit.error) for limit in limits]).T
        assert abs(value.mean() - 1) < 0.06
        assert np.mean(np.abs(value - 1) < error) > 0.58 and np.mean(np.abs(value - 1) < 2 * error) > 0.88


def test_a_spectrum_that_vanishes_has_the_limit_zero():
    """Hardly one in a hundred of either kind is taken for the other."""
    k, rng = np.arange(1, 145), np.random.default_rng(1)
    square = [limit_at_zero(periodogram(2.0 * k**2 / (1 + (k / 100) ** 4), rng), 3, 1.0, False) for _ in range(100)]
    assert sum(limit.value == 0 for limit in square) >= 97
    assert np.median([limit.error for limit in square]) < 8
    constant = [limit_at_zero(periodogram(np.ones(144), rng), 3) for _ in range(100)]
    assert sum(limit.value == 0 for limit in constant) <= 1


def test_what_cannot_be_fitted():
    assert np.isnan(limit_at_zero(np.ones(LEAST_BINS - 1), 3).value)
    assert np.isnan(limit_at_zero(np.zeros(50), 3).value)
