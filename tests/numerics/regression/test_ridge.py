import numpy as np
import pytest

from mlraman_hpc.numerics.regression import ridge
from tests.close import assert_close


def problem(structures=12, columns=40, block=1, seed=0, baseline=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(structures * block, columns))
    y = X @ rng.normal(size=columns) + rng.normal(size=len(X))
    if baseline is not None:
        y += baseline @ rng.normal(size=baseline.shape[1]) * 10
    return X, y


def explicit(X, y, mu, C):
    """Weights and minimum-norm baseline by the normal equations of the complement of C."""
    P = np.eye(len(y)) - (0 if C is None else C @ np.linalg.pinv(C))
    stacked = np.vstack([P @ X, np.sqrt(mu) * np.eye(X.shape[1])])
    w = np.linalg.lstsq(stacked, np.concatenate([P @ y, np.zeros(X.shape[1])]), rcond=None)[0]
    return w, None if C is None else np.linalg.pinv(C) @ (y - X @ w)


def compositions(kind, rows):
    rng = np.random.default_rng(5)
    if kind == "none":
        return None
    if kind == "equal":
        return np.tile([16.0, 16.0], (rows, 1))
    return rng.integers(1, 6, size=(rows, 3)).astype(float)


@pytest.mark.parametrize("kind", ["none", "equal", "different"])
@pytest.mark.parametrize("mu", [1e-3, 1.0])
def test_duals_are_the_explicit_fit(kind, mu):
    C = compositions(kind, 12)
    X, y = problem(baseline=C)
    found = ridge.eigensystem(X @ X.T, C)
    w, _ = explicit(X, y, mu, C)
    assert_close(X.T @ ridge.duals(found, y, mu), w, rtol=1e-6, rounding=1e-9)
    assert_close(X.T @ ridge.solve(X @ X.T, y, mu, C), w, rtol=1e-6, rounding=1e-9)


@pytest.mark.parametrize("kind", ["none", "equal", "different"])
@pytest.mark.parametrize("mu", [1e-6, 1e-2, 3.0])
@pytest.mark.parametrize("columns", [6, 40])
def test_left_out_residuals_are_explicit_refits(kind, mu, columns):
    C = compositions(kind, 12)
    X, y = problem(baseline=C, columns=columns)
    residuals = ridge.left_out_residuals(ridge.eigensystem(X @ X.T, C), y, mu)
    for k in range(12):
        rest = np.arange(12) != k
        w, b = explicit(X[rest], y[rest], mu, None if C is None else C[rest])
        expected = y[k] - X[k] @ w - (0 if C is None else C[k] @ b)
        assert residuals[k, 0] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_left_out_blocks_are_explicit_refits():
    X, y = problem(structures=6, block=5)
    residuals = ridge.left_out_residuals(ridge.eigensystem(X @ X.T, block=5), y, 0.1)
    for k in range(6):
        out = np.repeat(np.arange(6) == k, 5)
        w, _ = explicit(X[~out], y[~out], 0.1, None)
        assert_close(residuals[k], y[out] - X[out] @ w, rtol=1e-6, rounding=1e-9)


def test_a_structure_that_is_there_twice_is_left_out_twice():
    X, y = problem(structures=6, block=5)
    X, y = np.vstack([X, X[5:10]]), np.concatenate([y, y[5:10] + 0.1])
    found = ridge.eigensystem(X @ X.T, block=5)
    assert [group.tolist() for group in found.groups] == [[1, 6]]
    out = np.repeat(np.isin(np.arange(7), [1, 6]), 5)
    w, _ = explicit(X[~out], y[~out], 0.1, None)
    residuals = ridge.left_out_residuals(found, y, 0.1)
    assert_close(residuals[[1, 6]].ravel(), y[out] - X[out] @ w, rtol=1e-6, rounding=1e-9)


def test_a_structure_with_its_own_element_cannot_be_left_out():
    C = np.array([[1.0, 0], [1, 0], [1, 0], [1, 2]])
    X, y = problem(structures=4, columns=9)
    residuals = ridge.left_out_residuals(ridge.eigensystem(X @ X.T, C), y, 0.1)
    assert np.isnan(residuals[3, 0])
    assert np.isfinite(residuals[:3]).all()


def test_chosen_ridge_is_the_noise_level():
    """y = X w + e, w ~ N(0, s^2), e ~ N(0, t^2): the best ridge parameter is t^2/s^2."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 200))
    y = X @ rng.normal(size=200) * 0.1 + rng.normal(size=400) * 0.5
    mu, edge = ridge.choose_ridge(ridge.eigensystem(X @ X.T / 200), y)
    assert edge is ridge.GridEnd.NEITHER
    assert 0.2 < mu * 200 / (0.5 / 0.1) ** 2 < 1.1


def test_of_ridge_parameters_that_are_as_good_the_smallest_is_taken():
    X, y = problem(structures=40, columns=30, seed=6)
    system = ridge.eigensystem(X @ X.T)
    mu, _ = ridge.choose_ridge(system, y)
    grid = np.geomspace(mu / 30, mu * 1e4, 200)
    errors = ridge._errors(system, y, grid)
    near = grid[errors < 1.01 * errors.min()]
    assert mu == pytest.approx(max(near.min(), grid[np.argmin(errors)] / 100), rel=0.6) and mu < grid[np.argmin(errors)]


def test_the_edge_of_the_grid_is_reported():
    X, y = problem(structures=20, columns=5)
    assert ridge.choose_ridge(ridge.eigensystem(X @ X.T), X @ np.ones(5))[1] is ridge.GridEnd.LOWER
    noise = np.random.default_rng(3).normal(size=20)
    assert ridge.choose_ridge(ridge.eigensystem(np.eye(20) + 1e-9 * X @ X.T), noise)[1] is ridge.GridEnd.UPPER
    assert y.shape == (20,)


def test_each_structure_is_left_out_by_half_of_the_committee():
    chosen = ridge.half_samples(11, 6, seed=0)
    assert chosen.sum(axis=1).tolist() == [5, 6] * 3
    assert ((~chosen).sum(axis=0) == 3).all()
    assert (chosen == ridge.half_samples(11, 6, seed=0)).all()
    assert (chosen != ridge.half_samples(11, 6, seed=1)).any()


def test_calibration_makes_spread_equal_to_error():
    rng = np.random.default_rng(0)
    residuals = 3.0 * rng.normal(size=(500, 5))
    predictions = rng.normal(size=(8, 500, 5))
    chosen = ridge.half_samples(500, 8, 0)
    assert ridge.calibration(residuals, predictions, chosen) == pytest.approx(3.0, rel=0.05)
