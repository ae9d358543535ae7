"""Frames that may be labelled, as points in a common space: leading principal directions of their summed descriptors.

Ranks share the frames; each reads its own, a few at a time, and keeps their coordinates alone (some kilobytes a frame).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.numerics import Floats, Integers
from mlraman_hpc.numerics.selection import decay_time
from mlraman_hpc.pipeline.derivatives import derivative_descriptor
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import compiled_calculator
from mlraman_hpc.readers.trajectory.base import TrajectoryIndex
from mlraman_hpc.readers.trajectory.index import read_frames
from mlraman_hpc.records.frames import Frames

DIRECTIONS = 64  # of each lambda; on alpha-AgI and alpha-SiO2 more change nothing
SAMPLE = 128  # frames from which the directions are found
CHUNK_ATOMS = 4096  # read by a rank at a time
STARTS, LEAST_FRAMES = 24, 16  # of pairs for the correlation time; candidates for there to be one


@dataclass(frozen=True)
class Points:
    """Frames in the space: frame (n,) numbers in the trajectory, isotropic (n, M0), anisotropic (n, 5, M2)."""

    frame: Integers
    isotropic: Floats
    anisotropic: Floats

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: Integers) -> Points:
        return Points(self.frame[rows], self.isotropic[rows], self.anisotropic[rows])

    @property
    def joined(self) -> Floats:
        """(n, M0 + 5 M2)"""
        return np.concatenate([self.isotropic, self.anisotropic.reshape(len(self), -1)], axis=1)

    @staticmethod
    def join(parts: list[Points]) -> Points:
        return Points(
            np.concatenate([part.frame for part in parts]),
            np.concatenate([part.isotropic for part in parts]),
            np.concatenate([part.anisotropic for part in parts]),
        )


@dataclass(frozen=True)
class Space:
    """Coordinates (X - mean) basis of summed descriptors; each lambda has mean squared length 1 over the sample.

    spectrum  {lambda: (M,)} mean square of each coordinate of a row; a frame has 1 and 5 rows
    captured  {lambda: share of the descriptors' variance that lies in these directions}
    """

    calculator: FeatureCalculator
    mean: dict[int, Floats]
    basis: dict[int, Floats]
    spectrum: dict[int, Floats]
    captured: dict[int, float]

    @property
    def no_points(self) -> Points:
        widths = len(self.spectrum[0]), len(self.spectrum[2])
        return Points(np.zeros(0, int), np.zeros((0, widths[0])), np.zeros((0, 5, widths[1])))

    def points(self, frames: Frames) -> Points:
        """Each frame by itself: library calls on many rows may round differently than on one."""
        features = self.calculator(frames)
        isotropic = [(x - self.mean[0]) @ self.basis[0] for x in features.X0]
        anisotropic = [(x - self.mean[2]) @ self.basis[2] for x in features.X2]
        return Points(
            frames.index,
            np.array(isotropic).reshape(len(frames), -1),
            np.array(anisotropic).reshape(len(frames), 5, -1),
        )


def candidate_space(job: Job, index: TrajectoryIndex | None, chosen: Integers) -> Space:
    """The space of these frames' descriptors, from a sample at equal distances; for all ranks, `index` on root."""
    job.session.enter_step("space")
    sample = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(SAMPLE, len(chosen))).astype(int))]

    def calculator() -> FeatureCalculator:
        assert index is not None
        first = read_frames(index, sample[:1])
        made = compiled_calculator(job, first, derivative_descriptor(job), np.unique(index.numbers).tolist())
        assert isinstance(made, FeatureCalculator)
        return made

    known: FeatureCalculator = job.session.on_root(calculator)
    parts = job.session.gather(_by_chunks(job, index, sample, known))
    return job.session.on_root(lambda: _space(known, Features.join([item for part in parts or [] for item in part])))


def _space(calculator: FeatureCalculator, features: Features) -> Space:
    rows = {0: features.X0[:, None], 2: features.X2}
    mean: dict[int, Floats] = {0: features.X0.mean(axis=0), 2: features.X2.mean(axis=0)}
    basis: dict[int, Floats] = {}
    spectrum: dict[int, Floats] = {}
    captured: dict[int, float] = {}
    for order, values in rows.items():
        flat = (values - mean[order]).reshape(-1, values.shape[-1])
        kernel = flat @ flat.T
        squares, vectors = np.linalg.eigh(kernel)
        leading = np.flatnonzero(squares > 1e-12 * max(squares[-1], 1e-300))[::-1][:DIRECTIONS]
        total = float(np.trace(kernel)) / len(features) or 1.0
        basis[order] = flat.T @ (vectors[:, leading] / np.sqrt(squares[leading])) / np.sqrt(total)
        spectrum[order] = squares[leading] / len(flat) / total
        captured[order] = float(squares[leading].sum() / max(np.trace(kernel), 1e-300))
    return Space(calculator, mean, basis, spectrum, captured)


def _by_chunks(job: Job, index: TrajectoryIndex | None, frames: Integers, make, what: str = "") -> list:  # type: ignore[no-untyped-def,type-arg]
    """[make(frames) for every chunk of this rank's share]; a stop is heard between chunks."""
    session = job.session
    shares = np.array_split(frames, session.size)
    mine = session.scatter(None if index is None else [index.take(share) for share in shares])
    size = max(1, CHUNK_ATOMS // max(1, len(mine.numbers)))
    rounds, results = -(-max(len(share) for share in shares) // size), []
    with job.console.progress(what or "descriptors", len(frames), "frames", 0) as advance:
        for start in range(0, rounds * size, size):
            with session.collective_errors():
                rows = np.arange(start, min(start + size, len(mine)))
                if len(rows):
                    results.append(make(read_frames(mine, rows)))
            advance(sum(max(0, min(start + size, len(share)) - start) for share in shares))
    return results


def shared_points(job: Job, index: TrajectoryIndex | None, frames: Integers, space: Space) -> Points:
    """This rank's share of the frames as points, contiguous and in order; for all ranks, `index` on root."""
    job.session.enter_step("descriptors")
    parts = _by_chunks(job, index, frames, space.points)
    empty = Points(np.zeros(0, int), np.zeros((0, len(space.spectrum[0]))), np.zeros((0, 5, len(space.spectrum[2]))))
    return Points.join([empty, *parts])


def all_points(job: Job, index: TrajectoryIndex | None, frames: Integers, space: Space) -> Points:
    """All of a few frames as points, on every rank."""
    if not len(frames):
        return space.no_points
    return Points.join(job.session.allgather(shared_points(job, index, frames, space)))


def correlation_frames(job: Job, index: TrajectoryIndex | None, chosen: Integers, space: Space) -> float:
    """After how many of the chosen frames the descriptors have lost their memory, for all ranks.

    C(lag) = 1 - <|x(t + lag) - x(t)|^2>/(2 <|x|^2>) of pairs of frames, lags 1, 2, 4, ...; the lag after which it stays
    below 1/e. alpha is a linear function of these descriptors. At most a quarter of the frames, 0 where they are few.
    """
    count = len(chosen)
    if count < LEAST_FRAMES:
        return 0.0
    lags = 2 ** np.arange(int(np.log2(count / 4)) + 1)
    starts = np.linspace(0, count - 1 - lags[-1], min(STARTS, count - lags[-1])).astype(int)
    wanted = np.unique(np.concatenate([starts, *(starts + lag for lag in lags)]))
    known = all_points(job, index, chosen[wanted], space)
    points = known.joined
    variance = 2 * float(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()) or 1.0
    rows = {int(frame): row for row, frame in enumerate(wanted)}
    first = points[[rows[int(start)] for start in starts]]
    correlation = np.array(
        [
            1 - ((points[[rows[int(k)] for k in starts + lag]] - first) ** 2).sum(axis=1).mean() / variance
            for lag in lags
        ]
    )
    return decay_time(np.concatenate([[0.0], lags]), np.concatenate([[1.0], correlation]))
