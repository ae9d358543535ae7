"""Self-diffusion coefficients with error bars that know how strongly lags of one trajectory are correlated.

At lags longer than the local motion the mean squared displacement is a straight line, along one axis

    gamma(t) = a + 2 D t,

but its values at different lags, averaged over overlapping windows of the same trajectory, are far from independent.
For a Gaussian process with stationary increments the displacements of two windows of lengths i and j, the second
starting m frames after the first, have the covariance

    C_ij(m) = [gamma(m + j) + gamma(m - i) - gamma(m) - gamma(m + j - i)] / 2,        gamma(-t) = gamma(t),

so that the averages over n_i = n - i windows have

    cov(i, j) = 2 / (n_i n_j) sum_m (pairs of windows m apart) C_ij(m)^2.

Where displacements are not Gaussian (few, rare jumps) the cumulant kappa of independent steps adds

    kappa sum_s c_i(s) c_j(s) / (n_i n_j),        c_i(s): windows of length i that hold step s.

Generalised least squares with the sum of both, divided by the number of atoms, gives the weights w of D = sum w MSD.
Its error comes from how sum w MSD of each atom scatters, which holds for any process, moderated by the covariance
above where atoms are few, (f_0 Sigma + (N - 1) S) / (f_0 + N - 1) (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3
(2004)). What the choice of the fit's window adds is told from the windows that begin elsewhere: with the error s_k of
the slope D_k of each,

    s_choice^2 = sum_k [(D_k - D)^2 - |s_k^2 - s^2|] / s_k^2 / sum_k 1/s_k^2,        0 at least,

for the slopes of nested windows differ by chance with the variance s_k^2 - s^2 (J. A. Hausman, Econometrica 46, 1251
(1978)); more is a mean squared displacement that still bends.

Exact covariances for random walks: Bullerjahn, von Buelow, Hummer, J. Chem. Phys. 153, 024116 (2020); their use on
simulations: McCluskey, Coles, Morgan, J. Chem. Theory Comput. 21, 79 (2025). Atoms count as independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS
from mlraman_hpc.numerics import Floats, Integers
from mlraman_hpc.numerics.transport.displacements import DisplacementSums
from mlraman_hpc.records.transport import Motion

PRIOR = 5  # degrees of freedom that the covariance from the MSD itself counts for, beside the atoms' scatter
LEAST_LAGS = 4  # in a fit
LEAST_WINDOWS = 8  # atoms x trajectory / lag of the longest lag
STRAIGHT = 0.05  # chi^2 probability below which the MSD is no line,
TOLERATED = 0.01  # unless it deviates by less than this fraction, which enough atoms always show
CAUTION = 5  # the fit starts at this multiple of the first lag that looks straight: curvature may hide in noise
EARLIEST = 15  # frames, where it starts at least: a relaxation that lasts as long shows in no earlier lag
LEAST_CAUTION = 1.5  # or, where the lags end before, at this multiple at least
SMALLEST = 1e-9  # eigenvalue of a correlation matrix: one of a noisy MSD may be negative
AT_REST = 1e-12  # Angstrom^2, what rounding alone may give
SIGNIFICANT = 3.0  # D in standard errors
EARLIER = 2.0  # windows that begin this much earlier are compared with the fit's, and all later ones
BENT = 2.0  # standard errors between slopes of nested windows, beyond which they do not differ by chance
LOCAL_TIME = 1000.0  # fs, within which vibrations, librations and motion in a cage look like diffusion,
LOCAL_MSD = 0.35  # Angstrom^2, where atoms move no farther than in a crystal close to melting (0.4 Angstrom each)
FEW_MOVE = 1.0  # alpha_2, beyond which it is few atoms that move far


@dataclass(frozen=True)
class Diffusion:
    """D of one species, or why there is none.

    value, error    cm^2/s and one standard error; NaN where the motion is not diffusive within the trajectory
    axes            (3,) cm^2/s along each axis, axes_error their errors; NaN likewise
    upper           cm^2/s, slope plus two standard errors, the largest of lines over the last lags; at rest 0
    offset, slope   Angstrom^2 and cm^2/s: the fitted line a + 6 D t
    weights         (lags,) cm^2/s/Angstrom^2: D = weights . MSD at the chosen lags, of the mean and of any one atom
    first, last     fs, lags of the fit
    jumps           relative variance of D from how many rare jumps there happened to be
    motion          whether it is diffusive; lags: how many a fit could use
    """

    value: float
    error: float
    axes: Floats
    axes_error: Floats
    upper: float
    offset: float
    slope: float
    weights: Floats
    first: float
    last: float
    jumps: float
    motion: Motion
    lags: int

    @property
    def verdict(self) -> str:
        """The text of `Dynamics.verdict`."""
        if self.motion is Motion.TOO_SHORT:
            return f"{self.motion}: {self.lags} lags for a fit, {LEAST_LAGS} are needed"
        return str(self.motion)


@dataclass(frozen=True)
class Line:
    """Least-squares line a + b k, k in frames.

    offset, slope      a and b; slope_error: one standard error; chance: that of the covariance alone
    weights            (lags,) slope = weights . values
    probability        of a chi^2 at least as large as that of the line
    """

    offset: float
    slope: float
    slope_error: float
    chance: float
    weights: Floats
    probability: float

    @property
    def upper(self) -> float:
        """Slope plus two standard errors."""
        return max(self.slope, 0.0) + 2 * self.slope_error


def window_covariance(gamma: Floats, lags: Integers, linear_from: int | None = None) -> Floats:
    """cov(i, j) = 2/(n_i n_j) sum_m (pairs of windows m apart) C_ij(m)^2 of one particle's mean squared displacement.

    gamma (frames,) along one axis, lags (lags,) in frames -> (lags, lags).
    Where gamma is a line from lag `linear_from` on, windows farther apart than that are independent and are left out.
    """
    reach = len(gamma) if linear_from is None else linear_from
    covariance = np.empty((len(lags), len(lags)))
    for p, i in enumerate(lags):
        for q in range(p, len(lags)):
            covariance[p, q] = covariance[q, p] = _window_covariance(gamma, int(i), int(lags[q]), reach)
    return covariance


def _window_covariance(gamma: Floats, i: int, j: int, reach: int) -> float:
    n_i, n_j = len(gamma) - i, len(gamma) - j
    m = np.arange(max(1 - n_i, -j - reach), min(n_j, i + reach + 1))
    pairs = np.minimum(n_i, n_j - m) - np.maximum(0, -m)
    c = 0.5 * (gamma[np.abs(m + j)] + gamma[np.abs(m - i)] - gamma[np.abs(m)] - gamma[np.abs(m + j - i)])
    return 2.0 * float(np.dot(pairs, c * c)) / (n_i * n_j)


def jump_covariance(frames: int, lags: Integers) -> Floats:
    """sum_s c_i(s) c_j(s) / (n_i n_j): what one unit of the steps' cumulant adds, (lags, lags)."""
    step = np.arange(frames - 1)
    nearest_end = np.minimum(step + 1, step[::-1] + 1)
    covers = np.array([np.minimum(nearest_end, min(i, frames - i)) / (frames - i) for i in lags])
    covariance: Floats = covers @ covers.T
    return covariance


def fit_line(lags: Integers | Floats, values: Floats, covariance: Floats, scatter: Floats | None = None) -> Line:
    """Generalised least squares of a line through correlated values (lags,) with their covariance (lags, lags).

    The error of the slope is that of the same weights w under `scatter`, sqrt(w . scatter . w), or, without it, under
    the covariance.
    """
    scale = np.sqrt(np.diag(covariance))
    if not scale.any():
        return Line(0.0, 0.0, 0.0, 0.0, np.zeros(len(lags)), np.nan)  # nothing moves, exactly
    scale = np.maximum(scale, SMALLEST * scale.max())  # one lag may be exact, as the period of what turns
    size, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    whiten = vectors / (np.sqrt(np.maximum(size, SMALLEST * size[-1])) * scale[:, None])
    design = whiten.T @ np.stack([np.ones(len(lags)), lags], axis=1)
    target = whiten.T @ values
    normal = np.linalg.inv(design.T @ design)
    line = normal @ (design.T @ target)
    weights = whiten @ (design @ normal[:, 1])
    chance = float(np.sqrt(normal[1, 1]))
    error = chance if scatter is None else float(np.sqrt(max(weights @ scatter @ weights, 0.0)))
    chi2 = float(np.sum((target - design @ line) ** 2))
    probability = float(special.chdtrc(len(lags) - 2, chi2)) if len(lags) > 2 else np.nan
    return Line(float(line[0]), float(line[1]), error, chance, weights, probability)


@dataclass(frozen=True)
class _Curve:
    """Means over atoms at the lags that a fit may use.

    lags (lags,) in frames; axes (3, frames): MSD at all lags; fourth (3, lags) <x^4>; quartic (lags,) <r^4>;
    scatter (4, lags, lags): covariance of the mean over atoms from their scatter, along each axis and of all three.
    """

    atoms: int
    lags: Integers
    axes: Floats
    fourth: Floats
    quartic: Floats
    scatter: Floats

    @property
    def total(self) -> Floats:
        """(lags,) MSD of all three axes."""
        total: Floats = self.axes.sum(axis=0)[self.lags]
        return total

    @property
    def is_local(self) -> bool:
        """Whether atoms have moved no farther than vibrations take them, all alike."""
        last = self.total[-1]
        alpha_2 = 3 * self.quartic[-1] / (5 * last**2) - 1 if last > 0 else 0.0
        return bool(last < LOCAL_MSD and alpha_2 < FEW_MOVE)

    def excess(self, window: slice) -> tuple[Floats, float]:
        """Fourth cumulants of a step: along each axis (3,), and of r; never negative."""
        lags, axes = self.lags[window], self.axes[:, self.lags[window]]
        weight = 1 / lags**2  # short lags have the most windows
        along = (self.fourth[:, window] - 3 * axes**2) / lags
        radial = (self.quartic[window] - axes.sum(axis=0) ** 2 - 2 * (axes**2).sum(axis=0)) / lags
        return np.maximum(along @ weight, 0) / weight.sum(), max(float(radial @ weight), 0.0) / weight.sum()

    def line(self, start: int, covariance: Floats, jumps: Floats) -> Line:
        """Line through the MSD of all three axes from the lag with index `start` on."""
        window = slice(start, None)
        radial = (covariance.sum(axis=0) + self.excess(window)[1] * jumps)[window, window]
        lags, total = self.lags[window], self.total[window]
        tolerant = fit_line(lags, total, radial + np.diag((TOLERATED * total) ** 2))
        scatter = self.moderated(radial, 3, window)
        return replace(fit_line(lags, total, radial, scatter), probability=tolerant.probability)

    def axis(self, which: int, start: int, covariance: Floats) -> Line:
        """Line through the MSD along one axis from the lag with index `start` on."""
        lags, fitted = self.lags[start:], covariance[start:, start:]
        return fit_line(lags, self.axes[which, lags], fitted, self.moderated(fitted, which, slice(start, None)))

    def moderated(self, covariance: Floats, which: int, window: slice) -> Floats:
        """(f_0 Sigma + (N - 1) S) / (f_0 + N - 1): the atoms' scatter S, stabilised by the covariance Sigma."""
        own = self.atoms - 1
        moderated: Floats = (PRIOR * covariance + own * self.scatter[which, window, window]) / (PRIOR + own)
        return moderated

    def gaussian(self, start: int, slopes: Floats) -> Floats:
        """(3, lags, lags) covariances along the axes: measured MSD up to lag `start`, a line from there."""
        frames = self.axes.shape[1]
        beyond = np.maximum(np.arange(frames) - start, 0)
        covariances = []
        for measured, slope in zip(self.axes, slopes):
            gamma = measured[np.minimum(np.arange(frames), start)] + max(slope, 0.0) * beyond
            covariances.append(window_covariance(gamma, self.lags, start))
        return np.array(covariances) / self.atoms


def diffusion(
    sums: DisplacementSums, lags: Integers, interval: float, fit_from: float | None = None, fit_to: float | None = None
) -> Diffusion:
    """D of gamma(t) = a + 2 D t from the sums over a species' atoms, whose fourth moments are at `lags` (frames).

    interval: fs between frames; fit_from, fit_to: fs; None: from CAUTION times the first lag from which a line fits,
    EARLIEST at least, to half of the trajectory.
    The motion is called diffusive where there is such a line, its slope is SIGNIFICANT, at the longest lag 6 D t
    exceeds the offset of local motion (the local slope d ln MSD / d ln t exceeds 1/2), and, unless that lag is longer
    than LOCAL_TIME or few atoms move far, the mean squared displacement exceeds LOCAL_MSD: a tenth of a picosecond is
    part of a vibration.
    """
    curve = _curve(sums, lags, interval, fit_to)
    if len(curve.lags) < LEAST_LAGS:
        return _without_fit(Motion.TOO_SHORT, curve, len(lags))
    if not curve.total.max() > AT_REST:
        return replace(_without_fit(Motion.AT_REST, curve, len(lags)), upper=0.0, offset=0.0, slope=0.0)
    jumps = jump_covariance(curve.axes.shape[1], curve.lags) / curve.atoms
    covariance = curve.gaussian(int(curve.lags[len(curve.lags) * 2 // 3]), _end_slopes(curve))
    lines = [curve.line(start, covariance, jumps) for start in range(len(curve.lags) - LEAST_LAGS + 1)]
    if fit_from is None:
        start, straight = _straight_from(curve, lines)
    else:
        start = min(int(np.searchsorted(curve.lags * interval, fit_from * (1 - 1e-9))), len(lines) - 1)
        straight = lines[start].probability > STRAIGHT
    # a second time with the line itself: covariances from noisy slopes pull D down
    share = curve.axes[:, curve.lags[-1]] / max(curve.total[-1], AT_REST)
    covariance = curve.gaussian(int(curve.lags[start]), lines[start].slope * share)
    line = curve.line(start, covariance, jumps)
    axes = [
        curve.axis(k, start, along + excess * jumps)
        for k, (along, excess) in enumerate(zip(covariance, curve.excess(slice(start, None))[0]))
    ]
    upper = max(line.upper, *(other.upper for lag, other in zip(curve.lags, lines) if 10 * lag >= curve.lags[-1]))
    first = start if fit_from is not None else int(np.searchsorted(curve.lags, curve.lags[start] / EARLIER))
    motion = _motion(line, int(curve.lags[-1]), straight)
    choice = _choice_of_window(lines[first:], line)
    line = replace(line, slope_error=float(np.hypot(line.slope_error, choice)))
    share_of_choice = choice / line.slope if line.slope > 0 else 0.0
    axes = [replace(axis, slope_error=float(np.hypot(axis.slope_error, axis.slope * share_of_choice))) for axis in axes]
    if motion is Motion.DIFFUSIVE and curve.lags[-1] * interval < LOCAL_TIME and curve.is_local:
        motion = Motion.LOCAL
    return _result(curve, start, line, axes, upper, motion, interval, len(lags))


def _choice_of_window(lines: list[Line], line: Line) -> float:
    """s_choice of the module's head, as the slopes."""
    errors = np.array([max(other.slope_error, 1e-300) for other in lines])
    squares = (np.array([other.slope for other in lines]) - line.slope) ** 2
    chance = np.abs(errors**2 - line.slope_error**2)
    if not (squares > BENT**2 * chance + 1e-12 * line.slope**2).any():
        return 0.0
    excess = squares - chance
    return float(np.sqrt(max(np.average(excess, weights=errors**-2.0), 0.0)))


def _straight_from(curve: _Curve, lines: list[Line]) -> tuple[int, bool]:
    """Where the fit starts (an index into curve.lags), and whether the MSD is straight for long enough."""
    for start, line in enumerate(lines):
        if line.probability > STRAIGHT:
            first, latest = curve.lags[start], len(lines) - 1
            return (
                min(int(np.searchsorted(curve.lags, max(CAUTION * first, EARLIEST))), latest),
                curve.lags[latest] >= LEAST_CAUTION * first,
            )
    return len(lines) - 1, False


def _motion(line: Line, last: int, straight: bool) -> Motion:
    if line.slope < SIGNIFICANT * max(line.slope_error, line.chance):  # atoms that swing alike hardly scatter
        return Motion.BOUND
    if not straight:
        return Motion.CURVED
    if line.slope * last < line.offset:
        return Motion.LOCAL
    return Motion.DIFFUSIVE


def _result(
    curve: _Curve, start: int, line: Line, axes: list[Line], upper: float, motion: Motion, interval: float, lags: int
) -> Diffusion:
    unit = CM2_PER_S_PER_ANGSTROM2_PER_FS / interval
    defined = unit if motion is Motion.DIFFUSIVE else np.nan
    slope, error = line.slope / 6, line.slope_error / 6
    return Diffusion(
        slope * defined,
        error * defined,
        np.array([axis.slope / 2 * defined for axis in axes]),
        np.array([axis.slope_error / 2 * defined for axis in axes]),
        upper / 6 * unit,
        line.offset,
        slope * unit,
        np.concatenate([np.zeros(start), line.weights / 6 * defined, np.zeros(lags - len(curve.lags))]),
        float(curve.lags[start] * interval),
        float(curve.lags[-1] * interval),
        _jumps(curve, start, line.slope),
        motion,
        len(curve.lags),
    )


def _jumps(curve: _Curve, start: int, slope: float) -> float:
    """Relative variance of D from the cumulant of the steps alone."""
    steps = curve.atoms * (curve.axes.shape[1] - 1)
    return curve.excess(slice(start, None))[1] / (steps * slope**2) if slope else 0.0


def _without_fit(motion: Motion, curve: _Curve, lags: int) -> Diffusion:
    nan, axes, usable = np.nan, np.full(3, np.nan), len(curve.lags)
    return Diffusion(nan, nan, axes, axes, nan, nan, nan, np.full(lags, nan), nan, nan, 0.0, motion, usable)


def _curve(sums: DisplacementSums, lags: Integers, interval: float, fit_to: float | None) -> _Curve:
    frames = sums.second.shape[1]
    longest = int(fit_to / interval * (1 + 1e-9)) if fit_to else frames // 2
    usable = lags <= min(longest, frames // 2, sums.atoms * frames // LEAST_WINDOWS)
    products = sums.products[:, usable][:, :, usable] / sums.atoms
    mean = sums.second[:, lags[usable]] / sums.atoms
    mean = np.concatenate([mean, mean.sum(axis=0, keepdims=True)])
    scatter = (products - mean[:, :, None] * mean[:, None, :]) / max(sums.atoms - 1, 1)
    return _Curve(
        sums.atoms,
        lags[usable],
        sums.second / sums.atoms,
        sums.fourth[:, usable] / sums.atoms,
        sums.quartic[usable] / sums.atoms,
        scatter,
    )


def _end_slopes(curve: _Curve) -> Floats:
    """(3,) rough slopes of the MSD along the axes, from the later two thirds of the lags' range."""
    last = int(curve.lags[-1])
    times = np.arange(last // 3, last + 1)
    slopes: Floats = np.polyfit(times, curve.axes[:, times].T, 1)[0]
    return slopes
