"""Ionic conductivity: of independent ions, from the collective displacement of charge, and from the current's spectrum.

With P(t) = sum_i q_i r_i and J = dP/dt, in a cell of volume V at temperature T,

    Nernst-Einstein   sigma_NE = e^2/(V k_B T) sum_s N_s q_s^2 D_s             as if ions moved independently
    Einstein          sigma = e^2/(V k_B T) lim_t d/dt <|P(t) - P(0)|^2> / 6
    Green-Kubo        sigma(nu) = e^2/(3 V k_B T) int_0^inf <J(0).J(t)> cos(2 pi c nu t) dt = e^2 S_J(nu)/(12 c V k_B T)

with S_J the one-sided spectral density of J, whose integral over wavenumber is <J.J>. The latter two hold all
correlations between ions; the Haven ratio is sigma_NE/sigma. sigma(nu) is the classical real part with fixed charges. P
is one series of three components, however many ions there are, so its errors are larger than those of D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.units import (
    BOLTZMANN_EV_PER_K,
    CM2_PER_S_PER_ANGSTROM2_PER_FS,
    LIGHT_CM_PER_FS,
    S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV,
)
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.errorbars import calibrate, jackknife
from mlraman_hpc.numerics.spectra.vdos import VdosPlan, velocities_from_positions, velocity_products
from mlraman_hpc.numerics.transport.diffusion import Diffusion, diffusion
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags
from mlraman_hpc.numerics.transport.velocities import low_frequency_power, shared_by_bins
from mlraman_hpc.numerics.transport.zero_limit import limit_at_zero
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Motion


@dataclass(frozen=True)
class ChargedSystem:
    """What the conductivity is of: atoms and charge (e) of each species, the species meant as carriers (empty: those
    that diffuse), volume (Angstrom^3), temperature (K), and where charges and temperature come from."""

    atoms: dict[str, int]
    charge: dict[str, float]
    carriers: tuple[str, ...]
    volume: float
    temperature: float
    charge_source: str
    temperature_source: str

    @property
    def factor(self) -> float:
        """S/cm per e^2 Angstrom^2/fs: e^2/(V k_B T)."""
        return S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV / (self.volume * BOLTZMANN_EV_PER_K * self.temperature)

    def square_charge(self, names: tuple[str, ...]) -> float:
        """sum N q^2 (e^2) over species."""
        return sum(self.atoms[name] * self.charge[name] ** 2 for name in names)


def conductivity(
    system: ChargedSystem,
    moment: Floats,
    current: Floats | None,
    species: dict[str, Diffusion],
    plan: VdosPlan,
    fit_from: float | None = None,
    fit_to: float | None = None,
) -> Conductivity:
    """From P (3, frames) in e Angstrom, unwrapped, drift removed; J (3, frames) in e Angstrom/fs, None: dP/dt.

    species  D of each; fit_from, fit_to: lags (fs) of the collective displacement's line, as in `diffusion`
    """
    lags, unit = log_lags(moment.shape[-1]), CM2_PER_S_PER_ANGSTROM2_PER_FS
    sums = displacement_sums(moment[None], lags)
    fit = diffusion(sums, lags, plan.interval, fit_from, fit_to)
    from_moment = velocities_from_positions(moment[None], plan)
    zero = system.factor / (12 * LIGHT_CM_PER_FS)
    independent = _nernst_einstein(system, species)
    expected = np.isfinite(independent[0]) or fit.motion not in (Motion.BOUND, Motion.AT_REST)
    limit = limit_at_zero(low_frequency_power(from_moment, plan), 3, shared_by_bins(plan), expected=expected)
    carriers = system.carriers or tuple(name for name, fit_ in species.items() if np.isfinite(fit_.value))
    carriers = tuple(name for name in carriers if system.charge[name])
    square_charge = system.square_charge(carriers) if carriers else np.nan
    density, error = _spectrum(from_moment if current is None else current[None], plan)
    # how many rare jumps there happened to be is in the current as well, but in no single bin's scatter
    limit_error = float(np.hypot(limit.error, limit.value * np.sqrt(fit.jumps)))
    return Conductivity(
        charge=system.charge,
        charge_source=system.charge_source,
        total_charge=sum(system.atoms[name] * charge for name, charge in system.charge.items()),
        temperature=system.temperature,
        temperature_source=system.temperature_source,
        volume=system.volume,
        square_displacement=sums.msd,
        nernst_einstein=independent[0],
        nernst_einstein_error=independent[1],
        nernst_einstein_upper=independent[2],
        einstein=fit.value / unit * system.factor,
        einstein_error=fit.error / unit * system.factor,
        einstein_upper=fit.upper / unit * system.factor,
        fit_window=np.array([fit.first, fit.last]),
        fit_offset=fit.offset,
        fit_slope=fit.slope / unit,
        verdict=fit.verdict,
        green_kubo=limit.value * zero,
        green_kubo_error=limit_error * zero,
        green_kubo_upper=(limit.value + 2 * limit_error) * zero,
        square_charge=square_charge,
        diffusion=fit.value / square_charge,
        diffusion_error=fit.error / square_charge,
        haven=np.nan,
        haven_error=np.nan,
        haven_green_kubo=np.nan,
        haven_green_kubo_error=np.nan,
        wavenumber=plan.wavenumber,
        spectrum=density * zero,
        spectrum_error=error * zero,
        carriers=carriers,
    ).derived()


def _nernst_einstein(system: ChargedSystem, species: dict[str, Diffusion]) -> tuple[float, float, float]:
    """sigma_NE of the species that diffuse, its error, and its upper end with all that may diffuse unseen."""
    values, variance, upper = [], 0.0, 0.0
    for name, fit in species.items():
        weight = system.square_charge((name,)) / CM2_PER_S_PER_ANGSTROM2_PER_FS * system.factor
        if not weight:
            continue
        if np.isfinite(fit.value):
            values.append(weight * fit.value)
            variance += (weight * fit.error) ** 2
        elif not system.carriers or name in system.carriers:
            upper += weight * np.nan_to_num(fit.upper, nan=np.inf)
    if not values:
        return np.nan, np.nan, float(upper)
    error = float(np.sqrt(variance))
    return float(sum(values)), error, float(sum(values) + 2 * error + upper)


def _spectrum(current: Floats, plan: VdosPlan) -> tuple[Floats, Floats]:
    """(points + 1,) smoothed one-sided density of J (1, 3, frames) and its standard error."""
    products = velocity_products(current, plan) / np.dot(plan.h, plan.h)
    total = products.sum(axis=0)
    without = np.array([plan.density((total - block) / (1 - 1 / plan.blocks)) for block in products])
    return plan.density(total), jackknife(without, calibrate(plan).factor)
