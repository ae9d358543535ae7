"""trajectory.h5: a trajectory as H5MD 1.1, written frame by frame.

Positions in Angstrom, times in fs, cells as rows of lattice vectors; data are contiguous, so that any frame is one
seek away. Readable by MDAnalysis and whatever else knows H5MD.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.records.fields import Record
from mlraman_hpc.storage.hdf5 import seal
from mlraman_hpc.storage.provenance import Origin, hash_of

_GROUP = "particles/trajectory"


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
    ):
        self._file = h5py.File(path, "w")
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
        try:
            self._group["position/value"][rows] = positions
            if velocities is not None:
                self._group["velocity/value"][rows] = velocities
            if "box/edges" in self._group:
                self._group["box/edges/value"][rows] = cells
        except OSError as error:
            raise DataError(f"{self._file.filename}: cannot be written: {error}; check free space and quota") from None

    def finish(self, origin: Origin) -> None:
        """Seal and close it; the content's hash is that of its origin, so that nothing is read again."""
        seal(self._file, ConvertedTrajectory, origin, hash_of(origin.key))
        self._file.close()
