"""The low-frequency part: its weight, the zero-frequency limit, and what of it relaxes, from `spectral_fit`.

Whether something relaxes is a question of two hypotheses: oscillators damped up to g = 1.2 nu_0, which have a maximum
apart from zero (H_0), or a Debye term or an oscillator at its bound beside others (H_1). With BIC_0 and BIC_1 of the
best fits, the probability of the latter is 1/(1 + exp[(BIC_1 - BIC_0)/2]) (Kass and Raftery, J. Am. Stat. Assoc. 90,
773 (1995)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mlraman_hpc.base.numbers import percent
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.committee import CommitteeDensities
from mlraman_hpc.numerics.spectra.errorbars import jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan
from mlraman_hpc.numerics.spectra.spectral_fit import (
    LEAST_POINTS,
    OSCILLATING,
    Bins,
    Fit,
    best_fit,
    components_of,
    falling_part,
    improve,
    make_bins,
    model,
    other_relaxation,
)
from mlraman_hpc.records.spectra import CentralPeak, Relaxation, RelaxingTerm

NO_SCATTER = 1e-9  # relative error of a parameter that stands at a bound of the fit, whatever is left out
HIGHER = 1.2
UNRESOLVED = 3.0  # times 1/(c T): a relaxation time of T/20


@dataclass(frozen=True)
class Verdict:
    """What the fit says of relaxation, or why there is no fit; its text is that of `CentralPeak.verdict`.

    points, end    independent points below `end` (cm^-1)
    modes          damped oscillators, those at the bound of the damping not counted, which are `overdamped`
    probability    that something relaxes
    resolution     cm^-1, of the trajectory
    term           the relaxing term's kind
    width, error   its half width, or that of the larger of two, cm^-1; NaN without one; share: of the fitted variance
                   that relaxes
    second         half width of the smaller of two Debye terms; exponent: beta of Cole and Cole's
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
    term: RelaxingTerm = RelaxingTerm.DEBYE
    second: float = np.nan
    exponent: float = 1.0

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
            text += f", {self.term} " + (
                f"narrower than the trajectory resolves ({self.resolution:.2g} cm^-1)"
                if narrow
                else f"of half width {_with_error(self.width, self.error)}"
            )
            if self.term is RelaxingTerm.TWO_DEBYE:
                text += f" and {self.second:.2g} cm^-1"
            if self.term is RelaxingTerm.COLE_COLE:
                text += f" (exponent {self.exponent:.2g})"
        return f"{text} and a constant; {percent(self.share)} of the fitted variance relaxes"


def _with_error(width: float, error: float) -> str:
    if np.isfinite(error):
        return f"{width:.3g} +- {error:.2g} cm^-1"
    return f"{width:.3g} cm^-1 or more, the largest that is fitted,"


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
        **_fit_with_errors(plan, density, total, total_without, calibration, committee),
    )


def _fit_with_errors(
    plan: SpectrumPlan,
    density: Floats,
    total: Floats,
    total_without: Floats,
    calibration: float,
    committee: CommitteeDensities | None,
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
    fits = [best_fit(bins, term, modes) for term in (RelaxingTerm.NONE, RelaxingTerm.DEBYE)]
    fits += other_relaxation(bins, fits[1])
    oscillating = best_fit(bins, RelaxingTerm.NONE, modes, OSCILLATING)
    probability = _probability(oscillating, [fit for fit in fits if fit.relaxes])
    chosen = min(fits, key=lambda fit: fit.criterion)
    without = [improve(bins_of(values), chosen) for values in total_without]
    a, g = AVERAGES["total"]

    def falling_of(powder: Floats) -> Floats:
        spectra = np.atleast_2d(a * powder[..., 0, :] + g * powder[..., 1, :])
        cutoff = plan.options.low_frequency
        return np.array([falling_part(improve(bins_of(values), chosen), cutoff)[0] for values in spectra])

    falling_model_error = None if committee is None else float(committee.error(falling_of)[0])
    errors = jackknife(np.array([fit.values for fit in without]), calibration)
    errors[errors < NO_SCATTER * np.abs(chosen.values)] = np.nan  # at a bound of the fit with any block left out
    area, share = jackknife(np.array([(fit.relaxing, fit.relaxing_share) for fit in without]), calibration)
    fitted = model(chosen.theta, chosen.term, bins.wavenumber)[0]
    return {
        "fit_wavenumber": bins.wavenumber,
        "fit": fitted,
        "probability": probability,
        "relaxing_area": chosen.relaxing,
        "relaxing_area_error": float(area),
        "relaxing_share": chosen.relaxing_share,
        "relaxing_share_error": float(share),
        **_relaxing_below(plan.options.low_frequency, chosen, without, probability, calibration, falling_model_error),
        **_zero_limits(plan, chosen, bins.resolution, probability),
        "maximum_at_zero": int(_falls_from_zero(chosen, bins.resolution)),
        **_terms(chosen, errors),
        "verdict": str(_verdict(bins, chosen, errors, probability)),
    }


def _relaxing_below(
    cutoff: float, chosen: Fit, without: list[Fit], probability: float, calibration: float, model_error: float | None
) -> dict[str, Any]:
    """P V, with V the falling part of the fit below the cutoff, and P the probability that something relaxes.

    Its variance is P^2 var(V) + P (1 - P) V^2: that of V, and that of whether there is anything.
    """
    variance, width = falling_part(chosen, cutoff)
    error = float(jackknife(np.array([falling_part(fit, cutoff)[0] for fit in without]), calibration))
    whether = np.sqrt(probability * (1 - probability)) * variance
    return {
        "relaxing_below": probability * variance,
        "relaxing_below_error": float(np.hypot(probability * error, whether)),
        "relaxing_below_model_error": None if model_error is None else probability * model_error,
        "relaxing_half_width": width,
    }


def _zero_limits(plan: SpectrumPlan, fit: Fit, resolution: float, probability: float) -> dict[str, Any]:
    """Whether the smoothed density at zero is a lower bound, and how much higher the fit is there without smoothing.

    It is where the fit at half of the resolution 1/(c T) exceeds its own smoothed value by `HIGHER`, or where a
    relaxing term that carries a tenth of the density there is narrower than `UNRESOLVED` times the resolution; and only
    where something may relax.
    """
    lowest = 0.5 * resolution
    nu = np.linspace(lowest, max(6 * plan.width, 2 * lowest), 600)
    line = np.exp(-0.5 * (nu / plan.width) ** 2) if plan.width else np.ones(1)
    density = model(fit.theta, fit.term, nu)[0]
    unsmoothed = float(density[0] / ((line @ density) / line.sum())) if plan.width else 1.0
    widths, areas = fit.values[2 : fit.first : 2], fit.values[1 : fit.first : 2]
    if fit.term is RelaxingTerm.COLE_COLE:
        widths, areas = fit.values[2:3], fit.values[1:2]
    shares = areas * (2 / np.pi) * widths / (widths**2 + lowest**2) / density[0]
    slow = bool(((widths < UNRESOLVED * resolution) & (shares > 0.1)).any())
    relaxes = fit.relaxes and probability > 0.05
    return {"zero_is_lower_bound": int(relaxes and (slow or unsmoothed > HIGHER)), "zero_unsmoothed": unsmoothed}


def _probability(oscillating: Fit, relaxing: list[Fit]) -> float:
    """Of relaxation: the best of the fits with it against oscillators alone, both equally likely before."""
    evidence = oscillating.criterion - min(fit.criterion for fit in relaxing)
    return float(special.expit(0.5 * evidence))


def _falls_from_zero(fit: Fit, resolution: float) -> bool:
    """Whether the fitted density has a maximum at zero wavenumber, as relaxation makes it.

    Cole and Cole's term has no limit there, so that a point close to zero stands for it.
    """
    (zero, beside), _ = model(fit.theta, fit.term, np.array([0.01 * resolution, resolution]))
    return bool(zero > beside)


def _terms(fit: Fit, errors: Floats) -> dict[str, Any]:
    """The relaxing term and the oscillators, by rising wavenumber, with errors of all `fit.values`."""
    terms: dict[str, Any] = {}
    values, start = fit.values, fit.first
    names = {
        RelaxingTerm.DEBYE: ("debye_area", "debye_width"),
        RelaxingTerm.TWO_DEBYE: ("debye_area", "debye_width", "second_debye_area", "second_debye_width"),
        RelaxingTerm.COLE_COLE: ("debye_area", "debye_width", "cole_cole_exponent"),
    }
    for k, name in enumerate(names.get(fit.term, ()), start=1):
        terms |= {name: float(values[k]), f"{name}_error": float(errors[k])}
    if len(values) > start:
        order = np.argsort(values[start + 1 :: 3])
        for k, name in enumerate(("area", "wavenumber", "damping"), start):
            terms |= {f"mode_{name}": values[k::3][order], f"mode_{name}_error": errors[k::3][order]}
    return terms


def _verdict(bins: Bins, fit: Fit, errors: Floats, probability: float) -> Verdict:
    overdamped = int(fit.overdamped.sum())
    has_term = fit.term is not RelaxingTerm.NONE
    return Verdict(
        Relaxation.of(probability),
        modes=len(fit.modes) - overdamped,
        overdamped=overdamped,
        probability=probability,
        resolution=bins.resolution,
        width=fit.values[2] if has_term else np.nan,
        error=errors[2] if has_term else np.nan,
        share=fit.relaxing_share,
        term=fit.term,
        second=fit.values[4] if fit.term is RelaxingTerm.TWO_DEBYE else np.nan,
        exponent=fit.values[3] if fit.term is RelaxingTerm.COLE_COLE else 1.0,
    )
