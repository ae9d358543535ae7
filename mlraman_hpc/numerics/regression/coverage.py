"""How far an ensemble is from the training set: the leverage of its summed features, as a ratio.

    v(x) = x^T (X^T X/s + mu)^-1 x/s,   s the mean squared norm of a row of X,

is what ridge regression of the training rows X cannot say about the row x. Its mean over an ensemble, over the mean
over the training rows when each is left out, is 1 for frames of the training ensemble and grows with the distance from
it, also where every atom's own environment is inside the training range. All rows are less what their composition
explains.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.numerics import Floats
from mlraman_hpc.records.training import TrainingCoverage

RIDGE = 0.1  # relative to the mean squared norm: only directions in which the training set spreads count as known
DIRECTIONS = 100  # the rest of the training rows' spread is left to the ridge parameter
FEWEST = 8  # training rows


def training_coverage(rows: Floats, composition: Floats) -> TrainingCoverage | None:
    """Of training rows (n, P) with composition (n, S); None for fewer than FEWEST, or for rows that are all equal."""
    if len(rows) < FEWEST:
        return None
    mean = np.linalg.pinv(composition, rcond=1e-10) @ rows
    centred = rows - composition @ mean
    kernel = centred @ centred.T
    scale = float(np.trace(kernel)) / len(rows)
    if scale <= 1e-20 * float(np.mean((rows**2).sum(axis=1))):
        return None
    values, vectors = np.linalg.eigh(kernel / scale)
    # v of a row that is left out: (k_ii - k_i^T (K + mu)^-1 k_i)/mu of the others = 1/(mu G_ii) - 1, G = (K + mu)^-1
    inverse = (vectors**2 / (np.maximum(values, 0) + RIDGE)).sum(axis=1)
    left_out = 1 / (RIDGE * inverse) - 1
    leading = np.flatnonzero(values > 1e-3 * RIDGE)[::-1][:DIRECTIONS]
    directions = vectors[:, leading].T @ centred / np.sqrt(values[leading] * scale)[:, None]
    return TrainingCoverage(
        composition=mean,
        directions=directions,
        shrinkage=values[leading] / (values[leading] + RIDGE),
        scale=scale,
        left_out=float(left_out.mean()),
    )


def distance(coverage: TrainingCoverage, rows: Floats, composition: Floats) -> Floats:
    """(n,) sqrt(v/left_out) of rows (n, P) with composition (n, S); its root mean square is that of the ensemble."""
    centred = rows - composition @ coverage.composition
    known = (centred @ coverage.directions.T) ** 2 @ coverage.shrinkage
    unexplained = ((centred**2).sum(axis=1) - known) / (RIDGE * coverage.scale)
    ratio: Floats = np.sqrt(np.maximum(unexplained, 0) / coverage.left_out)
    return ratio
