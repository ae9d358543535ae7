"""FHI-aims output: polarizability or dielectric tensor by density-functional perturbation theory (DFPT)."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.readers.tensors.base import Calculation, FileError, TextOutput, single_dielectric
from mlraman_hpc.readers.tensors.components import from_columns
from mlraman_hpc.readers.text import atomic_number, parse_numbers, quoted, split_touching_numbers

ORDER = ["xx", "yy", "zz", "xy", "xz", "yz"]
_DIELECTRIC = re.compile(rb"DFPT for dielectric_constant:--->[^\n]*\n((?:[^\n]*\n){3})")
_MATRIX = re.compile(rb"(?:DFPT for polarizability:--->|Polarizability \(Bohr\^3\) *:)[^\n]*\n((?:[^\n]*\n){3})")
_SIX = re.compile(rb"DFPT polarizability \(Bohr\^3\)([^\n]*)\n *\| Polarizability:--->([^\n]*)\n")
_CELL = re.compile(rb"Input geometry:\s*\n *\| Unit cell:[^\n]*\n((?: *\|[^\n]*\n){3})")
_ATOM = re.compile(rb"^ *\| +(\d+): Species +(\S+)([^\n]*)$", re.MULTILINE)
_GAP = re.compile(rb"overall HOMO-LUMO gap: +(\S+) eV")
_COUNT = re.compile(rb"\| Number of atoms +: +(\d+)")


class Aims(TextOutput):
    """An output of a single configuration."""

    name = "aims"
    magic = rb".*Invoking FHI-aims"

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        _check_finished(text, name)
        positions, numbers, cell = _structure(text, name)
        periodic, tensors = np.full(3, bool(cell.any())), [_matrix(rows, name) for rows in _DIELECTRIC.findall(text)]
        if tensors and periodic.all():
            tensor = {"dielectric": single_dielectric(tensors, name)}
        else:
            tensor = {"polarizability": _polarizability(text, name)}
        gaps = _GAP.findall(text)
        gap = parse_numbers(gaps[-1], 1) if gaps else None
        return [
            Calculation(
                positions,
                numbers,
                cell,
                tensor,
                name,
                periodic,
                unconverged=_not_converged(text, name),
                gap=None if gap is None else float(gap[0]),
            )
        ]


FORMAT = Aims()


def _check_finished(text: bytes, name: str) -> None:
    if b"Have a nice day." not in text[-1000:]:
        raise FileError(name, "the calculation did not finish ('Have a nice day.' is missing).")
    if b"Updated atomic structure" in text:
        raise FileError(
            name,
            "the structure was relaxed or moved; which one the tensor belongs to is not clear. "
            "Compute one configuration at a time.",
        )


def _not_converged(text: bytes, name: str) -> FileError | None:
    if b"Self-consistency cycle converged" not in text or b"self-consistency cycle not" in text.lower():
        return FileError(name, "the self-consistency cycle did not converge.")
    return None


def _matrix(rows: bytes, name: str) -> np.ndarray:
    values = parse_numbers(split_touching_numbers(rows), 9)
    if values is None:
        raise FileError(name, f"expected nine numbers of a tensor, found {quoted(rows)}.")
    return values.reshape(3, 3)


def _polarizability(text: bytes, name: str) -> np.ndarray:
    """Angstrom^3: the full matrix, or six components whose order stands above them."""
    matrices, six = _MATRIX.findall(text), _SIX.findall(text)
    if matrices:
        tensors = [_matrix(rows, name) for rows in matrices]
    else:
        tensors = [_six(header, rows, name) for header, rows in six]
    if not tensors:
        raise FileError(
            name,
            "no polarizability and no dielectric tensor: compute it with 'DFPT polarizability' or 'DFPT dielectric'.",
        )
    if any(np.abs(tensor - tensors[0]).max() > 1e-5 * np.abs(tensors[0]).max() for tensor in tensors):
        raise FileError(
            name, f"holds {len(tensors)} polarizabilities that differ. Compute one configuration at a time."
        )
    return tensors[-1] * ANGSTROM3_PER_BOHR3


def _six(header: bytes, row: bytes, name: str) -> np.ndarray:
    values = parse_numbers(split_touching_numbers(row), 6)
    if header.decode("ascii", "replace").split() != ORDER or values is None:
        raise FileError(
            name, f"expected six numbers in the order {' '.join(ORDER)}, found {quoted(row)} below {quoted(header)}."
        )
    return from_columns(values[None], ORDER)[0]


def _structure(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, atomic numbers and cell (zero for a molecule) of the input geometry."""
    start = text.find(b"Input geometry:")
    end = text.find(b"Finished reading input file 'geometry.in'", start)
    block, count, cell = text[max(start, 0) : end], _COUNT.search(text), np.zeros((3, 3))
    rows = _ATOM.findall(block) if 0 <= start < end else []
    values = parse_numbers(split_touching_numbers(b" ".join(row[2] for row in rows)), 3 * len(rows))
    if not rows or values is None or count is None or int(count[1]) != len(rows):
        raise FileError(name, f"the input geometry is missing or not complete ({len(rows)} atoms).")
    vectors = _CELL.search(block)
    if vectors is None and b"Unit cell:" in block:
        raise FileError(name, "the unit cell of the input geometry is not complete.")
    if vectors is not None:
        cell = _matrix(vectors[1].replace(b"|", b" "), name)
    labels = [row[1].decode("ascii", "replace") for row in rows]
    numbers = [
        atomic_number(label, {}) or atomic_number(re.findall(r"^[A-Z]?[a-z]?", label)[0], {}) for label in labels
    ]
    if None in numbers:
        raise FileError(name, f"species '{labels[numbers.index(None)]}' is not a chemical element.")
    return values.reshape(-1, 3), np.array(numbers), cell
