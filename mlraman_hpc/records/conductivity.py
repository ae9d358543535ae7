"""Transport of charge by the atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlraman_hpc.records.fields import stored


@dataclass(frozen=True)
class Conductivity:
    """Ionic conductivity (/conductivity of dynamics.h5). P = sum_i q_i r_i, J = dP/dt; at rest: `Dynamics.drift`.

    charge                of each species; charge_source: 'deck' or 'oxidation states'; total_charge: of the cell
    carriers              the species whose ions the collective diffusion coefficient is for
    temperature, volume   that enter; temperature_source: 'deck' or 'kinetic energy'
    square_displacement   <|P(t) - P(0)|^2> at the times of /msd/time
    nernst_einstein       of independent ions, from D of each species; NaN where none diffuses
    einstein              from the slope of square_displacement; NaN where `verdict` is not 'diffusive'
    fit_offset, fit_slope the line is fit_offset + 6 fit_slope t; fit_window: (2,) first and last lag
    green_kubo            zero-frequency limit of J's spectrum: 0 where that vanishes as the wavenumber's square
    ..._upper             two standard errors above
    diffusion             collective: einstein's, for each of the carriers; square_charge: their sum N q^2
    haven                 nernst_einstein / einstein; haven_green_kubo: nernst_einstein / green_kubo
    spectrum              real part of sigma(nu), smoothed, classical, with these charges
    """

    charge: dict[str, float] = stored("charge", "e")
    charge_source: str = stored("charge_source", "1")
    total_charge: float = stored("total_charge", "e")
    temperature: float = stored("temperature", "K")
    temperature_source: str = stored("temperature_source", "1")
    volume: float = stored("volume", "Angstrom^3")
    square_displacement: np.ndarray = stored("square_displacement", "e^2 Angstrom^2")
    nernst_einstein: float = stored("nernst_einstein", "S/cm")
    nernst_einstein_error: float = stored("error/nernst_einstein", "S/cm")
    nernst_einstein_upper: float = stored("upper/nernst_einstein", "S/cm")
    einstein: float = stored("einstein", "S/cm")
    einstein_error: float = stored("error/einstein", "S/cm")
    einstein_upper: float = stored("upper/einstein", "S/cm")
    fit_window: np.ndarray = stored("fit/window", "fs")
    fit_offset: float = stored("fit/offset", "e^2 Angstrom^2")
    fit_slope: float = stored("fit/slope", "e^2 Angstrom^2/fs")
    verdict: str = stored("verdict", "1")
    green_kubo: float = stored("green_kubo", "S/cm")
    green_kubo_error: float = stored("error/green_kubo", "S/cm")
    green_kubo_upper: float = stored("upper/green_kubo", "S/cm")
    square_charge: float = stored("square_charge", "e^2")
    diffusion: float = stored("diffusion", "cm^2/s")
    diffusion_error: float = stored("error/diffusion", "cm^2/s")
    haven: float = stored("haven", "1")
    haven_error: float = stored("error/haven", "1")
    haven_green_kubo: float = stored("haven_green_kubo", "1")
    haven_green_kubo_error: float = stored("error/haven_green_kubo", "1")
    wavenumber: np.ndarray = stored("spectrum/wavenumber", "cm^-1")
    spectrum: np.ndarray = stored("spectrum/value", "S/cm")
    spectrum_error: np.ndarray = stored("error/spectrum", "S/cm")
    carriers: tuple[str, ...] = stored("carriers", "1", default=())

    def derived(self) -> Conductivity:
        """With the Haven ratios of its conductivities; of a mean over runs, too: a mean of ratios is another number."""
        of_independent = self.nernst_einstein, self.nernst_einstein_error
        haven, error = _ratio(*of_independent, self.einstein, self.einstein_error)
        from_current, its_error = _ratio(*of_independent, self.green_kubo, self.green_kubo_error)
        return replace(
            self, haven=haven, haven_error=error, haven_green_kubo=from_current, haven_green_kubo_error=its_error
        )


def _ratio(a: float, a_error: float, b: float, b_error: float) -> tuple[float, float]:
    if not (a > 0 and b > 0):
        return np.nan, np.nan
    return a / b, a / b * float(np.hypot(a_error / a, b_error / b))
