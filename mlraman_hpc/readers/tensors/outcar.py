"""VASP OUTCAR: structure and static electronic dielectric tensor (LEPSILON or LCALCEPS) of one configuration.

Labels in the file: https://www.vasp.at/wiki/index.php/LEPSILON
"""

from __future__ import annotations

import re

import numpy as np
from ase.data import atomic_numbers

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import parse_numbers, quoted, split_touching_numbers

_TENSOR = b"MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in DFT)"
_RPA = b"MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in RPA"
_FRACTIONAL = b"position of ions in fractional coordinates"
_LATTICE = b"direct lattice vectors"
_FORCES = b"TOTAL-FORCE (eV/Angst)"
_ITERATION = re.compile(rb"-- Iteration +\d+\( *(\d+)\)|aborting loop (because EDIFF is|EDIFF was not|because hard)")


def read_label(text: bytes, name: str) -> Calculation:
    """One OUTCAR. Errors: DataError naming what makes it unusable."""
    if b"General timing and accounting" not in text:
        raise DataError(f"{name}: the calculation did not finish ('General timing and accounting' is missing).")
    dielectric = _tensor(text, name)
    _check_converged(text, name)
    _check_one_structure(text, name)
    cell, fractional = _structure(text, name)
    return Calculation(fractional @ cell, _numbers(text, len(fractional), name), cell, dielectric)


def _tensor(text: bytes, name: str) -> np.ndarray:
    """The tensor with local fields, electrons only; printed more than once, and always the same."""
    places = [found.end() for found in re.finditer(re.escape(_TENSOR), text)]
    if not places:
        raise DataError(
            f"{name}: no tensor 'MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in "
            f"DFT)'; {_why_no_tensor(text)}."
        )
    return same_tensor([_rows(text, place, name) for place in places], name)


def _why_no_tensor(text: bytes) -> str:
    if _RPA in text:
        return "only the one in RPA is there: compute it again with LRPA = .FALSE."
    flags = {flag: re.search(flag.encode() + rb" *= *(\S)", _parameters(text)) for flag in ("LEPSILON", "LCALCEPS")}
    said = " and ".join(f"{flag} = {found[1].decode('ascii', 'replace')}" for flag, found in flags.items() if found)
    on = any(found and found[1] in b"Tt" for found in flags.values())
    if on:
        return f"{said}, so the calculation broke off before it"
    return f"LEPSILON was off ({said or 'not in the file'}): compute it again with LEPSILON or LCALCEPS = .TRUE."


def _parameters(text: bytes) -> bytes:
    """What lies after the echo of the INCAR: the parameters as VASP uses them."""
    return text[max(text.find(b"ions per type"), 0) :]


def _rows(text: bytes, place: int, name: str) -> np.ndarray:
    lines = text[place : place + 1000].split(b"\n")[2:5]
    rows = [parse_numbers(line, 3) for line in lines]
    for line, row in zip(lines, rows):
        if row is None:
            number = text[:place].count(b"\n") + 3 + lines.index(line)
            raise DataError(
                f"{name}, line {number}: expected three numbers of the dielectric tensor, found {quoted(line)}."
            )
    return np.array(rows)


def _check_converged(text: bytes, name: str) -> None:
    """Every self-consistency loop ended because EDIFF was reached.

    VASP 6 says where it was not; VASP 5 says nothing and stops after NELM iterations.
    """
    found = re.search(rb"NELM *= *(\d+);", text)
    limit = int(found[1]) if found else None
    last, begun = 0, 0
    for event in [*_ITERATION.finditer(text), None]:
        number = int(event[1]) if event and event[1] else None
        ended = event is None or number == 1
        if ended and limit is not None and last >= limit:
            raise _unconverged(name, last, text[:begun].count(b"\n") + 1)
        if number is not None:
            last, begun = number, event.start()
        elif event is not None:
            if event[2].startswith(b"because hard"):
                raise DataError(f"{name}: stopped by hand (STOPCAR) before the electronic loop had converged.")
            if event[2].startswith(b"EDIFF was not"):
                raise _unconverged(name, last, text[:begun].count(b"\n") + 1)
            last = 0


def _unconverged(name: str, iterations: int, line: int) -> DataError:
    return DataError(
        f"{name}, line {line}: an electronic loop stopped after {iterations} iterations without reaching "
        "EDIFF (NELM reached)."
    )


def _check_one_structure(text: bytes, name: str) -> None:
    """One ionic step, or several of which all tensors precede the second."""
    steps = [found.start() for found in re.finditer(re.escape(_FORCES), text)]
    if len(steps) > 1 and text.rfind(_TENSOR) > steps[1]:
        raise DataError(
            f"{name}: {len(steps)} ionic steps; which structure the dielectric tensor belongs to is not "
            "clear. Compute one configuration at a time (NSW = 0)."
        )


def _structure(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cell (Angstrom) and fractional coordinates with the eight decimals printed before the first iteration.

    The forces' table has five decimals only, and the first table of coordinates may be of the primitive cell.
    """
    found = re.search(rb"NIONS *= *(\d+)", text)
    first = text.find(b" Iteration ")
    start = text[: first if first >= 0 else len(text)]
    lattice, positions = start.rfind(_LATTICE), start.rfind(_FRACTIONAL)
    if found is None or lattice < 0 or positions < 0:
        raise DataError(f"{name}: no cell and positions before the first iteration; is it an OUTCAR of VASP 5 or 6?")
    atoms = int(found[1])
    cell = _block(start, lattice, 3, 6, name, "lattice vectors")[:, :3]
    return cell, _block(start, positions, atoms, 3, name, "fractional coordinates")


def _block(text: bytes, place: int, rows: int, columns: int, name: str, what: str) -> np.ndarray:
    """(rows, columns) numbers on the lines after the one at `place`."""
    lines = text[text.find(b"\n", place) + 1 :].split(b"\n", rows)[:rows]
    values = parse_numbers(split_touching_numbers(b"\n".join(lines)), rows * columns)
    if values is None:
        number = text[:place].count(b"\n") + 1
        raise DataError(f"{name}, line {number}: {rows} lines of {what} must follow; the first is {quoted(lines[0])}.")
    return values.reshape(rows, columns)


def _numbers(text: bytes, atoms: int, name: str) -> np.ndarray:
    """Atomic numbers from the potentials' titles and 'ions per type'."""
    titles = re.findall(rb"TITEL *= *\S+ +([A-Z][a-z]?)", text)
    found = re.search(rb"ions per type *= *([\d ]+)", text)
    counts = [int(word) for word in found[1].split()] if found else []
    labels = [title.decode() for title in titles]
    if len(labels) != len(counts) or sum(counts) != atoms or not set(labels) <= set(atomic_numbers):
        raise DataError(
            f"{name}: the potentials ({', '.join(labels) or 'none'}) do not fit 'ions per type' ({counts}) "
            f"and NIONS ({atoms})."
        )
    return np.repeat([atomic_numbers[label] for label in labels], counts)
