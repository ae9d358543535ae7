"""How strongly motion scatters light: the Raman coupling coefficient C(nu) of Shuker and Gammon.

For classical harmonic motion alpha(t) = alpha_0 + sum_m alpha'_m Q_m(t), with mass-weighted coordinates Q_m of which
each velocity has the variance k_B T, the one-sided spectral densities of d(alpha)/dt and of the atoms' velocities are

    (2 pi c nu)^2 (45 S_a + 7 S_g)/45 = k_B T sum_m A_m delta(nu - nu_m),    A = (45 a'^2 + 7 gamma'^2)/45 of alpha'_m,
    sum_i m_i S_i(nu) = k_B T g(nu),

so that their ratio is the mean Raman activity of the degrees of freedom at nu,

    C(nu) = (2 pi c nu)^2 (45 S_a + 7 S_g)/45 / [k_B T g(nu)],        Angstrom^4/u.

In terms of the intensity I(nu) = (1 - nu/nu_in)^4 nu [n + 1] (45 S_a + 7 S_g)/45 it is I nu / g without the factors of
laser and temperature. R. Shuker, R. W. Gammon, Phys. Rev. Lett. 25, 222 (1970), write I ~ C g (n + 1)/nu.

Both densities come from one estimator with one smoothing, so that equal activities give a constant at any resolution.

With C ~ nu^p over the states, the intensity without temperature factor over the density of states, nu S/g, goes as
nu^(p - 1), and S/g, which is k_B T C/(2 pi c nu)^2, as nu^(p - 2), S being (45 S_a + 7 S_g)/45. Where no selection rule
is left and all motion scatters alike, C is constant: p = 0. An intensity that follows the density of states means
p = 1, motion that scatters the more the faster it is. p is the slope of ln C against ln nu, weighted with the states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Booleans, Floats
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.numerics.spectra.errorbars import calibrate, jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES, invariant_channels
from mlraman_hpc.numerics.spectra.vdos import VdosPlan, velocities_from_positions, velocity_products

CERTAIN = 3.0  # standard errors of g above zero, below which there is no ratio
LEAST = 0.005  # of the highest g: less is what neighbouring bands leak


@dataclass(frozen=True)
class States:
    """The density of states: wavenumber (n,) cm^-1, g and its error (n,) cm, temperature (K) of its kinetic energy."""

    wavenumber: Floats
    g: Floats
    error: Floats
    temperature: float


@dataclass(frozen=True)
class Ratio:
    """C(nu) and what sums it up.

    value, error               (n,) C and one standard error, Angstrom^4/u; NaN where there are no states
    activity, activity_error   (n,) C g, the numerator, Angstrom^4 cm/u; NaN beyond alpha's Nyquist wavenumber
    mean                       of C over all states below alpha's Nyquist wavenumber
    low, low_error             mean of C over the states below the cutoff, over `mean`
    spread                     standard deviation of C over the states, over `mean`, without what noise contributes
    intensity, fluctuation     (n,) nu S/g, Angstrom^6/cm, and S/g, Angstrom^6; NaN where there are no states
    intensity_spread, fluctuation_spread    of these, as `spread`, above the smoothing's width
    exponent, exponent_error   p of C ~ nu^p, with one standard error
    """

    value: Floats
    error: Floats
    activity: Floats
    activity_error: Floats
    mean: float
    low: float
    low_error: float
    spread: float
    intensity: Floats
    fluctuation: Floats
    intensity_spread: float
    fluctuation_spread: float
    exponent: float
    exponent_error: float


def activity_density(alpha: Floats, plan: VdosPlan, temperature: float) -> tuple[Floats, Floats]:
    """C g = (2 pi c nu)^2 (45 S_a + 7 S_g)/45 / (k_B T), and the same without one block at a time.

    alpha (frames, 3, 3) Angstrom^3, temperature in K -> (n,) and (blocks, n), Angstrom^4 cm/u.
    """
    a, g = AVERAGES["total"]
    moving = alpha - alpha[0]  # rates do not see a constant, but for its rounding
    channels = invariant_channels(moving) * np.sqrt([a, g, g, g, g, g])[:, None]
    rates = velocities_from_positions(channels.reshape(2, 3, -1), plan)
    energy = BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K * temperature
    density = plan.density(velocity_products(rates, plan) / (np.dot(plan.h, plan.h) * energy))
    total = density.sum(axis=0)
    return total, (total - density) * (plan.blocks / (plan.blocks - 1))


def coupling(alpha: Floats, plan: VdosPlan, states: States, cutoff: float) -> Ratio:
    """C(nu) = (2 pi c nu)^2 (45 S_a + 7 S_g)/45 / (k_B T g) on the grid of `states`.

    alpha (frames, 3, 3) Angstrom^3; `plan` of alpha's frames with the smoothing of the states; cutoff in cm^-1.
    The errors of both densities are added in quadrature. They share the trajectory, so this is rather too much.
    """
    total, without = activity_density(alpha, plan, states.temperature)
    factor = calibrate(plan).factor
    nu = states.wavenumber
    sampled = nu <= min(nyquist(plan.interval), nu[-1])

    def at_states(density: Floats) -> Floats:
        return np.where(sampled, np.interp(nu, plan.wavenumber, density), np.nan)

    activity, error = at_states(total), at_states(jackknife(without, factor))
    certain = sampled & (states.g > np.maximum(CERTAIN * states.error, LEAST * states.g.max()))
    low = certain & (nu <= cutoff)
    g = np.where(certain, states.g, np.nan)
    value = activity / g
    relative = np.hypot(error / np.where(activity > 0, activity, np.nan), states.error / g)
    lows = np.array([_low(at_states(density), g, low, certain) for density in without])
    exponents = np.array(
        [_exponent(nu, at_states(density) / g, g, certain & (nu >= plan.width)) for density in without]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K * states.temperature
        fluctuation = np.where(nu > 0, value * energy / (RAD_PER_FS_PER_WAVENUMBER * nu) ** 2, np.nan)
    moving = certain & (nu >= plan.width)  # below, the smoothing decides what nu S and S are
    return Ratio(
        value,
        value * relative,
        activity,
        error,
        _mean(activity, g, certain),
        _low(activity, g, low, certain),
        float(jackknife(lows, factor)),
        _spread(value, value * relative, g, certain),
        nu * fluctuation,
        fluctuation,
        _spread(nu * fluctuation, nu * fluctuation * relative, g, moving),
        _spread(fluctuation, fluctuation * relative, g, moving),
        _exponent(nu, value, g, moving),
        float(jackknife(exponents, factor)),
    )


def _exponent(nu: Floats, value: Floats, g: Floats, certain: Booleans) -> float:
    """Slope of ln C against ln nu over the states, weighted with g; NaN where fewer than three have a C above zero."""
    with np.errstate(invalid="ignore"):
        rows = certain & (nu > 0) & (value > 0)
    if rows.sum() < 3:
        return np.nan
    x, y, weight = np.log(nu[rows]), np.log(value[rows]), g[rows] / g[rows].sum()
    x, y = x - weight @ x, y - weight @ y
    return float((weight @ (x * y)) / (weight @ (x * x)))


def _mean(activity: Floats, g: Floats, mask: Booleans) -> float:
    """Mean of C over the states of the mask, weighted with g."""
    return float(activity[mask].sum() / g[mask].sum()) if mask.any() else np.nan


def _low(activity: Floats, g: Floats, low: Booleans, certain: Booleans) -> float:
    mean = _mean(activity, g, certain)
    return _mean(activity, g, low) / mean if mean > 0 else np.nan


def _spread(value: Floats, error: Floats, g: Floats, certain: Booleans) -> float:
    share = g[certain] / g[certain].sum()
    mean = share @ value[certain]
    if not mean > 0:
        return np.nan
    return float(np.sqrt(max(share @ ((value[certain] - mean) ** 2 - error[certain] ** 2), 0.0)) / mean)
