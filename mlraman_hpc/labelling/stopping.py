"""Whether more labels can matter: the error bar of a spectrum that the model makes against that of the trajectory.

Both are norms over the range that the user cares for, relative to the intensity:

    error = sqrt(int sigma(nu)^2 dnu / int I(nu)^2 dnu),

with sigma one standard deviation over the committee's members, or one standard error from trajectory blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.labelling.manifest import Kind
from mlraman_hpc.records.spectra import RamanSpectrum

LEAST_LABELS = {Kind.POLARIZABILITY: 16, Kind.DERIVATIVES: 2}  # of fewer a committee tells too little to stop by it


class Verdict(str, Enum):
    """Why labelling ends, or that it goes on."""

    GO_ON = "more labels are needed"
    BELOW_STATISTICS = "the model's error bar is small against that of the trajectory"
    BELOW_TARGET = "the model's error bar is below labelling.stop_error"
    MOST_LABELS = "as many frames are labelled as labelling.most allows"
    NO_FRAMES = "no frames are left that are far enough from one another"

    @property
    def ends(self) -> bool:
        return self is not Verdict.GO_ON


@dataclass(frozen=True)
class SpectrumErrors:
    """Relative error bars over the range: of the model and of the trajectory."""

    model: float
    statistical: float

    @property
    def ratio(self) -> float:
        return self.model / self.statistical if self.statistical > 0 else float("inf")

    def verdict(self, share: float, target: float, labels: int, kind: Kind) -> Verdict:
        """By the deck's stop_share and stop_error, from LEAST_LABELS on."""
        if labels < LEAST_LABELS[kind]:
            return Verdict.GO_ON
        if self.ratio <= share:
            return Verdict.BELOW_STATISTICS
        return Verdict.BELOW_TARGET if self.model <= target else Verdict.GO_ON


def spectrum_errors(spectrum: RamanSpectrum, wanted: Sequence[float] | None) -> SpectrumErrors:
    """Of the total intensity over the wanted wavenumbers (two, cm^-1), or over all that is visible.

    Errors: DataError where the spectrum has no error bars or the range none of its points.
    """
    if spectrum.error_model is None or spectrum.error_statistical is None:
        raise DataError("the spectrum has no error bars: model.committee and spectrum.blocks must not be 0")
    inside = in_range(spectrum, wanted)
    size = float(np.linalg.norm(spectrum.intensity["total"][inside]))
    if not inside.any() or size == 0:
        raise DataError(
            f"labelling.stop_range: the spectrum has no intensity there; it ends at {spectrum.visible_end:.4g} cm^-1"
        )
    model, statistical = (
        float(np.linalg.norm(error["total"][inside])) / size
        for error in (spectrum.error_model, spectrum.error_statistical)
    )
    return SpectrumErrors(model, statistical)


def in_range(spectrum: RamanSpectrum, wanted: Sequence[float] | None) -> np.ndarray:
    """(wavenumbers,) bool"""
    low, high = wanted or (0.0, spectrum.visible_end)
    return np.asarray((spectrum.wavenumber >= low) & (spectrum.wavenumber <= high))
