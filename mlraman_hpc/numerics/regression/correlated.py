"""Labels that are close in time, found in feature space: how many neighbours in the list a label resembles.

    C(k) = 1 - <|x_i - x_(i+k)|^2> / <|x_i - x_j|^2>_(i<j)

is the autocorrelation of the features along the list of labels: 0 for labels in any order that has nothing to do with
time. Where it is not, the error of a label by the fit to all others flatters, since its neighbours are nearly the same.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.numerics import Floats

STRONG, GONE = 0.3, 0.2  # C(1) from which labels count as correlated, C(k) at which they no longer are
SIGNIFICANCE = 3.0  # standard errors of C(1)
LARGEST_PART = 5  # the reach is at most a fifth of the labels


def squared_distances(kernel: Floats, block: int = 1) -> Floats:
    """(structures, structures) |x_i - x_j|^2 over their median, from K = X X^T with `block` rows of each structure."""
    traces = kernel.reshape(len(kernel) // block, block, -1, block).trace(axis1=1, axis2=3)
    norms = np.diag(traces)
    squares: Floats = np.maximum(norms[:, None] + norms[None] - 2 * traces, 0)
    upper = squares[np.triu_indices(len(squares), 1)]
    middle = float(np.median(upper)) if len(upper) else 0.0
    return squares / middle if middle > 0 else np.ones_like(squares)


def reach(squares: Floats) -> int:
    """How many labels on either side of one resemble it, 0 for independent ones; squares as `squared_distances`."""
    count = len(squares)
    upper = squares[np.triu_indices(count, 1)]
    if count < 8 or not upper.any():
        return 0
    mean = float(upper.mean())

    def correlation(lag: int) -> float:
        return 1 - float(np.diag(squares, lag).mean()) / mean

    error = float(upper.std()) / mean / np.sqrt(count - 1)
    if correlation(1) < max(STRONG, SIGNIFICANCE * error):
        return 0
    most = max(1, count // LARGEST_PART)
    return next((lag - 1 for lag in range(2, most + 1) if correlation(lag) < GONE), most)
