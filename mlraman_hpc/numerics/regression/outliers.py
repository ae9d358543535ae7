"""Labels that do not fit their fellows: how far a residual lies, in robust deviations.

For lambda = 0 the residuals r of N structures, for lambda = 2 five each:

    d_0 = |r - median r| / s_0,     s_0 = 1.4826 median |r - median r|
    d_2 = |r| / s_2 * 5/6.09,       s_2 = median |r| / sqrt(4.351)

4.351 is the median of chi^2 with five degrees of freedom, and 6.09 is as unlikely for the root of such a number as 5
for a normal deviate, so that both count alike. Median deviations are those of the many, whatever the few are: Hampel,
J. Am. Stat. Assoc. 69, 383 (1974). s is never less than `LEAST` of the labels' own robust deviation: errors that are
small beside what is learnt do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mlraman_hpc.numerics import Booleans, Floats, Integers

LIMIT = 5.0  # robust deviations; a normal deviate is beyond once in 1.7 million
LEAST = 0.02
MOST = 0.2  # of the labels: more than that are no outliers
FEWEST = 8  # labels from which on medians mean something
_MEDIAN_CHI = sqrt(4.3514602)
_AS_FIVE = 6.0905  # sqrt of chi^2_5 that is exceeded as rarely as |z| = 5
_ROUNDS = 10


@dataclass(frozen=True)
class Scale:
    """Median of lambda = 0, and the robust deviations s_0 and s_2, in the unit of the residuals."""

    centre: float
    isotropic: float
    anisotropic: float

    def deviations(self, isotropic: Floats, anisotropic: Floats) -> Floats:
        """(n,) the larger of d_0 and d_2 of residuals (n,) and (n, 5); NaN where both are."""
        first = np.abs(isotropic - self.centre) / self.isotropic
        second = np.linalg.norm(anisotropic, axis=1) / self.anisotropic * (LIMIT / _AS_FIVE)
        largest: Floats = np.fmax(first, second)
        return largest


def scale_of(isotropic: Floats, anisotropic: Floats, least: Scale | None = None) -> Scale:
    """Of residuals (n,) and (n, 5), NaN left out; not less than `LEAST` of `least`. Infinite without any."""
    known, norms = isotropic[np.isfinite(isotropic)], np.linalg.norm(anisotropic, axis=1)
    norms = norms[np.isfinite(norms)]
    centre = float(np.median(known)) if len(known) else 0.0
    first = 1.482602 * float(np.median(np.abs(known - centre))) if len(known) else np.inf
    second = float(np.median(norms)) / _MEDIAN_CHI if len(norms) else np.inf
    tiny = np.finfo(float).tiny
    if least is not None:
        first, second = max(first, LEAST * least.isotropic), max(second, LEAST * least.anisotropic)
    return Scale(centre, max(first, tiny), max(second, tiny))


def about_medians(isotropic: Floats, anisotropic: Floats, group: Integers) -> tuple[Floats, Floats]:
    """Labels (n,) and (n, 5) less the medians of their group; NaN in groups of fewer than `FEWEST`."""
    first, second = np.full(len(group), np.nan), np.full((len(group), 5), np.nan)
    for number in np.unique(group):
        rows = group == number
        if rows.sum() >= FEWEST:
            first[rows] = isotropic[rows] - np.median(isotropic[rows])
            second[rows] = anisotropic[rows] - np.median(anisotropic[rows], axis=0)
    return first, second


def from_medians(isotropic: Floats, anisotropic: Floats, group: Integers) -> Floats:
    """(n,) robust deviations of labels from the medians of their group, such as those of one composition."""
    deviations = np.full(len(group), np.nan)
    residuals = about_medians(isotropic, anisotropic, group)
    for number in np.unique(group):
        rows = group == number
        parts = residuals[0][rows], residuals[1][rows]
        if np.isfinite(parts[0]).any():
            deviations[rows] = scale_of(*parts).deviations(*parts)
    return deviations


def search(
    count: int, residuals: Callable[[Booleans], tuple[Floats, Floats]], least: Scale
) -> tuple[Floats, Booleans, Scale]:
    """Robust deviations (count,) of left-out residuals, which are beyond `LIMIT`, and the scale of the others.

    residuals(kept)  (count,) and (count, 5): of kept structures by the fit to the other kept ones, of the others by the
                     fit to all kept ones
    least            scale of the labels themselves

    An outlier bends the fit for all others, which hides smaller ones; so those found are left out, and residuals and
    scales found anew, until nothing changes. Beyond a share of `MOST` the first round counts.
    """
    kept = np.ones(count, dtype=bool)
    rounds: list[tuple[Floats, Booleans, Scale]] = []
    while len(rounds) < _ROUNDS:
        isotropic, anisotropic = residuals(kept)
        scale = scale_of(isotropic[kept], anisotropic[kept], least)
        deviations = scale.deviations(isotropic, anisotropic)
        outside = np.nan_to_num(deviations) > LIMIT
        rounds.append((deviations, outside, scale))
        if outside.sum() > MOST * count:
            return rounds[0]
        if (outside == ~kept).all():
            break
        kept = ~outside
    return rounds[-1]
