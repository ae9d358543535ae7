"""How far the ensemble of a trajectory is from the training set, and the model's error bars that grow with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.numerics.regression import coverage
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model

descriptors = LazyModule("mlraman_hpc.model.descriptors")

FRAMES, FEWEST, ATOMS = 32, 2, 1 << 14  # how many frames are looked at, fewer where they are large
FAR = 1.5  # frames of the training ensemble: 0.95 to 1.15; a run's second half, 700 in place of 500 K: 1.0 to 1.25
NARROW = 2.2  # largest ratio of root mean square errors to bars beyond FAR, lambda = 2: atoms displaced at random


@dataclass(frozen=True)
class EnsembleDistance:
    """Root mean square of `coverage.distance` over the frames that were looked at, and how many these are.

    model  the one that predicts these frames: deviations of its committee times the distance, if that is above one
    """

    distance: float
    frames: int
    model: Model

    def __str__(self) -> str:
        return (
            f"distance of the trajectory from the training set, by {self.frames} frames: {self.distance:.2f} (frames "
            "of the training ensemble have 1)"
        )

    @property
    def warning(self) -> str | None:
        """Where the trajectory is another ensemble than the training set."""
        if self.distance <= FAR:
            return None
        bars = (
            f"the model's error bars are {self.distance:.1f} times as wide for that, and may still be too narrow: in "
            f"tests errors were up to {NARROW:g} times the bars"
        )
        return (
            "the trajectory is another ensemble than the training set: its summed features are "
            f"{self.distance:.1f} times as far from the labels as these from one another (another temperature, density "
            f"or phase?); {bars if self.model.members else 'no bars'}; add labels from this trajectory"
        )


def looked_at(frames: int, atoms: int) -> npt.NDArray[np.int64]:
    """Rows of a selection of so many frames of so many atoms at even distances, the first and the last among them."""
    count = max(FEWEST, min(FRAMES, ATOMS // max(atoms, 1)))
    return np.unique(np.linspace(0, frames - 1, count).astype(np.int64))


def ensemble_distance(model: Model, sample: Iterable[Frames]) -> EnsembleDistance | None:
    """Of frames at the rows `looked_at`; None for a model of few tensors or of an older version."""
    if model.coverage is None:
        return None
    calculator = descriptors.FeatureCalculator(model.descriptor, model.numbers)
    distances = []
    for frames in sample:
        features = calculator(frames)
        distances.append(coverage.distance(model.coverage, features.X0, features.composition))
    all_distances = np.concatenate(distances)
    distance = float(np.sqrt(np.mean(all_distances**2)))
    return EnsembleDistance(distance, len(all_distances), model.with_spread(max(1.0, distance)))
