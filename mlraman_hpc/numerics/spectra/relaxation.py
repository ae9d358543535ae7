"""Whether part of alpha's fluctuations relaxes, and how much of them, from the fits of `spectral_fit`.

Two hypotheses are compared: oscillators damped up to g = 1.2 nu_0, which have a maximum apart from zero (H_0), or a
Debye term or an oscillator at its bound beside others (H_1). With BIC_0 and BIC_1 of the best fits, the probability of
the latter is P_e = 1/(1 + exp[(BIC_1 - BIC_0)/2]) (Kass and Raftery, J. Am. Stat. Assoc. 90, 773 (1995)), for the
spectrum below e. The criterion takes it for granted that the terms can describe the spectrum; real bands are no
oscillators, and where theirs is the misfit, P_e depends on how many of them lie below e. So the fit is made below three
ends e, none of them preferred; none counts for more than odds of 99 to 1, and the mean of their logarithms decides (the
logarithmic pool of Genest and Zidek, Stat. Sci. 1, 114 (1986)):

    ln [P/(1 - P)] = < ln [P_e/(1 - P_e)] >,   0.01 <= P_e <= 0.99.

With V_e the variance that relaxes by H_1 (`falling_part`), what is expected is

    V = P <V_e>,   var(V) = P^2 var(<V_e>) + P <V_e^2> - P^2 <V_e>^2,

the first term from the jackknife, the others the uncertainty of whether anything relaxes, and of what is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mlraman_hpc.base.numbers import percent
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.committee import CommitteeDensities
from mlraman_hpc.numerics.spectra.errorbars import jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.numerics.spectra.spectral_fit import (
    LEAST_POINTS,
    MOST_DAMPING,
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
    restarted,
    with_debye_term,
    without_debye_term,
)
from mlraman_hpc.records.spectra import Relaxation, RelaxingTerm

ENDS = (3.0, 4.0, 5.0)  # of the fits, times the cutoff
MOST_CERTAIN = 0.99  # what a fit below one end may count for
NO_SCATTER = 1e-9  # relative error of a parameter that stands at a bound of the fit, whatever is left out
HIGHER = 1.2
UNRESOLVED = 3.0  # times 1/(c T): a relaxation time of T/20


@dataclass(frozen=True)
class Verdict:
    """What the fit says of relaxation, or why there is no fit; its text is that of `CentralPeak.verdict`.

    points, end    independent points below `end` (cm^-1)
    modes          damped oscillators, those at the bound of the damping not counted, which are `overdamped`
    probability    that something relaxes, from all ranges of the fit; lowest, highest: of one range
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
    lowest: float = np.nan
    highest: float = np.nan
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
        text = f"{self.relaxation} ({self._probabilities()}): the best fit is {_plural(self.modes)}"
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

    def _probabilities(self) -> str:
        text = f"probability {_percent(self.probability)}"
        if Relaxation.of(self.lowest) is Relaxation.of(self.highest):
            return text
        return f"{text}, from {_percent(self.lowest)} to {_percent(self.highest)} by the range of the fit"


def _with_error(width: float, error: float) -> str:
    if np.isfinite(error):
        return f"{width:.3g} +- {error:.2g} cm^-1"
    return f"{width:.3g} cm^-1 or more, the largest that is fitted,"


def _percent(probability: float) -> str:
    """No fit counts for more than `MOST_CERTAIN`, so that beyond it there are no digits."""
    if probability >= 0.9995 * MOST_CERTAIN:
        return f"{100 * MOST_CERTAIN:g} % or more"
    if probability <= 1.05 * (1 - MOST_CERTAIN):
        return f"{100 * (1 - MOST_CERTAIN):g} % or less"
    return f"{100 * probability:.3g} %"


def _plural(modes: int) -> str:
    return f"{modes} damped oscillator{'s' if modes != 1 else ''}"


@dataclass(frozen=True)
class RangeFit:
    """The hypotheses compared on the spectrum below one end.

    best         of all fits by the criterion
    relaxing     the best of those with something that relaxes, H_1
    probability  P_e of it against oscillators alone
    """

    bins: Bins
    best: Fit
    relaxing: Fit
    probability: float


def fit_ranges(every_range: list[Bins], most_modes: int) -> list[RangeFit]:
    """The hypotheses on each range.

    Fits of the other ranges and of the other hypothesis are starting points, so that no local optimum decides.
    """

    def first(term: RelaxingTerm, most_damping: float) -> list[Fit]:
        return [best_fit(bins, term, most_modes, most_damping) for bins in every_range]

    oscillating, damped = first(RelaxingTerm.NONE, OSCILLATING), first(RelaxingTerm.NONE, MOST_DAMPING)
    debye = first(RelaxingTerm.DEBYE, MOST_DAMPING)
    ranges = []
    for bins, own_damped, own_debye in zip(every_range, damped, debye):
        with_term = restarted(bins, [*debye, *with_debye_term(own_debye), *with_debye_term(own_damped)])
        none = without_debye_term(with_term)
        alone = restarted(bins, [*oscillating, *damped, *none], OSCILLATING)
        fits = [restarted(bins, [*damped, alone, *none]), with_term, *other_relaxation(bins, with_term)]
        relaxing = min((fit for fit in fits if fit.relaxes), key=lambda fit: fit.criterion)
        probability = float(special.expit(0.5 * (alone.criterion - relaxing.criterion)))
        ranges.append(RangeFit(bins, min(fits, key=lambda fit: fit.criterion), relaxing, probability))
    return ranges


@dataclass(frozen=True)
class DensityGrid:
    """Where densities are known, and from how much.

    wavenumber   (n,) evenly spaced from zero, cm^-1
    duration     fs, of one series; runs: number of independent series, of which the density is the mean
    cutoff       of what counts as low, cm^-1; width: sigma of the smoothing, cm^-1, 0 without
    most_modes   oscillators of a fit at most
    """

    wavenumber: Floats
    duration: float
    cutoff: float
    width: float
    most_modes: int
    runs: int = 1

    def bins(self, total: Floats, end: float, components: float) -> Bins:
        return make_bins(self.wavenumber, total, self.duration, components * self.runs, end)


def fit_with_errors(
    grid: DensityGrid, density: Floats, without: Floats, calibration: float, committee: CommitteeDensities | None = None
) -> dict[str, Any]:
    """Fields of CentralPeak. Terms and their errors are those of the best fit below the highest end.

    density (2, n): S_a and S_g; without (parts, 2, n): the same without one block, or one run, at a time; calibration:
    factor on their jackknife's error.
    """
    a, g = AVERAGES["total"]
    total, total_without = a * density[0] + g * density[1], a * without[:, 0] + g * without[:, 1]
    if not total.max() > 0:
        return {"verdict": str(Verdict(Relaxation.NO_FLUCTUATION))}
    cutoff, components = grid.cutoff, components_of(density)

    def bins_of(values: Floats, end: float) -> Bins:
        return grid.bins(values, end, components)

    every_end = [bins_of(total, times * cutoff) for times in ENDS]
    if len(every_end[-1].wavenumber) < LEAST_POINTS:
        points = len(every_end[-1].wavenumber)
        return {"verdict": str(Verdict(Relaxation.TOO_FEW_POINTS, points=points, end=ENDS[-1] * cutoff))}
    chosen = [(times * cutoff, bins) for times, bins in zip(ENDS, every_end) if len(bins.wavenumber) >= LEAST_POINTS]
    fits = fit_ranges([bins for _, bins in chosen], grid.most_modes)
    ranges = [(end, fitted) for (end, _), fitted in zip(chosen, fits)]

    def variances_of(values: Floats) -> Floats:
        """(ends,) V_e of another spectrum, fitted with the same terms."""
        refitted = [improve(bins_of(values, end), fitted.relaxing) for end, fitted in ranges]
        return np.array([falling_part(fit, cutoff)[0] for fit in refitted])

    end, fitted = ranges[-1]
    refitted = [improve(bins_of(values, end), fitted.best) for values in total_without]
    errors = jackknife(np.array([fit.values for fit in refitted]), calibration)
    errors[errors < NO_SCATTER * np.abs(fitted.best.values)] = np.nan  # at a bound of the fit with any block left out
    area, share = jackknife(np.array([(fit.relaxing, fit.relaxing_share) for fit in refitted]), calibration)
    chances = np.array([fitted.probability for _, fitted in ranges])
    probability = pooled_probability(chances)
    return {
        "fit_wavenumber": fitted.bins.wavenumber,
        "fit": model(fitted.best.theta, fitted.best.term, fitted.bins.wavenumber)[0],
        "probability": probability,
        "probability_lowest": float(chances.min()),
        "probability_highest": float(chances.max()),
        "relaxing_area": fitted.best.relaxing,
        "relaxing_area_error": float(area),
        "relaxing_share": fitted.best.relaxing_share,
        "relaxing_share_error": float(share),
        **_relaxing_below(variances_of, probability, total, total_without, calibration, committee),
        "relaxing_half_width": falling_part(fitted.relaxing, cutoff)[1],
        **_zero_limits(grid.width, fitted.best, fitted.bins.resolution, probability),
        "maximum_at_zero": int(_falls_from_zero(fitted.best, fitted.bins.resolution)),
        **_terms(fitted.best, errors),
        "verdict": str(_verdict(fitted, errors, probability, chances)),
    }


def pooled_probability(chances: Floats) -> float:
    """P of the module's docstring from P_e (ends,)."""
    bounded = np.clip(chances, 1 - MOST_CERTAIN, MOST_CERTAIN)
    return float(special.expit(special.logit(bounded).mean()))


def _relaxing_below(
    variances_of: Callable[[Floats], Floats],
    probability: float,
    total: Floats,
    total_without: Floats,
    calibration: float,
    committee: CommitteeDensities | None,
) -> dict[str, Any]:
    """V, its error, and that of the members' spectra."""
    a, g = AVERAGES["total"]

    def mean_of_powder(powder: Floats) -> Floats:
        spectra = np.atleast_2d(a * powder[..., 0, :] + g * powder[..., 1, :])
        return np.array([variances_of(values).mean() for values in spectra])

    variances = variances_of(total)
    value = probability * float(variances.mean())
    whether = max(probability * float(np.mean(variances**2)) - value**2, 0.0)
    without = np.array([variances_of(values).mean() for values in total_without])
    statistical = probability * float(jackknife(without, calibration))
    model_error = None if committee is None else probability * float(committee.error(mean_of_powder)[0])
    return {
        "relaxing_below": value,
        "relaxing_below_error": float(np.sqrt(statistical**2 + whether)),
        "relaxing_below_model_error": model_error,
    }


def _zero_limits(width: float, fit: Fit, resolution: float, probability: float) -> dict[str, Any]:
    """Whether the smoothed density at zero is a lower bound, and how much higher the fit is there without smoothing.

    It is where the fit at half of the resolution 1/(c T) exceeds its own smoothed value by `HIGHER`, or where a
    relaxing term that carries a tenth of the density there is narrower than `UNRESOLVED` times the resolution; and only
    where something may relax.
    """
    lowest = 0.5 * resolution
    nu = np.linspace(lowest, max(6 * width, 2 * lowest), 600)
    line = np.exp(-0.5 * (nu / width) ** 2) if width else np.ones(1)
    density = model(fit.theta, fit.term, nu)[0]
    unsmoothed = float(density[0] / ((line @ density) / line.sum())) if width else 1.0
    widths, areas = fit.values[2 : fit.first : 2], fit.values[1 : fit.first : 2]
    if fit.term is RelaxingTerm.COLE_COLE:
        widths, areas = fit.values[2:3], fit.values[1:2]
    shares = areas * (2 / np.pi) * widths / (widths**2 + lowest**2) / density[0]
    slow = bool(((widths < UNRESOLVED * resolution) & (shares > 0.1)).any())
    relaxes = fit.relaxes and probability > 0.05
    return {"zero_is_lower_bound": int(relaxes and (slow or unsmoothed > HIGHER)), "zero_unsmoothed": unsmoothed}


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


def _verdict(fitted: RangeFit, errors: Floats, probability: float, chances: Floats) -> Verdict:
    best = fitted.best
    overdamped = int(best.overdamped.sum())
    has_term = best.term is not RelaxingTerm.NONE
    return Verdict(
        Relaxation.of(probability),
        modes=len(best.modes) - overdamped,
        overdamped=overdamped,
        probability=probability,
        lowest=float(chances.min()),
        highest=float(chances.max()),
        resolution=fitted.bins.resolution,
        width=best.values[2] if has_term else np.nan,
        error=errors[2] if has_term else np.nan,
        share=best.relaxing_share,
        term=best.term,
        second=best.values[4] if best.term is RelaxingTerm.TWO_DEBYE else np.nan,
        exponent=best.values[3] if best.term is RelaxingTerm.COLE_COLE else 1.0,
    )
