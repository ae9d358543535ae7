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

import numpy as np
from scipy import optimize

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics.spectra.errorbars import jackknife
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.records.spectra import CentralPeak

POINTS = 300
LEAST_POINTS = 20
MOST_DAMPING = np.sqrt(2)
DECISIVE = 10.0  # difference of BIC called very strong (Kass and Raftery, 1995)


@dataclass(frozen=True)
class Bins:
    """Unsmoothed density in bins: centres (bins,), density (bins,), half the degrees of freedom of each bin."""

    wavenumber: np.ndarray
    density: np.ndarray
    weight: np.ndarray
    resolution: float


@dataclass(frozen=True)
class Fit:
    """theta: logarithms of c, then A, Gamma of the Debye term if there is one, then A, nu, g/nu of each oscillator."""

    theta: np.ndarray
    debye: bool
    criterion: float

    @property
    def values(self) -> np.ndarray:
        """The parameters themselves: c, A, Gamma, then area, wavenumber, damping of each oscillator."""
        values = np.exp(self.theta)
        first = 3 if self.debye else 1
        values[first + 2 :: 3] *= values[first + 1 :: 3]
        return values

    @property
    def modes(self) -> np.ndarray:
        """(modes, 3) area, wavenumber, damping."""
        return self.values[3 if self.debye else 1 :].reshape(-1, 3)


def low_frequency_weight(wavenumber: np.ndarray, total: np.ndarray, cutoff: float) -> np.ndarray:
    """Share of the integral of spectra (..., wavenumbers) below the cutoff."""
    step = wavenumber[1]
    inner = np.cumsum(0.5 * step * (total[..., 1:] + total[..., :-1]), axis=-1)
    place = min(cutoff, wavenumber[-1]) / step
    last = min(int(place), len(wavenumber) - 2)
    below = inner[..., last - 1] if last > 0 else 0.0
    below = below + (place - last) * step * 0.5 * (total[..., last] + total[..., last + 1])
    return below / inner[..., -1]


def rise_to_zero(setup, density: np.ndarray, kept: float) -> np.ndarray:
    """S(0) over the mean of S between the cutoff and twice it, of smoothed densities S (..., n) of the total.

    Vibrations leave a spectrum that is flat or falls towards zero wavenumber; above 1 something relaxes.
    """
    smoothed = setup.smooth(density)
    cutoff = setup.options.low_frequency
    beyond = (setup.wavenumber >= cutoff) & (setup.wavenumber <= 2 * cutoff)
    if not beyond.any():
        return np.full(density.shape[:-1], np.nan)
    mean = smoothed[..., beyond].mean(axis=-1)
    return smoothed[..., 0] / kept / np.where(mean > 0, mean, np.nan)


def analyse(setup, density, without, factor, calibration: float) -> CentralPeak:
    """Everything about the central peak, from densities S_a, S_g (2, n) and delete-one-block ones (blocks, 2, n).

    setup is the plan of the spectrum; factor (n,) makes intensities of densities. The zero-frequency limit is that of
    the smoothed density, with what the subtraction of the mean takes away put back; NaN if that is more than half.
    """
    wavenumber, options = setup.wavenumber, setup.options
    a, g = AVERAGES["total"]
    total, total_without = a * density[0] + g * density[1], a * without[:, 0] + g * without[:, 1]
    cutoff = options.low_frequency
    lost = setup.lost_with_mean
    kept = 1 - lost if lost < 0.5 else np.nan
    zero = setup.smooth(density)[:, 0] / kept
    zero_error = jackknife(setup.smooth(without)[..., 0] / kept, calibration)
    fitted = _fit_with_errors(wavenumber, density, total, total_without, calibration, setup.duration, options)
    return CentralPeak(
        cutoff=float(cutoff),
        weight=float(low_frequency_weight(wavenumber, total * factor, cutoff)),
        weight_error=float(jackknife(low_frequency_weight(wavenumber, total_without * factor, cutoff), calibration)),
        zero_isotropic=float(zero[0]),
        zero_isotropic_error=float(zero_error[0]),
        rise=float(rise_to_zero(setup, total, kept)),
        rise_error=float(jackknife(rise_to_zero(setup, total_without, kept), calibration)),
        zero_anisotropic=float(zero[1]),
        zero_anisotropic_error=float(zero_error[1]),
        **fitted,
    )


def _fit_with_errors(wavenumber, density, total, total_without, calibration, duration, options) -> dict:
    if not total.max() > 0:
        return {"verdict": "no fit: alpha does not fluctuate"}
    bins = make_bins(wavenumber, total, duration, components_of(density), 5 * options.low_frequency)
    if len(bins.wavenumber) < LEAST_POINTS:
        return {
            "verdict": f"no fit: only {len(bins.wavenumber)} independent points below "
            f"{5 * options.low_frequency:g} cm^-1; a longer trajectory is needed"
        }
    best = {debye: best_fit(bins, debye, options.most_modes) for debye in (False, True)}
    chosen = best[best[True].criterion < best[False].criterion]
    gain = best[False].criterion - best[True].criterion
    repeats = [
        improve(make_bins(wavenumber, one, duration, components_of(density), 5 * options.low_frequency), chosen)
        for one in total_without
    ]
    return _report(bins, chosen, repeats, calibration, gain)


def _report(bins: Bins, fit: Fit, repeats: list[Fit], calibration: float, gain: float) -> dict:
    values = fit.values
    errors = jackknife(np.array([repeat.values for repeat in repeats]), calibration)
    found: dict = {"fit_wavenumber": bins.wavenumber, "fit": model(fit.theta, fit.debye, bins.wavenumber)[0]}
    start = 1
    if fit.debye:
        found |= {
            "debye_area": float(values[1]),
            "debye_area_error": float(errors[1]),
            "debye_width": float(values[2]),
            "debye_width_error": float(errors[2]),
        }
        start = 3
    if len(values) > start:
        order = np.argsort(values[start + 1 :: 3])
        for k, name in enumerate(("area", "wavenumber", "damping")):
            found[f"mode_{name}"] = values[start + k :: 3][order]
            found[f"mode_{name}_error"] = errors[start + k :: 3][order]
    return {**found, "verdict": _verdict(bins, fit, found, gain)}


def _verdict(bins: Bins, fit: Fit, found: dict, gain: float) -> str:
    modes = f"{len(fit.modes)} damped oscillator{'s' if len(fit.modes) != 1 else ''} and a constant"
    if not fit.debye:
        finding = "no Debye term" if -gain > DECISIVE else "undecided whether there is a Debye term"
        return f"{finding}: {modes} describe the spectrum better without one (BIC lower by {-gain:.1f})"
    strength = "clear" if gain > DECISIVE else "weak"
    width, error = found["debye_width"], found["debye_width_error"]
    text = f"{strength} evidence of a Debye term besides {modes} (BIC lower by {gain:.1f}): "
    if width < 1.5 * bins.resolution:
        return text + f"narrower than the trajectory resolves ({bins.resolution:.2g} cm^-1)"
    share = 100 * found["debye_area"] / (found["debye_area"] + fit.modes[:, 0].sum())
    return text + f"half width {width:.3g} +- {error:.2g} cm^-1, {share:.0f} % of the fitted variance"


def components_of(density: np.ndarray) -> float:
    """Effective number of independent tensor components in S_a + (7/45) S_g, between 1 and 6."""
    a, g = AVERAGES["total"][0] * density[0].sum(), AVERAGES["total"][1] * density[1].sum()
    return float((a + g) ** 2 / (a**2 + g**2 / 5))


def make_bins(wavenumber, total, duration: float, components: float, end: float) -> Bins:
    """Means over bins of at least one independent ordinate, 1/(c T) apart; the lowest, without mean, left out."""
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


def model(theta: np.ndarray, debye: bool, nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S (n,) and its derivatives (parameters, n) with respect to theta."""
    values = np.exp(theta)
    slopes = [np.full_like(nu, values[0])]
    total = slopes[0].copy()
    if debye:
        width2 = values[2] ** 2
        term = values[1] * (2 / np.pi) * values[2] / (width2 + nu**2)
        total += term
        slopes += [term, term * (nu**2 - width2) / (nu**2 + width2)]
    for area, place, ratio in values[3 if debye else 1 :].reshape(-1, 3):
        damping = ratio * place
        off = place**2 - nu**2
        denominator = off**2 + (damping * nu) ** 2
        term = area * (2 / np.pi) * damping * place**2 / denominator
        total += term
        with_ratio = term * (1 - 2 * (damping * nu) ** 2 / denominator)
        slopes += [term, term * (2 - 4 * place**2 * off / denominator) + with_ratio, with_ratio]
    return total, np.array(slopes)


def whittle(theta: np.ndarray, debye: bool, bins: Bins) -> tuple[float, np.ndarray]:
    """Negative logarithm of the likelihood, and its gradient."""
    s, slopes = model(theta, debye, bins.wavenumber)
    ratio = bins.density / s
    return float(bins.weight @ (np.log(s) + ratio)), slopes @ (bins.weight * (1 - ratio) / s)


def improve(bins: Bins, fit: Fit) -> Fit:
    """The fit with these terms from this starting point."""
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
    place = (np.log(bins.wavenumber[0] + bins.resolution), np.log(1.2 * end))
    return bounds + [area, place, (np.log(0.5 * bins.resolution / end), np.log(MOST_DAMPING))] * modes


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
    s, _ = model(fit.theta, fit.debye, bins.wavenumber)
    width = max(3, len(bins.wavenumber) // 40)
    excess = np.convolve(bins.density / s - 1, np.ones(width) / width, mode="same")
    candidates = [int(np.argmax(excess)), int(np.argmax(np.convolve(bins.density - s, np.ones(width), mode="same")))]
    fits = []
    for place in set(candidates):
        nu, height = bins.wavenumber[place], max(bins.density[place], s[place])
        for damping in (4.0, 20.0):
            area = height * damping * np.pi / 2
            theta = np.concatenate([fit.theta, np.log([area, nu, damping / nu])])
            fits.append(improve(bins, Fit(theta, fit.debye, np.inf)))
    return min(fits, key=lambda one: one.criterion)
