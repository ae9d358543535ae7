"""How far the ensemble of a trajectory is from the training set, and the model's error bars that grow with it."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.numerics.regression import coverage
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.model import Model

FRAMES, FEWEST, ATOMS = 32, 2, 1 << 14  # how many frames are looked at, fewer where they are large
FAR = 1.5  # frames of the training ensemble: 0.95 to 1.15; a trajectory's second half: 1.0 to 1.2


def with_wider_bars(job: Job, model: Model, index: TrajectoryIndex, chosen: range) -> Model:
    """The model with the deviations of its committee times the distance of the chosen frames, if that is above one.

    On root. Says the distance, and warns where the trajectory is another ensemble than the training set.
    """
    if model.coverage is None:
        return model
    count = max(FEWEST, min(FRAMES, ATOMS // len(index.numbers)))
    rows = np.unique(np.linspace(0, len(chosen) - 1, count).astype(int))
    calculator = FeatureCalculator(model.descriptor, model.numbers)
    distances = []
    with job.session.stop.deferred():  # the compiler would swallow a stop that is raised inside it
        for row in rows:
            features = calculator(read_frames(index, [chosen[row]]))
            distances.append(coverage.distance(model.coverage, features.X0, features.composition))
    distance = float(np.sqrt(np.mean(np.concatenate(distances) ** 2)))
    job.console.say(
        f"distance of the trajectory from the training set, by {len(rows)} frames: {distance:.2f} (frames of the "
        "training ensemble have 1)"
    )
    if distance > FAR:
        bars = f"the model's error bars are {distance:.1f} times as wide for that" if len(model.members) else "no bars"
        job.console.warn(
            f"the trajectory is another ensemble than the training set: its summed features are {distance:.1f} times "
            f"as far from the labels as these from one another (another temperature, density or phase?); {bars}, and "
            "may still be too narrow; add labels from this trajectory"
        )
    return model.with_spread(max(1.0, distance))
