"""Do two quantities rise together? Spearman's rank correlation of a few pairs, with its bootstrap interval."""

from __future__ import annotations

import numpy as np

LEAST = 4  # pairs; with fewer, every order is likely
DRAWS = 2000


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray | float:
    """rho = correlation of the ranks of x and y (..., pairs), ties sharing their mean rank.

    NaN where one is constant.
    """
    from scipy import stats  # a long import for few campaigns

    x, y = (stats.rankdata(values, axis=-1) for values in (x, y))
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / scale


def with_interval(x: np.ndarray, y: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, np.ndarray]:
    """(rho, (2,) ends of its interval): percentiles over pairs drawn with replacement (Efron's bootstrap).

    NaN for fewer than `LEAST` pairs. Draws in which a quantity is constant are left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < LEAST:
        return np.nan, np.full(2, np.nan)
    rows = np.random.default_rng(seed).integers(len(x), size=(DRAWS, len(x)))
    draws = spearman(x[rows], y[rows])
    draws = draws[np.isfinite(draws)]
    ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) if len(draws) else np.full(2, np.nan)
    return float(spearman(x, y)), ends
