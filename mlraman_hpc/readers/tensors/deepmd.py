"""deepmd's NumPy layout: `set.*/polarizability.npy` with coord.npy and box.npy beside it, type.raw one folder up.

`atomic_polarizability.npy` holds nine numbers for each atom, whose sum is the polarizability.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat, Request, npy_array
from mlraman_hpc.readers.text import Warn, atomic_number
from mlraman_hpc.readers.unpacking import read_bytes


class Deepmd(LabelFormat):
    """One set of a system: row k of each array belongs to frame k; the deck gives the unit."""

    name = "deepmd"
    file_name = r"^(atomic_)?(polarizability|polar)\.npy$"
    unit_is_known = False

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        system, quantity = path.parent.parent, request.quantity or "polarizability"
        periodic, numbers = not (system / "nopbc").exists(), _numbers(system)
        tensors = _sums_over_atoms(path) if path.name.lower().startswith("atomic") else _array(path, 9)
        positions = _array(path.parent / "coord.npy", 3 * len(numbers))
        cells = _array(path.parent / "box.npy", 9) if periodic else np.zeros((len(positions), 9))
        if not len(tensors) == len(positions) == len(cells):
            text = f"{len(tensors)} tensors for {len(positions)} coordinates and {len(cells)} cells."
            raise FileError(path, text)
        return [
            Calculation(
                positions[k].reshape(-1, 3),
                numbers,
                cells[k].reshape(3, 3),
                {quantity: tensors[k].reshape(3, 3)},
                f"{path}, frame {k}",
                np.full(3, periodic),
            )
            for k in range(len(tensors))
        ]

    def companions(self, path: Path) -> list[Path]:
        beside = [path.parent / name for name in ("coord.npy", "box.npy")]
        above = [path.parent.parent / name for name in ("type.raw", "type_map.raw", "nopbc")]
        return [file for file in (*beside, *above) if file.exists()]


FORMAT = Deepmd()


def _array(path: Path, width: int) -> np.ndarray:
    """(frames, width)."""
    values = npy_array(path)
    if values.ndim == 3 and values.shape[1:] in ((3, 3), (width // 3, 3)):
        values = values.reshape(len(values), -1)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != width or not len(values):
        raise FileError(path, f"{values.dtype} of shape {values.shape}; needed: numbers (frames, {width}).")
    for row in np.flatnonzero(~np.isfinite(values).all(axis=1)):
        raise FileError(path, f"row {row} holds what is not a finite number.")
    return values.astype(float)


def _sums_over_atoms(path: Path) -> np.ndarray:
    """(frames, 9) of (frames, 9 atoms) or (frames, atoms, 9); of selected atoms, where only these have a tensor."""
    values = npy_array(path)
    size = values.size // len(values) if values.ndim and len(values) else 0
    if values.dtype.kind not in "fiu" or values.ndim < 2 or not size or size % 9 or not np.isfinite(values).all():
        raise FileError(path, f"{values.dtype} of shape {values.shape}; needed: finite numbers (frames, 9 atoms).")
    return values.astype(float).reshape(len(values), -1, 9).sum(axis=1)


def _numbers(system: Path) -> np.ndarray:
    """Atomic numbers from type.raw (from 0) and type_map.raw."""
    types, names = (
        read_bytes(system / "type.raw").split(),
        read_bytes(system / "type_map.raw").decode("utf-8", "replace").split(),
    )
    elements = [atomic_number(name, {}) for name in names]
    if None in elements:
        raise FileError(system / "type_map.raw", f"'{names[elements.index(None)]}' is not a chemical element.")
    if not types or not all(word.isdigit() and int(word) < len(names) for word in types):
        raise FileError(system / "type.raw", f"needed: numbers from 0 to {len(names) - 1}, one for each atom.")
    return np.array([elements[int(word)] for word in types])
