"""Quantum ESPRESSO: forces of pw.x in uniform fields (lelfield), and the third-order response of ph.x (lraman).

pw.x prints its field in Rydberg atomic units, in which e^2 = 2: hartree/(e bohr) is sqrt(2) of them.
"""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.derivatives.field_forces import FieldRun
from mlraman_hpc.readers.tensors import qe
from mlraman_hpc.readers.tensors.base import Calculation, FileError
from mlraman_hpc.readers.text import parse_numbers, quoted
from mlraman_hpc.readers.unpacking import read_bytes

_FIELD = re.compile(
    rb"Using Berry phase electric field\s*\n *In a\.u\.\(Ry\) +cartesian system of reference\s*\n((?:[^\n]*\n){3})"
)
_FORCES = re.compile(
    rb"Forces acting on atoms \(cartesian axes, Ry/au\):\s*\n((?: *atom +\d+ +type +\d+ +force =[^\n]*\n)+)"
)
_RAMAN = re.compile(rb"Raman tensor \(A\^2\)\s*\n")
_BLOCK = re.compile(rb"atom # *(\d+) +pol\. *(\d)\s*\n((?:[^\n]*\n){3})")
RYDBERG_PER_BOHR = 0.5  # hartree/bohr
RYDBERG_FIELD = 1 / sqrt(2)  # hartree/(e bohr)


def runs_of_pw(path: Path) -> list[FieldRun]:
    """Of one output of pw.x with tprnfor; one without lelfield is the run without a field.

    Errors: FileError for a run that did not end or converge, for several structures, and for missing forces.
    """
    text, name = read_bytes(path), str(path)
    if b"Program PWSCF" not in text[:2000]:
        raise FileError(name, "not an output of pw.x ('Program PWSCF' is missing at its start).")
    _check_done(text, name)
    if b"convergence NOT achieved" in text:
        line = text[: text.find(b"convergence NOT achieved")].count(b"\n") + 1
        raise FileError(name, "the self-consistency did not converge.", line)
    structure = qe.structure(text, {}, name)
    tables = _FORCES.findall(text)
    if len(tables) != 1:
        raise FileError(name, f"needed: one table of forces (tprnfor, one structure); found {len(tables)}.")
    rows = [line.split(b"=", 1)[1] for line in tables[0].splitlines()]
    forces = parse_numbers(b" ".join(rows), 3 * len(structure.numbers))
    if forces is None:
        raise FileError(name, f"the table of forces needs three numbers for each of {len(structure.numbers)} atoms.")
    return [
        FieldRun(
            structure.positions,
            structure.numbers,
            structure.cell,
            structure.periodic,
            forces.reshape(-1, 3) * RYDBERG_PER_BOHR,
            _field(text, name),
            name,
        )
    ]


def _field(text: bytes, name: str) -> np.ndarray:
    """(3,) hartree/(e bohr)"""
    if b"Using Berry phase electric field" not in text:
        return np.zeros(3)
    match = _FIELD.search(text)
    values = None if match is None else parse_numbers(match[1], 3)
    if values is None:
        raise FileError(name, "the three components of the field (lelfield, efield_cart) cannot be read.")
    return values * RYDBERG_FIELD


def _check_done(text: bytes, name: str) -> None:
    if b"JOB DONE." not in text[-2000:]:
        raise FileError(name, "the calculation did not finish ('JOB DONE.' is missing).")


def raman_of_ph(paths: list[Path]) -> list[tuple[Calculation, np.ndarray]]:
    """(structure, d alpha_ab/d r_ic (atoms, 3, 3, 3) Angstrom^2) of each output of ph.x with lraman.

    Outputs of pw.x among the files lend the digits of their positions: ph.x prints five decimals.
    Errors: FileError for outputs that did not end, or without a complete Raman tensor.
    """
    ground_states, responses = [], []
    for path in paths:
        text, name = read_bytes(path), str(path)
        structure = qe.structure(text, {}, name)
        if b"Program PWSCF" in text[:2000]:
            ground_states.append(structure)
        else:
            responses.append((structure, _raman_tensor(text, name, len(structure.numbers))))
    if not responses:
        raise FileError(paths[0], "outputs of pw.x have no Raman tensor; give those of ph.x with lraman = .true.")
    return [(qe.refined(structure, ground_states), tensor) for structure, tensor in responses]


def _raman_tensor(text: bytes, name: str, atoms: int) -> np.ndarray:
    if b"Program PHONON" not in text[:2000]:
        raise FileError(name, "not an output of ph.x ('Program PHONON' is missing at its start).")
    _check_done(text, name)
    headings = list(_RAMAN.finditer(text))
    if not headings:
        raise FileError(name, "no 'Raman tensor (A^2)': compute it with lraman = .true. and epsil = .true. at q = 0.")
    values = np.full((atoms, 3, 3, 3), np.nan)
    for atom, axis, block in _BLOCK.findall(text[headings[-1].end() :])[: 3 * atoms]:
        numbers = parse_numbers(block, 9)
        i, c = int(atom) - 1, int(axis) - 1
        if numbers is None or not (0 <= i < atoms and 0 <= c < 3):
            line = block.split(b"\n")[0]
            raise FileError(name, f"the Raman tensor of atom {i + 1}, axis {c + 1}, is damaged: {quoted(line)}.")
        values[i, c] = numbers.reshape(3, 3)
    missing = np.isnan(values).any(axis=(1, 2, 3)).sum()
    if missing:
        raise FileError(name, f"the Raman tensor of {missing} of {atoms} atoms is missing.")
    return values
