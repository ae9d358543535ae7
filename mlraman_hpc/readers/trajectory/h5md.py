"""H5MD 1.1 trajectories: ours, MDAnalysis', pyh5md's, LAMMPS' and GPUMD's.

Specification: https://h5md.nongnu.org/h5md.html. `edges` are lengths or rows of lattice vectors, fixed or of every
frame; `step` and `time` are lists or a fixed increment; `image` counts the cells that a wrapped position has crossed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base import checksums
from mlraman_hpc.base.checksums import MARK, Checksums, Damaged
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
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
from mlraman_hpc.readers.unpacking import MOST_RATIO, SMALL

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")
KIND = "an H5MD file"
_LENGTHS = {
    "angstrom": 1.0,
    "a": 1.0,
    "å": 1.0,
    "ang": 1.0,
    "nm": 10.0,
    "pm": 0.01,
    "bohr": ANGSTROM_PER_BOHR,
    "a0": ANGSTROM_PER_BOHR,
    "um": 1e4,
    "m": 1e10,
}
_MASSES = ("u", "amu", "da", "dalton", "g/mol", "g mol-1")
_TIMES = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "us": 1e9, "s": 1e15, "femtosecond": 1.0, "picosecond": 1e3}


class H5md(BinaryFormat):
    name = "h5md"
    file_names = r"\.(h5|h5md|hdf5)$"
    needs = ("species", "cell", "frame_interval")

    def recognises(self, start: bytes) -> bool:
        return start.startswith(b"\x89HDF")

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError for files that hold no positions or no known elements."""
        marked = _verify(path, name)
        with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
            if MARK in file.attrs and not marked:
                raise DataError(f"{name}: damaged: its checksums are missing: it was changed or cut short.")
            group = _particles(file, name)
            group.visititems(lambda _, item: _check_stored(item, name))
            frames, atoms = _shape(group, name)
            position = group["position"]
            if not any(label in position["value"].attrs for label in ("unit", "units")):
                warn(f"{name}: the positions have no unit; they are read as Angstrom.")
            _length_unit(position["value"], name)
            order = _order(group, slice(0, 1), atoms, FrameLocation(name, 0, 0))[0]
            numbers, masses = _numbers(group, atoms, atom_types, name)[order], _masses(group, atoms)
            has_steps, fs = "step" in position, _fs_per_time(position)

            def columns(rows: np.ndarray) -> dict[str, np.ndarray]:
                values: dict[str, np.ndarray] = {}
                if has_steps:
                    values["step"] = np.round(_series(position["step"], "step", rows, frames, name)).astype(np.int64)
                if fs is not None:
                    values["time"] = _series(position["time"], "time", rows, frames, name) * fs
                return values

            table.extend_numbered(frames, atoms, columns)
        return FileIndex(
            table.finish(),
            numbers,
            masses=None if masses is None else masses[order],
            has_steps=has_steps,
            has_times=fs is not None,
        )

    def read_file(
        self,
        path: str,
        rows: np.ndarray,
        location: Callable[[int], FrameLocation],
        numbers: np.ndarray,
        velocities: bool,
    ) -> list[Configuration]:
        name = location(0).file
        configurations: list[Configuration] = []
        with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
            group = _particles(file, name)
            for run in consecutive_slices(rows):
                _verify_rows(path, name, group, run)
                first = location(len(configurations))
                configurations += _read_run(group, run, name, first, numbers, velocities)
        return configurations


FORMAT = H5md()


def _verify(path: str, name: str) -> bool:
    """Whether a file has checksums, those of its frames excepted; DataError where they do not hold."""
    try:
        with checksums.opened(path) as handle:
            return checksums.check(handle, every_block=False) is not None
    except Damaged as error:
        raise DataError(f"{name}: damaged: {error}.") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}.") from None


def _verify_rows(path: str, name: str, group: h5py.Group, run: slice) -> None:
    """The bytes of these frames are those that were written, where the file says so; DataError."""
    with checksums.opened(path) as handle:
        status = os.fstat(handle)
        checksums_of_file, known = _known(path, status.st_ino, status.st_size, status.st_mtime_ns)
        if checksums_of_file is None:
            return
        for inside in ("position/value", "velocity/value", "box/edges/value"):
            offset = group[inside].id.get_offset() if inside in group else None
            if offset is not None:
                size = group[inside].id.get_storage_size() // len(group[inside])
                try:
                    checksums_of_file.check_blocks(handle, offset + run.start * size, offset + run.stop * size, known)
                except Damaged as error:
                    raise DataError(f"{name}: frames {run.start} to {run.stop - 1} are damaged: {error}.") from None


@functools.lru_cache(maxsize=8)
def _known(path: str, inode: int, size: int, changed: int) -> tuple[Checksums | None, set[int]]:
    """Checksums of a file, and a set of the blocks that were verified."""
    with checksums.opened(path) as handle:
        return checksums.read(handle), set()


def _read_run(
    group: h5py.Group, run: slice, name: str, location: FrameLocation, numbers: np.ndarray, velocities: bool
) -> list[Configuration]:
    """Consecutive frames; `location` is the first one's."""
    dataset = group["position/value"]
    factor, order = _length_unit(dataset, name), _order(group, run, len(numbers), location)
    cells, periodic = _cells(group, run, name, factor)
    positions = dataset[run] * factor
    if "image" in group:
        positions = positions + _images(group, run, positions.shape) @ cells
    if not np.isfinite(positions).all():
        raise location.error("a position in this or the next frames is not a number.")
    has_velocities = velocities and "velocity/value" in group and group["velocity/value"].shape == dataset.shape
    velocity = group["velocity/value"][run] if has_velocities else [None] * len(positions)
    return [
        Configuration(
            frame[rows], numbers, cell * periodic[:, None], periodic, None if moving is None else moving[rows]
        )
        for frame, rows, cell, moving in zip(positions, order, cells, velocity)
    ]


def _particles(file: h5py.File, name: str) -> h5py.Group:
    """The group with positions; 'trajectory' or 'all' where there are several."""
    groups = file.get("particles", {})
    candidates = [key for key in groups if "position/value" in groups[key]]
    wanted = candidates if len(candidates) == 1 else [key for key in candidates if key in ("trajectory", "all")]
    if len(wanted) != 1:
        raise DataError(
            f"{name}: needed: one group 'particles/.../position/value'; found "
            f"{', '.join(candidates) or 'none'}. Is it an H5MD trajectory?"
        )
    return groups[wanted[0]]


def _check_stored(item: h5py.Group | h5py.Dataset, name: str) -> None:
    """DataError for a dataset that says far more numbers than the file holds: reading it could take any memory."""
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return
    if item.size and item.size * item.dtype.itemsize > max(SMALL, MOST_RATIO * item.id.get_storage_size()):
        raise DataError(
            f"{name}: '{item.name}' says that its shape is {item.shape}, for which the file has no room. It is "
            "damaged, still being written, or something else."
        )


def _shape(group: h5py.Group, name: str) -> tuple[int, int]:
    shape = group["position/value"].shape
    if len(shape) != 3 or shape[2] != 3 or not shape[0] or not shape[1]:
        raise DataError(f"{name}: positions of shape {shape}; needed: (frames, atoms, 3) with at least one frame.")
    return shape[0], shape[1]


# units


def _unit(dataset: h5py.Dataset) -> str | None:
    value = dataset.attrs.get("unit", dataset.attrs.get("units"))
    if value is None:
        return None
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return value.strip()


def _length_unit(dataset: h5py.Dataset, name: str) -> float:
    """Angstrom per unit of length, which may have a number before it ('0.001 Angstrom'); without one, Angstrom."""
    unit = _unit(dataset)
    if unit is None:
        return 1.0
    *numbers, word = unit.split() or [""]
    try:
        factor = float(np.prod([float(number) for number in numbers]))
    except ValueError:
        factor = np.nan
    if not (np.isfinite(factor) and factor > 0) or word.lower() not in _LENGTHS:
        raise DataError(
            f"{name}: positions in '{unit}'; known units are Angstrom, nm, pm, bohr, also with a number before them."
        )
    return factor * _LENGTHS[word.lower()]


def _fs_per_time(group: h5py.Group) -> float | None:
    """None where the file has no times or does not say in which unit."""
    return _TIMES.get((_unit(group["time"]) or "").lower()) if "time" in group else None


def _series(dataset: h5py.Dataset, label: str, rows: np.ndarray, frames: int, name: str) -> np.ndarray:
    """The values of consecutive rows of a list, or of a fixed increment and its offset."""
    if dataset.shape == ():
        offset = float(np.asarray(dataset.attrs.get("offset", 0)).reshape(-1)[0])
        values = offset + np.asarray(dataset[()], dtype=float) * rows
    else:
        values = np.asarray(dataset[rows[0] : rows[-1] + 1], dtype=float)
    fits = dataset.shape in ((), (frames,)) and np.isfinite(values).all() and np.abs(values).max() <= 1e15
    if not fits:
        raise DataError(
            f"{name}: '{label}' of shape {dataset.shape} does not fit {frames} frames, or holds what is no number."
        )
    return values


# atoms


def _order(group: h5py.Group, run: slice, atoms: int, location: FrameLocation) -> list:
    """Which row of the file each atom has, by `id` where it is there."""
    if "id/value" not in group:
        return [slice(None)] * (run.stop - run.start)
    ids = group["id/value"][run]
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    if ids.shape[1] != atoms or (np.diff(ranked, axis=1) <= 0).any() or (ranked < 0).any():
        raise location.error("an atom's id is missing or listed twice, here or in one of the next frames.")
    return list(order)


def _numbers(group: h5py.Group, atoms: int, atom_types: dict[str, int], name: str) -> np.ndarray:
    """Atomic numbers from `species`, or from trajectory.species: of types, or of all atoms in order."""
    dataset = next(
        (group[key] for key in ("species", "species/value") if key in group and isinstance(group[key], h5py.Dataset)),
        None,
    )
    if dataset is None:
        if len(atom_types) != atoms:
            raise DataError(
                f"{name}: the file names no species; give the element of each of the {atoms} atoms in "
                f"trajectory.species, in order; found {len(atom_types)}."
            )
        return np.array([atom_types[str(k + 1)] for k in range(atoms)])
    values = dataset[()]
    values = values[0] if values.ndim == 2 else values
    if values.shape != (atoms,):
        raise DataError(f"{name}: species of shape {values.shape} for {atoms} atoms.")
    return _elements(values, dataset, atom_types, name)


def _masses(group: h5py.Group, atoms: int) -> np.ndarray | None:
    """(atoms,) u, fixed or of the first frame; None without, or in another unit."""
    dataset = group.get("mass")
    dataset = dataset.get("value") if isinstance(dataset, h5py.Group) else dataset
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu" or not dataset.size:
        return None
    if (_unit(dataset) or "u").lower() not in _MASSES:
        return None
    values = np.asarray(dataset[0] if dataset.ndim == 2 else dataset[()], dtype=float)
    return values if values.shape == (atoms,) and np.isfinite(values).all() else None


def _elements(values: np.ndarray, dataset: h5py.Dataset, atom_types: dict[str, int], name: str) -> np.ndarray:
    """Names, an enumeration of names, types of trajectory.species, or atomic numbers where that key is not given."""
    names = {number: label for label, number in (h5py.check_enum_dtype(dataset.dtype) or {}).items()}
    kinds, inverse = np.unique(values, return_inverse=True)
    labels = [
        kind.decode("utf-8", "replace") if isinstance(kind, bytes) else str(names.get(kind, kind))
        for kind in kinds.tolist()
    ]
    numbers = [atomic_number(label, atom_types) for label in labels]
    if None in numbers and not atom_types and values.dtype.kind in "iu":
        if _unit(dataset) != "atomic number":
            raise DataError(
                f"{name}: species are the types {', '.join(labels[:20])}; give the elements of types 1, 2, "
                "... in trajectory.species."
            )
        numbers = [int(kind) if 0 < kind < 119 else None for kind in kinds]
    if None in numbers:
        raise DataError(
            f"{name}: no element is known for species {labels[numbers.index(None)]}; complete trajectory.species."
        )
    return np.array(numbers)[inverse.reshape(-1)]


# cells


def _cells(group: h5py.Group, run: slice, name: str, length: float) -> tuple[np.ndarray, np.ndarray]:
    """(frames, 3, 3) Angstrom and periodic (3,) of a run of frames."""
    frames, box = run.stop - run.start, group.get("box")
    if box is None or "edges" not in box:
        return np.zeros((frames, 3, 3)), np.zeros(3, bool)
    edges = box["edges"]
    dataset = edges["value"] if isinstance(edges, h5py.Group) else edges
    factor = _length_unit(dataset, name) if _unit(dataset) else length
    fixed = dataset.shape in ((3,), (3, 3)) and not isinstance(edges, h5py.Group)
    if not fixed and (dataset.shape[1:] not in ((3,), (3, 3)) or len(dataset) != len(group["position/value"])):
        raise DataError(f"{name}: box edges of shape {dataset.shape} do not fit {len(group['position/value'])} frames.")
    values = np.asarray(dataset[()] if fixed else dataset[run], dtype=float) * factor
    vectors = values if values.shape[-2:] == (3, 3) and (fixed or values.ndim == 3) else values[..., None] * np.eye(3)
    return np.broadcast_to(vectors, (frames, 3, 3)).copy(), _periodic(box, vectors)


def _periodic(box: h5py.Group, vectors: np.ndarray) -> np.ndarray:
    flags = box.attrs.get("boundary")
    if flags is None:
        return np.full(3, bool(np.any(vectors)))
    words = [flag.decode() if isinstance(flag, bytes) else str(flag) for flag in np.atleast_1d(flags)]
    words = words * 3 if len(words) == 1 else words
    if len(words) != 3 or not set(words) <= {"periodic", "none", "nonperiodic"}:
        raise ValueError(f"boundary {words}")
    return np.array([word == "periodic" for word in words])


def _images(group: h5py.Group, run: slice, shape: tuple) -> np.ndarray:
    image = group["image"]
    values = image["value"][run] if isinstance(image, h5py.Group) else image[()]
    return np.broadcast_to(np.asarray(values, dtype=float), shape)
