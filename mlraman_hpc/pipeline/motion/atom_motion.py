"""From frames shared over ranks to atoms shared over ranks.

Each rank reads its own share of the frames, a bounded chunk at a time, and sends every other rank what concerns that
rank's atoms. In the end a rank has all frames of its atoms: the trajectory's size over the number of ranks, in memory,
or in a file of the output folder where there is too little of it.

Atoms are divided into blocks of one species whose size follows from the system alone, and sums over blocks run in
their order, so that no number depends on the number of ranks. Block k belongs to rank k modulo their number.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from mlraman_hpc.base.cells import completed, flips, fractional
from mlraman_hpc.base.elements import masses, symbols
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.runtime.resources import free_memory
from mlraman_hpc.runtime.session import Session

BLOCK_ATOMS = 8
MOST_BLOCKS = 1024
FREE_SHARE = 0.5  # of the memory that is free on the host
CHUNK_ATOMS = 1 << 18  # positions that a rank reads at a time, 6 MB

T = TypeVar("T")
Shapes = dict[int, tuple[int, int, int]]


def size_of(shapes: Shapes) -> int:
    """Bytes of all arrays."""
    return 8 * sum(int(np.prod(shape)) for shape in shapes.values())


class ArraysInMemory(dict):
    """{block number: array (atoms, 3, frames)}."""

    def __init__(self, shapes: Shapes):
        super().__init__((number, np.empty(shape)) for number, shape in shapes.items())

    def add(self, number: int, frame: int, values: np.ndarray) -> None:
        """Frames from `frame` on, (atoms, 3, frames)."""
        self[number][..., frame : frame + values.shape[-1]] = values

    def __setitem__(self, number: int, values: np.ndarray) -> None:
        super().__setitem__(number, np.ascontiguousarray(values))


class ArraysInFile:
    """The same numbers in the same layout in a file without a name, which is gone with the process however that ends.

    What is added is stored contiguously, chunk after chunk of frames; reading a block puts its chunks together.
    """

    _file: IO[bytes] | None = None

    def __init__(self, shapes: Shapes, folder: Path):
        self._shapes, self._folder = shapes, folder
        sizes = np.array([size_of({0: shape}) for shape in shapes.values()], dtype=np.int64)
        self._offset = dict(zip(shapes, (np.cumsum(sizes) - sizes).tolist()))
        self._chunks: dict[int, list[tuple[int, int]]] = {number: [] for number in shapes}
        with self._writing():
            self._file = tempfile.TemporaryFile(dir=folder, prefix=".motion.", suffix=".tmp")  # noqa: SIM115

    def __del__(self):
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._folder}: the atoms' motion cannot be stored in a file there: {error.strerror}; free "
                "space, use more ranks, or raise dynamics.memory"
            ) from None

    def add(self, number: int, frame: int, values: np.ndarray) -> None:
        with self._writing():
            self._file.seek(self._offset[number] + 8 * int(np.prod(self._shapes[number][:2])) * frame)
            self._file.write(np.ascontiguousarray(values).data)
        self._chunks[number].append((frame, values.shape[-1]))

    def __setitem__(self, number: int, values: np.ndarray) -> None:
        self._chunks[number] = []
        self.add(number, 0, values)

    def __getitem__(self, number: int) -> np.ndarray:
        shape = self._shapes[number]
        values = np.empty(shape)
        for frame, count in self._chunks[number]:
            chunk = np.empty((*shape[:2], count))
            self._file.seek(self._offset[number] + 8 * shape[0] * shape[1] * frame)
            if self._file.readinto(chunk.data) != chunk.nbytes:
                raise DataError(f"{self._folder}: the file of the atoms' motion has become shorter; start again")
            values[..., frame : frame + count] = chunk
        return values

    def pop(self, number: int) -> np.ndarray:
        """The array; its space in the file is freed at the end."""
        return self[number]


def allocate(shapes: Shapes, folder: Path | None) -> ArraysInMemory | ArraysInFile:
    """In memory, or in a file of `folder` if one is passed."""
    return ArraysInMemory(shapes) if folder is None else ArraysInFile(shapes, folder)


@dataclass(frozen=True)
class AtomBlock:
    """Atoms of one species, and their mass (u)."""

    species: str
    mass: float
    atoms: np.ndarray


@dataclass(frozen=True)
class AtomBlocks:
    """What every rank knows of the trajectory: number of frames, fs between them, atoms in blocks, which data exist."""

    frames: int
    interval: float
    numbers: np.ndarray
    periodic: np.ndarray
    items: tuple[AtomBlock, ...]
    velocities: bool

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number]

    def __iter__(self) -> Iterator[AtomBlock]:
        return iter(self.items)

    @property
    def species(self) -> list[str]:
        return list(dict.fromkeys(block.species for block in self))

    @property
    def chunk(self) -> int:
        return max(1, CHUNK_ATOMS // len(self.numbers))


def blocks_of(
    index: TrajectoryIndex,
    rows: np.ndarray,
    interval: float,
    use_velocities: bool,
    masses_of: dict[int, float] | None = None,
) -> AtomBlocks:
    """Of these rows of the index; masses_of: atomic number -> u, standard ones for others. On root."""
    first = read_frames(index, rows[:1], velocities=use_velocities)
    velocities = first.velocities is not None
    items = split_atoms(index.numbers, masses_of)
    return AtomBlocks(len(rows), interval, index.numbers, first.periodic[0], items, velocities)


def split_atoms(numbers: np.ndarray, masses_of: dict[int, float] | None = None) -> tuple[AtomBlock, ...]:
    """Blocks of one species each, by atomic number."""
    known = masses_of or {}
    size = max(BLOCK_ATOMS, -(-len(numbers) // MOST_BLOCKS))
    blocks = []
    for number in np.unique(numbers):
        atoms = np.flatnonzero(numbers == number)
        blocks += [
            AtomBlock(symbols([number])[0], known.get(int(number), float(masses([number])[0])), atoms[k : k + size])
            for k in range(0, len(atoms), size)
        ]
    return tuple(blocks)


@dataclass
class AtomTrajectories:
    """This rank's blocks, by `numbers`: fractional or Cartesian coordinates, and velocities, (atoms, 3, frames)."""

    blocks: AtomBlocks
    numbers: list[int]
    positions: ArraysInMemory | ArraysInFile
    velocities: ArraysInMemory | ArraysInFile
    mean_cell: np.ndarray


def scratch_folder(job: Job, blocks: AtomBlocks, limit: float | None) -> Path | None:
    """Folder of a file for this rank's arrays, where these are more than `limit` MB; None: they stay in memory."""
    session = job.session
    size = size_of(_shapes(session, blocks)) * (2 if blocks.velocities else 1) / 2**20
    if limit is None:
        host = os.uname().nodename
        ranks, free = session.allgather(host).count(host), free_memory()
        limit = size if free is None else FREE_SHARE * free / ranks
    too_large = [bytes_ for bytes_, most in session.allgather((size, limit)) if bytes_ > most]
    if too_large:
        job.console.say(
            f"the atoms' motion, {max(too_large):.0f} MB on a rank, is kept in a file in {job.output} while it "
            "is analysed; more ranks or more memory would be faster"
        )
    return job.output if size > limit else None


def exchange(
    session: Session,
    blocks: AtomBlocks,
    index: TrajectoryIndex | None,
    rows: np.ndarray | None,
    advance: Callable[[int], None],
    folder: Path | None = None,
) -> AtomTrajectories:
    """All frames of this rank's blocks, in memory or in a file of `folder`; `index` and `rows` are root's."""
    shares = session.on_root(lambda: [list(part) for part in np.array_split(np.arange(blocks.frames), session.size)])
    part = session.scatter([index.take(rows[share]) for share in shares] if session.is_root else None)
    shapes = _shapes(session, blocks)
    with session.collective_errors():
        positions, velocities = allocate(shapes, folder), allocate(shapes if blocks.velocities else {}, folder)
    motion = AtomTrajectories(blocks, list(shapes), positions, velocities, np.zeros((3, 3)))
    first = shares[session.rank][0] if shares[session.rank] else 0
    cells = []
    for start in range(0, max(map(len, shares)), blocks.chunk):
        with session.collective_errors():
            chunk = _read(blocks, part, slice(start, start + blocks.chunk))
        received = session.alltoall(
            [_for_rank(blocks, chunk, rank, session.size, first + start) for rank in range(session.size)]
        )
        with session.collective_errors():
            for frame, position_parts, velocity_parts in received:
                _store(motion.positions, frame, position_parts)
                _store(motion.velocities, frame, velocity_parts)
        cells.append(session.gather((first + start, chunk[2])))
        advance(sum(len(part_cells) for _, part_cells in cells[-1]) if session.is_root else 0)
    motion.mean_cell, flipped = session.on_root(_mean_cell, cells)
    if flipped is not None:
        with session.collective_errors():
            _undo_flips(motion, flipped)
    return motion


def _undo_flips(motion: AtomTrajectories, flipped: np.ndarray) -> None:
    """Fractional coordinates in the vectors that the cell has without flips, in place."""
    inverse = np.round(np.linalg.inv(flipped))
    for number in motion.numbers:
        old = motion.positions[number]
        x, y, z = old[:, 0, None], old[:, 1, None], old[:, 2, None]  # sums in this order: the same bits on any rank
        motion.positions[number] = x * inverse[:, 0].T + y * inverse[:, 1].T + z * inverse[:, 2].T


def _shapes(session: Session, blocks: AtomBlocks) -> Shapes:
    """Of this rank's blocks."""
    return {
        number: (len(blocks[number].atoms), 3, blocks.frames)
        for number in range(session.rank, len(blocks), session.size)
    }


def _read(blocks: AtomBlocks, part: TrajectoryIndex, chunk: slice):
    """(fractional coordinates, velocities or None, cells) of some rows, (frames, atoms, 3) and (frames, 3, 3)."""
    rows = np.arange(len(part))[chunk]
    shape = (len(rows), len(blocks.numbers), 3)
    frames = read_frames(part, rows, velocities=blocks.velocities)
    _check_atoms(blocks, part, rows, frames)
    cells = completed(frames.cells, blocks.periodic)
    coordinates = fractional(frames.positions.reshape(shape), cells)
    if not blocks.velocities:
        return coordinates, None, cells
    if len(rows) and frames.velocities is None:
        raise part.location(int(rows[0])).error(
            "velocities are missing here or in one of the next frames, though the "
            "first frame has them; set dynamics.velocities to positions."
        )
    return coordinates, frames.velocities.reshape(shape) if len(rows) else np.empty(shape), cells


def _check_atoms(blocks: AtomBlocks, part: TrajectoryIndex, rows, frames) -> None:
    if not len(rows):
        return
    wrong = (frames.numbers.reshape(len(rows), -1) != blocks.numbers).any(axis=1)
    if wrong.any():
        raise part.location(int(rows[np.argmax(wrong)])).error(
            "the atoms come in another order than in the first frame; their motion cannot be followed."
        )
    wrong = (frames.periodic != blocks.periodic).any(axis=1)
    if wrong.any():
        raise part.location(int(rows[np.argmax(wrong)])).error("other directions are periodic than in the first frame.")


def _for_rank(blocks: AtomBlocks, chunk, rank: int, size: int, first: int) -> tuple[int, dict, dict]:
    """What `rank` needs of a chunk: its first frame, and {block: (atoms, 3, frames)} of positions and of velocities."""

    def cut(values: np.ndarray | None) -> dict[int, np.ndarray]:
        if values is None:
            return {}
        return {
            number: np.ascontiguousarray(values[:, blocks[number].atoms].transpose(1, 2, 0))
            for number in range(rank, len(blocks), size)
        }

    return first, cut(chunk[0]), cut(chunk[1])


def _store(target: ArraysInMemory | ArraysInFile, frame: int, parts: dict[int, np.ndarray]) -> None:
    for number, values in parts.items():
        target.add(number, frame, values)


def _mean_cell(cells: list[list[tuple[int, np.ndarray]]]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean over frames, in their order, and `flips` of the cell, which are undone in the mean."""
    parts = sorted((part for gathered in cells for part in gathered if len(part[1])), key=lambda part: part[0])
    if not parts:
        raise DataError("there are no frames")
    all_cells = np.concatenate([part for _, part in parts])
    flipped = flips(all_cells)
    return (all_cells if flipped is None else flipped @ all_cells).mean(axis=0), flipped


def map_blocks(
    session: Session,
    blocks: AtomBlocks,
    work: Callable[[int], T],
    first: int = 0,
    between: Callable[[bool], None] = lambda more: None,
) -> Iterator[tuple[AtomBlock, T]]:
    """work(block number) on the rank that has it; on root, results in the order of blocks from `first` on.

    One block of each rank at a time, and after these `between(whether there are more)` on all ranks.
    """
    count = len(blocks)
    for start in range(first - first % session.size, count, session.size):
        number = start + session.rank
        gathered = session.gather(work(number) if first <= number < count else None)
        for number, result in enumerate(gathered or [], start=start):
            if first <= number < count:
                yield blocks[number], result
        between(start + session.size < count)
