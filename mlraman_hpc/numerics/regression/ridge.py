"""Ridge regression with few rows and many columns, leave-one-structure-out, and committees.

    y = C b + X w + noise,   minimise |y - C b - X w|^2 + mu |w|^2

C (unpenalised; may be None) has few columns, X many: everything goes through the kernel K = X X^T of the rows.
Rows come in blocks of equal length that belong to one structure each (1 for lambda = 0, 5 for lambda = 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlraman_hpc.numerics import Booleans, Floats, Integers

# Ridge parameters relative to the mean squared norm of a row. Below the lower end rounding in K decides the result.
GRID = np.logspace(-12, 2, 57)
TOLERANCE = 0.01
SMALLEST = 0.01
_RANK = 1e-10


class GridEnd(str, Enum):
    """Which end of the grid the chosen ridge parameter sits at."""

    NEITHER = ""
    LOWER = "lower"
    UPPER = "upper"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Eigensystem:
    """P K P = U S U^T, the kernel in the complement of the columns of C.

    values, vectors  (R,) and (rows, R) S and U; R = rows - rank C
    block            rows of a structure
    groups           structures that are left out together, because they are equal
    free             (structures,) False for one that alone determines a column of C: the others say nothing about it
    reach            so many structures on either side of one in the list are left out along with it
    """

    values: Floats
    vectors: Floats
    block: int
    groups: tuple[Integers, ...]
    free: Booleans
    reach: int = 0


def eigensystem(kernel: Floats, baseline: Floats | None = None, block: int = 1, reach: int = 0) -> Eigensystem:
    """Diagonalise P K P, P = 1 - C C^+: residuals at every ridge parameter follow at once.

    kernel (rows, rows), baseline C (rows, columns) or None, block: rows of a structure, reach: see
    `Eigensystem`.
    """
    outside = np.eye(len(kernel)) if baseline is None else _complement(baseline)
    values, vectors = np.linalg.eigh(kernel if baseline is None else outside.T @ kernel @ outside)
    vectors = vectors if baseline is None else outside @ vectors
    groups = same_structures(kernel, block)
    free = np.ones(len(kernel) // block, dtype=bool)
    for group in groups + tuple(np.arange(len(free))[:, None] if baseline is not None else ()):
        rows = outside[(group[:, None] * block + np.arange(block)).ravel()]
        free[group] = np.linalg.eigvalsh(rows @ rows.T)[0] > _RANK
    return Eigensystem(_without_rounding(values), vectors, block, groups, free, reach)


def _without_rounding(values: Floats) -> Floats:
    return np.where(values > 1e-14 * len(values) * values.max(initial=0), values, 0)


def same_structures(kernel: Floats, block: int = 1) -> tuple[Integers, ...]:
    """Groups of two or more structures whose features are equal to rounding: |x_i - x_j|^2 = K_ii + K_jj - 2 K_ij."""
    traces = kernel.reshape(len(kernel) // block, block, -1, block).trace(axis1=1, axis2=3)
    norms = np.diag(traces)
    equal = norms[:, None] + norms[None] - 2 * traces < 1e-10 * norms.max(initial=0)
    first = equal.argmax(axis=1)
    return tuple(np.flatnonzero(first == k) for k in np.unique(first) if (first == k).sum() > 1)


def _complement(columns: Floats) -> Floats:
    """(rows, rows - rank): orthonormal basis of what is orthogonal to the columns."""
    left, singular, _ = np.linalg.svd(columns)
    basis: Floats = left[:, int((singular > _RANK * singular.max(initial=0)).sum()) :]
    return basis


def duals(system: Eigensystem, targets: Floats, ridge: float) -> Floats:
    """a = U (S + mu)^-1 U^T y, so that w = X^T a; orthogonal to every column of C. targets (rows,) -> (rows,)."""
    coefficients: Floats = system.vectors @ (system.vectors.T @ targets / (system.values + ridge))
    return coefficients


def left_out_residuals(system: Eigensystem, targets: Floats, ridge: float) -> Floats:
    """r_b = (1 - H)_bb^-1 (y - H y)_b, in closed form: y - prediction of each structure by the fit to all others.

    1 - H = U mu/(S + mu) U^T contains the refitted baseline. A structure that is there twice is left out twice,
    and with each one its neighbours in the list within `reach`; with a long reach some structures alone, the others are
    NaN.
    targets (rows,) -> (structures, block); NaN for a structure that alone determines a column of C, for then the others
    say nothing about it. Cook and Weisberg, Residuals and Influence in Regression (1982), section 2.2.
    """
    residuals: Floats = _left_out(system, targets, np.array([ridge]))[0]
    return residuals


def _left_out(system: Eigensystem, targets: Floats, ridges: Floats) -> Floats:
    """`left_out_residuals` for several ridge parameters at once, (ridges, structures, block)."""
    shrink = ridges / (system.values[:, None] + ridges)
    residuals = system.vectors @ (shrink * (system.vectors.T @ targets)[:, None])
    blocks = system.vectors.reshape(-1, system.block, len(shrink))
    result = np.full((len(ridges), len(blocks), system.block), np.nan)
    if system.reach:
        return _left_out_with_neighbours(system, blocks, shrink, residuals, result)
    repeated = np.concatenate([*system.groups, np.empty(0, int)])
    alone = np.setdiff1d(np.arange(len(blocks)), repeated)[:, None]
    # Several structures in one matrix product, few enough for memory: the products of their rows are block^2 as many.
    batch = max(1, int(4e6 / (system.block**2 * len(shrink))))
    batches = [alone[k : k + batch] for k in range(0, len(alone), batch)]
    for members in batches + [group[None] for group in system.groups]:
        members = members[system.free[members].all(axis=1)]
        rows = blocks[members].reshape(len(members), -1, len(shrink))
        complement = (rows[:, :, None] * rows[:, None]).reshape(-1, len(shrink)) @ shrink  # (1 - H)_bb
        complement = np.moveaxis(complement.reshape(len(members), rows.shape[1], rows.shape[1], len(ridges)), -1, 0)
        right = np.moveaxis(residuals.reshape(-1, system.block, len(ridges))[members], -1, 0)
        solved = np.linalg.solve(complement, right.reshape(*complement.shape[:3], 1))
        result[:, members] = solved.reshape(right.shape)
    return result


def _left_out_with_neighbours(
    system: Eigensystem, blocks: Floats, shrink: Floats, residuals: Floats, result: Floats
) -> Floats:
    """Each structure by the fit to all that are farther than `reach` from it, and from those equal to it."""
    right = residuals.reshape(len(blocks), system.block, -1)
    for k in np.flatnonzero(system.free)[:: max(1, system.reach // 4)]:  # those between say the same
        equal = next((group for group in system.groups if k in group), np.array([k]))
        near = np.unique(np.clip(equal[:, None] + np.arange(-system.reach, system.reach + 1), 0, len(blocks) - 1))
        rows = blocks[near].reshape(-1, len(shrink))
        if np.linalg.eigvalsh(rows @ rows.T)[0] <= _RANK:  # the others say nothing about a column of C
            continue
        own = int(np.flatnonzero(near == k)[0]) * system.block
        for column in range(shrink.shape[1]):
            complement = (rows * shrink[:, column]) @ rows.T  # (1 - H) of what is left out
            solved = np.linalg.solve(complement, right[near, :, column].ravel())
            result[column, k] = solved[own : own + system.block]
    return result


def choose_ridge(system: Eigensystem, targets: Floats) -> tuple[float, GridEnd]:
    """The ridge parameter by leave-one-structure-out: a log grid, refined around its best point.

    Where the error hardly depends on it, the smallest one within `TOLERANCE` of the least mean square error is taken,
    but none below `SMALLEST` times the best: it shrinks the predictions least. Returns it, and the end of the grid
    where that is as good as any, or the only one that is.
    """
    grid = GRID
    errors = _errors(system, targets, grid)
    lowest = int(np.argmin(errors))
    if 0 < lowest < len(grid) - 1:
        fine = np.geomspace(grid[lowest - 1], grid[lowest + 1], 9)
        grid, errors = np.concatenate([grid, fine]), np.concatenate([errors, _errors(system, targets, fine)])
    near = grid[errors <= (1 + TOLERANCE) * errors.min()]
    end = {GRID[0]: GridEnd.LOWER, GRID[-1]: GridEnd.UPPER}.get(float(near.max()), GridEnd.NEITHER)
    if end:
        return float(near.max()), end
    return float(max(near.min(), SMALLEST * grid[np.argmin(errors)])), end


def _errors(system: Eigensystem, targets: Floats, grid: Floats) -> Floats:
    """(grid,) mean squared residuals."""
    errors: Floats = np.nanmean(_left_out(system, targets, grid) ** 2, axis=(1, 2))
    return errors


def solve(kernel: Floats, targets: Floats, ridge: float, baseline: Floats | None = None) -> Floats:
    """Dual coefficients (rows,) at a single ridge parameter, cheaper than through `eigensystem`."""
    outside = np.eye(len(kernel)) if baseline is None else _complement(baseline)
    inner = outside.T @ kernel @ outside if baseline is not None else kernel.copy()
    inner[np.diag_indices_from(inner)] += ridge
    coefficients: Floats = outside @ np.linalg.solve(inner, outside.T @ targets)
    return coefficients


def half_samples(structures: int, members: int, seed: int, reach: int = 0) -> Booleans:
    """(members, structures): which structures each committee member is trained on.

    With a reach they are drawn in blocks of 2 reach + 1 that follow one another.

    Half of them, drawn without replacement; every second member takes the others, so that each structure is left out by
    half of the committee.
    """
    if reach:
        unit = np.arange(structures) // (2 * reach + 1)
        return half_samples(int(unit[-1]) + 1, members, seed)[:, unit]
    generator = np.random.default_rng(seed)
    chosen = np.zeros((members, structures), dtype=bool)
    for k in range(0, members, 2):
        order = generator.permutation(structures)
        chosen[k, order[: structures // 2]] = True
        chosen[k + 1 : k + 2, order[structures // 2 :]] = True
    return chosen


def calibration(residuals: Floats, predictions: Floats, chosen: Booleans) -> float:
    """s = sqrt(sum r^2 / sum sigma^2), by which the deviations of members must grow to match the errors.

    residuals (structures, block): leave-one-out errors of the full model; predictions (members, structures, block);
    chosen (members, structures). sigma^2 is the variance over the members that were not trained on the structure. The
    ratio of sums is the scaling of Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), equation 9, made robust for
    committees so small that single sigma are uncertain.
    """
    unseen = ~chosen[:, :, None]
    count = unseen.sum(axis=0)
    usable = (count > 1) & np.isfinite(residuals)
    mean = (predictions * unseen).sum(axis=0) / np.maximum(count, 1)
    variance = (unseen * (predictions - mean) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    total = variance[usable].sum()
    return float(np.sqrt((residuals[usable] ** 2).sum() / total)) if total > 0 else 1.0
