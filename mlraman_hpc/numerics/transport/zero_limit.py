"""Limit at zero wavenumber of the spectrum of one series with few components, such as the electric current.

The periodogram of l independent components at multiples k of 1/(c n Delta), averaged over them, scatters about the
spectrum S like chi^2 with 2 l degrees of freedom, so that its logarithm has the known mean ln S + psi(l) - ln l and the
known variance psi'(l). ln S is smooth and even, a short cosine series, which least squares gives:

    ln S(k) = sum_{p < P} a_p cos(pi p k / (K + 1/2)),      ln S(0) = sum_p a_p

(cepstral analysis: L. Ercole, A. Marcolongo, S. Baroni, Sci. Rep. 7, 15835 (2017)). One P would have to be chosen,
and its error would not know of the choice. So all P are averaged with Akaike's weights, and the error holds what they
differ by (S. T. Buckland, K. P. Burnham, N. H. Augustin, Biometrics 53, 603 (1997)).

Where nothing conducts, S vanishes as k^2, which no such series can follow; the same fit to S/k^2 is then better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mlraman_hpc.numerics import Floats

LEAST_BINS = 12
MOST_TERMS = 40
BINS_PER_TERM = 3
EVIDENCE = 4.0  # difference of Akaike criteria that decides against what is expected


@dataclass(frozen=True)
class Limit:
    """value and one standard error; where the spectrum vanishes 0, and as error the fit at the first bin."""

    value: float
    error: float


def limit_at_zero(power: Floats, components: int, correlated: float = 1.0, expected: bool = True) -> Limit:
    """Of a periodogram (bins,) at k = 1, 2, ..., averaged over `components`; NaN for too few bins or zeros among them.

    correlated  variance of a sum over bins relative to independent ones (a taper correlates neighbours)
    expected    whether other evidence speaks for a limit that is not zero; the spectrum must say the contrary clearly
    """
    bins = len(power)
    if bins < LEAST_BINS or not power.min() > 0:
        return Limit(np.nan, np.nan)
    k = np.arange(1, bins + 1)
    logarithm = np.log(power) - special.digamma(components) + np.log(components)
    variance = float(special.polygamma(1, components)) * correlated
    terms = min(bins // BINS_PER_TERM, MOST_TERMS)
    design = np.cos(np.pi * np.outer(k, np.arange(terms)) / (bins + 0.5))
    # a taper spills into the first bin from the second, which where S ~ k^2 is four times as strong: it decides nothing
    *_, criterion = _averaged(design[1:], logarithm[1:], variance, np.ones(terms))
    first_bin, _, other = _averaged(design[1:], (logarithm - 2 * np.log(k))[1:], variance, design[0])
    if other + (EVIDENCE if expected else -EVIDENCE) < criterion:
        return Limit(0.0, float(np.exp(first_bin)))
    limit, error, _ = _averaged(design, logarithm, variance, np.ones(terms))
    return Limit(float(np.exp(limit)), float(np.exp(limit) * error))


def _averaged(design: Floats, values: Floats, variance: float, at: Floats) -> tuple[float, float, float]:
    """Prediction `at` (terms,) with its error, averaged over numbers of terms, and the smallest Akaike criterion."""
    q, r = np.linalg.qr(design)
    projected = q.T @ values
    residual = np.sum(values**2) - np.cumsum(projected**2)
    criterion = residual / variance + 2 * np.arange(1, len(at) + 1)
    along = np.linalg.solve(r.T, at)  # r is triangular, so that its first entries are those of fewer terms
    predictions, variances = np.cumsum(along * projected), variance * np.cumsum(along**2)
    weight = np.exp(-0.5 * (criterion - criterion.min()))
    weight /= weight.sum()
    mean = float(weight @ predictions)
    return mean, float(np.sqrt(weight @ (variances + (predictions - mean) ** 2))), float(criterion.min())
