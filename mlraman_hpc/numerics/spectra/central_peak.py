"""The low-frequency part of the spectrum: its weight, its limit at zero wavenumber, and what of it relaxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.run_average import average_of_runs
from mlraman_hpc.numerics.spectra.committee import CommitteeDensities
from mlraman_hpc.numerics.spectra.errorbars import jackknife, student_factor
from mlraman_hpc.numerics.spectra.intensity import AVERAGES, intensity_factor
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan
from mlraman_hpc.numerics.spectra.relaxation import DensityGrid, fit_with_errors
from mlraman_hpc.numerics.spectra.smoothing import width_of
from mlraman_hpc.records.spectra import CentralPeak, RamanSpectrum

_OF_THE_SPECTRUM = (
    "cutoff",
    "weight",
    "weight_error",
    "weight_model_error",
    "zero_isotropic",
    "zero_isotropic_error",
    "zero_anisotropic",
    "zero_anisotropic_error",
    "rise",
    "rise_error",
)  # fields of CentralPeak that no fit makes


def low_frequency_weight(wavenumber: Floats, total: Floats, cutoff: float) -> Floats:
    """Share of the integral of spectra (..., wavenumbers) below the cutoff."""
    step = wavenumber[1]
    integral = np.cumsum(0.5 * step * (total[..., 1:] + total[..., :-1]), axis=-1)
    position = min(cutoff, wavenumber[-1]) / step
    last = min(int(position), len(wavenumber) - 2)
    below = integral[..., last - 1] if last > 0 else 0.0
    below = below + (position - last) * step * 0.5 * (total[..., last] + total[..., last + 1])
    share: Floats = below / integral[..., -1]
    return share


def rise_to_zero(plan: SpectrumPlan, density: Floats, remaining: float) -> Floats:
    """S(0) over the mean of S between the cutoff and twice it, of smoothed densities S (..., n) of the total.

    Relaxation makes it large, but so does a soft mode, and phonons near the cutoff hide it: it decides nothing.
    """
    smoothed = plan.smooth(density)
    cutoff = plan.options.low_frequency
    beyond = (plan.wavenumber >= cutoff) & (plan.wavenumber <= 2 * cutoff)
    if not beyond.any():
        return np.full(density.shape[:-1], np.nan)
    mean = smoothed[..., beyond].mean(axis=-1)
    rise: Floats = smoothed[..., 0] / remaining / np.where(mean > 0, mean, np.nan)
    return rise


def analyse(
    plan: SpectrumPlan,
    density: Floats,
    without: Floats,
    factor: Floats,
    calibration: float,
    committee: CommitteeDensities | None = None,
) -> CentralPeak:
    """Weight, zero-frequency limit, rise and fit of the low-frequency part, with jackknife errors.

    density (2, n): S_a and S_g; without (blocks, 2, n): the same without one block at a time; factor (n,) makes
    intensities of densities; committee: for the model's errors. The zero-frequency limit is that
    of the smoothed density, with what the subtraction of the mean takes away added again; NaN if more than half.
    """
    a, g = AVERAGES["total"]
    grid = DensityGrid(plan.wavenumber, plan.duration, plan.options.low_frequency, plan.width, plan.options.most_modes)
    total, total_without = a * density[0] + g * density[1], a * without[:, 0] + g * without[:, 1]
    cutoff = plan.options.low_frequency
    lost = plan.lost_with_mean
    remaining = 1 - lost if lost < 0.5 else np.nan
    zero = plan.smooth(density)[:, 0] / remaining
    zero_error = jackknife(plan.smooth(without)[..., 0] / remaining, calibration)

    def weight_of(powder: Floats) -> Floats:
        return low_frequency_weight(plan.wavenumber, (a * powder[..., 0, :] + g * powder[..., 1, :]) * factor, cutoff)

    return CentralPeak(
        cutoff=float(cutoff),
        weight=float(weight_of(density)),
        weight_error=float(jackknife(weight_of(without), calibration)),
        weight_model_error=None if committee is None else float(committee.error(weight_of)),
        zero_isotropic=float(zero[0]),
        zero_isotropic_error=float(zero_error[0]),
        rise=float(rise_to_zero(plan, total, remaining)),
        rise_error=float(jackknife(rise_to_zero(plan, total_without, remaining), calibration)),
        zero_anisotropic=float(zero[1]),
        zero_anisotropic_error=float(zero_error[1]),
        **fit_with_errors(grid, density, without, calibration, committee),
    )


def average_of_spectra(runs: Sequence[RamanSpectrum], most_modes: int) -> RamanSpectrum:
    """`average_of_runs`, with a fit of the runs' mean density instead of the mean of their fits.

    What no run decides alone, all of them may. Errors are from leaving out one run at a time.
    """
    mean = average_of_runs(runs)
    if mean.central_peak is None:
        return mean
    peak, first = mean.central_peak, runs[0]
    densities = np.array([_density_of(run) for run in runs])
    without = np.array([np.delete(densities, k, axis=0).mean(axis=0) for k in range(len(runs))])
    duration = first.frames * first.frame_interval
    width = width_of(first.smoothing, *first.smoothing_kind.split())
    grid = DensityGrid(first.wavenumber, duration, peak.cutoff, width, most_modes, len(runs))
    fitted = fit_with_errors(grid, densities.mean(axis=0), without, student_factor(len(runs) - 1))
    fitted["relaxing_below_model_error"] = peak.relaxing_below_model_error
    kept = {name: getattr(peak, name) for name in _OF_THE_SPECTRUM}
    return replace(mean, central_peak=CentralPeak(**kept, **fitted))


def _density_of(spectrum: RamanSpectrum) -> Floats:
    """(2, n) S_a and S_g, unsmoothed. At zero, where there may be no intensity, that of the next wavenumber."""
    factor = intensity_factor(spectrum.wavenumber, spectrum.laser_wavelength, spectrum.temperature)
    shares = (AVERAGES["isotropic"][0], AVERAGES["anisotropic"][1])
    raw = np.array([spectrum.raw[name] / share for name, share in zip(("isotropic", "anisotropic"), shares)])
    density = np.divide(raw, factor, out=np.zeros_like(raw), where=factor > 0)
    density[:, 0] = density[:, 1]
    return density
