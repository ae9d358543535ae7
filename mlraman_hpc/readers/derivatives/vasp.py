"""VASP runs in uniform fields (EFIELD_PEAD): forces and field from an OUTCAR or a vasprun.xml.

EFIELD_PEAD, eV/(e Angstrom), is echoed by both files; one without it is the run without a field. The sign of the field
cancels in second differences of the forces; Born charges follow VASP's.
https://www.vasp.at/wiki/index.php/EFIELD_PEAD
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.derivatives.field_forces import EV_PER_ANGSTROM, FieldRun
from mlraman_hpc.readers.tensors import outcar
from mlraman_hpc.readers.tensors.base import FileError
from mlraman_hpc.readers.text import FrameLocation, parse_numbers, quoted, split_touching_numbers
from mlraman_hpc.readers.trajectory.vasprun import END, MARK, elements, parameter, read, vectors
from mlraman_hpc.readers.unpacking import read_bytes

_FIELD = re.compile(rb"EFIELD_PEAD *=([^\n]*)")
_FIELD_XML = re.compile(rb'<v [^>]*name="EFIELD_PEAD"[^>]*>([^<]*)</v>')
_FORCES = b"TOTAL-FORCE (eV/Angst)"
_MOVED = 1e-4  # Angstrom
_PERIODIC = np.ones(3, bool)


def runs_of_outcar(path: Path) -> list[FieldRun]:
    """Errors: FileError for a run that did not end or converge, with several structures, or without forces."""
    text, name = read_bytes(path), str(path)
    outcar.check_finished(text, name)
    unconverged = outcar.not_converged(text, name)
    if unconverged is not None:
        raise unconverged
    cell, fractional = outcar.structure(text, name)
    numbers = outcar.numbers(text, len(fractional), name)
    headings = [match.start() for match in re.finditer(re.escape(_FORCES), text)]
    if not headings:
        raise FileError(name, "no table 'TOTAL-FORCE': the run ended before the forces.")
    tables = [_force_table(text, at, len(numbers), name) for at in headings]
    if any(np.abs(table[:, :3] - tables[0][:, :3]).max() > _MOVED for table in tables):
        raise FileError(name, f"{len(tables)} ionic steps with other positions; compute one configuration (NSW = 0).")
    start = max(text.find(b"ions per type"), 0)  # after the echo of the INCAR
    field = _field(_FIELD.findall(text[start:]), name)
    return [FieldRun(fractional @ cell, numbers, cell, _PERIODIC, tables[-1][:, 3:] * EV_PER_ANGSTROM, field, name)]


def _force_table(text: bytes, heading: int, atoms: int, name: str) -> np.ndarray:
    """(atoms, 6) positions and forces below the heading and its rule."""
    rule = text.find(b"\n", heading)
    return outcar.block(text, rule + 1, atoms, 6, name, "the table of forces")


def runs_of_vasprun(path: Path) -> list[FieldRun]:
    """Errors: FileError for a run that did not end or may not have converged, or of several structures."""
    text, name = read_bytes(path), str(path)
    if b"</modeling>" not in text[-1000:]:
        raise FileError(name, "the calculation did not finish (no </modeling> at the end).")
    begin = text.find(MARK)
    if begin < 0:
        raise FileError(name, "no structure of an ionic step.")
    if text.find(MARK, begin + 1) >= 0:
        raise FileError(name, "several ionic steps; compute one configuration at a time (NSW = 0).")
    head = text[:begin]
    _check_iterations(head, name)
    numbers = elements(head, name)
    location = FrameLocation(name, head.count(b"\n") + 1, 0)
    positions, _, cell, _ = read(text[begin : text.find(END, begin)], location, numbers)
    forces = vectors(text[begin:], b"forces", len(numbers), location)
    field = _field(_FIELD_XML.findall(head), name)
    return [FieldRun(positions, numbers, cell, _PERIODIC, forces * EV_PER_ANGSTROM, field, name)]


def _check_iterations(head: bytes, name: str) -> None:
    """The file does not say whether EDIFF was reached: fewer iterations than NELM in all loops together are safe."""
    limit = parameter(head, b"NELM")
    count = head[head.rfind(b"<calculation>") :].count(b"</scstep>")
    if limit is None or count >= limit:
        raise FileError(
            name,
            f"{count} iterations with NELM = {limit}, so EDIFF may not have been "
            "reached. The OUTCAR says it for certain: give that one, or compute it again with a larger NELM.",
        )


def _field(echoes: list[bytes], name: str) -> np.ndarray:
    """(3,) hartree/(e bohr) of the last echo, zero without any."""
    if not echoes:
        return np.zeros(3)
    values = parse_numbers(split_touching_numbers(b" ".join(echoes[-1].split()[:3])), 3)
    if values is None:
        raise FileError(name, f"EFIELD_PEAD should be three numbers, found {quoted(echoes[-1])}.")
    return values * EV_PER_ANGSTROM
