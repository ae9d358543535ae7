"""Labels that are close in time are found by their features and left out together."""

import numpy as np

from mlraman_hpc.numerics.regression import ridge
from mlraman_hpc.numerics.regression.correlated import reach, squared_distances


def walk(count, memory, seed=0, columns=30):
    """An autoregressive process: C(k) = memory^k."""
    rng = np.random.default_rng(seed)
    values = np.empty((count, columns))
    values[0] = rng.normal(size=columns)
    for k in range(1, count):
        values[k] = memory * values[k - 1] + np.sqrt(1 - memory**2) * rng.normal(size=columns)
    return values


def test_reach_of_a_process_with_known_memory():
    for memory, expected in ((0.0, 0), (0.2, 0), (0.5, 2), (0.8, 7)):
        values = walk(400, memory)
        assert abs(reach(squared_distances(values @ values.T)) - expected) <= (expected > 0) + (expected > 5)


def test_order_without_time_and_few_labels_have_no_reach():
    values = np.random.default_rng(1).permutation(walk(200, 0.95))
    assert reach(squared_distances(values @ values.T)) == 0
    assert all(reach(squared_distances(v @ v.T)) == 0 for v in (walk(12, 0.0, seed, 4) for seed in range(30)))
    assert reach(np.zeros((20, 20))) == 0


def test_reach_is_at_most_a_fifth():
    values = np.linspace(0, 1, 50)[:, None] * np.ones(4)
    assert reach(squared_distances(values @ values.T)) == 10


def test_neighbours_are_left_out_together():
    rng = np.random.default_rng(2)
    X, y, mu = rng.normal(size=(40, 9)), rng.normal(size=40), 0.3
    kernel, ones = X @ X.T, np.ones((20, 1))
    system = ridge.eigensystem(kernel, None, 2, reach=3)
    found = ridge.left_out_residuals(system, y, mu)
    for k in (0, 7, 19):
        kept = np.repeat(np.abs(np.arange(20) - k) > 3, 2)
        duals = ridge.solve(kernel[np.ix_(kept, kept)], y[kept], mu)
        np.testing.assert_allclose(
            found[k], y[2 * k : 2 * k + 2] - kernel[2 * k : 2 * k + 2][:, kept] @ duals, atol=1e-10
        )
    with_offset = ridge.left_out_residuals(ridge.eigensystem(kernel[:20, :20], ones, 1, reach=2), y[:20], mu)
    kept = np.abs(np.arange(20) - 5) > 2
    inner, offset = kernel[:20, :20][np.ix_(kept, kept)], ones[kept]
    duals = ridge.solve(inner, y[:20][kept], mu, offset)
    constant = np.mean(y[:20][kept] - inner @ duals)
    np.testing.assert_allclose(with_offset[5, 0], y[5] - kernel[5, :20][kept] @ duals - constant, atol=1e-10)


def test_offsets_that_only_neighbours_know_are_left_alone():
    """A column of C that three neighbouring structures alone have cannot be left out with a reach of two."""
    X = np.random.default_rng(3).normal(size=(20, 5))
    baseline = np.ones((20, 2))
    baseline[:, 1] = np.isin(np.arange(20), (9, 10, 11))
    found = ridge.left_out_residuals(ridge.eigensystem(X @ X.T, baseline, 1, reach=2), X[:, 0], 0.1)
    assert np.isnan(found[10]).all() and np.isfinite(found[3]).all()


def test_committees_draw_blocks():
    chosen = ridge.half_samples(35, 6, 0, reach=3)
    assert chosen.shape == (6, 35)
    assert all((row.reshape(5, 7).all(axis=1) | ~row.reshape(5, 7).any(axis=1)).all() for row in chosen)
