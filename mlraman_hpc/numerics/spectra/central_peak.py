"""The low-frequency part: its weight, the zero-frequency limit, and a Debye relaxator among damped oscillators.

The one-sided spectral density of alpha's fluctuations (not yet an intensity) is fitted with

    S(nu) = A_D (2/pi) Gamma/(Gamma^2 + nu^2) + sum_j A_j (2/pi) g_j nu_j^2/[(nu_j^2 - nu^2)^2 + g_j^2 nu^2] + c,

each A being the variance that its term carries (Cardona, Light Scattering in Solids II). An oscillator may be damped
up to g = sqrt(2) nu_0, where its maximum reaches zero: beyond, it could not be told from a relaxator. The parameters
maximise Whittle's likelihood of the unsmoothed spectrum, sum_n w_n [ln S(nu_n) + P_n/S(nu_n)] with w_n half the degrees
of freedom of bin n; the number of oscillators and whether there is a Debye term follow from the Bayesian information
criterion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.errorbars import jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan
from mlraman_hpc.records.spectra import CentralPeak, DebyeTerm

POINTS = 300
LEAST_POINTS = 20
MOST_DAMPING = np.sqrt(2)
DECISIVE = 10.0  # difference of BIC called very strong (Kass and Raftery, 1995)


@dataclass(frozen=True)
class Bins:
    """Unsmoothed density in bins: centres (bins,), density (bins,), half the degrees of freedom of each bin."""

    wavenumber: Floats
    density: Floats
    weight: Floats
    resolution: float


@dataclass(frozen=True)
class Fit:
    """theta: logarithms of c, then A, Gamma of the Debye term if there is one, then A, nu, g/nu of each oscillator."""

    theta: Floats
    debye: bool
    criterion: float

    @property
    def values(self) -> Floats:
        """The parameters themselves: c, A, Gamma, then area, wavenumber, damping of each oscillator."""
        values = np.exp(self.theta)
        first = 3 if self.debye else 1
        values[first + 2 :: 3] *= values[first + 1 :: 3]
        return values

    @property
    def modes(self) -> Floats:
        """(modes, 3) area, wavenumber, damping."""
        return self.values[3 if self.debye else 1 :].reshape(-1, 3)


@dataclass(frozen=True)
class Verdict:
    """What the fit says of a Debye term, or why there is no fit; its text is that of `CentralPeak.verdict`.

    points, end    independent points below `end` (cm^-1)
    modes          damped oscillators beside it
    gain           difference of the criterion without a Debye term from that with one
    resolution     cm^-1, of the trajectory
    width, error   half width of the Debye term, cm^-1; share: of the fitted variance
    """

    debye: DebyeTerm
    points: int = 0
    end: float = np.nan
    modes: int = 0
    gain: float = np.nan
    resolution: float = np.nan
    width: float = np.nan
    error: float = np.nan
    share: float = np.nan

    def __str__(self) -> str:
        if self.debye is DebyeTerm.NO_FLUCTUATION:
            return str(self.debye)
        if self.debye is DebyeTerm.TOO_FEW_POINTS:
            return (
                f"{self.debye} {self.points} independent points below {self.end:g} cm^-1; a longer trajectory is needed"
            )
        modes = f"{self.modes} damped oscillator{'s' if self.modes != 1 else ''} and a constant"
        if self.debye in (DebyeTerm.NONE, DebyeTerm.UNDECIDED):
            return f"{self.debye}: {modes} describe the spectrum better without one (BIC lower by {-self.gain:.1f})"
        text = f"{self.debye} besides {modes} (BIC lower by {self.gain:.1f}): "
        if self.width < 1.5 * self.resolution:
            return text + f"narrower than the trajectory resolves ({self.resolution:.2g} cm^-1)"
        share = f"{100 * self.share:.0f} % of the fitted variance"
        return text + f"half width {self.width:.3g} +- {self.error:.2g} cm^-1, {share}"


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

    Vibrations leave a spectrum that is flat or falls towards zero wavenumber; above 1 something relaxes.
    """
    smoothed = plan.smooth(density)
    cutoff = plan.options.low_frequency
    beyond = (plan.wavenumber >= cutoff) & (plan.wavenumber <= 2 * cutoff)
    if not beyond.any():
        return np.full(density.shape[:-1], np.nan)
    mean = smoothed[..., beyond].mean(axis=-1)
    rise: Floats = smoothed[..., 0] / remaining / np.where(mean > 0, mean, np.nan)
    return rise


def analyse(plan: SpectrumPlan, density: Floats, without: Floats, factor: Floats, calibration: float) -> CentralPeak:
    """Weight, zero-frequency limit, rise and fit of the low-frequency part, with jackknife errors.

    density (2, n): S_a and S_g; without (blocks, 2, n): the same without one block at a time; factor (n,) makes
    intensities of densities. The zero-frequency limit is that of the smoothed density, with what the subtraction of
    the mean takes away added again; NaN if that is more than half.
    """
    a, g = AVERAGES["total"]
    total, total_without = a * density[0] + g * density[1], a * without[:, 0] + g * without[:, 1]
    cutoff = plan.options.low_frequency
    lost = plan.lost_with_mean
    remaining = 1 - lost if lost < 0.5 else np.nan
    zero = plan.smooth(density)[:, 0] / remaining
    zero_error = jackknife(plan.smooth(without)[..., 0] / remaining, calibration)
    weight, weight_without = (low_frequency_weight(plan.wavenumber, x * factor, cutoff) for x in (total, total_without))
    return CentralPeak(
        cutoff=float(cutoff),
        weight=float(weight),
        weight_error=float(jackknife(weight_without, calibration)),
        zero_isotropic=float(zero[0]),
        zero_isotropic_error=float(zero_error[0]),
        rise=float(rise_to_zero(plan, total, remaining)),
        rise_error=float(jackknife(rise_to_zero(plan, total_without, remaining), calibration)),
        zero_anisotropic=float(zero[1]),
        zero_anisotropic_error=float(zero_error[1]),
        **_fit_with_errors(plan, density, total, total_without, calibration),
    )


def _fit_with_errors(
    plan: SpectrumPlan, density: Floats, total: Floats, total_without: Floats, calibration: float
) -> dict[str, Any]:
    """Fields of CentralPeak."""
    if not total.max() > 0:
        return {"verdict": str(Verdict(DebyeTerm.NO_FLUCTUATION))}
    end = 5 * plan.options.low_frequency

    def bins_of(values: Floats) -> Bins:
        return make_bins(plan.wavenumber, values, plan.duration, components_of(density), end)

    bins = bins_of(total)
    if len(bins.wavenumber) < LEAST_POINTS:
        return {"verdict": str(Verdict(DebyeTerm.TOO_FEW_POINTS, points=len(bins.wavenumber), end=end))}
    best = {debye: best_fit(bins, debye, plan.options.most_modes) for debye in (False, True)}
    chosen = best[best[True].criterion < best[False].criterion]
    gain = best[False].criterion - best[True].criterion
    errors = jackknife(np.array([improve(bins_of(values), chosen).values for values in total_without]), calibration)
    curve = {"fit_wavenumber": bins.wavenumber, "fit": model(chosen.theta, chosen.debye, bins.wavenumber)[0]}
    return {**curve, **_terms(chosen, errors), "verdict": str(_verdict(bins, chosen, errors, gain))}


def _terms(fit: Fit, errors: Floats) -> dict[str, Any]:
    """The Debye term and the oscillators, by rising wavenumber, with errors of all `fit.values`."""
    terms: dict[str, Any] = {}
    values = fit.values
    if fit.debye:
        for k, name in enumerate(("area", "width"), start=1):
            terms |= {f"debye_{name}": float(values[k]), f"debye_{name}_error": float(errors[k])}
    start = 3 if fit.debye else 1
    if len(values) > start:
        order = np.argsort(values[start + 1 :: 3])
        for k, name in enumerate(("area", "wavenumber", "damping"), start):
            terms |= {f"mode_{name}": values[k::3][order], f"mode_{name}_error": errors[k::3][order]}
    return terms


def _verdict(bins: Bins, fit: Fit, errors: Floats, gain: float) -> Verdict:
    modes = len(fit.modes)
    if not fit.debye:
        return Verdict(DebyeTerm.NONE if -gain > DECISIVE else DebyeTerm.UNDECIDED, modes=modes, gain=gain)
    area, width = fit.values[1:3]
    return Verdict(
        DebyeTerm.CLEAR if gain > DECISIVE else DebyeTerm.WEAK,
        modes=modes,
        gain=gain,
        resolution=bins.resolution,
        width=width,
        error=errors[2],
        share=area / (area + fit.modes[:, 0].sum()),
    )


def components_of(density: Floats) -> float:
    """Effective number of independent tensor components in S_a + (7/45) S_g, between 1 and 6."""
    a, g = AVERAGES["total"][0] * density[0].sum(), AVERAGES["total"][1] * density[1].sum()
    return float((a + g) ** 2 / (a**2 + g**2 / 5))


def make_bins(wavenumber: Floats, total: Floats, duration: float, components: float, end: float) -> Bins:
    """Means over bins of at least one independent ordinate, 1/(c T) apart, up to `end` (cm^-1).

    The lowest bin, from which the mean is subtracted, is left out. duration T in fs.
    """
    ordinate = 1 / (LIGHT_CM_PER_FS * duration)
    end = min(end, 0.95 * wavenumber[-1])
    size = max(1, int(np.ceil(max(ordinate, end / POINTS) / wavenumber[1])))
    first = int(np.ceil(ordinate / wavenumber[1]))
    count = max(0, (int(end / wavenumber[1]) - first) // size)
    inside = slice(first, first + count * size)
    weight = components * size * wavenumber[1] / ordinate
    return Bins(
        wavenumber[inside].reshape(count, size).mean(axis=1),
        total[inside].reshape(count, size).mean(axis=1),
        np.full(count, weight),
        ordinate,
    )


def model(theta: Floats, debye: bool, nu: Floats) -> tuple[Floats, Floats]:
    """S(nu) (n,) of the module's docstring and its derivatives (parameters, n) with respect to theta."""
    values = np.exp(theta)
    slopes = [np.full_like(nu, values[0])]
    total = slopes[0].copy()
    if debye:
        width2 = values[2] ** 2
        term = values[1] * (2 / np.pi) * values[2] / (width2 + nu**2)
        total += term
        slopes += [term, term * (nu**2 - width2) / (nu**2 + width2)]
    for area, nu_0, ratio in values[3 if debye else 1 :].reshape(-1, 3):
        damping = ratio * nu_0
        detuning = nu_0**2 - nu**2
        denominator = detuning**2 + (damping * nu) ** 2
        term = area * (2 / np.pi) * damping * nu_0**2 / denominator
        total += term
        by_ratio = term * (1 - 2 * (damping * nu) ** 2 / denominator)
        slopes += [term, term * (2 - 4 * nu_0**2 * detuning / denominator) + by_ratio, by_ratio]
    return total, np.array(slopes)


def whittle(theta: Floats, debye: bool, bins: Bins) -> tuple[float, Floats]:
    """sum_n w_n [ln S(nu_n) + P_n/S(nu_n)], the negative logarithm of the likelihood, and its gradient."""
    s, slopes = model(theta, debye, bins.wavenumber)
    ratio = bins.density / s
    return float(bins.weight @ (np.log(s) + ratio)), slopes @ (bins.weight * (1 - ratio) / s)


def improve(bins: Bins, fit: Fit) -> Fit:
    """The fit with the terms of `fit`, whose parameters are the starting point."""
    bounds = _bounds(bins, fit)
    start = np.clip(fit.theta, *np.array(bounds).T)
    result = optimize.minimize(
        whittle, start, args=(fit.debye, bins), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}
    )
    criterion = 2 * result.fun + len(start) * np.log(2 * bins.weight.sum())
    return Fit(result.x, fit.debye, float(criterion))


def _bounds(bins: Bins, fit: Fit) -> list[tuple[float, float]]:
    largest = bins.density.max()
    end = bins.wavenumber[-1]
    area = (np.log(1e-8 * largest), np.log(20 * largest * end))
    width = (np.log(0.5 * bins.resolution), np.log(end))
    bounds = [(np.log(1e-10 * largest), np.log(largest))]
    if fit.debye:
        bounds += [area, width]
    modes = (len(fit.theta) - len(bounds)) // 3
    wavenumber = (np.log(bins.wavenumber[0] + bins.resolution), np.log(1.2 * end))
    return bounds + [area, wavenumber, (np.log(0.5 * bins.resolution / end), np.log(MOST_DAMPING))] * modes


def best_fit(bins: Bins, debye: bool, most_modes: int) -> Fit:
    """Oscillators are added where the spectrum exceeds the fit most, as long as the criterion falls."""
    floor = np.log(max(np.quantile(bins.density, 0.05), 1e-9 * bins.density.max()))
    step = bins.wavenumber[1] - bins.wavenumber[0]
    content = bins.density.sum() * step
    starts = [np.array([floor])]
    if debye:
        starts = [np.array([floor, np.log(0.3 * content), np.log(width)]) for width in (3.0, 12.0, 40.0)]
    best = min((improve(bins, Fit(start, debye, np.inf)) for start in starts), key=lambda fit: fit.criterion)
    current = best
    for _ in range(most_modes):
        current = _with_another(bins, current)
        if current.criterion < best.criterion:
            best = current
    return best


def _with_another(bins: Bins, fit: Fit) -> Fit:
    """The best fit with one more oscillator, started where the spectrum exceeds the fit."""
    s, _ = model(fit.theta, fit.debye, bins.wavenumber)
    width = max(3, len(bins.wavenumber) // 40)
    excess = np.convolve(bins.density / s - 1, np.ones(width) / width, mode="same")
    candidates = [int(np.argmax(excess)), int(np.argmax(np.convolve(bins.density - s, np.ones(width), mode="same")))]
    fits = []
    for index in set(candidates):
        nu, height = bins.wavenumber[index], max(bins.density[index], s[index])
        for damping in (4.0, 20.0):
            area = height * damping * np.pi / 2
            theta = np.concatenate([fit.theta, np.log([area, nu, damping / nu])])
            fits.append(improve(bins, Fit(theta, fit.debye, np.inf)))
    return min(fits, key=lambda fit: fit.criterion)
