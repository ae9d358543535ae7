"""Labels that cannot be right although their calculation says that it converged: those far from all their fellows."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.numerics import Booleans, Floats

LEAST_FELLOWS = 8
FARTHEST = 4.0  # robust standard deviations, for many fellows
SCALE = 1.4826  # of the median absolute deviation of a normal distribution to its standard deviation


def outliers(tensors: Floats) -> tuple[Booleans, Floats]:
    """Whether the mean polarizability of each (tensors, 3, 3) is far from the median, and by how many deviations.

    Deviations are (a - median)/(1.4826 median |a - median|); far is beyond 4 (1 + 4/n), since the scale of few is not
    well known. With fewer than eight, none is. A closing gap does that: in Na3PS4 at 900 K two of 36 tensors are 9 and
    18 % above the others, which scatter by 2 %, and nothing in their structures or residuals tells it.
    """
    mean = np.trace(tensors, axis1=1, axis2=2) / 3
    if len(mean) < LEAST_FELLOWS:
        return np.zeros(len(mean), dtype=bool), np.zeros(len(mean))
    deviation = mean - np.median(mean)
    scale = SCALE * float(np.median(np.abs(deviation)))
    if scale == 0:
        return np.zeros(len(mean), dtype=bool), np.zeros(len(mean))
    relative = np.abs(deviation) / scale
    return relative > FARTHEST * (1 + 4 / len(mean)), relative
