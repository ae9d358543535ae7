"""Errors of a learning curve beyond its last point: a power law of the number of labels, with a band.

    e(N) = e(N_0) (N/N_0)^-b

b is the slope of log e of the last points, by least squares, weighted equally. The band holds the scatter of the draws,
that of the slope, and SLOPE_ERROR, since slopes of real curves change: towards small errors the model or the labels'
own noise sets a limit that no power law knows. Its lower side never falls faster than FASTEST.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.numerics import Floats

POINTS, FEWEST = 5, 3  # of the curve that the slope is taken from
SPAN = 8.0  # ratio of their largest to their smallest size
SLOPE_ERROR = 0.25
FASTEST = 1.5
FARTHEST = 4.0  # times the largest size


def expected_error(sizes: Floats, errors: Floats, wanted: Floats) -> Floats:
    """(3, wanted) lower end, value, upper end of a band of about 90 % of e at `wanted` sizes; NaN where unknown.

    sizes (sizes,) rising; errors (sizes, draws) positive. Unknown: fewer than three points, and sizes beyond FARTHEST
    times the last.
    """
    wanted = np.asarray(wanted, dtype=float)
    result = np.full((3, len(wanted)), np.nan)
    used = np.flatnonzero(np.asarray(sizes) * SPAN >= sizes[-1])[-POINTS:]
    means = errors[used].mean(axis=1) if len(used) else np.empty(0)
    if len(used) < FEWEST or not (np.isfinite(means) & (means > 0)).all():
        return result
    x, y = np.log(np.asarray(sizes, dtype=float)[used] / sizes[-1]), np.log(means)
    (slope, last), residual = np.polyfit(x, y, 1), 0.0
    deviations = y - (slope * x + last)
    residual = float(np.sqrt((deviations**2).sum() / max(1, len(x) - 2)))
    spread_x = float(np.sqrt(((x - x.mean()) ** 2).sum()))
    draws = float(np.log(errors[used]).std(axis=1).mean()) / np.sqrt(max(1, errors.shape[1]))
    here = np.hypot(draws, residual / np.sqrt(len(x)))  # of log e at the last size
    slope_error = np.hypot(SLOPE_ERROR, residual / spread_x)
    ahead = np.log(wanted / sizes[-1])
    known = (wanted >= sizes[-1]) & (wanted <= FARTHEST * sizes[-1] * (1 + 1e-9))
    value = last + min(slope, 0.0) * ahead
    width = 1.645 * np.hypot(here, slope_error * ahead)
    lower = np.maximum(value - width, last - 1.645 * here - FASTEST * ahead)
    upper = np.minimum(value + width, last + 1.645 * here)  # more labels never harm in the mean
    result[:, known] = np.exp(np.array([lower, value, np.maximum(upper, value)]))[:, known]
    return result


def expected_r2(sizes: Floats, r2: Floats, wanted: Floats) -> Floats:
    """(3, wanted) the same of R2 (sizes, draws), whose distance from one is the square of an error; lower end first."""
    low, value, high = expected_error(sizes, np.sqrt(np.maximum(1 - r2, 1e-12)), wanted)
    return np.array([1 - high**2, 1 - value**2, 1 - low**2])
