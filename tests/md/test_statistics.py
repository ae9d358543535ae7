"""Drift, equilibration and means of series with a known answer."""

import numpy as np
import pytest

from mlraman_hpc.md import statistics


def correlated(count: int, seed: int, time: float = 5.0) -> np.ndarray:
    """Gaussian series of unit variance whose correlation decays with exp(-1/time)."""
    random, decay = np.random.default_rng(seed), np.exp(-1 / time)
    series = [random.standard_normal()]
    for noise in random.standard_normal(count - 1):
        series.append(decay * series[-1] + np.sqrt(1 - decay**2) * noise)
    return np.array(series)


def test_the_error_of_a_mean_covers_the_truth():
    means = [statistics.block_mean(correlated(2000, seed)) for seed in range(200)]
    pulls = np.array([mean.value / mean.error for mean in means])
    assert 0.8 < pulls.std() < 1.4


def test_a_straight_line_drifts_by_its_rise():
    change = statistics.drift(np.linspace(3, 5, 1000))
    np.testing.assert_allclose(change.value, 2.0, rtol=0.01)
    assert change.error < 1e-9


def test_noise_seldom_drifts_and_relaxation_does():
    assert sum(statistics.drifts(correlated(1000, seed)) for seed in range(200)) <= 6
    relaxation = 6 * np.exp(-np.arange(1000) / 400)
    assert all(statistics.drifts(correlated(1000, seed) + relaxation) for seed in range(50))


def test_short_series_say_nothing():
    assert not statistics.drifts(np.arange(10.0)) and statistics.equilibrated_from(np.arange(10.0)) == 0
    assert np.isnan(statistics.block_mean(np.ones(5)).error)


def test_the_end_of_a_relaxation_is_found():
    series = correlated(2000, 3) + 20 * np.exp(-np.arange(2000) / 50)
    assert 100 <= statistics.equilibrated_from(series) <= 500
    assert sum(statistics.equilibrated_from(correlated(2000, seed)) > 0 for seed in range(50)) <= 3


@pytest.mark.parametrize("count", [0, 1])
def test_empty_series_have_no_mean(count):
    assert np.isnan(statistics.block_mean(np.zeros(count)).error)
