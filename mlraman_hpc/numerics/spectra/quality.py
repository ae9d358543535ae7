"""What can be wrong with a spectrum: warnings as data, each with its text for the user."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special

from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.intensity import channels
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan
from mlraman_hpc.numerics.tensors import COMPONENTS
from mlraman_hpc.records.spectra import RamanSpectrum

_UNLIKELY = 0.01  # probability of a false alarm
_HARMLESS = 0.1  # a drift's standard deviation over that of the fluctuations


@dataclass(frozen=True)
class Aliasing:
    """The intensity has not vanished at the Nyquist wavenumber (cm^-1); share: of the highest peak."""

    nyquist: float
    frame_interval: float
    share: float

    def __str__(self) -> str:
        return (
            f"the intensity just below the Nyquist wavenumber, {self.nyquist:.0f} cm^-1 for frames "
            f"{self.frame_interval:g} fs apart, is {100 * self.share:.0f} % of the highest peak: bands "
            "beyond it are folded back into the spectrum, or alpha is noisy; store frames more often"
        )


@dataclass(frozen=True)
class ShortTrajectory:
    """The trajectory (ps) alone broadens bands by more than half of the smoothing (cm^-1)."""

    length: float
    resolution: float
    smoothing: float

    def __str__(self) -> str:
        return (
            f"a trajectory of {self.length:.3g} ps alone broadens bands by {self.resolution:.2g} cm^-1, the smoothing "
            f"is {self.smoothing:.2g} cm^-1 (standard deviations): use at least "
            f"{self.length * 2 * self.resolution / self.smoothing:.2g} ps or smooth more"
        )


@dataclass(frozen=True)
class ShortBlocks:
    """Blocks (ps) so short that a line narrower than the smoothing (cm^-1) is correlated over several of them."""

    block: float
    memory: float
    smoothing: float

    def __str__(self) -> str:
        return (
            f"blocks of {self.block:.2g} ps are shorter than three times the {self.memory:.2g} ps over which a "
            f"smoothing of {self.smoothing:g} cm^-1 averages: the error bars at lines narrower than that may be too "
            "small; use fewer blocks (spectrum.blocks), more smoothing or a longer trajectory"
        )


@dataclass(frozen=True)
class Drift:
    """A component of alpha changes linearly by `change` (Angstrom^3), `significance` standard errors."""

    component: str
    change: float
    significance: float

    def __str__(self) -> str:
        return (
            f"alpha_{self.component} drifts by {self.change:.3g} Angstrom^3 along the trajectory "
            f"({self.significance:.0f} standard errors): it is not in equilibrium, and the drift adds to the lowest "
            "wavenumbers; leave out more frames at the beginning"
        )


@dataclass(frozen=True)
class UnequalHalves:
    """Between two wavenumbers (cm^-1) the first half of the trajectory has `ratio` times the second's intensity."""

    low: float
    high: float
    ratio: float

    def __str__(self) -> str:
        return (
            "the two halves of the trajectory differ by more than their error bars allow: between "
            f"{self.low:.0f} and {self.high:.0f} cm^-1 the first has {self.ratio:.2g} times the intensity of the "
            "second; the spectrum is not converged, the trajectory too short or not in equilibrium"
        )


SpectrumWarning = Aliasing | ShortTrajectory | ShortBlocks | Drift | UnequalHalves


def aliasing(result: RamanSpectrum) -> list[SpectrumWarning]:
    """Of a spectrum up to the Nyquist wavenumber. A wide smoothing reaches the end too, which is no aliasing."""
    total, at_end = result.intensity["total"], result.wavenumber > 0.95 * result.nyquist
    near_end = total[at_end].mean()
    if not min(near_end, result.raw["total"][at_end].mean()) > 0.02 * total.max():
        return []
    return [Aliasing(result.nyquist, result.frame_interval, near_end / total.max())]


def short_trajectory(plan: SpectrumPlan) -> list[SpectrumWarning]:
    """Of a taper whose kernel is wider than half of the smoothing."""
    if plan.resolution <= 0.5 * plan.width or plan.width == 0:
        return []
    return [ShortTrajectory(len(plan.h) * float(plan.interval) / 1000, plan.resolution, plan.width)]


def short_blocks(plan: SpectrumPlan) -> list[SpectrumWarning]:
    """Of blocks shorter than three times the memory 1/(2 pi c sigma) of the smoothing."""
    block = plan.duration / plan.blocks / 1000
    memory = 1e-3 / (RAD_PER_FS_PER_WAVENUMBER * plan.width) if plan.width else 0.0
    return [] if block >= 3 * memory else [ShortBlocks(block, memory, plan.width)]


def drift(alpha: Floats, blocks: int) -> list[SpectrumWarning]:
    """A linear trend of a component's block means that their scatter does not explain; alpha (frames, 3, 3)."""
    if blocks < 4:
        return []
    edges = np.linspace(0, len(alpha), blocks + 1).astype(int)
    means = channels(np.array([alpha[start:stop].mean(axis=0) for start, stop in pairwise(edges)]))
    x = np.arange(blocks) - (blocks - 1) / 2
    slope = means @ x / (x @ x)
    residual = means - means.mean(axis=1, keepdims=True) - slope[:, None] * x
    error = np.sqrt((residual**2).sum(axis=1) / (blocks - 2) / (x @ x))
    significance = np.abs(slope) / np.maximum(error, 1e-12 * np.abs(means).max() + 1e-300)
    worst = int(np.argmax(significance))
    deviation = np.std(channels(alpha[:: max(1, len(alpha) // 10000)])[worst])
    share = abs(slope[worst]) * blocks / np.sqrt(12) / max(deviation, 1e-300)
    if significance[worst] < special.stdtrit(blocks - 2, 1 - _UNLIKELY / 12) or share < _HARMLESS:
        return []
    return [Drift(COMPONENTS[worst], slope[worst] * blocks, significance[worst])]


def unequal_halves(plan: SpectrumPlan, total: Floats) -> list[SpectrumWarning]:
    """Bands whose intensity in the first half of the blocks is not that of the second half.

    total (blocks, wavenumbers): each block's share of the unsmoothed total.
    """
    blocks = len(total) // 2 * 2
    if blocks < 4:
        return []
    step = plan.wavenumber[1]
    size = max(1, int(np.ceil(6 * max(plan.width, plan.resolution) / step)))
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
    ratio = first.mean(axis=0)[worst] / second.mean(axis=0)[worst]
    return [UnequalHalves(worst * size * step, (worst + 1) * size * step, ratio)]
