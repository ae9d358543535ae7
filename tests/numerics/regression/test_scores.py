import numpy as np
import pytest
from scipy import stats

from mlraman_hpc.numerics.regression.scores import (
    relative_error,
    spearman,
    spearman_with_interval,
    tensor_scores,
    weighted_norm,
    worst_component,
)


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


def test_the_weighted_error_is_that_of_the_intensity():
    """a = tr/3, gamma^2 = half of the squared differences of diagonal elements and three times the other squares."""
    tensors = np.random.default_rng(0).normal(size=(50, 3, 3))
    tensors += np.swapaxes(tensors, 1, 2)
    xx, yy, zz = (tensors[:, k, k] for k in range(3))
    off = tensors[:, 0, 1] ** 2 + tensors[:, 1, 2] ** 2 + tensors[:, 2, 0] ** 2
    gamma2 = ((xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2) / 2 + 3 * off
    expected = np.sqrt((((xx + yy + zz) / 3) ** 2).mean() + 7 / 45 * gamma2.mean())
    np.testing.assert_allclose(weighted_norm(tensors), expected, rtol=1e-12)


def test_the_relative_error_of_the_mean_is_one():
    tensors = np.random.default_rng(0).normal(size=(50, 3, 3))
    tensors += np.swapaxes(tensors, 1, 2) + 100 * np.eye(3)
    mean = np.broadcast_to(tensors.mean(axis=0), tensors.shape)
    np.testing.assert_allclose(relative_error(tensors, mean), 1.0, rtol=1e-12)
    still = np.zeros((5, 3, 3))
    assert np.isnan(relative_error(still, still)) and np.isnan(relative_error(still[:0], still[:0]))


def test_a_component_that_the_pooled_score_hides_is_named():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 1, 1)) * np.eye(3) + np.diag([0.0, 50.0, 100.0])
    predicted = reference.copy()
    predicted[:, 1, 1] += rng.normal(size=50)
    r2 = tensor_scores(reference, predicted)["r2"]
    assert r2["diagonal"] > 0.99 and r2["yy"] < 0.5
    assert worst_component(r2) == "yy"
