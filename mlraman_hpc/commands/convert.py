"""`mlraman convert`, `mlraman convert-labels`: what is read many times, in one file.

convert: all frames of the deck's trajectory -> trajectory.h5 (H5MD), for what is read many times.

Root assigns runs of frames to the ranks, each reads its own and sends them back, root writes: memory is bounded by a
few megabytes for each rank, whatever the length of the trajectory.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.cells import cartesian, completed, fractional
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.numerics.transport.displacements import unwrap
from mlraman_hpc.numerics.transport.velocities import displacement_overlaps, velocity_unit
from mlraman_hpc.pipeline.derivatives import read_derivative_labels
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.pipeline.trajectory import trajectory_hashes, trajectory_index
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.storage.h5md_writer import ConvertedTrajectory, TrajectoryFile
from mlraman_hpc.storage.labels_extxyz import derivatives_extended_xyz
from mlraman_hpc.storage.provenance import Origin

LABELS_FILE = "derivatives.extxyz"
UNIT_ATOMS = 1 << 17  # bounds the memory of a rank
SAMPLE = 200  # frames from which the unit of the velocities is told


@dataclass
class Plan:
    """Root's view of the work. velocity: factor to Angstrom/fs, None without velocities."""

    index: TrajectoryIndex
    file: TrajectoryFile
    periodic: np.ndarray
    velocity: float | None

    def unit_frames(self, ranks: int) -> int:
        """Frames of a work unit."""
        return max(1, min(UNIT_ATOMS // len(self.index.numbers), -(-len(self.index) // ranks)))


def convert(job: Job) -> None:
    """All frames, whatever first, last and every say, so that the deck means the same with trajectory.h5."""
    job.section("trajectory")
    run_step(job, ConvertedTrajectory, _origin, _compute)


def _compute(step: Step) -> Output | None:
    session = step.job.session
    with ExitStack() as stack:
        session.enter_step("index")
        plan = session.only_on_root(_plan, step.job, step.path, stack)
        session.enter_step("copy")
        _copy(step.job, plan)
        session.enter_step("write")
        return session.only_on_root(_finish, plan, step, stack)


def _origin(job: Job) -> Origin:
    settings = job.section("trajectory").model_dump(include={"format", "species", "cell", "frame_interval"})
    return job.origin("convert", trajectory_hashes(job), settings, _wanted_unit(job))


def _plan(job: Job, path: Path, stack: ExitStack) -> Plan:
    index = trajectory_index(job)
    first = read_frames(index, [0])
    interval = job.section("trajectory").frame_interval or index.frame_interval
    if interval is None:
        job.console.warn(
            f"{index.names[0]} does not say how much time (fs) lies between two frames, and neither does "
            "trajectory.frame_interval; trajectory.h5 has no times"
        )
    velocity = _velocity_factor(job, index, interval)
    file = TrajectoryFile(
        stack.enter_context(atomic_write(path)),
        numbers=index.numbers,
        periodic=first.periodic[0],
        steps=index.steps(range(len(index))) if index.has_steps else np.arange(len(index)),
        times=None if interval is None else interval * np.arange(len(index)),
        velocities=velocity is not None,
        target=path,
    )
    job.console.say(f"{len(index)} frames of {len(index.numbers)} atoms" + (", with velocities" if velocity else ""))
    return Plan(index, file, first.periodic[0], velocity)


def _wanted_unit(job: Job) -> str:
    return job.deck.dynamics.velocities if job.deck.dynamics else "auto"


def _velocity_factor(job: Job, index: TrajectoryIndex, interval: float | None) -> float | None:
    """Angstrom/fs per unit of the file's velocities; None where there are none, or where their unit is not clear."""
    wanted, count = _wanted_unit(job), min(SAMPLE, len(index))
    if wanted == "positions" or read_frames(index, [0], velocities=True).velocities is None:
        return None
    if wanted != "auto":
        return VELOCITY_UNITS[wanted]
    frames = read_frames(index, np.arange(count), velocities=True)
    unit = (
        None
        if interval is None or count < 2 or frames.velocities is None
        else velocity_unit(
            displacement_overlaps(
                _followed(frames), frames.velocities.reshape(count, -1, 3).transpose(1, 2, 0), interval
            )
        )
    )
    if unit is None:
        job.console.warn(
            f"{index.names[0]}: the unit of the velocities cannot be told from the displacements; they "
            "are left out. Give it in dynamics.velocities to keep them"
        )
        return None
    job.console.say(f"velocities are in {unit}, by the displacements of {count} frames")
    return VELOCITY_UNITS[unit]


def _followed(frames: Frames) -> np.ndarray:
    """(atoms, 3, frames) positions without jumps across the cell."""
    cells = completed(frames.cells, frames.periodic[0])
    coordinates = fractional(frames.positions.reshape(len(frames), -1, 3), cells).transpose(1, 2, 0).copy()
    unwrap(coordinates, frames.periodic[0])
    return cartesian(coordinates, cells.mean(axis=0))


def _copy(job: Job, plan: Plan | None) -> None:
    session, begin = job.session, 0
    total = len(plan.index) if plan is not None else 0
    with job.console.progress("converting", total, "frames") as advance:
        more = True
        while more:
            more, unit = session.scatter(None if plan is None else _work_units(plan, begin, session.size))
            with session.collective_errors():
                part = _read(*unit)
            gathered = session.gather(part)
            advance(session.on_root(_write, job, plan, gathered))
            begin += 0 if plan is None else plan.unit_frames(session.size) * session.size


def _work_units(plan: Plan, begin: int, ranks: int) -> list:
    """(more to come, (rows, index of just them, what is expected)) for each rank."""
    total = len(plan.index)
    starts = [min(begin + rank * plan.unit_frames(ranks), total) for rank in range(ranks + 1)]
    return [
        (
            starts[-1] < total,
            (slice(start, stop), plan.index.take(np.arange(start, stop)), plan.periodic, plan.velocity),
        )
        for start, stop in pairwise(starts)
    ]


def _read(rows: slice, index: TrajectoryIndex, periodic: np.ndarray, velocity: float | None):
    """(rows, positions, cells, velocities or None) of a work unit; None for an empty one."""
    if not len(index):
        return None
    frames = read_frames(index, np.arange(len(index)), velocities=velocity is not None)
    shape = (len(index), len(index.numbers), 3)
    differs = (frames.numbers.reshape(shape[:2]) != index.numbers).any(axis=1) | (frames.periodic != periodic).any(
        axis=1
    )
    if differs.any():
        raise index.location(int(np.argmax(differs))).error(
            "the order of the atoms or the periodic directions are not those of the first frame; H5MD has them once."
        )
    if velocity is not None and frames.velocities is None:
        raise index.location(0).error(
            "velocities are missing here or in one of the next frames, though the first frame "
            "has them; set dynamics.velocities to positions."
        )
    velocities = None if velocity is None else frames.velocities.reshape(shape) * velocity
    return rows, frames.positions.reshape(shape), frames.cells, velocities


def _write(job: Job, plan: Plan, gathered: list) -> int:
    job.look()
    parts = [part for part in gathered if part is not None]
    for rows, positions, cells, velocities in parts:
        plan.file.write(rows, positions, cells, velocities)
    return sum(rows.stop - rows.start for rows, *_ in parts)


def _finish(plan: Plan, step: Step, stack: ExitStack) -> Output:
    """The file gets its name when the stack is closed; on root alone something is in it."""
    output = Output(warnings=step.job.watched.check())
    plan.file.finish(step.origin)
    stack.close()
    return output


def convert_labels(job: Job) -> None:
    """All structures of reference.derivatives, in Angstrom^2, their sums over atoms taken off."""
    job.session.only_on_root(_write_labels, job)


def _write_labels(job: Job) -> None:
    job.section("reference")
    labels = read_derivative_labels(job)
    if labels is None:
        raise DataError(f"{job.deck.location('reference')}: convert-labels needs reference.derivatives")
    path = job.output / LABELS_FILE
    if path.resolve() in [file.resolve() for file in job.files("reference.derivatives.files")]:
        raise DataError(f"{path}: is read itself; choose another output folder")
    with atomic_write(path) as temporary:
        temporary.write_text(derivatives_extended_xyz(labels), encoding="utf-8")
    job.console.say(f"wrote {path}")
