"""Ridge regression of several kinds of rows: closed forms, noise levels, the offsets, stored triangles."""

import numpy as np
import pytest

from mlraman_hpc.numerics.regression.normal_equations import Rows, fit

P, UNITS, ROWS = 12, 10, 20


def problem(noise=(0.1, 0.1), columns=P, seed=0):
    """Rows of two kinds in ten units, and their true weights."""
    rng = np.random.default_rng(seed)
    w, parts = rng.normal(size=columns), []
    for unit in range(UNITS):
        for kind, level in enumerate(noise):
            X = rng.normal(size=(ROWS, columns))
            parts.append(Rows.of(X, X @ w + level * rng.normal(size=ROWS), kind, unit))
    return Rows.join(parts), w


def test_closed_form_at_a_given_ridge_parameter():
    parts = []
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, P)), rng.normal(size=60)
    for unit in range(6):
        own = slice(10 * unit, 10 * unit + 10)
        parts.append(Rows.of(X[own], y[own], 0, unit))
    solution = fit(Rows.join(parts), np.arange(6) % 3, ridge=0.1)
    scale = (X**2).sum() / 60
    expected = np.linalg.solve(X.T @ X + 0.1 * scale * np.eye(P), X.T @ y)
    np.testing.assert_allclose(solution.weights, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [P, 600])  # the Gram matrix, and the kernel
def test_left_out_residuals(columns):
    rows, _ = problem(columns=columns)
    folds = np.arange(UNITS) % 5
    solution = fit(rows, folds, ridge=0.01)
    own = folds[rows.unit] == 2
    weight = 1 / solution.noise[rows.kind]
    X, y = rows.columns * weight[:, None], rows.targets * weight
    scale = (X**2).sum() / len(y)
    w = np.linalg.solve(X[~own].T @ X[~own] + 0.01 * scale * np.eye(columns), X[~own].T @ y[~own])
    expected = rows.targets[own] - rows.columns[own] @ w
    tolerance = 0.05 * np.abs(expected).max()  # noise levels settle to a few per cent
    np.testing.assert_allclose(solution.residuals[own], expected, rtol=0, atol=tolerance)


def test_noise_levels_are_found_and_used():
    rows, w = problem(noise=(0.01, 3.0))
    solution = fit(rows, np.arange(UNITS) % 5)
    np.testing.assert_allclose(solution.noise, [0.01, 3.0], rtol=0.2)
    np.testing.assert_allclose(solution.weights, w, rtol=0, atol=0.01)


def test_offsets_are_not_penalised():
    rng = np.random.default_rng(2)
    w, parts = rng.normal(size=P), []
    for unit in range(UNITS):
        X = rng.normal(size=(1, P))
        C = np.array([[3.0 + unit % 2, 5.0]])
        parts.append(Rows.of(X, X @ w + C @ [40.0, -7.0], 1, unit, C))
        X = rng.normal(size=(ROWS, P))
        parts.append(Rows.of(X, X @ w + 0.01 * rng.normal(size=ROWS), 0, unit))
    solution = fit(Rows.join(parts), np.arange(UNITS) % 5)
    np.testing.assert_allclose(solution.offsets, [40.0, -7.0], rtol=0, atol=0.05)


def test_a_triangle_stands_for_many_rows():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(300, P)), rng.normal(size=300)
    rows = Rows.of(X, y, 0, 0)
    assert len(rows.targets) == P + 1 and rows.count.sum() == pytest.approx(300)
    np.testing.assert_allclose(rows.columns.T @ rows.columns, X.T @ X, rtol=0, atol=1e-9)
    np.testing.assert_allclose(rows.targets @ rows.targets, y @ y, rtol=1e-12)


def test_committee_covers_the_errors():
    rows, w = problem(noise=(1.0, 1.0))
    rng = np.random.default_rng(4)
    committee = np.array([np.isin(np.arange(UNITS), rng.permutation(UNITS)[:5]) for _ in range(16)])
    solution = fit(rows, np.arange(UNITS) % 5, committee=committee)
    alone = np.array(
        [fit(rows, np.arange(UNITS) % 5, solution.ridge, half[None]).committee_weights for half in committee]
    )
    np.testing.assert_allclose(solution.committee_weights.mean(axis=0), alone.mean(axis=(0, 1)), rtol=0, atol=0.05)
    deviation = solution.committee_weights.std(axis=0)
    assert np.sqrt(np.mean((solution.weights - w) ** 2)) < 3 * np.sqrt(np.mean(deviation**2))
