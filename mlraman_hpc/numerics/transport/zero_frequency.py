"""The zero-frequency limit of a velocity spectrum, and the diffusion coefficient that it means.

Near zero the spectral density of a species' velocities is smooth, S(nu) = exp(a + b nu^2 + c nu^4), and the values of
its periodogram at multiples of 1/(c n Delta) scatter about it like chi^2 with 2 x 3 N degrees of freedom. A generalised
linear model for such values (gamma distribution, logarithmic link) gives a and its error; then D = S(0) / (12 c N).
"""

from __future__ import annotations

import numpy as np
from scipy import fft, special

from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS, LIGHT_CM_PER_FS
from mlraman_hpc.numerics.spectra.vdos import VdosPlan

HIGHEST = 40.0  # cm^-1, end of the range that a fit may use
LEAST_BINS = 8  # in a fit
MOST_BINS = 400
ACCEPTED = 0.05  # chi^2 probability of the deviance
AGREE = 1.5  # standard errors between the limits of a long range and of a shorter one
CAUTION = 2.0  # the fit ends at this fraction of the longest range that passes


def low_frequency_power(velocities: np.ndarray, plan: VdosPlan) -> np.ndarray:
    """(bins,) one-sided density (Angstrom^2/fs^2 cm) at bins 1, 2, ..., summed over atoms and axes; (atoms, 3, frames).

    The bins are 1/(c n Delta) apart.
    """
    frames = velocities.shape[-1]
    bins = int(np.clip(HIGHEST * LIGHT_CM_PER_FS * frames * plan.interval, 2 * LEAST_BINS, MOST_BINS))
    total = np.zeros(min(bins, (frames - 1) // 2))
    for atom in velocities:
        transform = fft.rfft(atom * plan.h)[:, 1 : len(total) + 1]
        total += (transform.real**2 + transform.imag**2).sum(axis=0)
    return total * (2 * LIGHT_CM_PER_FS * plan.interval / np.dot(plan.h, plan.h))


def diffusion_from_spectrum(power: np.ndarray, atoms: int, plan: VdosPlan, jumps: float = 0.0) -> tuple[float, float]:
    """D and its standard error (cm^2/s) from `low_frequency_power`, added up over the species' atoms.

    NaN where no range of bins fits. Atoms count as independent; `jumps` is a relative variance to be added.
    """
    shared = len(plan.h) * np.sum(plan.h**4) / np.sum(plan.h**2) ** 2  # neighbouring bins share what the taper spreads
    bins = _range(power, 3 * atoms / shared)
    if bins is None:
        return np.nan, np.nan
    limit, error = _limit(power[:bins], 3 * atoms / shared)
    scale = CM2_PER_S_PER_ANGSTROM2_PER_FS / (12 * LIGHT_CM_PER_FS * atoms)
    return limit * scale, float(np.hypot(error, limit * np.sqrt(jumps))) * scale


def _range(power: np.ndarray, shape: float) -> int | None:
    """Bins to fit: a fraction of the longest range that passes and whose limit agrees with that of all shorter ones."""
    limits: list[tuple[float, float]] = []
    longest = None
    for bins in range(LEAST_BINS, len(power) + 1):
        if not power[:bins].min() > 0:
            break
        limit, error = _limit(power[:bins], shape)
        far = any(abs(limit - other) > AGREE * np.sqrt(max(wide**2 - error**2, 0)) for other, wide in limits)
        if far and bins > LEAST_BINS + 1:
            break
        if _probability(power[:bins], shape) > ACCEPTED:
            longest = bins
        limits.append((limit, error))
    return None if longest is None else max(LEAST_BINS, int(longest / CAUTION))


def _fitted(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _probability(power: np.ndarray, shape: float) -> float:
    """Of a deviance as large as found."""
    parameters, design = _fitted(power)
    ratio = power / np.exp(design @ parameters)
    deviance = 2 * shape * np.sum(ratio - 1 - np.log(ratio))
    return float(special.chdtrc(len(power) - 3, max(deviance, 0.0)))


def _limit(power: np.ndarray, shape: float) -> tuple[float, float]:
    parameters, design = _fitted(power)
    variance = np.linalg.inv(design.T @ design)[0, 0] / shape
    limit = float(np.exp(parameters[0]))
    return limit, limit * float(np.sqrt(variance))
