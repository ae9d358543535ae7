"""H5MD 1.1 trajectories: ours, MDAnalysis', pyh5md's, LAMMPS' and GPUMD's.

Specification: https://h5md.nongnu.org/h5md.html. `edges` are lengths or rows of lattice vectors, fixed or of every
frame; `step` and `time` are lists or a fixed increment; `image` counts the cells that a wrapped position has crossed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.text import FileIndex, FrameLocation, Warn, atomic_number, consecutive_slices, reading_errors
from mlraman_hpc.readers.trajectory.column import SPAN, Column, Growing

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
_TIMES = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "us": 1e9, "s": 1e15, "femtosecond": 1.0, "picosecond": 1e3}


def scan(path: str, name: str, table: dict[str, int], warn: Warn) -> FileIndex:
    """How many frames there are. Errors: DataError for files that hold no positions or no known elements."""
    with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
        group = _particles(file, name)
        frames, atoms = _shape(group, name)
        if not any(label in group["position/value"].attrs for label in ("unit", "units")):
            warn(f"{name}: the positions have no unit; they are read as Angstrom.")
        _length_unit(group["position/value"], name)
        numbers = _numbers(group, atoms, table, name)[_order(group, slice(0, 1), atoms, FrameLocation(name, 0, 0))[0]]
        steps, times = _steps(group["position"], frames, name), _times(group["position"], frames, name)
    return FileIndex.counted(frames, numbers, steps=steps, times=times)


def read(path: str, rows: np.ndarray, place: Callable[[int], FrameLocation], numbers: np.ndarray) -> list[tuple]:
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of each row; place(k) names the k-th for messages."""
    name, parts = place(0).file, []
    with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
        group = _particles(file, name)
        factor = _length_unit(group["position/value"], name)
        for run in consecutive_slices(rows):
            where = place(len(parts))
            order = _order(group, run, len(numbers), where)
            cells, periodic = _cells(group, run, name, factor)
            positions = group["position/value"][run] * factor
            if "image" in group:
                positions = positions + _images(group, run, positions.shape) @ cells
            if not np.isfinite(positions).all():
                raise where.error("a position in this or the next frames is not a number.")
            parts += [
                (one[sort], numbers, cell * periodic[:, None], periodic)
                for one, sort, cell in zip(positions, order, cells)
            ]
    return parts


def velocities(path: str, rows: np.ndarray, place: Callable[[int], FrameLocation]) -> list[np.ndarray] | None:
    """(atoms, 3) of each row as in the file, or None where it has none for every frame."""
    with reading_errors(place(0).file if len(rows) else path, KIND), h5py.File(path, "r", locking=False) as file:
        group = _particles(file, path)
        there = "velocity/value" in group and group["velocity/value"].shape == group["position/value"].shape
        if not there:
            return None
        found = []
        for run in consecutive_slices(rows):
            order = _order(group, run, group["velocity/value"].shape[1], place(len(found)))
            found += [one[sort] for one, sort in zip(group["velocity/value"][run], order)]
        return found


def _particles(file: h5py.File, name: str) -> h5py.Group:
    """The group with positions; 'trajectory' or 'all' where there are several."""
    groups = file.get("particles", {})
    found = [key for key in groups if "position/value" in groups[key]]
    wanted = found if len(found) == 1 else [key for key in found if key in ("trajectory", "all")]
    if len(wanted) != 1:
        raise DataError(
            f"{name}: needed: one group 'particles/.../position/value'; found "
            f"{', '.join(found) or 'none'}. Is it an H5MD trajectory?"
        )
    return groups[wanted[0]]


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
    """Angstrom per unit of length; without one, Angstrom."""
    unit = _unit(dataset)
    if unit is not None and unit.lower() not in _LENGTHS:
        raise DataError(f"{name}: positions in '{unit}'; known units are Angstrom, nm, pm, bohr.")
    return _LENGTHS[unit.lower()] if unit else 1.0


def _steps(group: h5py.Group, frames: int, name: str) -> Column | None:
    if "step" not in group:
        return None
    steps = Growing()
    for values in _series(group["step"], "step", frames, name):
        steps.append(np.round(values).astype(np.int64))
    return steps.column()


def _times(group: h5py.Group, frames: int, name: str) -> Column | None:
    """fs, or None where the file says nothing or not in which unit."""
    if "time" not in group or (_unit(group["time"]) or "").lower() not in _TIMES:
        return None
    times, fs = Growing(real=True), _TIMES[_unit(group["time"]).lower()]
    for values in _series(group["time"], "time", frames, name):
        times.append(values * fs)
    return times.column()


def _series(dataset: h5py.Dataset, label: str, frames: int, name: str) -> Iterator[np.ndarray]:
    """The values of all frames, some at a time, of a list or of a fixed increment and its offset."""
    offset = float(np.asarray(dataset.attrs.get("offset", 0)).reshape(-1)[0])
    for row in range(0, frames, SPAN):
        if dataset.shape == ():
            values = offset + np.asarray(dataset[()], dtype=float) * np.arange(row, min(row + SPAN, frames))
        else:
            values = np.asarray(dataset[row : row + SPAN], dtype=float)
        fits = dataset.shape in ((), (frames,)) and np.isfinite(values).all() and np.abs(values).max() <= 1e15
        if not fits:
            raise DataError(
                f"{name}: '{label}' of shape {dataset.shape} does not fit {frames} frames, or holds what is no number."
            )
        yield values


# atoms


def _order(group: h5py.Group, run: slice, atoms: int, place: FrameLocation) -> list:
    """Which row of the file each atom has, by `id` where it is there."""
    if "id/value" not in group:
        return [slice(None)] * (run.stop - run.start)
    ids = group["id/value"][run]
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    if ids.shape[1] != atoms or (np.diff(ranked, axis=1) <= 0).any() or (ranked < 0).any():
        raise place.error("an atom's id is missing or stands there twice, here or in one of the next frames.")
    return list(order)


def _numbers(group: h5py.Group, atoms: int, table: dict[str, int], name: str) -> np.ndarray:
    """Atomic numbers from `species`, or from trajectory.species: of types, or of all atoms in order."""
    dataset = next(
        (group[key] for key in ("species", "species/value") if key in group and isinstance(group[key], h5py.Dataset)),
        None,
    )
    if dataset is None:
        if len(table) != atoms:
            raise DataError(
                f"{name}: the file names no species; give the element of each of the {atoms} atoms in "
                f"trajectory.species, in order; found {len(table)}."
            )
        return np.array([table[str(k + 1)] for k in range(atoms)])
    values = dataset[()]
    values = values[0] if values.ndim == 2 else values
    if values.shape != (atoms,):
        raise DataError(f"{name}: species of shape {values.shape} for {atoms} atoms.")
    return _elements(values, dataset, table, name)


def _elements(values: np.ndarray, dataset: h5py.Dataset, table: dict[str, int], name: str) -> np.ndarray:
    """Names, an enumeration of names, types of trajectory.species, or atomic numbers where that key is not given."""
    names = {number: label for label, number in (h5py.check_enum_dtype(dataset.dtype) or {}).items()}
    kinds, inverse = np.unique(values, return_inverse=True)
    labels = [
        kind.decode("utf-8", "replace") if isinstance(kind, bytes) else str(names.get(kind, kind))
        for kind in kinds.tolist()
    ]
    found = [atomic_number(label, table) for label in labels]
    if None in found and not table and values.dtype.kind in "iu":
        said = _unit(dataset) == "atomic number"
        if not said:
            raise DataError(
                f"{name}: species are the types {', '.join(labels[:20])}; give the elements of types 1, 2, "
                "... in trajectory.species."
            )
        found = [int(kind) if 0 < kind < 119 else None for kind in kinds]
    if None in found:
        raise DataError(
            f"{name}: no element is known for species {labels[found.index(None)]}; complete trajectory.species."
        )
    return np.array(found)[inverse.reshape(-1)]


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


def species_per_atom(species: list[str]) -> list[str]:
    """[Ag16, I16] -> the element of each atom; anything else as it is."""
    parts = [re.fullmatch(r"([A-Z][a-z]?)(\d+)", str(word)) for word in species]
    if not species or None in parts:
        return species
    return [part[1] for part in parts for _ in range(int(part[2]))]
