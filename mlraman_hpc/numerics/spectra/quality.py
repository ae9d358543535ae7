"""What can be wrong with a spectrum, as text for the user."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import special

from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra.intensity import channels
from mlraman_hpc.numerics.tensors import COMPONENTS

_UNLIKELY = 0.01  # probability of a false alarm
_HARMLESS = 0.1  # a drift's standard deviation over that of the fluctuations


def spectrum_warnings(result, width: float) -> list[str]:
    """Aliasing, and a trajectory too short for the smoothing (`width`, cm^-1)."""
    return [*_aliasing(result), *_too_short(result, width)]


def _aliasing(result) -> list[str]:
    total = result.intensity["total"]
    near_end = total[result.wavenumber > 0.95 * result.nyquist].mean()
    if not near_end > 0.02 * total.max():
        return []
    return [
        f"the intensity just below the Nyquist wavenumber, {result.nyquist:.0f} cm^-1 for frames "
        f"{result.frame_interval:g} fs apart, is {100 * near_end / total.max():.0f} % of the highest peak: bands "
        "beyond it are folded back into the spectrum, or alpha is noisy; store frames more often"
    ]


def _too_short(result, width: float) -> list[str]:
    if result.resolution <= 0.5 * width or width == 0:
        return []
    length = result.frames * result.frame_interval / 1000
    return [
        f"a trajectory of {length:.3g} ps alone broadens bands by {result.resolution:.2g} cm^-1, the smoothing is "
        f"{width:.2g} cm^-1 (standard deviations): use at least {length * 2 * result.resolution / width:.2g} ps or "
        "smooth more"
    ]


def block_warnings(setup) -> list[str]:
    """Blocks so short that a line narrower than the smoothing is correlated over several of them."""
    block = setup.duration / setup.options.blocks / 1000
    memory = 1e-3 / (RAD_PER_FS_PER_WAVENUMBER * setup.width) if setup.width else 0.0
    if block >= 3 * memory:
        return []
    return [
        f"blocks of {block:.2g} ps are short against the {memory:.2g} ps over which a smoothing of {setup.width:g} "
        "cm^-1 looks back: the error bars at lines narrower than that may be too small; use fewer blocks or a longer "
        "trajectory"
    ]


def drift_warnings(alpha: np.ndarray, blocks: int) -> list[str]:
    """A linear trend of a component's block means that their scatter does not explain."""
    if blocks < 4:
        return []
    edges = np.linspace(0, len(alpha), blocks + 1).astype(int)
    means = channels(np.array([alpha[start:stop].mean(axis=0) for start, stop in pairwise(edges)]))
    x = np.arange(blocks) - (blocks - 1) / 2
    slope = means @ x / (x @ x)
    rest = means - means.mean(axis=1, keepdims=True) - slope[:, None] * x
    error = np.sqrt((rest**2).sum(axis=1) / (blocks - 2) / (x @ x))
    significance = np.abs(slope) / np.maximum(error, 1e-12 * np.abs(means).max() + 1e-300)
    worst = int(np.argmax(significance))
    deviation = np.std(channels(alpha[:: max(1, len(alpha) // 10000)])[worst])
    share = abs(slope[worst]) * blocks / np.sqrt(12) / max(deviation, 1e-300)
    if significance[worst] < special.stdtrit(blocks - 2, 1 - _UNLIKELY / 12) or share < _HARMLESS:
        return []
    return [
        f"alpha_{COMPONENTS[worst]} drifts by {slope[worst] * blocks:.3g} Angstrom^3 along the trajectory "
        f"({significance[worst]:.0f} standard errors): it is not in equilibrium, and the drift adds to the lowest "
        "wavenumbers; leave out more frames at the beginning"
    ]


def halves_warnings(setup, total: np.ndarray) -> list[str]:
    """Bands whose intensity in the first half of the blocks is not that of the second half.

    total (blocks, wavenumbers): each block's part of the unsmoothed total.
    """
    blocks = len(total) // 2 * 2
    if blocks < 4:
        return []
    size = max(1, int(np.ceil(6 * max(setup.width, setup.resolution) / setup.wavenumber[1])))
    bands = np.add.reduceat(total[:blocks], np.arange(0, total.shape[1], size), axis=1)
    strong = bands.sum(axis=0) > 0.02 * bands.sum()
    first, second = bands[: blocks // 2], bands[blocks // 2 :]
    scatter = np.sqrt((first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / (blocks / 2))
    difference = np.abs(first.mean(axis=0) - second.mean(axis=0))
    significance = np.where(strong, difference / np.maximum(scatter, 1e-300), 0.0)
    limit = special.stdtrit(blocks - 2, 1 - _UNLIKELY / (2 * max(strong.sum(), 1)))
    worst = int(np.argmax(significance))
    if significance[worst] < limit:
        return []
    low, high = worst * size * setup.wavenumber[1], (worst + 1) * size * setup.wavenumber[1]
    ratio = first.mean(axis=0)[worst] / second.mean(axis=0)[worst]
    return [
        "the two halves of the trajectory differ by more than their error bars allow: between "
        f"{low:.0f} and {high:.0f} cm^-1 the first has {ratio:.2g} times the intensity of the second; the spectrum is "
        "not converged, the trajectory too short or not in equilibrium"
    ]
