"""Fit of the low-frequency part by damped oscillators, a relaxing term and a constant.

The one-sided spectral density of alpha's fluctuations (not yet an intensity) is fitted with

    S(nu) = A_D (2/pi) Gamma/(Gamma^2 + nu^2) + sum_j A_j (2/pi) g_j nu_j^2/[(nu_j^2 - nu^2)^2 + g_j^2 nu^2] + c,

each A being the variance that its term carries (Cardona, Light Scattering in Solids II). Where the data ask for it, the
Debye term gives way to two of them, or to Cole and Cole's distribution of rates (J. Chem. Phys. 9, 341 (1941))

    A/(pi nu) sin(theta)/[cosh(beta ln(nu/Gamma)) + cos(theta)],   theta = beta pi/2,

which is a Debye term at beta = 1 and close to a stretched exponential's spectrum below. An oscillator may be damped
up to g = sqrt(2) nu_0, where its maximum reaches zero: beyond, it could not be told from a relaxator, and at this bound
it counts as one. The parameters maximise Whittle's likelihood of the unsmoothed spectrum, sum_n w_n [ln S(nu_n) +
P_n/S(nu_n)] with w_n half the degrees of freedom of bin n; the number of oscillators and the kind of the
relaxing term follow from the Bayesian information criterion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.intensity import AVERAGES
from mlraman_hpc.records.spectra import RelaxingTerm

POINTS = 300
LEAST_POINTS = 20
MOST_DAMPING = np.sqrt(2)
OSCILLATING = 1.2  # g/nu_0 up to which an oscillator certainly oscillates: its maximum is at 0.53 nu_0
LEAST_EXPONENT = 0.3  # of Cole and Cole's term; what is flatter cannot be told from the constant
WEAK, WEAK_WIDTH = 0.01, 10.0  # share of the largest oscillator's area, and cm^-1, of a Debye term to start from
LEAST_SCALE = 1e-3  # of the scale of the best known parameter
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
    """theta: logarithms of c, of the relaxing term's parameters if there is one, of A, nu, g/nu of each oscillator.

    Parameters of the relaxing term: A, Gamma; A, Gamma of each of two Debye terms; A, Gamma, beta of Cole and Cole's.
    """

    theta: Floats
    term: RelaxingTerm
    criterion: float

    @property
    def first(self) -> int:
        """Index of the first oscillator's parameters."""
        return 1 + self.term.parameters

    @property
    def values(self) -> Floats:
        """The parameters themselves, with the damping g of each oscillator instead of g/nu."""
        values = np.exp(self.theta)
        values[self.first + 2 :: 3] *= values[self.first + 1 :: 3]
        return values

    @property
    def modes(self) -> Floats:
        """(modes, 3) area, wavenumber, damping."""
        return self.values[self.first :].reshape(-1, 3)

    @property
    def term_area(self) -> float:
        """Variance in the relaxing term."""
        if self.term is RelaxingTerm.NONE:
            return 0.0
        return float(self.values[1] + (self.values[3] if self.term is RelaxingTerm.TWO_DEBYE else 0.0))

    @property
    def overdamped(self) -> npt.NDArray[np.bool_]:
        """(modes,) whether an oscillator is at the bound of its damping, where it stands for a relaxator."""
        at_bound: npt.NDArray[np.bool_] = self.modes[:, 2] > AT_BOUND * MOST_DAMPING * self.modes[:, 1]
        return at_bound

    @property
    def relaxes(self) -> bool:
        return self.term is not RelaxingTerm.NONE or bool(self.overdamped.any())

    @property
    def relaxing(self) -> float:
        """Variance in the relaxing term and overdamped oscillators."""
        return float(self.modes[self.overdamped, 0].sum()) + self.term_area

    @property
    def relaxing_share(self) -> float:
        total = float(self.modes[:, 0].sum()) + self.term_area
        return self.relaxing / total if total > 0 else 0.0


def falling_part(fit: Fit, cutoff: float) -> tuple[float, float]:
    """Variance below the cutoff that falls from zero wavenumber on, and its half width (cm^-1).

        V = int_0^c [m(nu) - m(2 c)] dnu,      m(nu) = min of S(nu') over nu' <= nu,

    the area between the fitted S, as far as it does not rise, and its level at twice the cutoff c. Of a relaxator it is
    what lies below c; of an oscillator only its level at zero counts, of white noise and of a flat background nothing.
    It depends on S alone, not on which terms describe it. Half of V lies below the half width.
    """
    nu = np.geomspace(1e-5 * cutoff, 2 * cutoff, 2001)
    envelope = np.minimum.accumulate(model(fit.theta, fit.term, nu)[0])
    below = nu <= cutoff
    density = (envelope - envelope[-1])[below]
    nu = nu[below]
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(nu)
    total = nu[0] * density[0] + np.concatenate([[0.0], np.cumsum(steps)])
    return float(total[-1]), float(np.interp(0.5 * total[-1], total, nu)) if total[-1] > 0 else np.nan


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


def model(theta: Floats, term: RelaxingTerm, nu: Floats) -> tuple[Floats, Floats]:
    """S(nu) (n,) of the module's docstring and its derivatives (parameters, n) with respect to theta."""
    values = np.exp(theta)
    slopes = [np.full_like(nu, values[0])]
    first = 1 + term.parameters
    if term is RelaxingTerm.COLE_COLE:
        slopes += _cole_cole(values[1], values[2], values[3], nu)
    else:
        for area, width in values[1:first].reshape(-1, 2):
            density = area * (2 / np.pi) * width / (width**2 + nu**2)
            slopes += [density, density * (nu**2 - width**2) / (nu**2 + width**2)]
    total = slopes[0] + sum(slopes[1:first:2]) if term is not RelaxingTerm.COLE_COLE else slopes[0] + slopes[1]
    for area, nu_0, ratio in values[first:].reshape(-1, 3):
        damping = ratio * nu_0
        detuning = nu_0**2 - nu**2
        denominator = detuning**2 + (damping * nu) ** 2
        density = area * (2 / np.pi) * damping * nu_0**2 / denominator
        total += density
        by_ratio = density * (1 - 2 * (damping * nu) ** 2 / denominator)
        slopes += [density, density * (2 - 4 * nu_0**2 * detuning / denominator) + by_ratio, by_ratio]
    return total, np.array(slopes)


def _cole_cole(area: float, width: float, exponent: float, nu: Floats) -> list[Floats]:
    """Cole and Cole's density and its derivatives with respect to ln Gamma and ln beta."""
    angle = exponent * np.pi / 2
    x = exponent * np.log(nu / width)
    denominator = np.cosh(x) + np.cos(angle)
    density = area * np.sin(angle) / (np.pi * nu * denominator)
    slope = density * np.sinh(x) / denominator
    by_exponent = density * angle * (1 / np.tan(angle) + np.sin(angle) / denominator) - slope * x
    return [density, slope * exponent, by_exponent]


def whittle(theta: Floats, term: RelaxingTerm, bins: Bins) -> tuple[float, Floats]:
    """sum_n w_n [ln S(nu_n) + P_n/S(nu_n)], the negative logarithm of the likelihood, and its gradient."""
    s, slopes = model(theta, term, bins.wavenumber)
    ratio = bins.density / s
    return float(bins.weight @ (np.log(s) + ratio)), slopes @ (bins.weight * (1 - ratio) / s)


def improve(bins: Bins, fit: Fit, most_damping: float = MOST_DAMPING) -> Fit:
    """The fit with the terms of `fit`, whose parameters are the starting point.

    In units of their own errors at the start, from the diagonal of Fisher's information sum_n w_n (d ln S/d theta)^2,
    parameters take a third of the steps.
    """
    bounds = np.array(_bounds(bins, fit, most_damping))
    start = np.clip(fit.theta, *bounds.T)
    s, slopes = model(start, fit.term, bins.wavenumber)
    scale = np.sqrt((slopes / s) ** 2 @ bins.weight)
    scale = np.maximum(scale, LEAST_SCALE * scale.max())

    def scaled(x: Floats) -> tuple[float, Floats]:
        value, gradient = whittle(x / scale, fit.term, bins)
        return value, gradient / scale

    result = optimize.minimize(
        scaled, start * scale, jac=True, method="L-BFGS-B", bounds=bounds * scale[:, None], options={"maxiter": 500}
    )
    criterion = 2 * result.fun + len(start) * np.log(2 * bins.weight.sum())
    return Fit(np.clip(result.x / scale, *bounds.T), fit.term, float(criterion))


def _bounds(bins: Bins, fit: Fit, most_damping: float) -> list[tuple[float, float]]:
    largest = bins.density.max()
    end = bins.wavenumber[-1]
    area = (np.log(1e-8 * largest), np.log(20 * largest * end))
    width = (np.log(0.5 * bins.resolution), np.log(end))
    bounds = [(np.log(1e-10 * largest), np.log(largest))]
    if fit.term is RelaxingTerm.COLE_COLE:
        bounds += [area, width, (np.log(LEAST_EXPONENT), 0.0)]
    else:
        bounds += [area, width] * (fit.term.parameters // 2)
    modes = (len(fit.theta) - len(bounds)) // 3
    wavenumber = (np.log(bins.wavenumber[0] + bins.resolution), np.log(1.2 * end))
    return bounds + [area, wavenumber, (np.log(0.5 * bins.resolution / end), np.log(most_damping))] * modes


def best_fit(bins: Bins, term: RelaxingTerm, most_modes: int, most_damping: float = MOST_DAMPING) -> Fit:
    """With one Debye term or none; oscillators are added as long as the criterion falls.

    Each begins where the spectrum exceeds the fit most.
    """
    floor = np.log(max(np.quantile(bins.density, 0.05), 1e-9 * bins.density.max()))
    step = bins.wavenumber[1] - bins.wavenumber[0]
    content = bins.density.sum() * step
    starts = [np.array([floor])]
    if term is RelaxingTerm.DEBYE:
        starts = [np.array([floor, np.log(0.3 * content), np.log(width)]) for width in (3.0, 12.0, 40.0)]
    best = min(
        (improve(bins, Fit(start, term, np.inf), most_damping) for start in starts), key=lambda fit: fit.criterion
    )
    current = best
    for _ in range(most_modes):
        current = _with_another(bins, current, most_damping)
        if current.criterion < best.criterion:
            best = current
    return best


def restarted(bins: Bins, starts: list[Fit], most_damping: float = MOST_DAMPING) -> Fit:
    """The best of the fits from `starts`, which may be of other ranges; oscillators beyond this one are left out."""
    end = bins.wavenumber[-1]
    fits = (improve(bins, _below(fit, end), most_damping) for fit in starts)
    return min(fits, key=lambda fit: fit.criterion)


def _below(fit: Fit, end: float) -> Fit:
    modes = fit.theta[fit.first :].reshape(-1, 3)
    return replace(fit, theta=np.concatenate([fit.theta[: fit.first], modes[modes[:, 1] < np.log(end)].ravel()]))


def with_debye_term(fit: Fit) -> list[Fit]:
    """Starting points with a Debye term: a weak one beside all oscillators, or one for an oscillator and a former term.

    The term has the oscillator's area and its decay, nu_0^2/g. Adding one oscillator after another ends in local
    optima: a broad Debye term as a background beside an overdamped oscillator, where a narrow one alone is better.
    """
    modes = fit.theta[fit.first :].reshape(-1, 3)
    starts = []
    for number in np.argsort(modes[:, 1])[:2]:
        area, wavenumber, ratio = modes[number]
        rest = np.delete(modes, number, axis=0)
        starts.append(np.concatenate([fit.theta[:1], [area, wavenumber - ratio], rest.ravel()]))
    if fit.term is RelaxingTerm.NONE and len(modes):
        weak = [np.log(WEAK) + modes[:, 0].max(), np.log(WEAK_WIDTH)]
        starts.append(np.concatenate([fit.theta[:1], weak, modes.ravel()]))
    return [Fit(theta, RelaxingTerm.DEBYE, np.inf) for theta in starts]


def without_debye_term(fit: Fit) -> list[Fit]:
    """Starting points with an oscillator, as damped as one may be, in place of the Debye term, and with nothing."""
    if fit.term is not RelaxingTerm.DEBYE:
        return []
    area, width = fit.theta[1:3]
    oscillator = [area, width + np.log(OSCILLATING), np.log(OSCILLATING)]
    modes = fit.theta[3:]
    thetas = (np.concatenate([fit.theta[:1], oscillator, modes]), np.concatenate([fit.theta[:1], modes]))
    return [Fit(theta, RelaxingTerm.NONE, np.inf) for theta in thetas]


def other_relaxation(bins: Bins, debye: Fit) -> list[Fit]:
    """Fits with two Debye terms or Cole and Cole's instead of the one of `debye`.

    Oscillators may have stood for what these describe, so that each is also tried without the lowest of them.
    """
    constant, area, width = debye.theta[:3]
    oscillators = debye.theta[3:].reshape(-1, 3)
    sets = [oscillators]
    if len(oscillators):
        sets.append(np.delete(oscillators, np.argmin(oscillators[:, 1]), axis=0))
    fits = []
    for modes in sets:
        for exponent in (0.8, 0.5):
            theta = np.concatenate([[constant, area, width, np.log(exponent)], modes.ravel()])
            fits.append(improve(bins, Fit(theta, RelaxingTerm.COLE_COLE, np.inf)))
        for low, high in ((0.3, 2.0), (0.1, 1.0), (1.0, 6.0)):
            pair = [area - np.log(2), width + np.log(low), area - np.log(2), width + np.log(high)]
            theta = np.concatenate([[constant], pair, modes.ravel()])
            fits.append(improve(bins, Fit(theta, RelaxingTerm.TWO_DEBYE, np.inf)))
    return [_larger_first(fit) for fit in fits]


def _larger_first(fit: Fit) -> Fit:
    """Of two Debye terms the one with the larger area first."""
    if fit.term is not RelaxingTerm.TWO_DEBYE or fit.theta[1] >= fit.theta[3]:
        return fit
    theta = fit.theta.copy()
    theta[[1, 2, 3, 4]] = fit.theta[[3, 4, 1, 2]]
    return replace(fit, theta=theta)


def _with_another(bins: Bins, fit: Fit, most_damping: float) -> Fit:
    """The best fit with one more oscillator, started where the spectrum exceeds the fit."""
    s, _ = model(fit.theta, fit.term, bins.wavenumber)
    width = max(3, len(bins.wavenumber) // 40)
    excess = np.convolve(bins.density / s - 1, np.ones(width) / width, mode="same")
    candidates = [int(np.argmax(excess)), int(np.argmax(np.convolve(bins.density - s, np.ones(width), mode="same")))]
    fits = []
    for index in set(candidates):
        nu, height = bins.wavenumber[index], max(bins.density[index], s[index])
        for damping in (4.0, 20.0):
            area = height * damping * np.pi / 2
            theta = np.concatenate([fit.theta, np.log([area, nu, damping / nu])])
            fits.append(improve(bins, Fit(theta, fit.term, np.inf), most_damping))
    return min(fits, key=lambda fit: fit.criterion)
