"""The low-frequency part: its weight, the zero-frequency limit, and what of it relaxes.

The one-sided spectral density of alpha's fluctuations (not yet an intensity) is fitted with

    S(nu) = A_D (2/pi) Gamma/(Gamma^2 + nu^2) + sum_j A_j (2/pi) g_j nu_j^2/[(nu_j^2 - nu^2)^2 + g_j^2 nu^2] + c,

each A being the variance that its term carries (Cardona, Light Scattering in Solids II). An oscillator may be damped
up to g = sqrt(2) nu_0, where its maximum reaches zero: beyond, it could not be told from a relaxator, and at this bound
it counts as one. The parameters maximise Whittle's likelihood of the unsmoothed spectrum, sum_n w_n [ln S(nu_n) +
P_n/S(nu_n)] with w_n half the degrees of freedom of bin n; the number of oscillators and whether there is a Debye term
follow from the Bayesian information criterion.

Whether something relaxes is a question of two hypotheses: oscillators damped up to g = 1.2 nu_0, which have a maximum
apart from zero (H_0), or a Debye term or an oscillator at its bound beside others (H_1). With BIC_0 and BIC_1 of the
best fits, the probability of the latter is 1/(1 + exp[(BIC_1 - BIC_0)/2]) (Kass and Raftery, J. Am. Stat. Assoc. 90,
773 (1995)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.errorbars import jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan
from mlraman_hpc.records.spectra import CentralPeak, Relaxation

POINTS = 300
LEAST_POINTS = 20
MOST_DAMPING = np.sqrt(2)
OSCILLATING = 1.2  # g/nu_0 up to which an oscillator certainly oscillates: its maximum is at 0.53 nu_0
AT_BOUND = 0.97  # of MOST_DAMPING, from where an oscillator counts as relaxing


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

    @property
    def overdamped(self) -> npt.NDArray[np.bool_]:
        """(modes,) whether an oscillator is at the bound of its damping, where it stands for a relaxator."""
        at_bound: npt.NDArray[np.bool_] = self.modes[:, 2] > AT_BOUND * MOST_DAMPING * self.modes[:, 1]
        return at_bound

    @property
    def relaxes(self) -> bool:
        return self.debye or bool(self.overdamped.any())

    @property
    def relaxing(self) -> float:
        """Variance in Debye term and overdamped oscillators."""
        return float(self.modes[self.overdamped, 0].sum()) + (float(self.values[1]) if self.debye else 0.0)

    @property
    def relaxing_share(self) -> float:
        total = float(self.modes[:, 0].sum()) + (float(self.values[1]) if self.debye else 0.0)
        return self.relaxing / total if total > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What the fit says of relaxation, or why there is no fit; its text is that of `CentralPeak.verdict`.

    points, end    independent points below `end` (cm^-1)
    modes          damped oscillators, those at the bound of the damping not counted, which are `overdamped`
    probability    that something relaxes
    resolution     cm^-1, of the trajectory
    width, error   half width of the Debye term, cm^-1; NaN without one; share: of the fitted variance that relaxes
    """

    relaxation: Relaxation
    points: int = 0
    end: float = np.nan
    modes: int = 0
    overdamped: int = 0
    probability: float = np.nan
    resolution: float = np.nan
    width: float = np.nan
    error: float = np.nan
    share: float = np.nan

    def __str__(self) -> str:
        if self.relaxation is Relaxation.NO_FLUCTUATION:
            return str(self.relaxation)
        if self.relaxation is Relaxation.TOO_FEW_POINTS:
            return (
                f"{self.relaxation} {self.points} independent points below {self.end:g} cm^-1; a longer trajectory "
                "is needed"
            )
        text = f"{self.relaxation} (probability {_percent(self.probability)}): the best fit is {_plural(self.modes)}"
        if not (self.overdamped or np.isfinite(self.width)):
            return f"{text} and a constant"
        if self.overdamped:
            text += f", {self.overdamped} damped beyond oscillating"
        if np.isfinite(self.width):
            narrow = self.width < 1.5 * self.resolution
            text += ", a Debye term " + (
                f"narrower than the trajectory resolves ({self.resolution:.2g} cm^-1)"
                if narrow
                else f"of half width {self.width:.3g} +- {self.error:.2g} cm^-1"
            )
        return f"{text} and a constant; {100 * self.share:.2g} % of the fitted variance relaxes"


def _percent(probability: float) -> str:
    if probability > 0.999:
        return "above 99.9 %"
    return "below 0.1 %" if probability < 0.001 else f"{100 * probability:.3g} %"


def _plural(modes: int) -> str:
    return f"{modes} damped oscillator{'s' if modes != 1 else ''}"


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
        return {"verdict": str(Verdict(Relaxation.NO_FLUCTUATION))}
    end = 5 * plan.options.low_frequency

    def bins_of(values: Floats) -> Bins:
        return make_bins(plan.wavenumber, values, plan.duration, components_of(density), end)

    bins = bins_of(total)
    if len(bins.wavenumber) < LEAST_POINTS:
        return {"verdict": str(Verdict(Relaxation.TOO_FEW_POINTS, points=len(bins.wavenumber), end=end))}
    modes = plan.options.most_modes
    fits = [best_fit(bins, debye, modes) for debye in (False, True)]
    oscillating = best_fit(bins, False, modes, OSCILLATING)
    probability = _probability(oscillating, [fit for fit in fits if fit.relaxes])
    chosen = min(fits, key=lambda fit: fit.criterion)
    without = [improve(bins_of(values), chosen) for values in total_without]
    errors = jackknife(np.array([fit.values for fit in without]), calibration)
    area, share = jackknife(np.array([(fit.relaxing, fit.relaxing_share) for fit in without]), calibration)
    fitted = model(chosen.theta, chosen.debye, bins.wavenumber)[0]
    return {
        "fit_wavenumber": bins.wavenumber,
        "fit": fitted,
        "probability": probability,
        "relaxing_area": chosen.relaxing,
        "relaxing_area_error": float(area),
        "relaxing_share": chosen.relaxing_share,
        "relaxing_share_error": float(share),
        "maximum_at_zero": int(_falls_from_zero(chosen, bins.resolution)),
        **_terms(chosen, errors),
        "verdict": str(_verdict(bins, chosen, errors, probability)),
    }


def _probability(oscillating: Fit, relaxing: list[Fit]) -> float:
    """Of relaxation: the best of the fits with it against oscillators alone, both equally likely before."""
    evidence = oscillating.criterion - min(fit.criterion for fit in relaxing)
    return float(special.expit(0.5 * evidence))


def _falls_from_zero(fit: Fit, resolution: float) -> bool:
    """Whether the fitted density has a maximum at zero wavenumber, as relaxation makes it."""
    (zero, beside), _ = model(fit.theta, fit.debye, np.array([0.0, resolution]))
    return bool(zero > beside)


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


def _verdict(bins: Bins, fit: Fit, errors: Floats, probability: float) -> Verdict:
    overdamped = int(fit.overdamped.sum())
    return Verdict(
        Relaxation.of(probability),
        modes=len(fit.modes) - overdamped,
        overdamped=overdamped,
        probability=probability,
        resolution=bins.resolution,
        width=fit.values[2] if fit.debye else np.nan,
        error=errors[2] if fit.debye else np.nan,
        share=fit.relaxing_share,
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


def improve(bins: Bins, fit: Fit, most_damping: float = MOST_DAMPING) -> Fit:
    """The fit with the terms of `fit`, whose parameters are the starting point."""
    bounds = _bounds(bins, fit, most_damping)
    start = np.clip(fit.theta, *np.array(bounds).T)
    result = optimize.minimize(
        whittle, start, args=(fit.debye, bins), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}
    )
    criterion = 2 * result.fun + len(start) * np.log(2 * bins.weight.sum())
    return Fit(result.x, fit.debye, float(criterion))


def _bounds(bins: Bins, fit: Fit, most_damping: float) -> list[tuple[float, float]]:
    largest = bins.density.max()
    end = bins.wavenumber[-1]
    area = (np.log(1e-8 * largest), np.log(20 * largest * end))
    width = (np.log(0.5 * bins.resolution), np.log(end))
    bounds = [(np.log(1e-10 * largest), np.log(largest))]
    if fit.debye:
        bounds += [area, width]
    modes = (len(fit.theta) - len(bounds)) // 3
    wavenumber = (np.log(bins.wavenumber[0] + bins.resolution), np.log(1.2 * end))
    return bounds + [area, wavenumber, (np.log(0.5 * bins.resolution / end), np.log(most_damping))] * modes


def best_fit(bins: Bins, debye: bool, most_modes: int, most_damping: float = MOST_DAMPING) -> Fit:
    """Oscillators are added where the spectrum exceeds the fit most, as long as the criterion falls."""
    floor = np.log(max(np.quantile(bins.density, 0.05), 1e-9 * bins.density.max()))
    step = bins.wavenumber[1] - bins.wavenumber[0]
    content = bins.density.sum() * step
    starts = [np.array([floor])]
    if debye:
        starts = [np.array([floor, np.log(0.3 * content), np.log(width)]) for width in (3.0, 12.0, 40.0)]
    best = min(
        (improve(bins, Fit(start, debye, np.inf), most_damping) for start in starts), key=lambda fit: fit.criterion
    )
    current = best
    for _ in range(most_modes):
        current = _with_another(bins, current, most_damping)
        if current.criterion < best.criterion:
            best = current
    return best


def _with_another(bins: Bins, fit: Fit, most_damping: float) -> Fit:
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
            fits.append(improve(bins, Fit(theta, fit.debye, np.inf), most_damping))
    return min(fits, key=lambda fit: fit.criterion)
