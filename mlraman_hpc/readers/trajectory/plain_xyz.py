"""Comment lines of plain XYZ: CP2K's ('i = 5, time = 2.5, E = ...') and i-PI's ('# CELL(abcABC): ...')."""

from __future__ import annotations

import re

import numpy as np
from ase.geometry import cellpar_to_cell

from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.text import FrameLocation, parse_numbers, quoted

_NUMBER = rb"([-+0-9.eEdD]+)"
_CP2K = re.compile(rb"^\s*i\s*=\s*(\d+)\s*,(?:\s*time\s*=\s*" + _NUMBER + rb"\s*,)?")
_CELL = re.compile(rb"#\s*CELL[({\[](\w+)[)}\]]:\s*((?:[-+0-9.eE]+\s+)+)")
_UNIT = re.compile(rb"\b(\w+)\{(\w+)\}")
_STEP = re.compile(rb"\bStep:\s*(\d+)")
_LENGTHS = {b"angstrom": 1.0, b"atomic_unit": ANGSTROM_PER_BOHR, b"bohr": ANGSTROM_PER_BOHR, b"nanometer": 10.0}


def cp2k_steps(comments: list[bytes]) -> np.ndarray | None:
    """CP2K's numbers of steps, or None where a frame lacks them."""
    return _integers([_CP2K.match(comment) for comment in comments])


def cp2k_times(comments: list[bytes]) -> np.ndarray | None:
    """CP2K's times (fs), or None where a frame lacks them."""
    found = [_CP2K.match(comment) for comment in comments]
    if not all(one and one[2] for one in found):
        return None
    return parse_numbers(b" ".join(one[2] for one in found), len(found))


def ipi_steps(comments: list[bytes]) -> np.ndarray | None:
    """i-PI's numbers of steps, or None where a frame lacks them."""
    return _integers([_STEP.search(comment) if _CELL.search(comment) else None for comment in comments])


def _integers(found: list[re.Match | None]) -> np.ndarray | None:
    """The first group of each, or None where one is missing."""
    whole = all(one and len(one[1]) < 19 for one in found)  # what has more digits counts nothing
    return np.array([int(one[1]) for one in found]) if whole else None


def cell_and_unit(comment: bytes, place: FrameLocation) -> tuple[np.ndarray | None, float]:
    """i-PI's cell (3, 3) in Angstrom, and Angstrom per unit of the positions; (None, 1) for other comments."""
    found = _CELL.search(comment)
    if found is None:
        return None, 1.0
    units = {label.lower(): unit.lower() for label, unit in _UNIT.findall(comment[found.end() :])}
    cell_unit = units.pop(b"cell", None)
    if len(units) != 1:
        raise place.error(f"i-PI's comment does not name the unit of the positions: {quoted(comment)}.", 1)
    label, unit = units.popitem()
    if label not in (b"positions", b"x_centroid", b"x_centroid_even", b"x_centroid_odd"):
        raise place.error(f"the file holds '{label.decode()}', not positions.", 1)
    return _vectors(found, _length(cell_unit or unit, place), place), _length(unit, place)


def _length(unit: bytes, place: FrameLocation) -> float:
    if unit not in _LENGTHS:
        raise place.error(f"'{unit.decode()}' is not a known unit of length.", 1)
    return _LENGTHS[unit]


def _vectors(found: re.Match, factor: float, place: FrameLocation) -> np.ndarray:
    kind, words = found[1].decode("ascii", "replace"), found[2].split()
    if kind == "abcABC":
        values = parse_numbers(b" ".join(words), 6)
        if values is not None and (values[:3] > 0).all() and ((values[3:] > 0) & (values[3:] < 180)).all():
            return cellpar_to_cell(values) * [[factor]]
    elif kind in ("H", "GENH"):
        values = parse_numbers(b" ".join(words), 9)
        if values is not None:
            return values.reshape(3, 3).T * factor  # i-PI keeps lattice vectors in columns
    raise place.error(f"the cell {quoted(found[0])} is not understood.", 1)
