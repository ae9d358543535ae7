"""Activation energy from diffusion coefficients at several temperatures.

    ln D = ln D_0 - E_a / (k_B T)

by least squares with the weights 1/(delta D / D)^2, so that the errors are those of D alone. From three temperatures on
chi^2 tells whether the points lie on a line; where they do so with less than 5 % probability, the errors are widened by
sqrt(chi^2 / (n - 2)), since either they are too small or D does not follow one activation energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from mlraman_hpc.base.units import BOLTZMANN_EV_PER_K
from mlraman_hpc.numerics import Floats

ROOM = 300.0  # K
IMPROBABLE = 0.05  # chi^2 probability below which the points do not lie on a line
APART = 1.02  # ratio of the highest to the lowest temperature, at least


@dataclass(frozen=True)
class Activation:
    """A fitted line; ln D at a temperature has the variance (1, -1/kT) covariance (1, -1/kT)'.

    energy, energy_error  eV                    log_prefactor  ln of D_0 in cm^2/s
    covariance            (2, 2) of (ln D_0, E_a), widened where chi^2 is improbable
    chi2, probability     NaN with two temperatures      points  of the fit
    """

    energy: float
    energy_error: float
    log_prefactor: float
    covariance: Floats
    chi2: float
    probability: float
    points: int

    @property
    def straight(self) -> bool:
        """Whether nothing speaks against one activation energy; also with two points, which cannot say."""
        return not self.probability < IMPROBABLE

    def log_diffusion(self, temperature: npt.ArrayLike) -> tuple[Floats, Floats]:
        """ln D (cm^2/s) and its standard error at temperatures (n,) in K."""
        x = -1 / (BOLTZMANN_EV_PER_K * np.atleast_1d(np.asarray(temperature, float)))
        design = np.stack([np.ones_like(x), x], axis=1)
        error = np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        return design @ [self.log_prefactor, self.energy], error


def activation(temperature: Floats, diffusion: Floats, error: Floats) -> Activation | None:
    """Least squares of ln D = ln D_0 - E_a / (k_B T) through D with standard errors (cm^2/s) at temperatures (K).

    All (points,); points without D (NaN) are left out.
    None where fewer than two temperatures are left or where they are all but the same.
    """
    known = np.isfinite(diffusion) & (diffusion > 0) & (error > 0)
    temperature, diffusion, relative = temperature[known], diffusion[known], error[known] / diffusion[known]
    if len(temperature) < 2 or temperature.max() < APART * temperature.min():
        return None
    x = -1 / (BOLTZMANN_EV_PER_K * temperature)
    middle = np.average(x, weights=relative**-2)  # about which slope and height are independent
    slope_variance = 1 / np.sum(((x - middle) / relative) ** 2)
    height_variance = 1 / np.sum(relative**-2)
    height = height_variance * np.sum(np.log(diffusion) / relative**2)
    energy = slope_variance * np.sum((x - middle) * np.log(diffusion) / relative**2)
    chi2 = float(np.sum(((np.log(diffusion) - height - energy * (x - middle)) / relative) ** 2))
    freedom = len(x) - 2
    probability = float(special.chdtrc(freedom, chi2)) if freedom else np.nan
    wider = max(chi2 / freedom, 1.0) if freedom and probability < IMPROBABLE else 1.0
    covariance = wider * np.array(
        [
            [height_variance + middle**2 * slope_variance, -middle * slope_variance],
            [-middle * slope_variance, slope_variance],
        ]
    )
    return Activation(
        float(energy),
        float(np.sqrt(covariance[1, 1])),
        float(height - energy * middle),
        covariance,
        chi2 if freedom else np.nan,
        probability,
        len(x),
    )
