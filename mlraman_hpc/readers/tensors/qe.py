"""Quantum ESPRESSO ph.x output: electronic dielectric tensor (epsil = .true.) and the structure in its header.

A pw.x output of the same structure has more digits and may be given along with it.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3, ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors.base import Calculation, FileError, TextOutput, single_dielectric, tensor_below
from mlraman_hpc.readers.text import atomic_number, parse_numbers, quoted, split_touching_numbers

_TENSOR = b"Dielectric constant in cartesian axis"
_ALAT = re.compile(rb"lattice parameter \(alat\) *= *(\S+) *a\.u\.")
_CELLDM = re.compile(rb"celldm\(1\)= *(\S+)")
_VOLUME = re.compile(rb"unit-cell volume *= *(\S+) *\(a\.u\.\)\^3")
_ATOMS = re.compile(rb"number of atoms/cell *= *(\d+)")
_LEVELS = re.compile(rb"highest occupied, lowest unoccupied level \(ev\): *([^\n]*)")
_SITE = re.compile(rb"^ *(\d+) +([A-Za-z]\w*) .*?tau\( *\d+\) *= *\(([^)\n]*)\)", re.MULTILINE)
_AXIS = re.compile(rb"^ *a\(\d\) *= *\(([^)\n]*)\)", re.MULTILINE)


class QuantumEspresso(TextOutput):
    """Outputs of ph.x; those of pw.x are structures without a tensor."""

    name = "qe-ph"
    magic = rb".*Program (PHONON|PWSCF)"

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        ground_state = b"Program PWSCF" in text[:2000]
        tensors = {} if ground_state else {"dielectric": _tensor(text, name)}
        unconverged = None if ground_state else _not_converged(text, name)
        return [replace(structure(text, tensors, name), unconverged=unconverged, gap=_gap(text))]

    def combine(self, calculations: list[Calculation]) -> list[Calculation]:
        """The outputs of ph.x, with the digits of the pw.x outputs of the same structures."""
        ground_states = [item for item in calculations if not item.tensors]
        responses = [item for item in calculations if item.tensors]
        if not responses:
            raise FileError(calculations[0].source, "outputs of pw.x have no dielectric tensor; give those of ph.x.")
        return [refined(item, ground_states) for item in responses]


FORMAT = QuantumEspresso()


def refined(response: Calculation, ground_states: list[Calculation]) -> Calculation:
    """With the digits of the pw.x output that has the same structure to within rounding, where there is one."""
    for item in ground_states:
        if (
            np.array_equal(item.numbers, response.numbers)
            and np.abs(item.cell - response.cell).max() < 2e-3
            and np.abs(item.positions - response.positions).max() < 2e-4
        ):
            gap = response.gap if item.gap is None else item.gap
            return replace(
                item, tensors=response.tensors, source=response.source, unconverged=response.unconverged, gap=gap
            )
    return response


def _tensor(text: bytes, name: str) -> np.ndarray:
    """The dielectric tensor of ph.x. Errors: FileError where it is missing or not finished."""
    if b"Program PHONON" not in text[:2000]:
        raise FileError(name, "not an output of ph.x ('Program PHONON' is missing at its start).")
    if b"JOB DONE." not in text[-2000:]:
        raise FileError(name, "the calculation did not finish ('JOB DONE.' is missing).")
    headings = [match.end() for match in re.finditer(re.escape(_TENSOR), text)]
    if not headings:
        raise FileError(name, "no dielectric tensor: compute it with epsil = .true. at q = 0.")
    if b"End of electric fields calculation" not in text[: headings[-1]]:
        raise FileError(name, "the response to the electric field did not converge.")
    return single_dielectric([tensor_below(text, heading, name) for heading in headings], name)


def _not_converged(text: bytes, name: str) -> FileError | None:
    before = text[: text.rfind(_TENSOR)]
    return (
        FileError(name, "the response to the electric field did not converge.") if b"NOT achieved" in before else None
    )


def _gap(text: bytes) -> float | None:
    """eV, from pw.x with fixed occupations."""
    levels = _LEVELS.findall(text)
    values = parse_numbers(split_touching_numbers(levels[-1]), 2) if levels else None
    return None if values is None else float(values[1] - values[0])


def structure(text: bytes, tensors: dict[str, np.ndarray], name: str) -> Calculation:
    """The structure in the header, with the volume as printed."""
    end = text.find(b"number of k points")
    head = text[: end if end >= 0 else len(text)]
    alat, volume, atoms = _ALAT.search(head), _VOLUME.search(head), _ATOMS.search(head)
    if alat is None or volume is None or atoms is None:
        raise FileError(name, "no lattice parameter, volume or number of atoms in the header.")
    length = _length(head, alat, name)
    axes = parse_numbers(split_touching_numbers(b" ".join(_AXIS.findall(head)[:3])), 9)
    sites = _SITE.findall(head)[: int(atoms[1])]
    positions = parse_numbers(split_touching_numbers(b" ".join(site[2] for site in sites)), 3 * int(atoms[1]))
    if axes is None or positions is None or [int(site[0]) for site in sites] != list(range(1, int(atoms[1]) + 1)):
        raise FileError(name, f"the crystal axes or the {int(atoms[1])} positions in the header are not complete.")
    cell = axes.reshape(3, 3) * length
    printed = _positive(volume[1], name) * ANGSTROM3_PER_BOHR3
    if abs(abs(np.linalg.det(cell)) / printed - 1) > 2e-3:
        raise FileError(
            name,
            f"the volume of the axes, {abs(np.linalg.det(cell)):.6g} Angstrom^3, is not the "
            f"printed one, {printed:.6g}.",
        )
    numbers = _numbers(sites, name)
    return Calculation(positions.reshape(-1, 3) * length, numbers, cell, tensors, name, volume=printed)


def _length(head: bytes, alat: re.Match, name: str) -> float:
    """alat in Angstrom, with the digits of celldm(1) where that is the same."""
    value, fine = _positive(alat[1], name), _CELLDM.search(head)
    precise = _positive(fine[1], name) if fine else value
    return (precise if abs(precise - value) < 1e-4 else value) * ANGSTROM_PER_BOHR


def _positive(word: bytes, name: str) -> float:
    value = parse_numbers(word, 1)
    if value is None or value[0] <= 0:
        raise FileError(name, f"{quoted(word)} in the header is not a positive number.")
    return float(value[0])


def _numbers(sites: list[tuple], name: str) -> np.ndarray:
    labels = [re.findall(rb"^[A-Za-z][a-z]?", site[1])[0].decode().capitalize() for site in sites]
    labels = [label if atomic_number(label, {}) else label[0] for label in labels]  # labels such as Cx or O1
    numbers = [atomic_number(label, {}) for label in labels]
    if None in numbers:
        raise FileError(name, f"'{sites[numbers.index(None)][1].decode()}' is not a chemical element.")
    return np.array(numbers)
