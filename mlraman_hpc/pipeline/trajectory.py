"""The trajectory that the deck names: index, selected frames, time between them, fixed batches."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, build_index, files_beside

# Atoms in a batch: few enough for the cache (200 kB), so many that the price of a call does not show. Fixed, since
# batches must not depend on ranks or machine.
BATCH_ATOMS = 2048
LEAST_INTERVAL = 0.1  # fs
LEAST_STEP, MOST_STEP = 0.2, 15.0  # fs, of a simulation of atoms


def trajectory_index(job: Job) -> TrajectoryIndex:
    """Byte offsets of every frame; to be called on root alone."""
    section, files = job.section("trajectory"), job.files("trajectory.files")
    job.watched.add([*files, *files_beside(files, section.format)], job.scratch)
    with job.located():
        index = build_index(files, section.format, job.scratch, section.species, job.console.warn, section.cell)
    for text in job.watched.check():
        job.console.warn(text)
    job.watched.add(index.paths, job.scratch)
    return index


def trajectory_hashes(job: Job) -> dict[str, str]:
    """{name: hash} of all files that the frames are read from, for the parents of a result."""
    files = job.files("trajectory.files")
    return hashes([*files, *files_beside(files, job.section("trajectory").format)], job.scratch)


def selected_frames(job: Job, index: TrajectoryIndex) -> range:
    """Frame numbers first, first + every, ... below last, as a Python slice."""
    chosen = _stored(job, index)[:: job.section("trajectory").every]
    _check_count(job, index, chosen)
    return chosen


def stored_frames(job: Job, index: TrajectoryIndex) -> np.ndarray:
    """All frame numbers from first to below last, as a Python slice."""
    return np.array(_stored(job, index))


def _stored(job: Job, index: TrajectoryIndex) -> range:
    section = job.section("trajectory")
    chosen = range(len(index))[section.first : section.last]
    _check_count(job, index, chosen)
    return chosen


def _check_count(job: Job, index: TrajectoryIndex, chosen: range) -> None:
    if len(chosen) < 2:
        raise DataError(
            f"{job.deck.location('trajectory.first')}: first, last and every leave {len(chosen)} of "
            f"{len(index.atoms)} frames; at least 2 are needed"
        )


def frame_interval(job: Job, index: TrajectoryIndex) -> float:
    """fs between selected frames."""
    return stored_interval(job, index) * job.section("trajectory").every


def stored_interval(job: Job, index: TrajectoryIndex) -> float:
    """fs between stored frames."""
    section = job.section("trajectory")
    wanted, stored = section.frame_interval, index.frame_interval
    if wanted is None and stored is None:
        raise DeckKeyError(
            "trajectory.frame_interval",
            f"must be given: {index.names[0]} does not say how much time (fs) lies between two stored frames"
            + _hint(index),
        )
    if wanted is not None and stored is not None and abs(wanted - stored) > 1e-3 * stored:
        job.console.warn(
            f"{job.deck.location('trajectory.frame_interval')}: {wanted:g} fs, but {index.names[0]} says "
            f"{stored:g} fs; the deck's value is used"
        )
    interval = wanted if wanted is not None else stored
    if interval < LEAST_INTERVAL:
        raise DeckKeyError(
            "trajectory.frame_interval",
            f"{interval:g} fs between frames: no simulation has so short a time step. Times in {index.names[0]} may be "
            "in ps (LAMMPS with units metal); trajectory.frame_interval gives fs",
        )
    if wanted is not None:
        _check_time_step(job, index, interval)
    return interval


def _hint(index: TrajectoryIndex) -> str:
    """What is known of the time between frames."""
    if index.stride is None:
        return ""
    if index.time_step is None:
        return f", but that they are {index.stride} time steps apart"
    step, file = index.time_step
    return f"; they are {index.stride} time steps apart, which {file} says are of {step:g} fs: {step * index.stride:g}"


def _check_time_step(job: Job, index: TrajectoryIndex, interval: float) -> None:
    """A warning where the deck's interval and the numbers of time steps in the files do not fit together."""
    if index.stride is None:
        return
    where, step = job.deck.location("trajectory.frame_interval"), interval / index.stride
    apart = f"{index.names[0]} numbers its frames {index.stride} time steps apart"
    if index.time_step is not None:
        known, file = index.time_step
        if abs(known - step) > 1e-3 * known:
            job.console.warn(
                f"{where}: {interval:g} fs, but {apart}, and {file} says {known:g} fs for a step, which makes "
                f"{known * index.stride:g} fs; the deck's value is used"
            )
    elif not LEAST_STEP <= step <= MOST_STEP:
        job.console.warn(
            f"{where}: {interval:g} fs, but {apart}: a time step would be {step:.3g} fs. The interval is that between "
            f"two stored frames, {index.stride} times the time step"
        )


def batches(atoms: np.ndarray) -> np.ndarray:
    """First row of each batch, and the number of rows at the end: cut where BATCH_ATOMS is reached.

    `atoms` (rows,): atoms in each selected frame. Depends on the system alone, never on who computes.
    """
    before = np.cumsum(atoms, dtype=np.int64) - atoms
    number = before // BATCH_ATOMS
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    return np.append(starts, len(atoms))


def even_batches(frames: int, atoms: int) -> np.ndarray:
    """`batches` of so many frames, each of `atoms` atoms."""
    if atoms >= BATCH_ATOMS:
        return np.arange(frames + 1)
    starts = -(-BATCH_ATOMS * np.arange(-(-frames * atoms // BATCH_ATOMS)) // atoms)
    return np.append(starts[starts < frames], frames)
