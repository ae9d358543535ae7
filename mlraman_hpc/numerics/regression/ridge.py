"""Ridge regression with few rows and many columns, leave-one-structure-out, committees, and scores.

    y = C b + X w + noise,   minimise |y - C b - X w|^2 + mu |w|^2

C (unpenalised; may be None) has few columns, X many: everything goes through the kernel K = X X^T of the rows.
Rows come in blocks of equal length that belong to one structure each (1 for lambda = 0, 5 for lambda = 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.numerics.tensors import COMPONENTS, components

# Ridge parameters relative to the mean squared norm of a row. Below the lower end rounding in K decides the result.
GRID = np.logspace(-12, 2, 57)
TOLERANCE = 0.01
_RANK = 1e-10


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (R,) and eigenvectors (rows, R) of K within the complement of the columns of C; R = rows - rank C.

    block: rows of one structure; groups: structures that are left out together, because they are the same one twice.
    free (structures,): False for one that alone determines a column of C, so that the others say nothing about it.
    """

    values: np.ndarray
    vectors: np.ndarray
    block: int
    groups: tuple[np.ndarray, ...]
    free: np.ndarray


def spectrum(kernel: np.ndarray, baseline: np.ndarray | None = None, block: int = 1) -> Spectrum:
    """Diagonalise P K P, P = 1 - C C^+: residuals at every ridge parameter follow at once.

    kernel (rows, rows), baseline (rows, columns) or None, block: rows of one structure.
    """
    outside = np.eye(len(kernel)) if baseline is None else _complement(baseline)
    values, vectors = np.linalg.eigh(kernel if baseline is None else outside.T @ kernel @ outside)
    vectors = vectors if baseline is None else outside @ vectors
    groups = same_structures(kernel, block)
    free = np.ones(len(kernel) // block, dtype=bool)
    for group in groups + tuple(np.arange(len(free))[:, None] if baseline is not None else ()):
        part = outside[(group[:, None] * block + np.arange(block)).ravel()]
        free[group] = np.linalg.eigvalsh(part @ part.T)[0] > _RANK
    return Spectrum(_without_rounding(values), vectors, block, groups, free)


def _without_rounding(values: np.ndarray) -> np.ndarray:
    return np.where(values > 1e-14 * len(values) * values.max(initial=0), values, 0)


def same_structures(kernel: np.ndarray, block: int = 1) -> tuple[np.ndarray, ...]:
    """Groups of two or more structures whose features are equal to rounding: |x_i - x_j|^2 = K_ii + K_jj - 2 K_ij."""
    traces = kernel.reshape(len(kernel) // block, block, -1, block).trace(axis1=1, axis2=3)
    norms = np.diag(traces)
    near = norms[:, None] + norms[None] - 2 * traces < 1e-10 * norms.max(initial=0)
    first = near.argmax(axis=1)
    return tuple(np.flatnonzero(first == k) for k in np.unique(first) if (first == k).sum() > 1)


def _complement(columns: np.ndarray) -> np.ndarray:
    """(rows, rows - rank): orthonormal basis of what is orthogonal to the columns."""
    left, singular, _ = np.linalg.svd(columns)
    return left[:, int((singular > _RANK * singular.max(initial=0)).sum()) :]


def duals(found: Spectrum, targets: np.ndarray, ridge: float) -> np.ndarray:
    """a = U (S + mu)^-1 U^T y, so that w = X^T a; orthogonal to every column of C. targets (rows,) -> (rows,)."""
    return found.vectors @ (found.vectors.T @ targets / (found.values + ridge))


def left_out_residuals(found: Spectrum, targets: np.ndarray, ridge: float) -> np.ndarray:
    """y - prediction of each structure by the fit to all others, in closed form: r_b = (1 - H)_bb^-1 (y - H y)_b.

    1 - H = U mu/(S + mu) U^T contains the refitted baseline. A structure that is there twice is left out twice.
    targets (rows,) -> (structures, block); NaN for a structure that alone determines a column of C, for then the others
    say nothing about it. Cook and Weisberg, Residuals and Influence in Regression (1982), section 2.2.
    """
    return _left_out(found, targets, np.array([ridge]))[0]


def _left_out(found: Spectrum, targets: np.ndarray, ridges: np.ndarray) -> np.ndarray:
    """`left_out_residuals` for several ridge parameters at once, (ridges, structures, block)."""
    shrink = ridges / (found.values[:, None] + ridges)
    residuals = found.vectors @ (shrink * (found.vectors.T @ targets)[:, None])
    blocks = found.vectors.reshape(-1, found.block, len(shrink))
    result = np.full((len(ridges), len(blocks), found.block), np.nan)
    repeated = np.concatenate([*found.groups, np.empty(0, int)])
    alone = np.setdiff1d(np.arange(len(blocks)), repeated)[:, None]
    # Several structures in one matrix product, few enough for memory: the products of their rows are block^2 as many.
    together = max(1, int(4e6 / (found.block**2 * len(shrink))))
    batches = [alone[k : k + together] for k in range(0, len(alone), together)]
    for members in batches + [group[None] for group in found.groups]:
        members = members[found.free[members].all(axis=1)]
        rows = blocks[members].reshape(len(members), -1, len(shrink))
        kept = (rows[:, :, None] * rows[:, None]).reshape(-1, len(shrink)) @ shrink
        kept = np.moveaxis(kept.reshape(len(members), rows.shape[1], rows.shape[1], len(ridges)), -1, 0)
        part = np.moveaxis(residuals.reshape(-1, found.block, len(ridges))[members], -1, 0)
        solved = np.linalg.solve(kept, part.reshape(*kept.shape[:3], 1))
        result[:, members] = solved.reshape(part.shape)
    return result


def choose_ridge(found: Spectrum, targets: np.ndarray) -> tuple[float, str]:
    """The ridge parameter by leave-one-structure-out: a log grid, refined around its best point.

    Where the error hardly depends on it, the largest one within `TOLERANCE` of the least mean square error is taken.
    Returns it and, where it sits at an end of the grid, which end ('lower', 'upper'; else '').
    """
    grid = GRID
    errors = _errors(found, targets, grid)
    best = int(np.argmin(errors))
    if 0 < best < len(grid) - 1:
        fine = np.geomspace(grid[best - 1], grid[best + 1], 9)
        grid, errors = np.concatenate([grid, fine]), np.concatenate([errors, _errors(found, targets, fine)])
    chosen = float(grid[errors <= (1 + TOLERANCE) * errors.min()].max())
    return chosen, {GRID[0]: "lower", GRID[-1]: "upper"}.get(chosen, "")


def _errors(found: Spectrum, targets: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.nanmean(_left_out(found, targets, grid) ** 2, axis=(1, 2))


def solve(kernel: np.ndarray, targets: np.ndarray, ridge: float, baseline: np.ndarray | None = None) -> np.ndarray:
    """Dual coefficients (rows,) of one fit at a given ridge parameter, cheaper than through `spectrum`."""
    outside = np.eye(len(kernel)) if baseline is None else _complement(baseline)
    inner = outside.T @ kernel @ outside if baseline is not None else kernel.copy()
    inner[np.diag_indices_from(inner)] += ridge
    return outside @ np.linalg.solve(inner, outside.T @ targets)


def half_samples(structures: int, members: int, seed: int) -> np.ndarray:
    """(members, structures) bool: which structures each committee member is trained on.

    Half of them, drawn without replacement; every other member takes the rest, so that each structure is left out by
    half of the committee.
    """
    generator = np.random.default_rng(seed)
    chosen = np.zeros((members, structures), dtype=bool)
    for k in range(0, members, 2):
        order = generator.permutation(structures)
        chosen[k, order[: structures // 2]] = True
        chosen[k + 1 : k + 2, order[structures // 2 :]] = True
    return chosen


def calibration(residuals: np.ndarray, predictions: np.ndarray, chosen: np.ndarray) -> float:
    """Factor by which the spread of members must grow to match the errors: s^2 = sum r^2 / sum sigma^2.

    residuals (structures, block): leave-one-out errors of the full model; predictions (members, structures, block);
    chosen (members, structures). sigma^2 is the variance over the members that did not see the structure. The ratio
    of sums is the scaling of Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), equation 9, made robust for
    committees so small that single sigma are uncertain.
    """
    unseen = ~chosen[:, :, None]
    count = unseen.sum(axis=0)
    usable = (count > 1) & np.isfinite(residuals)
    mean = (predictions * unseen).sum(axis=0) / np.maximum(count, 1)
    variance = (unseen * (predictions - mean) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    total = variance[usable].sum()
    return float(np.sqrt((residuals[usable] ** 2).sum() / total)) if total > 0 else 1.0


def r2(reference: np.ndarray, predicted: np.ndarray) -> float:
    """1 - sum (y - p)^2 / sum (y - mean y)^2; NaN where the reference does not vary."""
    spread = float(((reference - reference.mean()) ** 2).sum()) if reference.size else 0.0
    return 1 - float(((reference - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def rmse(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Root mean square error, in the unit of the arguments; NaN without any."""
    return float(np.sqrt(np.mean((reference - predicted) ** 2))) if reference.size else float("nan")


def scores(reference: np.ndarray, predicted: np.ndarray) -> dict[str, dict[str, float]]:
    """{'r2': {'diagonal', 'off_diagonal', 'xx', ...}, 'rmse': {...}} of symmetric tensors (frames, 3, 3).

    'diagonal' and 'off_diagonal' pool three components each (R2 against their common mean); each component's R2 is
    against its own mean.
    """
    y, p = components(reference), components(predicted)
    parts = {"diagonal": slice(0, 3), "off_diagonal": slice(3, 6)}
    parts |= {name: slice(k, k + 1) for k, name in enumerate(COMPONENTS)}
    return {
        measure.__name__: {name: measure(y[:, part], p[:, part]) for name, part in parts.items()}
        for measure in (r2, rmse)
    }
