"""ASE .traj files, through ASE's own reader, which seeks to a frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import FileIndex, FrameLocation, Warn, reading_errors

KIND = "an ASE trajectory"


def scan(path: str, name: str, table: dict[str, int], warn: Warn) -> FileIndex:
    """How many frames there are. Errors: DataError for damaged files."""
    with reading_errors(name, KIND), _opened(path) as file:
        declared = len(file)
        frames = _complete(file, declared)
        if not frames:
            raise DataError(f"{name}: no complete frame.")
        numbers = np.array(file[0].numbers)
    if not np.isin(numbers, np.arange(1, 119)).all():
        raise FrameLocation(name, 0, 0).error("an atomic number is not that of an element.")
    if frames < declared:
        warn(f"{name}: {declared - frames} of {declared} frames are cut off; the {frames} before them are used.")
    return FileIndex.counted(frames, numbers)


@contextmanager
def _opened(path: str):
    from ase.io.trajectory import TrajectoryReader  # here, for all ranks pay for the import

    with open(path, "rb") as content, TrajectoryReader(content) as file:
        yield file


def _complete(file, frames: int) -> int:
    """Frames before the first that the file does not hold to its end; frames lie one after another."""
    low, high = 0, frames
    while low < high:
        middle = high - 1 if low == 0 and high == frames else (low + high) // 2
        if _is_there(file, middle):
            low = middle + 1
        else:
            high = middle
    return low


def _is_there(file, frame: int) -> bool:
    try:
        with reading_errors("", KIND):
            return bool(np.isfinite(file[frame].positions).all())
    except DataError:
        return False


def read(path: str, rows: np.ndarray, place: Callable[[int], FrameLocation], numbers: np.ndarray) -> list[tuple]:
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of each row; place(k) names the k-th for messages."""
    parts = []
    for k, atoms in _atoms(path, rows, place):
        if not np.isfinite(atoms.positions).all() or not np.isin(atoms.numbers, np.arange(1, 119)).all():
            raise place(k).error("a position is not a number, or an atomic number not that of an element.")
        periodic = np.array(atoms.pbc, dtype=bool)
        parts.append((atoms.positions, atoms.numbers, atoms.cell.array * periodic[:, None], periodic))
    return parts


def velocities(path: str, rows: np.ndarray, place: Callable[[int], FrameLocation]) -> list[np.ndarray] | None:
    """(atoms, 3) of each row in ASE's unit, or None where a frame has none."""
    found = [atoms.get_velocities() if atoms.has("momenta") else None for _, atoms in _atoms(path, rows, place)]
    return None if any(one is None for one in found) else found


def _atoms(path: str, rows: np.ndarray, place: Callable[[int], FrameLocation]):
    name = place(0).file if len(rows) else path
    with reading_errors(name, KIND), _opened(path) as file:
        for k, row in enumerate(rows):
            yield k, file[int(row)]
