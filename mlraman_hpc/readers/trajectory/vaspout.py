"""VASP vaspout.h5: the structure of every ionic step.

Names in the file: https://www.vasp.at/py4vasp/latest/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.readers.text import (
    Configuration,
    FrameLocation,
    Warn,
    atomic_number,
    consecutive_slices,
    reading_errors,
)
from mlraman_hpc.readers.trajectory.base import BinaryFormat, FileIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")
KIND = "a vaspout.h5"
STEPS, _TYPES = "intermediate/ion_dynamics", "results/positions"


class Vaspout(BinaryFormat):
    name = "vaspout"
    file_names = r"vaspout.*\.h5"
    needs = ("frame_interval",)

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError for a file without structures."""
        with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
            numbers = elements(file, name)
            frames = complete_frames(file, len(numbers), name, warn)
            interval = _time_step(file)
        table.extend_numbered(frames, len(numbers), lambda rows: {"time": (interval or 0.0) * rows})
        return FileIndex(table.finish(), numbers, has_times=interval is not None)

    def read_file(
        self,
        path: str,
        rows: np.ndarray,
        location: Callable[[int], FrameLocation],
        numbers: np.ndarray,
        velocities: bool,
    ) -> list[Configuration]:
        return [Configuration(*fields) for fields in read(path, rows, location, numbers)]


FORMAT = Vaspout()


def read(path: str, rows: np.ndarray, location: Callable[[int], FrameLocation], numbers: np.ndarray) -> list[tuple]:
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of each row; location(k) names the k-th for messages."""
    with reading_errors(location(0).file, KIND), h5py.File(path, "r", locking=False) as file:
        steps = file[STEPS]
        cells = [_scaled(file, STEPS) * steps["lattice_vectors"][part] for part in consecutive_slices(rows)]
        fractional = [steps["position_ions"][part] for part in consecutive_slices(rows)]
    cells, fractional = np.concatenate(cells), np.concatenate(fractional)
    for k in np.flatnonzero(~np.isfinite(fractional).all(axis=(1, 2)))[:1]:
        raise location(int(k)).error("a position is not a number.")
    return [(frame @ cell, numbers, cell, np.ones(3, bool)) for frame, cell in zip(fractional, cells)]


def complete_frames(file: h5py.File, atoms: int, name: str, warn: Warn) -> int:
    """Number of complete structures. Errors: DataError without any, or where shapes do not fit."""
    shape, cells = file[f"{STEPS}/position_ions"].shape, file[f"{STEPS}/lattice_vectors"]
    if len(shape) != 3 or shape[1:] != (atoms, 3) or cells.shape[1:] != (3, 3):
        raise DataError(
            f"{name}: positions of shape {shape} and cells of shape {cells.shape} do not fit {atoms} atoms."
        )
    frames = min(shape[0], len(cells))
    while frames and not np.any(cells[frames - 1]):
        frames -= 1
    if frames < shape[0]:
        warn(f"{name}: the last {shape[0] - frames} of {shape[0]} steps are not complete; they are left out.")
    if not frames:
        raise DataError(f"{name}: no complete structure.")
    return frames


def elements(file: h5py.File, name: str) -> np.ndarray:
    """(atoms,) atomic numbers."""
    labels = [decoded(label).split("_")[0] for label in file[f"{_TYPES}/ion_types"][()]]
    counts = np.asarray(file[f"{_TYPES}/number_ion_types"][()])
    numbers = [atomic_number(label, {}) for label in labels]
    if None in numbers or len(numbers) != len(counts) or not (counts > 0).all() or counts.sum() > 1 << 24:
        raise DataError(f"{name}: elements {', '.join(labels)} with counts {counts.tolist()} make no sense.")
    return np.repeat(numbers, counts)


def decoded(value) -> str:
    """A string of the file, which may be bytes."""
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip()


def _scaled(file: h5py.File, group: str) -> float:
    return float(file[f"{group}/scale"][()]) if f"{group}/scale" in file else 1.0


def _setting(file: h5py.File, label: str):
    return file[f"input/incar/{label}"][()] if f"input/incar/{label}" in file else None


def _time_step(file: h5py.File) -> float | None:
    """fs between structures: POTIM, where each step of the dynamics is written."""
    potim = _setting(file, "POTIM")
    if potim is None or _setting(file, "IBRION") != 0 or _setting(file, "NBLOCK") not in (None, 1):
        return None
    return None if _setting(file, "ML_LMLFF") else float(potim) or None
