"""Velocities of a trajectory: their unit, and the diffusion coefficient from their spectrum at zero.

    D = 1/3 int_0^inf <v(0).v(t)> dt = S(0) / (12 c N)

Near zero the spectral density of a species' N atoms is smooth, S(nu) = exp(a + b nu^2 + c nu^4), and the values of its
periodogram at multiples of 1/(c n Delta) scatter about it like chi^2 with 2 x 3 N degrees of freedom. A generalised
linear model for such values (gamma distribution, logarithmic link) yields a and its error.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, special

from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS, LIGHT_CM_PER_FS, VELOCITY_UNITS
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.vdos import VdosPlan

HIGHEST = 40.0  # cm^-1, end of the range that a fit may use
LEAST_BINS = 8  # in a fit
MOST_BINS = 400
ACCEPTED = 0.05  # chi^2 probability of the deviance
AGREE = 1.5  # standard errors between the limits of a long range and of a shorter one
CAUTION = 2.0  # the fit ends at this fraction of the longest range that passes
CORRELATED = 0.5  # squared correlation of displacements and velocities, below which no unit is told
UNIT_FACTOR = 2.0  # a unit's value may be off by this factor


def displacement_overlaps(positions: Floats, velocities: Floats, interval: float) -> Floats:
    """(3,) sums of x.u, u.u, x.x: displacements x from frame to frame, u mean velocity of both times `interval`.

    positions (Angstrom) and velocities (atoms, 3, frames), of which a few hundred frames are enough.
    """
    x = np.diff(positions, axis=-1)
    u = 0.5 * interval * (velocities[..., 1:] + velocities[..., :-1])
    return np.array([np.sum(x * u), np.sum(u * u), np.sum(x * x)])


def velocity_unit(overlaps: Floats) -> str | None:
    """Name in VELOCITY_UNITS from added-up `displacement_overlaps`; None where none of the units matches."""
    xu, uu, xx = overlaps
    if not uu * xx > 0 or xu <= 0 or xu**2 < CORRELATED * uu * xx:
        return None
    slope = xu / uu
    name = min(VELOCITY_UNITS, key=lambda unit: abs(np.log(slope / VELOCITY_UNITS[unit])))
    return name if 1 / UNIT_FACTOR < slope / VELOCITY_UNITS[name] < UNIT_FACTOR else None


def low_frequency_power(velocities: Floats, plan: VdosPlan) -> Floats:
    """(bins,) one-sided density (Angstrom^2/fs^2 cm) at bins 1, 2, ..., 1/(c n Delta) apart.

    velocities (atoms, 3, frames) Angstrom/fs; summed over atoms and axes.
    """
    frames = velocities.shape[-1]
    bins = int(np.clip(HIGHEST * LIGHT_CM_PER_FS * frames * plan.interval, 2 * LEAST_BINS, MOST_BINS))
    total = np.zeros(min(bins, (frames - 1) // 2))
    for atom in velocities:
        transform = fft.rfft(atom * plan.h)[:, 1 : len(total) + 1]
        total += (transform.real**2 + transform.imag**2).sum(axis=0)
    density: Floats = total * (2 * LIGHT_CM_PER_FS * plan.interval / np.dot(plan.h, plan.h))
    return density


def shared_by_bins(plan: VdosPlan) -> float:
    """Variance of a sum over the periodogram's bins relative to independent ones: the taper correlates neighbours."""
    return float(len(plan.h) * np.sum(plan.h**4) / np.sum(plan.h**2) ** 2)


def diffusion_from_spectrum(power: Floats, atoms: int, plan: VdosPlan, jumps: float = 0.0) -> tuple[float, float]:
    """D = S(0) / (12 c N) and its standard error (cm^2/s) from `low_frequency_power`, added up over a species' N atoms.

    NaN where no range of bins fits. Atoms count as independent; `jumps` is a relative variance to be added.
    """
    shared = shared_by_bins(plan)
    bins = _range(power, 3 * atoms / shared)
    if bins is None:
        return np.nan, np.nan
    limit, error = _limit(power[:bins], 3 * atoms / shared)
    scale = CM2_PER_S_PER_ANGSTROM2_PER_FS / (12 * LIGHT_CM_PER_FS * atoms)
    return limit * scale, float(np.hypot(error, limit * np.sqrt(jumps))) * scale


def _range(power: Floats, shape: float) -> int | None:
    """Bins to fit: a fraction of the longest range that passes and whose limit agrees with that of all shorter ones."""
    limits: list[tuple[float, float]] = []
    longest: int | None = None
    for bins in range(LEAST_BINS, len(power) + 1):
        if not power[:bins].min() > 0:
            break
        limit, error = _limit(power[:bins], shape)
        disagrees = any(abs(limit - other) > AGREE * np.sqrt(max(wider**2 - error**2, 0)) for other, wider in limits)
        if disagrees and bins > LEAST_BINS + 1:
            break
        if _probability(power[:bins], shape) > ACCEPTED:
            longest = bins
        limits.append((limit, error))
    return None if longest is None else max(LEAST_BINS, int(longest / CAUTION))


def _fitted(power: Floats) -> tuple[Floats, Floats]:
    """(parameters, design) of the gamma model with a logarithmic link, by iterated least squares."""
    x = np.arange(1, len(power) + 1)
    design = np.stack([np.ones(len(x)), (x / x[-1]) ** 2, (x / x[-1]) ** 4], axis=1)
    parameters = np.array([np.log(power.mean()), 0.0, 0.0])
    for _ in range(50):
        expected = np.exp(design @ parameters)
        step = np.linalg.lstsq(design, power / expected - 1, rcond=None)[0]
        parameters = parameters + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return parameters, design


def _probability(power: Floats, shape: float) -> float:
    """Probability of a deviance at least as large as that of the fit."""
    parameters, design = _fitted(power)
    ratio = power / np.exp(design @ parameters)
    deviance = 2 * shape * np.sum(ratio - 1 - np.log(ratio))
    return float(special.chdtrc(len(power) - 3, max(deviance, 0.0)))


def _limit(power: Floats, shape: float) -> tuple[float, float]:
    """S(0) and its standard error."""
    parameters, design = _fitted(power)
    variance = np.linalg.inv(design.T @ design)[0, 0] / shape
    limit = float(np.exp(parameters[0]))
    return limit, limit * float(np.sqrt(variance))
