"""ASE .traj files, through ASE's own reader, which seeks to a frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import Configuration, FrameLocation, Warn, reading_errors
from mlraman_hpc.readers.trajectory.base import BinaryFormat, FileIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable

KIND = "an ASE trajectory"


class AseTrajectory(BinaryFormat):
    name = "ase-traj"
    file_names = r"\.traj$"
    needs = ("cell", "frame_interval")

    def recognises(self, start: bytes) -> bool:
        return start.startswith(b"- of Ulm")

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        with reading_errors(name, KIND), _opened(path) as file:
            declared = len(file)
            frames = _complete_frames(file, declared)
            if not frames:
                raise DataError(f"{name}: no complete frame.")
            first = file[0]
            numbers = np.array(first.numbers)
            masses = np.array(first.get_masses()) if first.has("masses") else None
        if not np.isin(numbers, np.arange(1, 119)).all():
            raise FrameLocation(name, 0, 0).error("an atomic number is not that of an element.")
        if frames < declared:
            warn(f"{name}: {declared - frames} of {declared} frames are cut off; the {frames} before them are used.")
        table.extend_numbered(frames, len(numbers))
        return FileIndex(table.finish(), numbers, masses=masses)

    def read_file(
        self,
        path: str,
        rows: np.ndarray,
        location: Callable[[int], FrameLocation],
        numbers: np.ndarray,
        velocities: bool,
    ) -> list[Configuration]:
        """Velocities in ASE's unit."""
        configurations = []
        with reading_errors(location(0).file, KIND), _opened(path) as file:
            for k, row in enumerate(rows):
                atoms = file[int(row)]
                if not np.isfinite(atoms.positions).all() or not np.isin(atoms.numbers, np.arange(1, 119)).all():
                    raise location(k).error("a position is not a number, or an atomic number not that of an element.")
                periodic = np.array(atoms.pbc, dtype=bool)
                configurations.append(
                    Configuration(
                        atoms.positions,
                        atoms.numbers,
                        atoms.cell.array * periodic[:, None],
                        periodic,
                        atoms.get_velocities() if velocities and atoms.has("momenta") else None,
                    )
                )
        return configurations


FORMAT = AseTrajectory()


@contextmanager
def _opened(path: str):
    from ase.io.trajectory import TrajectoryReader  # here, for all ranks pay for the import

    with open(path, "rb") as content, TrajectoryReader(content) as file:
        yield file


def _complete_frames(file, frames: int) -> int:
    """Frames before the first that the file does not hold to its end; frames lie one after another."""
    low, high = 0, frames
    while low < high:
        middle = high - 1 if low == 0 and high == frames else (low + high) // 2
        if _is_complete(file, middle):
            low = middle + 1
        else:
            high = middle
    return low


def _is_complete(file, frame: int) -> bool:
    try:
        with reading_errors("", KIND):
            return bool(np.isfinite(file[frame].positions).all())
    except DataError:
        return False
