import numpy as np
import pytest
from scipy import stats

from mlraman_hpc.numerics.regression.scores import spearman, spearman_with_interval, tensor_scores


def test_monotonic_is_one_and_ties_share_ranks():
    x = np.array([1.0, 2, 3, 4, 5])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    y = np.array([1.0, 1, 2, 2, 3])
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_too_few_or_constant_is_not_a_number():
    assert np.isnan(spearman_with_interval([1, 2, 3], [1, 2, 3])[0])
    assert np.isnan(spearman_with_interval([1, 2, 3, 4], [1, 1, 1, 1])[0])


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Pairs of correlated normals: rho_s = 6/pi asin(rho/2)."""
    rng, rho, inside = np.random.default_rng(3), 0.6, 0
    for trial in range(60):
        x, noise = rng.normal(size=(2, 30))
        _, (low, high) = spearman_with_interval(x, rho * x + np.sqrt(1 - rho**2) * noise, seed=trial)
        inside += low <= 6 / np.pi * np.arcsin(rho / 2) <= high
    assert inside >= 51


def test_scores():
    rng = np.random.default_rng(0)
    alpha = rng.normal(size=(50, 3, 3))
    alpha = alpha + np.swapaxes(alpha, 1, 2) + np.diag([0, 0, 30.0])
    found = tensor_scores(alpha, alpha + 0.1)
    assert found["rmse"]["diagonal"] == pytest.approx(0.1)
    assert found["rmse"]["zx"] == pytest.approx(0.1)
    zz = alpha[:, 2, 2]
    assert found["r2"]["zz"] == pytest.approx(1 - 0.01 / zz.var())
    assert found["r2"]["diagonal"] > found["r2"]["zz"], "pooled components share one mean"
    assert np.isnan(tensor_scores(alpha[:0], alpha[:0])["r2"]["xx"])
