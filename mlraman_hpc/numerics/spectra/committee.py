"""What a committee of models tells of the spectrum: what the model takes away, and how far it may be wrong.

A regularised model shrinks: of alpha = prediction + error it knows the prediction, and the error's fluctuations are
missing in its spectrum. The calibrated deviations d_m of the members from their mean have the size of the errors, so

    S = S[alpha] + 1/M sum_m S[d_m],

the mean of the spectra of alpha + d_m, has them back, as far as the members differ in what the model does not know.
What none of them knows shows itself when labels are fewer: members are fitted to half of them, and where the spectrum
of their mean falls below the model's, that of the model falls below the truth. The error of a number f(S), such as the
intensity at a wavenumber, is

    sigma^2 = t^2 (1 + 1/M) var_m f(S[alpha + d_m]) + 4 (f(S[alpha]) - f(S[mean of the members]))^2,

t being Student's factor for 68 % of M - 1 degrees of freedom. The factor of the second term was found by trial on
spectra that are known (tests/benchmarks/spectrum_model_error.py); for an error proportional to N_T^-0.6 it is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.errorbars import committee_deviation, student_factor

HALF_TO_ALL = 2.0


@dataclass(frozen=True)
class CommitteeDensities:
    """Spectral densities S_a and S_g, (2, wavenumbers) each.

    members  (M, 2, wavenumbers) of alpha + d_m
    model    of alpha; fewer: of the mean of the members, which know half of the labels
    """

    members: Floats
    model: Floats
    fewer: Floats

    def scatter(self, function: Callable[[Floats], Floats]) -> Floats:
        """The first term's root, a bar for a further member; `function` of densities (..., 2, wavenumbers)."""
        count = len(self.members)
        factor = student_factor(count - 1) * np.sqrt(1 + 1 / count)
        deviation: Floats = factor * committee_deviation(function(self.members))
        return deviation

    def bias(self, function: Callable[[Floats], Floats]) -> Floats:
        """The second term's root."""
        difference: Floats = HALF_TO_ALL * np.abs(function(self.model) - function(self.fewer))
        return difference

    def error(self, function: Callable[[Floats], Floats]) -> Floats:
        """sigma of the module's docstring."""
        both: Floats = np.hypot(self.scatter(function), self.bias(function))
        return both
