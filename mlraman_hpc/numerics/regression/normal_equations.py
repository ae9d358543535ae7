"""Ridge regression of rows of several kinds, each with a noise level of its own, found from left-out residuals.

    minimise  sum_k 1/sigma_k^2 sum_{rows of kind k} (y - C b - x w)^2 + mu s/sigma^2 |w|^2

Rows belong to units, such as frames, that are left out together. C (unpenalised) may be missing. The sums of a unit's
rows are all that counts: many rows are replaced by the triangle of their QR decomposition, so memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from mlraman_hpc.numerics import Booleans, Floats, Integers
from mlraman_hpc.numerics.regression.ridge import GridEnd

COARSE = 10.0 ** np.arange(-7, 2.1)  # ridge parameters relative to the mean squared norm of a row
FINE = 10.0 ** np.array([-0.5, -0.25, 0, 0.25, 0.5])
ITERATIONS = 5  # of noise levels and ridge parameter
SETTLED = 0.05  # relative change of the noise levels
WIDEST = 30.0  # largest ratio of noise levels, relative to the kinds' own size: a kind is never thrown away entirely
FREE = 1e6  # columns of C count as so much larger than those of X: their penalty is nothing


@dataclass(frozen=True)
class Rows:
    """y = C b + x w + noise.

    columns (n, P) x; targets (n,) y; offsets (n, Q) C, Q may be 0; kind (n,) from 0, unit (n,) from 0
    count   (n,) how many rows of the data each stands for
    """

    columns: Floats
    targets: Floats
    offsets: Floats
    kind: Integers
    unit: Integers
    count: Floats

    @staticmethod
    def of(columns: Floats, targets: Floats, kind: int, unit: int, offsets: Floats | None = None) -> Rows:
        """All rows of one kind and unit; without offsets at most P + 1 rows are stored."""
        rows = len(columns)
        if offsets is None and rows > columns.shape[1] + 1:
            triangle = np.asarray(np.linalg.qr(np.column_stack([columns, targets]), mode="r"))
            columns, targets = triangle[:, :-1], triangle[:, -1]
        stored = len(columns)
        offsets = np.zeros((stored, 0)) if offsets is None else offsets
        return Rows(
            columns,
            targets,
            offsets,
            np.full(stored, kind),
            np.full(stored, unit),
            np.full(stored, rows / max(1, stored)),
        )

    def reduced(self) -> Rows:
        """The same sums of each kind and unit in at most P + 1 rows each; with offsets as they are."""
        if self.offsets.shape[1]:
            return self
        parts = []
        for unit, kind in np.unique(np.stack([self.unit, self.kind]), axis=1).T:
            own = (self.unit == unit) & (self.kind == kind)
            part = Rows.of(self.columns[own], self.targets[own], int(kind), int(unit))
            total = float(self.count[own].sum())
            parts.append(replace(part, count=np.full(len(part.targets), total / max(1, len(part.targets)))))
        return Rows.join(parts)

    @staticmethod
    def join(parts: list[Rows]) -> Rows:
        """All rows, one after another; parts without offsets have zeros there."""
        width = max(part.offsets.shape[1] for part in parts)
        padded = [np.pad(part.offsets, ((0, 0), (0, width - part.offsets.shape[1]))) for part in parts]
        return Rows(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.targets for part in parts]),
            np.concatenate(padded),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.unit for part in parts]),
            np.concatenate([part.count for part in parts]),
        )


@dataclass(frozen=True)
class Solution:
    """weights (P,), offsets (Q,), the same of the committee (M, ...).

    noise        (kinds,) root mean square of the left-out residuals; NaN for a kind without rows
    size         (kinds,) root mean square of the targets, less their best offsets
    ridge        relative to the mean squared norm of a weighted row; grid_end: whether it ended at an end of the grid
    calibration  factor by which the committee's deviations were scaled
    residuals    (n,) left-out residual of each row, in the targets' unit
    """

    weights: Floats
    offsets: Floats
    committee_weights: Floats
    committee_offsets: Floats
    noise: Floats
    size: Floats
    ridge: float
    grid_end: GridEnd
    calibration: float
    residuals: Floats


def fit(rows: Rows, fold_of_unit: Integers, ridge: float | None = None, committee: Booleans | None = None) -> Solution:
    """Noise levels, ridge parameter and weights, in turns.

    fold_of_unit  (units,) the fold of each unit; folds are left out one at a time
    ridge         relative to the mean squared norm of a row; None: the one of the least left-out residuals
    committee     (members, units) which units each member is fitted to; None: no committee

    The ridge parameter minimises sum_k n_k log(mean squared left-out residual of kind k), the likelihood of the
    residuals with their own noise levels.
    """
    kinds = int(rows.kind.max()) + 1
    centred = _centred(rows)
    size = np.sqrt(_means(centred.targets**2, rows, kinds))
    noise, chosen = size.copy(), ridge
    mean_squares = size**2
    for iteration in range(ITERATIONS):
        system = _System(rows, centred, noise)
        if ridge is None:
            grid = COARSE if chosen is None else np.clip(chosen * FINE, COARSE[0], COARSE[-1])
        else:
            grid = np.array([ridge])
        squares = _left_out_squares(system, rows, fold_of_unit, grid, kinds)  # (grid, kinds)
        best = _best(squares, rows, kinds)
        chosen, mean_squares = float(grid[best]), squares[best]
        before, noise = noise, _bounded(np.sqrt(mean_squares), size)
        with np.errstate(invalid="ignore", divide="ignore"):
            change = np.nanmax(np.abs(noise / before - 1))
        if iteration > 1 and change < SETTLED:
            break
    assert chosen is not None
    system = _System(rows, centred, noise)
    weights = system.solve(np.ones(len(rows.targets), dtype=bool), np.array([chosen]))[0]
    residuals = _left_out_residuals(system, rows, fold_of_unit, np.array([chosen]))[0]
    members, factor = _committee(system, rows, residuals, chosen, committee)
    solutions = system.unscaled(np.vstack([weights[None], members]))
    columns = rows.columns.shape[1]
    end = {COARSE[0]: GridEnd.LOWER, COARSE[-1]: GridEnd.UPPER}.get(chosen, GridEnd.NEITHER)
    return Solution(
        weights=solutions[0, :columns],
        offsets=solutions[0, columns:],
        committee_weights=solutions[1:, :columns],
        committee_offsets=solutions[1:, columns:],
        noise=np.sqrt(mean_squares),
        size=size,
        ridge=chosen,
        grid_end=end if ridge is None else GridEnd.NEITHER,
        calibration=factor,
        residuals=residuals / system.row_scale,
    )


def _centred(rows: Rows) -> Rows:
    """Columns and targets less what the offsets explain."""
    if not rows.offsets.any():
        return rows
    mask = rows.offsets.any(axis=1)
    basis = rows.offsets[mask]
    inverse = np.linalg.pinv(basis, rcond=1e-10)
    columns, targets = rows.columns.copy(), rows.targets.copy()
    columns[mask] -= basis @ (inverse @ columns[mask])
    targets[mask] -= basis @ (inverse @ targets[mask])
    return replace(rows, columns=columns, targets=targets)


def _means(squares: Floats, rows: Rows, kinds: int) -> Floats:
    """(kinds,) mean over the rows of the data of each kind; NaN for a kind without rows."""
    counts = np.bincount(rows.kind, rows.count, kinds)
    sums = np.bincount(rows.kind, squares, kinds)
    return np.divide(sums, counts, out=np.full(kinds, np.nan), where=counts > 0)


def _bounded(noise: Floats, size: Floats) -> Floats:
    relative = noise / np.where(size > 0, size, 1)
    lowest = np.nanmax(relative) / WIDEST
    return np.maximum(relative, lowest) * np.where(size > 0, size, 1)


def _best(squares: Floats, rows: Rows, kinds: int) -> int:
    counts = np.bincount(rows.kind, rows.count, kinds)
    with np.errstate(divide="ignore"):
        logs = np.where(counts > 0, counts * np.log(np.maximum(squares, 1e-300)), 0).sum(axis=1)
    return int(np.argmin(logs))


class _System:
    """Rows divided by their noise, with kernel X X^T where rows are fewer than columns, else the Gram matrix X^T X."""

    def __init__(self, rows: Rows, centred: Rows, noise: Floats):
        self.row_scale = 1 / np.where(np.isfinite(noise) & (noise > 0), noise, 1.0)[rows.kind]
        norms = np.einsum("np,np->n", centred.columns, centred.columns)
        self.row_norm = float(norms @ self.row_scale**2) / float(rows.count.sum()) or 1.0
        scaled = rows.offsets * self.row_scale[:, None]
        lengths = np.sqrt((scaled**2).sum(axis=0) / max(1, scaled.any(axis=1).sum()))
        wanted = sqrt(FREE * self.row_norm)
        self._offset_scale = np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self.columns = np.hstack([rows.columns, rows.offsets * self._offset_scale])
        self.columns *= self.row_scale[:, None]
        self.targets = rows.targets * self.row_scale
        self._dual = len(self.columns) <= self.columns.shape[1]
        self._product = self.columns @ self.columns.T if self._dual else self.columns.T @ self.columns
        self._right = self.columns.T @ self.targets

    def unscaled(self, weights: Floats) -> Floats:
        """Weights and offsets as they belong to the original columns."""
        scale = np.ones(weights.shape[-1])
        if len(self._offset_scale):
            scale[-len(self._offset_scale) :] = self._offset_scale
        return weights * scale

    def solve(self, chosen: Booleans, ridges: Floats) -> Floats:
        """(ridges, columns): weights of the fit to the chosen rows."""
        from scipy import linalg  # its import takes long

        X, y = self.columns[chosen], self.targets[chosen]
        if self._dual:
            matrix, right = self._product[np.ix_(chosen, chosen)], y
        elif chosen.all():
            matrix, right = self._product, self._right
        elif 2 * chosen.sum() > len(chosen):
            rest, left = self.columns[~chosen], self.targets[~chosen]
            matrix, right = self._product - rest.T @ rest, self._right - rest.T @ left
        else:
            matrix, right = X.T @ X, X.T @ y
        solutions = []
        diagonal = np.diag(matrix).copy()
        matrix = matrix.copy()
        for ridge in ridges:
            matrix[np.diag_indices_from(matrix)] = diagonal + ridge * self.row_norm
            factor = linalg.cho_factor(matrix, lower=True, check_finite=False)
            solutions.append(linalg.cho_solve(factor, right, check_finite=False))
        result = np.array(solutions)
        return result @ X if self._dual else result


def _left_out_residuals(system: _System, rows: Rows, fold_of_unit: Integers, grid: Floats) -> Floats:
    """(grid, n) residuals of rows that were not fitted, divided by their noise."""
    folds = fold_of_unit[rows.unit]
    residuals = np.empty((len(grid), len(folds)))
    for fold in np.unique(folds):
        own = folds == fold
        residuals[:, own] = system.targets[own] - system.solve(~own, grid) @ system.columns[own].T
    return residuals


def _left_out_squares(system: _System, rows: Rows, fold_of_unit: Integers, grid: Floats, kinds: int) -> Floats:
    """(grid, kinds) mean squared residuals of rows that were not fitted, in the targets' unit."""
    residuals = _left_out_residuals(system, rows, fold_of_unit, grid) / system.row_scale
    return np.array([_means(values**2, rows, kinds) for values in residuals])


def _committee(
    system: _System, rows: Rows, residuals: Floats, ridge: float, committee: Booleans | None
) -> tuple[Floats, float]:
    """Weights of the members about their mean, and the factor that makes their deviations those of the errors.

    The factor is sqrt(sum r^2 / sum sigma^2) over rows, with r the left-out residual and sigma^2 the variance of the
    members that were not fitted to the row, both in units of the row's noise.
    """
    if committee is None or not len(committee):
        return np.zeros((0, system.columns.shape[1])), 1.0
    grid = np.array([ridge])
    members = np.array([system.solve(chosen[rows.unit], grid)[0] for chosen in committee])
    predicted = members @ system.columns.T
    unseen = ~committee[:, rows.unit]
    seen_by = unseen.sum(axis=0)
    centre = (predicted * unseen).sum(axis=0) / np.maximum(seen_by, 1)
    variance = (unseen * (predicted - centre) ** 2).sum(axis=0) / np.maximum(seen_by - 1, 1)
    usable = seen_by > 1
    total = float(variance[usable].sum())
    factor = sqrt(float((residuals[usable] ** 2).sum()) / total) if total > 0 else 1.0
    mean = members.mean(axis=0)
    return mean + factor * (members - mean), factor
