"""NumPy arrays of one set of structures: coordinates in one file, tensors in another, and cells in a third if need be.

coordinates  (frames, atoms, 3) or (frames, 3 atoms), Angstrom; a name with coord, pos, xyz or geom
tensors      (frames, 3, 3), (frames, 9) row by row, or (frames, 6) with reference.order
cells        (frames, 3, 3), (frames, 9) or (3, 3), Angstrom, rows are vectors; a name with box, cell or lattice
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat, Request, npy_array
from mlraman_hpc.readers.tensors.components import check_order, from_columns
from mlraman_hpc.readers.text import Warn

_COORDINATES, _CELLS = r"coord|pos|xyz|geom|^r\b", r"box|cell|lattice"
_KINDS = ((_CELLS, "cells"), (_COORDINATES, "coordinates"), ("", "tensors"))


class NumpyPair(LabelFormat):
    """Files that only mean something together; the deck gives elements, unit and, without a file of cells, the cell."""

    name = "npy"
    file_name = r"\.npy$"
    unit_is_known = False

    def read_set(self, paths: list[Path], request: Request, warn: Warn) -> list[Calculation]:
        """All frames. Errors: FileError for arrays that do not fit; DeckKeyError where the deck must say more."""
        files = _by_kind(paths)
        numbers = _numbers(request)
        positions = _positions(files["coordinates"], len(numbers))
        tensors = _tensors(files["tensors"], request)
        cells = _cells(files.get("cells"), request, len(positions))
        if not len(positions) == len(tensors) == len(cells):
            raise FileError(
                files["tensors"],
                f"{len(tensors)} tensors for {len(positions)} frames of {files['coordinates']} and {len(cells)} cells.",
            )
        quantity, periodic = request.quantity or "polarizability", bool(cells.any())
        return [
            Calculation(
                positions[k],
                numbers,
                cells[k],
                {quantity: tensors[k]},
                f"{files['tensors']}, frame {k}",
                np.full(3, periodic),
            )
            for k in range(len(tensors))
        ]


FORMAT = NumpyPair()


def _by_kind(paths: list[Path]) -> dict[str, Path]:
    """{kind: file}, by the files' names."""
    by_kind: dict[str, Path] = {}
    for path in paths:
        kind = next(kind for pattern, kind in _KINDS if re.search(pattern, path.stem, re.IGNORECASE))
        if kind in by_kind:
            raise FileError(
                path,
                f"two files of {kind}, with {by_kind[kind]}. One file of coordinates (a name with coord, pos, xyz or "
                "geom) and one of tensors are needed, and one of cells (box, cell or lattice) if these vary.",
            )
        by_kind[kind] = path
    for kind in ("coordinates", "tensors"):
        if kind not in by_kind:
            raise FileError(
                paths[0],
                f"no file of {kind} beside it in reference.files: [coordinates.npy, tensors.npy] belong together.",
            )
    return by_kind


def _array(path: Path) -> np.ndarray:
    values = npy_array(path)
    if values.dtype.kind not in "fiu" or not values.size:
        raise FileError(path, f"{values.dtype} of shape {values.shape}; needed: numbers.")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
        raise FileError(path, f"row {row} holds what is not a finite number.")
    return values.astype(float)


def _numbers(request: Request) -> np.ndarray:
    if not request.species:
        raise DeckKeyError("reference.species", "must be given for .npy: the element of each atom, as [Ag16, I16]")
    return np.array([request.species[str(k + 1)] for k in range(len(request.species))])


def _positions(path: Path, atoms: int) -> np.ndarray:
    values = _array(path)
    if values.ndim < 2 or values.shape[1:] not in ((atoms, 3), (3 * atoms,)):
        needed = f"(frames, {atoms}, 3) or (frames, {3 * atoms}) for the {atoms} atoms of reference.species"
        raise FileError(path, f"shape {values.shape}; needed: {needed}.")
    return values.reshape(len(values), atoms, 3)


def _tensors(path: Path, request: Request) -> np.ndarray:
    values = _array(path)
    if values.shape[1:] in ((3, 3), (9,)):
        return values.reshape(-1, 3, 3)
    if values.shape[1:] != (6,):
        raise FileError(path, f"shape {values.shape}; needed: (frames, 3, 3), (frames, 9) or (frames, 6).")
    return from_columns(values, check_order(request.order, "reference.order"))


def _cells(path: Path | None, request: Request, frames: int) -> np.ndarray:
    """(frames, 3, 3); zeros without any."""
    if path is None:
        return np.tile(np.zeros((3, 3)) if request.cell is None else np.array(request.cell), (frames, 1, 1))
    values = _array(path)
    if values.shape == (3, 3):
        return np.tile(values, (frames, 1, 1))
    if values.shape[1:] not in ((3, 3), (9,)):
        raise FileError(path, f"shape {values.shape}; needed: (frames, 3, 3), (frames, 9) or (3, 3).")
    return values.reshape(-1, 3, 3)
