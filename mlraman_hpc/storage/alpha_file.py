"""alpha.h5 while it is being computed: preallocated, with a mark for each finished batch.

HDF5 lays the file out once; from then on rows and marks are written as plain bytes at their offsets, rows first. So a
kill at any moment leaves a readable file, a full disk is an ordinary error, and any number of ranks can continue it. It
carries the name alpha.partial.h5 until every batch is there. Every row has a CRC-32 of its own meanwhile, and all bytes
that are not written to any more have checksums at the end (base.checksums), so that damage is found when it goes on.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base import checksums
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.storage.checkpoint import bind, check_same, reading
from mlraman_hpc.storage.hdf5 import opened, seal
from mlraman_hpc.storage.provenance import Origin

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")

Column = Callable[[slice], np.ndarray]
_VALUE = "observables/polarizability/value"
_SPECIES = "observables/polarizability_by_species/value"
_MEMBERS = "observables/polarizability_committee/value"
_OUTLIERS = "observables/outliers/value"
_CELL = "observables/cell/value"
_STEP, _TIME = "observables/polarizability/step", "observables/polarizability/time"
_DONE = "done"
_CHECKSUM = "checksum"  # (frames,) of the partial file alone: CRC-32 of a frame's row of every dataset
_ROWS = (_VALUE, _SPECIES, _OUTLIERS, _MEMBERS, _CELL)
_CHUNK = 1 << 20  # bytes that are written or read together
_ATTRIBUTES = 1 << 20  # bytes reserved for the attributes of the finished file


@dataclass(frozen=True)
class _Extent:
    """Where the bytes of a dataset are in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def bytes(self) -> int:
        return self.row_bytes * self.shape[0]


class AlphaFile:
    """The partial file; rows are written by frame number within the selection."""

    def __init__(self, path: Path):
        self._path = Path(path)
        self._extents = _extents_in(self._path)
        with _writing(self._path):
            self._handle = checksums.open_regular(self._path, os.O_RDWR)
        self._body = sealed.size if (sealed := checksums.read(self._handle)) else os.fstat(self._handle).st_size
        self._pending: list[slice] = []

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        frames: int,
        steps: Column,
        times: Column,
        species: tuple[str, ...],
        members: int,
        batches: int,
        origin: Origin,
        cells: bool = False,
    ) -> AlphaFile:
        """`steps` and `times` (fs) give the values of a slice of frames.

        Without `species` the file has no shares of species, and no outliers; lattice vectors only with `cells`.
        """
        with atomic_write(path) as temporary:
            temporary.write_bytes(bytes(_ATTRIBUTES))  # is there any space at all? HDF5 would crash
            with h5py.File(temporary, "w", locking=False) as file:
                _lay_out(file, species)
                _allocate(file, _STEP, (frames,), "1", np.int64)
                _allocate(file, _TIME, (frames,), "fs")
                _allocate(file, _VALUE, (frames, 3, 3), "Angstrom^3")
                if species:
                    _allocate(file, _SPECIES, (frames, len(species), 3, 3), "Angstrom^3")
                    _allocate(file, _OUTLIERS, (frames,), "1", np.int32)
                if members:
                    _allocate(file, _MEMBERS, (frames, members, 3, 3), "Angstrom^3")
                if cells:
                    _allocate(file, _CELL, (frames, 3, 3), "Angstrom")
                _allocate(file, _DONE, (batches,), "1", np.int8)
                _allocate(file, _CHECKSUM, (frames,), "1", np.uint32)
                _link_time(file, bool(species))
                bind(file, origin)
            _fill(temporary, {_STEP: steps, _TIME: times})
            growing = [item for name, item in _extents_in(temporary).items() if name not in (_STEP, _TIME)]
            checksums.append(temporary, [(item.offset, item.bytes) for item in growing], open_ranges=True)
        return cls(path)

    @classmethod
    def resume(cls, path: Path, origin: Origin, sections: tuple[str, ...]) -> AlphaFile | None:
        """The partial file of the same calculation; None if there is none, DataError if it is of another one.

        `sections` of the deck are compared to say what is different.
        """
        if not path.exists():
            return None
        check_same(path, origin, sections, "prediction")
        with reading(path, "prediction"):
            return cls(path)

    @property
    def done(self) -> np.ndarray:
        """(batches,) bool"""
        return self._read(_DONE).astype(bool)

    def forget(self, batches: np.ndarray) -> None:
        """These do not count as done any more."""
        for batch in batches:
            self._put(_DONE, int(batch), np.zeros(1, np.int8))
        os.fdatasync(self._handle)

    def whole(self, starts: np.ndarray) -> np.ndarray:
        """(batches,) bool: done, and its rows, starts[k] to starts[k + 1] of batch k, are those that were written."""
        damaged = np.zeros(len(starts) - 1, bool)
        for row in self._damaged_rows():
            damaged[np.searchsorted(starts, row, side="right") - 1] = True
        return self.done & ~damaged

    def _damaged_rows(self) -> Iterator[int]:
        """Rows that differ from their checksums; what was never written does too."""
        if _CHECKSUM not in self._extents:  # begun by a version without
            return
        known = self._read(_CHECKSUM)
        extents = [self._extents[name] for name in _ROWS if name in self._extents]
        rows = max(1, _CHUNK // max(extent.row_bytes for extent in extents))
        for start in range(0, len(known), rows):
            count = min(rows, len(known) - start)
            columns = [
                os.pread(self._handle, count * extent.row_bytes, extent.offset + start * extent.row_bytes)
                for extent in extents
            ]
            actual = _row_checksums([np.frombuffer(column, np.uint8).reshape(count, -1) for column in columns])
            yield from (int(row) for row in start + np.flatnonzero(actual != known[start : start + count]))

    def write(
        self,
        batches: slice,
        rows: slice,
        shares: np.ndarray | None,
        members: np.ndarray | None,
        outliers: np.ndarray | None,
        total: np.ndarray | None = None,
        cells: np.ndarray | None = None,
    ) -> None:
        """Rows of these batches; `shares` (frames, species, 3, 3), `members` (frames, members, 3, 3).

        total (frames, 3, 3): alpha where there are no shares, whose sum it is otherwise; cells (frames, 3, 3)
        """
        value = total if shares is None else shares.sum(axis=1)
        if _CELL in self._extents and cells is None:  # every row has its checksum
            cells = np.full((len(value), 3, 3), np.nan)
        given = {_VALUE: value, _SPECIES: shares, _OUTLIERS: outliers, _MEMBERS: members, _CELL: cells}
        columns = {
            name: np.ascontiguousarray(column, self._extents[name].dtype)
            for name, column in given.items()
            if column is not None and name in self._extents
        }
        for name, column in columns.items():
            self._put(name, rows.start, column)
        if _CHECKSUM in self._extents:
            raw = [columns[name].reshape(len(columns[name]), -1).view(np.uint8) for name in _ROWS if name in columns]
            self._put(_CHECKSUM, rows.start, _row_checksums(raw))
        self._pending.append(batches)

    def commit(self) -> None:
        """Make what was written since the last commit count: data to disk before the marks."""
        with _writing(self._path):
            os.fdatasync(self._handle)
        for batches in self._pending:
            self._put(_DONE, batches.start, np.ones(batches.stop - batches.start, np.int8))
        self._pending = []

    def count_outliers(self) -> tuple[int, int]:
        """Atoms outside the training range in all frames, and frames that have any; (0, 0) where it is not known."""
        if _OUTLIERS not in self._extents:
            return 0, 0
        extent, atoms, frames = self._extents[_OUTLIERS], 0, 0
        for start, count in _chunks(extent):
            data = os.pread(self._handle, count * extent.row_bytes, extent.offset + start * extent.row_bytes)
            outliers = np.frombuffer(data, extent.dtype)
            atoms, frames = atoms + int(outliers.sum()), frames + np.count_nonzero(outliers)
        return atoms, frames

    def finish(self, path: Path, origin: Origin) -> None:
        """A sealed copy gets the final name; until then the partial file stays as it is.

        Raises DataError where a batch is missing or a row is not what was written: another job works on the file.
        """
        if not self.done.all() or next(self._damaged_rows(), None) is not None:
            raise DataError(
                f"{self._path}: rows are missing or damaged although all were computed: another job wrote to it, or "
                "the disk is faulty; start the same command again, which computes those rows anew"
            )
        with atomic_write(path) as temporary:
            self._copy(temporary)
            with h5py.File(temporary, "r+", locking=False) as file:
                if _CHECKSUM in file:
                    del file[_CHECKSUM]
                seal(file, PolarizabilitySeries, origin)
            extents = _extents_in(temporary)
            checksums.append(
                temporary, [(extents[name].offset, extents[name].bytes) for name in _ROWS if name in extents]
            )
        if os.path.exists(self._path) and os.path.samestat(os.stat(self._path), os.fstat(self._handle)):
            self._path.unlink()
        self.close()

    def _copy(self, path: Path) -> None:
        """The HDF5 data of this very file, whatever has its name by now, and room for the attributes."""
        with open(path, "wb") as file:
            for start in range(0, self._body, _CHUNK):
                file.write(os.pread(self._handle, min(_CHUNK, self._body - start), start))
            file.write(bytes(_ATTRIBUTES))

    def close(self) -> None:
        os.close(self._handle)

    def _put(self, name: str, row: int, values: np.ndarray) -> None:
        extent = self._extents[name]
        with _writing(self._path):
            _write_at(self._handle, np.ascontiguousarray(values, extent.dtype), extent.offset + row * extent.row_bytes)

    def _read(self, name: str) -> np.ndarray:
        extent = self._extents[name]
        data = os.pread(self._handle, extent.bytes, extent.offset)
        return np.frombuffer(data, extent.dtype).reshape(extent.shape)


def read_outliers(where: Path) -> np.ndarray | None:
    """(frames,) atoms outside the training range, of a finished file or folder; None where it has no such numbers."""
    with opened(PolarizabilitySeries, where) as file:
        return file[_OUTLIERS][:] if _OUTLIERS in file else None


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; what was computed so far is kept. "
            "Check free space and quota, then start the same command again"
        ) from None


def _write_at(handle: int, values: np.ndarray, offset: int) -> None:
    data = memoryview(values).cast("B")
    while data:
        written = os.pwrite(handle, data[:_CHUNK], offset)
        data, offset = data[written:], offset + written


def _row_checksums(columns: list[np.ndarray]) -> np.ndarray:
    """(rows,) CRC-32; each column is (rows, bytes)."""
    joined = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return np.fromiter(map(zlib.crc32, joined), np.uint32, len(joined))


def _extents_in(path: Path) -> dict[str, _Extent]:
    with h5py.File(path, "r", locking=False) as file:
        names = [name for name in (*_ROWS, _STEP, _TIME, _DONE, _CHECKSUM) if name in file]
        extents = {name: _Extent(file[name].id.get_offset(), file[name].shape, file[name].dtype) for name in names}
    size = os.path.getsize(path)
    if any(extent.offset is None or extent.offset + extent.bytes > size for extent in extents.values()):
        raise ValueError("cut short")
    return extents


def _chunks(extent: _Extent) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each chunk of a dataset."""
    rows = max(1, _CHUNK // max(1, extent.row_bytes))
    for start in range(0, extent.shape[0], rows):
        yield start, min(rows, extent.shape[0] - start)


def _fill(path: Path, columns: dict[str, Column]) -> None:
    """Every byte is written now, so that a full disk shows before the work. What is not computed is not a number."""
    handle = os.open(path, os.O_RDWR)
    try:
        for name, extent in _extents_in(path).items():
            value = np.nan if extent.dtype.kind == "f" else 0
            for start, count in _chunks(extent):
                values = (
                    columns[name](slice(start, start + count))
                    if name in columns
                    else np.full((count, *extent.shape[1:]), value, extent.dtype)
                )
                _write_at(handle, np.ascontiguousarray(values, extent.dtype), extent.offset + start * extent.row_bytes)
    finally:
        os.close(handle)


def _lay_out(file: h5py.File, species) -> None:
    """H5MD 1.1: root group, and one step and time shared by all observables."""
    root = file.create_group("h5md")
    root.attrs["version"] = np.array([1, 1], dtype=np.int32)
    root.create_group("author").attrs["name"] = "unknown"
    root.create_group("creator").attrs.update(name="mlraman_hpc", version=__version__)
    if species:
        names = file.create_group("observables/polarizability_by_species").create_dataset(
            "species", data=np.array(species, dtype=h5py.string_dtype())
        )
        names.attrs["unit"] = "1"


def _link_time(file: h5py.File, species: bool) -> None:
    for name in ("polarizability_by_species", "polarizability_committee", "outliers", "cell"):
        if (species and name != "cell") or f"observables/{name}/value" in file:
            group = file.require_group(f"observables/{name}")
            group["step"], group["time"] = file[_STEP], file[_TIME]


def _allocate(file: h5py.File, path: str, shape, unit: str, dtype=np.float64) -> None:
    """Space in the file, still without content."""
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(path, shape=shape, dtype=dtype, dcpl=early).attrs["unit"] = unit
