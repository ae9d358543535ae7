"""alpha.h5 while it is being computed: preallocated, with a mark for each finished batch.

A kill at any moment leaves a readable file (rows first, then the mark, each flushed), and any number of ranks can go on
from it. It carries the name alpha.partial.h5 until every batch is there.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.errors import DataError
from mlraman_hpc.schema.store import Origin, seal

KIND = "polarizability"
_VALUE = "observables/polarizability/value"
_SPECIES = "observables/polarizability_by_species/value"
_MEMBERS = "observables/polarizability_committee/value"
_OUTLIERS = "observables/outliers/value"


class AlphaFile:
    """The partial file; rows are written by frame number within the selection."""

    def __init__(self, file: h5py.File):
        self._file = file
        self._pending: list[int] = []

    @classmethod
    def create(cls, path: Path, *, steps, times, species: tuple[str, ...], members: int, batches: int,
               key: str) -> AlphaFile:
        frames = len(steps)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = h5py.File(path, "w")
            _lay_out(file, steps, times, species)
            _allocate(file, _VALUE, (frames, 3, 3), "Angstrom^3")
            _allocate(file, _SPECIES, (frames, len(species), 3, 3), "Angstrom^3")
            _allocate(file, _OUTLIERS, (frames,), "1", np.int32)
            if members:
                _allocate(file, _MEMBERS, (frames, members, 3, 3), "Angstrom^3")
            file.attrs["key"] = key
            _allocate(file, "done", (batches,), "1", np.int8)
            file.flush()
        return cls(file)

    @classmethod
    def resume(cls, path: Path, key: str) -> AlphaFile | None:
        """The partial file of the same calculation; None if there is none, DataError if it is of another one."""
        if not path.exists():
            return None
        try:
            file = h5py.File(path, "r+")
            found = str(file.attrs["key"])
            file["done"][:]
        except (OSError, KeyError):
            raise DataError(f"{path}: the interrupted prediction cannot be read; remove the file or use --force to "
                            "start anew") from None
        if found != key:
            file.close()
            raise DataError(f"{path}: an interrupted prediction with another deck, model or trajectory; go on with "
                            "those, or use --force to drop it and start anew")
        return cls(file)

    @property
    def done(self) -> np.ndarray:
        """(batches,) bool"""
        return self._file["done"][:].astype(bool)

    def write(self, batch: int, rows: slice, shares: np.ndarray, members: np.ndarray | None,
              outliers: np.ndarray) -> None:
        """Rows of one batch; `shares` (frames, species, 3, 3), `members` (frames, members, 3, 3)."""
        with _writing(self._file.filename):
            self._file[_VALUE][rows] = shares.sum(axis=1)
            self._file[_SPECIES][rows] = shares
            self._file[_OUTLIERS][rows] = outliers
            if members is not None:
                self._file[_MEMBERS][rows] = members
        self._pending.append(batch)

    def commit(self) -> None:
        """Make what was written since the last commit count: data to disk before the marks."""
        with _writing(self._file.filename):
            self._file.flush()
            for batch in self._pending:
                self._file["done"][batch] = 1
            self._file.flush()
        self._pending = []

    def outliers(self) -> np.ndarray:
        return self._file[_OUTLIERS][:]

    def finish(self, path: Path, origin: Origin) -> None:
        """Seal the complete file and give it its final name."""
        partial = Path(self._file.filename)
        with _writing(partial):
            seal(self._file, KIND, origin)
            self._file.close()
            os.replace(partial, path)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}; check the deck's 'output', free space "
                        "and quota") from None


def _lay_out(file: h5py.File, steps, times, species) -> None:
    """H5MD 1.1: root group, and one step and time shared by all observables."""
    root = file.create_group("h5md")
    root.attrs["version"] = np.array([1, 1], dtype=np.int32)
    root.create_group("author").attrs["name"] = "unknown"
    root.create_group("creator").attrs.update(name="mlraman_hpc", version=__version__)
    main = file.create_group("observables/polarizability")
    main.create_dataset("step", data=steps).attrs["unit"] = "1"
    main.create_dataset("time", data=times).attrs["unit"] = "fs"
    for name in ("polarizability_by_species", "polarizability_committee", "outliers"):
        group = file.create_group(f"observables/{name}")
        group["step"], group["time"] = main["step"], main["time"]
    names = file["observables/polarizability_by_species"].create_dataset(
        "species", data=np.array(species, dtype=h5py.string_dtype()))
    names.attrs["unit"] = "1"


def _allocate(file: h5py.File, path: str, shape, unit: str, dtype=np.float64) -> None:
    """Space taken at once, so that a full disk shows before the work and later writes move no metadata."""
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    fill = np.nan if dtype == np.float64 else 0
    file.create_dataset(path, shape=shape, dtype=dtype, fillvalue=fill, dcpl=early).attrs["unit"] = unit
