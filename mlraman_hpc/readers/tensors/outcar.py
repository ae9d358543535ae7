"""VASP OUTCAR: structure and static electronic dielectric tensor (LEPSILON or LCALCEPS) of one configuration.

Labels in the file: https://www.vasp.at/wiki/index.php/LEPSILON
"""

from __future__ import annotations

import re
from math import inf

import numpy as np
from ase.data import atomic_numbers

from mlraman_hpc.readers.tensors.base import (
    Calculation,
    FileError,
    TextOutput,
    band_gap,
    single_dielectric,
    tensor_below,
)
from mlraman_hpc.readers.text import parse_numbers, quoted, split_touching_numbers

# LEPSILON says 'in DFT' or 'in RPA (Hartree)'; LCALCEPS says neither, and LRPA among the parameters tells which
_TENSOR = re.compile(rb"MACROSCOPIC STATIC DIELECTRIC TENSOR \(including local field effects( in DFT)?\)")
_RPA = b"MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in RPA"
_FRACTIONAL = b"position of ions in fractional coordinates"
# a WAVECAR of another cell is announced with the lattice vectors of that cell
_LATTICE = re.compile(rb"(old parameters found on file.*?)?direct lattice vectors", re.DOTALL)
_FORCES = b"TOTAL-FORCE (eV/Angst)"
_BAND = re.compile(rb"^ +\d+ +(-?\d+\.\d+) +(\d\.\d+) *$", re.MULTILINE)
_ITERATION = re.compile(rb"-- Iteration +\d+\( *(\d+)\)|aborting loop (because EDIFF is|EDIFF was not|because hard)")


class Outcar(TextOutput):
    """An OUTCAR of a single configuration."""

    name = "outcar"
    file_name = r"outcar"
    magic = rb"\s*vasp\."

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        check_finished(text, name)
        tensors = {"dielectric": _tensor(text, name)}
        unconverged = not_converged(text, name)
        _check_one_structure(text, name)
        cell, fractional = structure(text, name)
        gap = _gap(text)
        return [
            Calculation(
                fractional @ cell,
                numbers(text, len(fractional), name),
                cell,
                tensors,
                name,
                unconverged=unconverged,
                gap=gap,
            )
        ]


FORMAT = Outcar()


def check_finished(text: bytes, name: str) -> None:
    if b"General timing and accounting" not in text:
        raise FileError(name, "the calculation did not finish ('General timing and accounting' is missing).")


def _tensor(text: bytes, name: str) -> np.ndarray:
    """The tensor with local fields, electrons only; printed more than once, and always the same."""
    headings = [match.end() for match in _TENSOR.finditer(text) if match[1] or not _is_set(text, "LRPA")]
    if not headings:
        raise FileError(
            name,
            f"no tensor 'MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in "
            f"DFT)'; {_why_no_tensor(text)}.",
        )
    return single_dielectric([tensor_below(text, heading, name) for heading in headings], name)


def _why_no_tensor(text: bytes) -> str:
    if _RPA in text or _TENSOR.search(text):
        return "only the one in RPA is there: compute it again with LRPA = .FALSE."
    settings = {flag: _setting(text, flag) for flag in ("LEPSILON", "LCALCEPS")}
    listed = " and ".join(f"{flag} = {value}" for flag, value in settings.items() if value)
    if any(_is_set(text, flag) for flag in settings):
        return f"{listed}, so the calculation broke off before it"
    return f"LEPSILON was off ({listed or 'not in the file'}): compute it again with LEPSILON or LCALCEPS = .TRUE."


def _setting(text: bytes, flag: str) -> str | None:
    """T or F as VASP used it: what lies after the echo of the INCAR."""
    match = re.compile(flag.encode() + rb" *= *(\S)").search(text, max(text.find(b"ions per type"), 0))
    return match[1].decode("ascii", "replace") if match else None


def _is_set(text: bytes, flag: str) -> bool:
    return _setting(text, flag) in ("T", "t")


def _gap(text: bytes) -> float | None:
    """eV, from the last table of energies and occupations that is complete."""
    heading = text.rfind(b" E-fermi :")
    states = _BAND.findall(text, heading) if heading >= 0 else []
    values = parse_numbers(b" ".join(b" ".join(state) for state in states), 2 * len(states))
    return None if values is None else band_gap(*values.reshape(-1, 2).T)


def not_converged(text: bytes, name: str) -> FileError | None:
    """None where every self-consistency loop ended because EDIFF was reached, else what to say.

    VASP 6 says where it was not; VASP 5 says nothing and stops after NELM iterations. Errors: FileError where the
    calculation was stopped by hand.
    """
    setting = re.search(rb"NELM *= *(\d+);", text)
    limit = int(setting[1]) if setting else inf
    iterations, start = 0, 0  # of a loop that has not reached EDIFF
    for event in _ITERATION.finditer(text):
        if event[1]:
            if int(event[1]) == 1 and iterations >= limit:
                return _unconverged(text, start, iterations, name)
            iterations, start = int(event[1]), event.start()
        elif event[2].startswith(b"because hard"):
            raise FileError(name, "stopped by hand (STOPCAR) before the electronic loop had converged.")
        elif event[2].startswith(b"EDIFF was not"):
            return _unconverged(text, start, iterations, name)
        else:
            iterations = 0
    return _unconverged(text, start, iterations, name) if iterations >= limit else None


def _unconverged(text: bytes, start: int, iterations: int, name: str) -> FileError:
    reason = f"an electronic loop stopped after {iterations} iterations without reaching EDIFF (NELM reached)."
    return FileError(name, reason, text[:start].count(b"\n") + 1)


def _check_one_structure(text: bytes, name: str) -> None:
    """One ionic step, or several of which all tensors precede the second."""
    steps = [match.start() for match in re.finditer(re.escape(_FORCES), text)]
    if len(steps) > 1 and _TENSOR.search(text, steps[1]):
        raise FileError(
            name,
            f"{len(steps)} ionic steps; which structure the dielectric tensor belongs to is not "
            "clear. Compute one configuration at a time (NSW = 0).",
        )


def structure(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cell (Angstrom) and fractional coordinates with the eight decimals printed before the first iteration.

    The forces' table has five decimals only, and the first table of coordinates may be of the primitive cell.
    """
    ions = re.search(rb"NIONS *= *(\d+)", text)
    first = text.find(b" Iteration ")
    start = text[: first if first >= 0 else len(text)]
    lattices, positions = [match.end() for match in _LATTICE.finditer(start) if not match[1]], start.rfind(_FRACTIONAL)
    if ions is None or not lattices or positions < 0:
        raise FileError(name, "no cell and positions before the first iteration; is it an OUTCAR of VASP 5 or 6?")
    atoms = int(ions[1])
    cell = block(start, lattices[-1], 3, 6, name, "lattice vectors")[:, :3]
    return cell, block(start, positions, atoms, 3, name, "fractional coordinates")


def block(text: bytes, heading: int, rows: int, columns: int, name: str, what: str) -> np.ndarray:
    """(rows, columns) numbers on the lines after the one at `heading`."""
    lines = text[text.find(b"\n", heading) + 1 :].split(b"\n", rows)[:rows]
    values = parse_numbers(split_touching_numbers(b"\n".join(lines)), rows * columns)
    if values is None:
        line = text[:heading].count(b"\n") + 1
        raise FileError(name, f"{rows} lines of {what} must follow; the first is {quoted(lines[0])}.", line)
    return values.reshape(rows, columns)


def numbers(text: bytes, atoms: int, name: str) -> np.ndarray:
    """Atomic numbers from the potentials' titles and 'ions per type'."""
    per_type = re.search(rb"ions per type *= *((?:[\d ]+\n)+)", text)  # ten on a line
    counts = [int(word) for word in per_type[1].split()] if per_type else []
    titles = re.findall(rb"TITEL *= *\S+ +([A-Z][a-z]?)", text)
    # NWRITE = 0 and 1 leave the head of each potential out; the list of all of them, at the start, stays
    titles = titles or re.findall(rb"^ POTCAR: +\S+ +([A-Z][a-z]?)", text, re.MULTILINE)[: len(counts)]
    labels = [title.decode() for title in titles]
    if len(labels) != len(counts) or sum(counts) != atoms or not set(labels) <= set(atomic_numbers):
        raise FileError(
            name,
            f"the potentials ({', '.join(labels) or 'none'}) do not fit 'ions per type' ({counts}) "
            f"and NIONS ({atoms}).",
        )
    return np.repeat([atomic_numbers[label] for label in labels], counts)
