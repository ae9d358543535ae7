"""trajectory.h5: a trajectory as H5MD 1.1, written frame by frame.

Positions in Angstrom, times in fs, cells as rows of lattice vectors; data are contiguous, so that any frame is one
seek away. Readable by MDAnalysis and whatever else knows H5MD.

HDF5 lays the file out while there is room for it for sure, since it crashes on a full disk; rows are then written as
plain bytes at their offsets. A CRC-32 of each block lets a reader verify just what it reads (base.checksums).
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base import checksums
from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError, first_line
from mlraman_hpc.records.fields import Record
from mlraman_hpc.storage.hdf5 import seal
from mlraman_hpc.storage.provenance import Origin, hash_of

_GROUP = "particles/trajectory"
ROWS = {name: f"{_GROUP}/{name}/value" for name in ("position", "velocity", "box/edges")}
ROOM = 1 << 20  # bytes for what HDF5 writes beside the numbers


class ConvertedTrajectory(Record, file_name="trajectory.h5", kind="trajectory"):
    """What `mlraman convert` writes: H5MD, which the readers of trajectories read."""


class TrajectoryFile:
    """Space is taken at once; rows are written in any order."""

    def __init__(
        self,
        path: Path,
        *,
        numbers: np.ndarray,
        periodic: np.ndarray,
        steps: np.ndarray,
        times: np.ndarray | None,
        velocities: bool,
        target: Path | None = None,
    ):
        """`target` is the name that the file at `path` gets in the end, for messages."""
        self._path, self._target = Path(path), target or path
        size = 8 * len(steps) * (3 * len(numbers) * (2 if velocities else 1) + 9 + 2)
        try:
            reserve(self._path, size + ROOM)
            self._lay_out(numbers, periodic, steps, times, velocities)
            reserve(self._path, os.path.getsize(self._path))
            self._offsets = offsets(self._path)
            self._handle = os.open(self._path, os.O_RDWR)
        except (OSError, RuntimeError) as error:
            raise self._problem(error) from None

    def _lay_out(self, numbers, periodic, steps, times, velocities) -> None:
        with h5py.File(self._path, "w", locking=False) as self._file:
            self._groups(numbers, periodic, steps, times, velocities)

    def _groups(self, numbers, periodic, steps, times, velocities) -> None:
        root = self._file.create_group("h5md")
        root.attrs["version"] = np.array([1, 1], dtype=np.int32)
        root.create_group("author").attrs["name"] = "unknown"
        root.create_group("creator").attrs.update(name="mlraman_hpc", version=__version__)
        self._group = self._file.create_group(_GROUP)
        kinds = {ELEMENTS[number]: int(number) for number in np.unique(numbers)}
        species = self._group.create_dataset("species", data=numbers, dtype=h5py.enum_dtype(kinds, basetype="i4"))
        species.attrs["unit"] = "1"
        shape = (len(steps), len(numbers), 3)
        self._element("position", shape, "Angstrom", steps, times)
        if velocities:
            self._element("velocity", shape, "Angstrom fs-1")
        box = self._group.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic" if flag else "none" for flag in periodic]
        if periodic.any():
            self._element("box/edges", (len(steps), 3, 3), "Angstrom")

    def _element(self, name: str, shape: tuple, unit: str, steps=None, times=None) -> None:
        group = self._group.require_group(name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # a full disk shows before the work
        group.create_dataset("value", shape=shape, dtype=np.float64, dcpl=early).attrs["unit"] = unit
        if steps is not None:
            group.create_dataset("step", data=steps).attrs["unit"] = "1"
            if times is not None:
                group.create_dataset("time", data=times).attrs["unit"] = "fs"
            return
        main = self._group["position"]  # all elements share one step and one time
        for key in ("step", "time"):
            if key in main:
                group[key] = main[key]

    def write(self, rows: slice, positions: np.ndarray, cells: np.ndarray, velocities: np.ndarray | None) -> None:
        """positions and velocities (rows, atoms, 3) Angstrom and Angstrom/fs, cells (rows, 3, 3) Angstrom."""
        columns = {"position": positions, "velocity": velocities, "box/edges": cells}
        try:
            for name, (offset, row_bytes) in self._offsets.items():
                if columns[name] is not None:
                    write_at(self._handle, columns[name], offset + rows.start * row_bytes)
        except OSError as error:
            raise self._problem(error) from None

    def finish(self, origin: Origin) -> None:
        """Seal and close it, with its checksums; every row has been written."""
        self.seal(origin)
        add_checksums(self._path)

    def seal(self, origin: Origin) -> None:
        """Close it, without checksums; the content's hash is that of its origin, so that nothing is read again."""
        try:
            os.close(self._handle)
            with open(self._path, "ab") as file:
                file.write(bytes(ROOM))  # HDF5 would crash where there is none
            with h5py.File(self._path, "r+", locking=False) as file:
                seal(file, ConvertedTrajectory, origin, hash_of(origin.key))
        except (OSError, RuntimeError) as error:
            raise self._problem(error) from None

    def _problem(self, error: Exception) -> DataError:
        what = getattr(error, "strerror", None) or first_line(error)
        return DataError(f"{self._target}: cannot be written: {what}; check free space and quota")


def add_checksums(path: Path) -> None:
    """To a complete file; every number must be there."""
    checksums.append(path, extents(path))


def extents(path: Path) -> list[tuple[int, int]]:
    """(offset, bytes) of the numbers of all frames."""
    with h5py.File(path, "r", locking=False) as file:
        datasets = [file[name].id for name in ROWS.values() if name in file]
        return [(data.get_offset(), data.get_storage_size()) for data in datasets]


def offsets(path: Path) -> dict[str, tuple[int, int]]:
    """{name in ROWS: offset of the first row, bytes of a row}."""
    with h5py.File(path, "r", locking=False) as file:
        return {
            name: (file[inside].id.get_offset(), 8 * int(np.prod(file[inside].shape[1:], dtype=np.int64)))
            for name, inside in ROWS.items()
            if inside in file
        }


def write_at(handle: int, values: np.ndarray, offset: int) -> None:
    """Numbers as float64 to a place in a file; OSError where the disk is full."""
    data = memoryview(np.ascontiguousarray(values, dtype=np.float64)).cast("B")
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def reserve(path: Path, size: int) -> None:
    """The disk has this much space for the file; OSError where not. Its content, if any, stays."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(handle, 0, max(1, size))
    finally:
        os.close(handle)
