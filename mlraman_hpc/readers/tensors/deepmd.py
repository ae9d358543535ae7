"""deepmd's NumPy layout: `set.*/polarizability.npy` with coord.npy and box.npy beside it, type.raw one folder up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import atomic_number, read_bytes, reading_errors

TENSOR = "polarizability.npy"


def is_label(path: Path) -> bool:
    return path.name == TENSOR


def companions(path: Path) -> list[Path]:
    """The files that belong to a polarizability.npy, of those that are there."""
    system = path.parent.parent
    files = [
        path.parent / "coord.npy",
        path.parent / "box.npy",
        system / "type.raw",
        system / "type_map.raw",
        system / "nopbc",
    ]
    return [file for file in files if file.exists()]


def read_labels(path: Path) -> tuple[list[tuple], np.ndarray]:
    """[(positions, numbers, cell, periodic)] and tensors (frames, 3, 3), row by row, of one set.

    Errors: DataError for files that are missing or do not fit.
    """
    system, periodic = path.parent.parent, not (path.parent.parent / "nopbc").exists()
    numbers = _numbers(system)
    tensors, positions = _array(path, 9), _array(path.parent / "coord.npy", 3 * len(numbers))
    cells = _array(path.parent / "box.npy", 9) if periodic else np.zeros((len(positions), 9))
    if not len(tensors) == len(positions) == len(cells):
        raise DataError(f"{path}: {len(tensors)} tensors for {len(positions)} coordinates and {len(cells)} cells.")
    parts = [
        (one.reshape(-1, 3), numbers, cell.reshape(3, 3), np.full(3, periodic)) for one, cell in zip(positions, cells)
    ]
    return parts, tensors.reshape(-1, 3, 3)


def _array(path: Path, width: int) -> np.ndarray:
    with reading_errors(str(path), "a .npy array"):
        values = np.load(path, allow_pickle=False)
    if values.ndim == 3 and values.shape[1:] in ((3, 3), (width // 3, 3)):
        values = values.reshape(len(values), -1)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != width or not len(values):
        raise DataError(f"{path}: {values.dtype} of shape {values.shape}; needed: numbers (frames, {width}).")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"{path}: row {row} holds what is not a finite number.")
    return values.astype(float)


def _numbers(system: Path) -> np.ndarray:
    """Atomic numbers from type.raw (from 0) and type_map.raw."""
    kinds, names = (
        read_bytes(system / "type.raw").split(),
        read_bytes(system / "type_map.raw").decode("utf-8", "replace").split(),
    )
    elements = [atomic_number(name, {}) for name in names]
    if None in elements:
        raise DataError(f"{system / 'type_map.raw'}: '{names[elements.index(None)]}' is not a chemical element.")
    if not kinds or not all(kind.isdigit() and int(kind) < len(names) for kind in kinds):
        raise DataError(f"{system / 'type.raw'}: needed: numbers from 0 to {len(names) - 1}, one for each atom.")
    return np.array([elements[int(kind)] for kind in kinds])
