"""From frames shared over ranks to atoms shared over ranks.

Each rank reads its own share of the frames, a bounded chunk at a time, and sends every other rank what concerns the
atoms that it holds. In the end a rank has all frames of its atoms: the trajectory's size over the number of ranks.

Atoms are held in blocks of one species whose size follows from the system alone, and sums over blocks run in their
order, so that no number depends on the number of ranks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.base.cells import completed, fractional
from mlraman_hpc.base.elements import masses, symbols
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.pipeline.atom_arrays import InFile, InMemory, Shapes, held, size_of
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.runtime.resources import free_memory
from mlraman_hpc.runtime.session import Session

BLOCK_ATOMS = 8
MOST_BLOCKS = 1024
FREE_SHARE = 0.5  # of the memory that is free on the host
CHUNK_ATOMS = 1 << 18  # positions that a rank reads at a time, 6 MB


@dataclass(frozen=True)
class AtomBlock:
    """Atoms of one species, and their mass (u)."""

    species: str
    mass: float
    atoms: np.ndarray


@dataclass(frozen=True)
class Layout:
    """What every rank knows of the trajectory: frames, fs between them, blocks of atoms, which data there are."""

    frames: int
    interval: float
    numbers: np.ndarray
    periodic: np.ndarray
    blocks: tuple[AtomBlock, ...]
    velocities: bool

    @property
    def species(self) -> list[str]:
        return list(dict.fromkeys(block.species for block in self.blocks))

    @property
    def chunk(self) -> int:
        return max(1, CHUNK_ATOMS // len(self.numbers))


def layout_of(index: TrajectoryIndex, rows: np.ndarray, interval: float, use_velocities: bool) -> Layout:
    """On root: the layout of these rows of the index."""
    first = read_frames(index, rows[:1], velocities=use_velocities)
    velocities = first.velocities is not None
    return Layout(len(rows), interval, index.numbers, first.periodic[0], atom_blocks(index.numbers), velocities)


def atom_blocks(numbers: np.ndarray) -> tuple[AtomBlock, ...]:
    size = max(BLOCK_ATOMS, -(-len(numbers) // MOST_BLOCKS))
    blocks = []
    for number in np.unique(numbers):
        atoms = np.flatnonzero(numbers == number)
        blocks += [
            AtomBlock(symbols([number])[0], float(masses([number])[0]), atoms[k : k + size])
            for k in range(0, len(atoms), size)
        ]
    return tuple(blocks)


@dataclass
class Motion:
    """This rank's blocks: fractional coordinates, later Cartesian, and velocities, (atoms, 3, frames) each."""

    layout: Layout
    mine: list[int]
    positions: InMemory | InFile
    velocities: InMemory | InFile
    mean_cell: np.ndarray


def place_for(job: Job, layout: Layout, limit: float | None) -> Path | None:
    """Folder of a file for this rank's motion, where that is more than `limit` MB; None: it is held in memory."""
    session = job.session
    size = size_of(_shapes(session, layout)) * (2 if layout.velocities else 1) / 2**20
    if limit is None:
        host = os.uname().nodename
        ranks, free = session.allgather(host).count(host), free_memory()
        limit = size if free is None else FREE_SHARE * free / ranks
    large = [one for one, most in session.allgather((size, limit)) if one > most]
    if large:
        job.console.say(
            f"the atoms' motion, {max(large):.0f} MB on a rank, is kept in a file in {job.output} while it "
            "is analysed; more ranks or more memory would be faster"
        )
    return job.output if size > limit else None


def collect(
    session: Session,
    layout: Layout,
    index: TrajectoryIndex | None,
    rows: np.ndarray | None,
    advance: Callable[[int], None],
    folder: Path | None = None,
) -> Motion:
    """All frames of this rank's blocks, in memory or in a file of `folder`; `index` and `rows` are root's."""
    shares = session.on_root(lambda: [list(part) for part in np.array_split(np.arange(layout.frames), session.size)])
    part = session.scatter([index.take(rows[share]) for share in shares] if session.is_root else None)
    shapes = _shapes(session, layout)
    with session.collective_errors():
        positions, velocities = held(shapes, folder), held(shapes if layout.velocities else {}, folder)
    motion = Motion(layout, list(shapes), positions, velocities, np.zeros((3, 3)))
    first = shares[session.rank][0] if shares[session.rank] else 0
    cells = []
    for start in range(0, max(map(len, shares)), layout.chunk):
        with session.collective_errors():
            chunk = _read(layout, part, slice(start, start + layout.chunk))
        received = session.alltoall(
            [_parcel(layout, chunk, rank, session.size, first + start) for rank in range(session.size)]
        )
        with session.collective_errors():
            for frame, positions, velocities in received:
                _store(motion.positions, frame, positions)
                _store(motion.velocities, frame, velocities)
        cells.append(session.gather((first + start, chunk[2])))
        advance(sum(len(found) for _, found in cells[-1]) if session.is_root else 0)
    motion.mean_cell = session.on_root(_mean_cell, cells)
    return motion


def _shapes(session: Session, layout: Layout) -> Shapes:
    """Of this rank's blocks."""
    return {
        number: (len(layout.blocks[number].atoms), 3, layout.frames)
        for number in range(session.rank, len(layout.blocks), session.size)
    }


def _read(layout: Layout, part: TrajectoryIndex, chunk: slice):
    """(fractional coordinates, velocities or None, cells) of some rows, (frames, atoms, 3) and (frames, 3, 3)."""
    rows = np.arange(len(part))[chunk]
    shape = (len(rows), len(layout.numbers), 3)
    frames = read_frames(part, rows, velocities=layout.velocities)
    _check_atoms(layout, part, rows, frames)
    cells = completed(frames.cells, layout.periodic)
    coordinates = fractional(frames.positions.reshape(shape), cells)
    if not layout.velocities:
        return coordinates, None, cells
    if len(rows) and frames.velocities is None:
        raise part.location(int(rows[0])).error(
            "velocities are missing here or in one of the next frames, though the "
            "first frame has them; set dynamics.velocities to positions."
        )
    return coordinates, frames.velocities.reshape(shape) if len(rows) else np.empty(shape), cells


def _check_atoms(layout: Layout, part: TrajectoryIndex, rows, frames) -> None:
    if not len(rows):
        return
    wrong = (frames.numbers.reshape(len(rows), -1) != layout.numbers).any(axis=1)
    if wrong.any():
        raise part.location(int(rows[np.argmax(wrong)])).error(
            "the atoms come in another order than in the first frame; their motion cannot be followed."
        )
    wrong = (frames.periodic != layout.periodic).any(axis=1)
    if wrong.any():
        raise part.location(int(rows[np.argmax(wrong)])).error("other directions are periodic than in the first frame.")


def _parcel(layout: Layout, chunk, rank: int, size: int, first: int):
    """What `rank` needs of a chunk: first frame, and (atoms, 3, frames) of each of its blocks."""
    blocks = range(rank, len(layout.blocks), size)

    def cut(values):
        return (
            {
                number: np.ascontiguousarray(values[:, layout.blocks[number].atoms].transpose(1, 2, 0))
                for number in blocks
            }
            if values is not None
            else {}
        )

    return first, cut(chunk[0]), cut(chunk[1])


def _store(target: InMemory | InFile, frame: int, parts: dict[int, np.ndarray]) -> None:
    for number, values in parts.items():
        target.add(number, frame, values)


def _mean_cell(cells: list[list[tuple[int, np.ndarray]]]) -> np.ndarray:
    """Mean over frames, in their order."""
    parts = sorted((part for gathered in cells for part in gathered if len(part[1])), key=lambda part: part[0])
    if not parts:
        raise DataError("there are no frames")
    return np.concatenate([part for _, part in parts]).mean(axis=0)


def block_sums(
    session: Session,
    layout: Layout,
    work: Callable[[int], object],
    first: int = 0,
    pause: Callable[[bool], None] = lambda more: None,
) -> Iterator[tuple[AtomBlock, object]]:
    """work(block number) on the rank that holds it; on root, results in the order of blocks from `first` on.

    A round at a time, and after each `pause(whether there are more)` on all ranks.
    """
    count = len(layout.blocks)
    for start in range(first - first % session.size, count, session.size):
        number = start + session.rank
        gathered = session.gather(work(number) if first <= number < count else None)
        for number, result in enumerate(gathered or [], start=start):
            if first <= number < count:
                yield layout.blocks[number], result
        pause(start + session.size < count)
