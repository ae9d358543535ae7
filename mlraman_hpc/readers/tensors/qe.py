"""Quantum ESPRESSO ph.x output: electronic dielectric tensor (epsil = .true.) and the structure in its header.

A pw.x output of the same structure has more digits and may be given along with it.
"""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3, ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import atomic_number, parse_numbers, quoted, split_touching_numbers

_TENSOR = b"Dielectric constant in cartesian axis"
_ALAT = re.compile(rb"lattice parameter \(alat\) *= *(\S+) *a\.u\.")
_CELLDM = re.compile(rb"celldm\(1\)= *(\S+)")
_VOLUME = re.compile(rb"unit-cell volume *= *(\S+) *\(a\.u\.\)\^3")
_ATOMS = re.compile(rb"number of atoms/cell *= *(\d+)")
_SITE = re.compile(rb"^ *(\d+) +([A-Za-z]\w*) .*?tau\( *\d+\) *= *\(([^)\n]*)\)", re.MULTILINE)
_AXIS = re.compile(rb"^ *a\(\d\) *= *\(([^)\n]*)\)", re.MULTILINE)


def is_ground_state(text: bytes) -> bool:
    """Whether this is an output of pw.x, which has a structure but no tensor."""
    return b"Program PWSCF" in text[:2000]


def read_label(text: bytes, name: str) -> Calculation:
    """One ph.x output. Errors: DataError naming what makes it unusable."""
    if b"Program PHONON" not in text[:2000]:
        raise DataError(f"{name}: not an output of ph.x ('Program PHONON' is missing at its start).")
    if b"JOB DONE." not in text[-2000:]:
        raise DataError(f"{name}: the calculation did not finish ('JOB DONE.' is missing).")
    places = [found.end() for found in re.finditer(re.escape(_TENSOR), text)]
    if not places:
        raise DataError(f"{name}: no dielectric tensor: compute it with epsil = .true. at q = 0.")
    if b"End of electric fields calculation" not in text[: places[-1]] or b"NOT achieved" in text[: places[-1]]:
        raise DataError(f"{name}: the response to the electric field did not converge.")
    tensors = [_rows(text, place, name) for place in places]
    positions, numbers, cell, volume = structure(text, name)
    return Calculation(positions, numbers, cell, same_tensor(tensors, name), volume=volume)


def _rows(text: bytes, place: int, name: str) -> np.ndarray:
    lines = text[place : place + 1000].split(b"\n")[2:5]
    rows = [parse_numbers(split_touching_numbers(line.strip(b" ()\r")), 3) for line in lines]
    for line, row in zip(lines, rows):
        if row is None:
            number = text[:place].count(b"\n") + 3 + lines.index(line)
            raise DataError(
                f"{name}, line {number}: expected three numbers of the dielectric tensor, found {quoted(line)}."
            )
    if len(rows) < 3:
        raise DataError(f"{name}: the dielectric tensor is cut short.")
    return np.array(rows)


def structure(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """positions and cell (Angstrom), atomic numbers, and the volume (Angstrom^3) as printed in the header."""
    end = text.find(b"number of k points")
    head = text[: end if end >= 0 else len(text)]
    alat, volume, atoms = _ALAT.search(head), _VOLUME.search(head), _ATOMS.search(head)
    if alat is None or volume is None or atoms is None:
        raise DataError(f"{name}: no lattice parameter, volume or number of atoms in the header.")
    length = _length(head, alat, name)
    axes = parse_numbers(split_touching_numbers(b" ".join(_AXIS.findall(head)[:3])), 9)
    sites = _SITE.findall(head)[: int(atoms[1])]
    places = parse_numbers(split_touching_numbers(b" ".join(site[2] for site in sites)), 3 * int(atoms[1]))
    if axes is None or places is None or [int(site[0]) for site in sites] != list(range(1, int(atoms[1]) + 1)):
        raise DataError(f"{name}: the crystal axes or the {int(atoms[1])} positions in the header are not complete.")
    cell = axes.reshape(3, 3) * length
    printed = _positive(volume[1], name) * ANGSTROM3_PER_BOHR3
    if abs(abs(np.linalg.det(cell)) / printed - 1) > 2e-3:
        raise DataError(
            f"{name}: the volume of the axes, {abs(np.linalg.det(cell)):.6g} Angstrom^3, is not the "
            f"printed one, {printed:.6g}."
        )
    return places.reshape(-1, 3) * length, _numbers(sites, name), cell, printed


def _length(head: bytes, alat: re.Match, name: str) -> float:
    """alat in Angstrom, with the digits of celldm(1) where that is the same."""
    value, fine = _positive(alat[1], name), _CELLDM.search(head)
    precise = _positive(fine[1], name) if fine else value
    return (precise if abs(precise - value) < 1e-4 else value) * ANGSTROM_PER_BOHR


def _positive(word: bytes, name: str) -> float:
    value = parse_numbers(word, 1)
    if value is None or value[0] <= 0:
        raise DataError(f"{name}: {quoted(word)} in the header is not a positive number.")
    return float(value[0])


def _numbers(sites: list[tuple], name: str) -> np.ndarray:
    labels = [re.match(rb"[A-Za-z][a-z]?", site[1])[0].decode().capitalize() for site in sites]
    labels = [label if atomic_number(label, {}) else label[0] for label in labels]  # labels such as Cx or O1
    found = [atomic_number(label, {}) for label in labels]
    if None in found:
        raise DataError(f"{name}: '{sites[found.index(None)][1].decode()}' is not a chemical element.")
    return np.array(found)


def refined(label: Calculation, ground_states: list[tuple]) -> Calculation:
    """With the digits of the pw.x output that has the same structure to within rounding, where there is one."""
    for positions, numbers, cell, volume in ground_states:
        if (
            np.array_equal(numbers, label.numbers)
            and np.abs(cell - label.cell).max() < 2e-3
            and np.abs(positions - label.positions).max() < 2e-4
        ):
            return Calculation(positions, numbers, cell, label.tensor, label.quantity, label.periodic, volume)
    return label
