"""CP2K output: polarizability by linear response (LINRES, POLAR) and the structure before it."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.readers.tensors.base import Calculation, FileError, TextOutput
from mlraman_hpc.readers.text import parse_numbers, quoted

# the lines name their components themselves
_ORDER = (b"xx,yy,zz", b"xy,xz,yz", b"yx,zx,zy")
_BLOCK = re.compile(rb"POLAR\| Polarizability tensor \[(a\.u\.|ang\^3)\]\n((?: *POLAR\|[^\n]*\n){3})")
_ATOMS = re.compile(
    rb"ATOMIC COORDINATES IN ANGSTROM[^\n]*\s*\n *Atom +Kind +Element[^\n]*\n((?: +\d+ +\d+ [^\n]*\n)+)", re.IGNORECASE
)
_VECTOR = re.compile(
    rb"^ CELL\| Vector ([abc]) \[angstrom\]:?([^|\n]*)\|[abc]\| *= *(\S+)", re.MULTILINE | re.IGNORECASE
)
_ANGLE = re.compile(rb"^ CELL\| Angle \(\w,\w\), \w+ *\[degree\]: *(\S+)", re.MULTILINE)
_GAP = re.compile(rb"HOMO *- *LUMO gap *\[eV\] *: *(\S+)")
_SINGLE = (b"ENERGY", b"ENERGY_FORCE", b"LINEAR_RESPONSE", b"LR")


class CP2K(TextOutput):
    """An output of a single configuration."""

    name = "cp2k"
    magic = rb".*CP2K\|"

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        check_finished(text, name)
        unconverged = not_converged(text, name)
        try:
            tensors = {"polarizability": _tensor(text, name)}
        except FileError as error:  # what did not converge may print anything
            raise unconverged or error from None
        cell, periodic = cell_of(text, name)
        positions, numbers = atoms_of(text, name)
        cell, gap = cell * periodic[:, None], _gap(text)
        return [Calculation(positions, numbers, cell, tensors, name, periodic, unconverged=unconverged, gap=gap)]


FORMAT = CP2K()


def check_finished(text: bytes, name: str) -> None:
    """Errors: FileError unless one configuration was computed to its end."""
    if b"PROGRAM ENDED AT" not in text:
        raise FileError(name, "the calculation did not finish ('PROGRAM ENDED AT' is missing).")
    run = re.search(rb"GLOBAL\| Run type +(\S+)", text)
    if run is None or run[1].upper() not in _SINGLE:
        raise FileError(
            name,
            f"the run type is {run[1].decode('ascii', 'replace') if run else 'not named'}; which "
            "structure the polarizability belongs to is not clear. Compute one configuration at a time, or give the "
            "PROJECT-1.polar of a run, with its trajectory in the section 'trajectory'.",
        )


def not_converged(text: bytes, name: str) -> FileError | None:
    """What CP2K says of it, with the line; None where all loops have converged."""
    for fault in (b"SCF run NOT converged", b"The linear solver didn't converge"):
        if fault in text:
            line = text[: text.find(fault)].count(b"\n") + 1
            return FileError(name, f"'{fault.decode()}'.", line)
    return None


def _gap(text: bytes) -> float | None:
    """eV; the smallest that is printed (two spins have one each)."""
    gaps = _GAP.findall(text)
    values = parse_numbers(b" ".join(gaps), len(gaps))
    return float(values.min()) if gaps and values is not None else None


def _tensor(text: bytes, name: str) -> np.ndarray:
    """Angstrom^3; the block in atomic units has more digits and must agree with the one in Angstrom^3."""
    blocks = _BLOCK.findall(text)
    tensors = {unit: _components(lines, name) for unit, lines in blocks}
    if len(blocks) != 2 or len(tensors) != 2:
        raise FileError(
            name,
            f"needed: one 'POLAR| Polarizability tensor' in a.u. and in ang^3; found {len(blocks)} "
            "complete ones. Compute it with PROPERTIES/LINRES/POLAR.",
        )
    tensor = tensors[b"a.u."] * ANGSTROM3_PER_BOHR3
    if np.abs(tensor - tensors[b"ang^3"]).max() > 1e-5 * np.abs(tensor).max() + 1e-9:
        raise FileError(name, "the polarizabilities in a.u. and in ang^3 do not agree.")
    return tensor


def _components(lines: bytes, name: str) -> np.ndarray:
    tensor = np.empty((3, 3))
    for line, order in zip(lines.splitlines(), _ORDER):
        label, _, rest = line.partition(b"POLAR|")[2].strip().partition(b" ")
        values = parse_numbers(rest, 3)
        if label != order or values is None:
            raise FileError(name, f"expected {order.decode()} and three numbers, found {quoted(line)}.")
        for component, value in zip(order.decode().split(","), values):
            tensor["xyz".index(component[0]), "xyz".index(component[1])] = value
    return tensor


def cell_of(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cell (Angstrom) and periodic (3,). Vectors have three decimals, lengths and angles six."""
    vectors = _VECTOR.findall(text)[:3]
    lengths = parse_numbers(b" ".join(vector[2] for vector in vectors), 3)
    rows = parse_numbers(b" ".join(vector[1] for vector in vectors), 9)
    angles = parse_numbers(b" ".join(_ANGLE.findall(text)[:3]), 3)
    directions = re.search(rb"^ CELL\| Periodicity +(\w+)", text, re.MULTILINE)
    if [vector[0] for vector in vectors] != [b"a", b"b", b"c"] or lengths is None or rows is None or directions is None:
        raise FileError(name, "no complete cell ('CELL| Vector a [angstrom]' to 'CELL| Periodicity').")
    rows = rows.reshape(3, 3)
    periodic = np.array([axis in directions[1].upper() for axis in (b"X", b"Y", b"Z")]) & (
        directions[1].upper() != b"NONE"
    )
    if angles is not None and (lengths > 0).all() and ((angles > 0) & (angles < 180)).all():
        from ase.geometry import cellpar_to_cell  # here, for its import takes long

        exact = cellpar_to_cell([*lengths, *angles])
        if np.abs(exact - rows).max() < 6e-4:
            return exact, periodic
    norms = np.linalg.norm(rows, axis=1)
    if (np.abs(norms - lengths) > 1e-3).any():
        raise FileError(name, f"the lengths {lengths.tolist()} are not those of the cell {rows.tolist()}.")
    return rows * (lengths / norms)[:, None], periodic


def atoms_of(text: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    blocks = _ATOMS.findall(text)
    if len(set(blocks)) != 1:
        raise FileError(name, f"needed: one table of atomic coordinates; found {len(set(blocks))}.")
    rows = [line.split() for line in blocks[0].splitlines()]
    words = [word for row in rows for word in row[3:7]]  # atomic number, x, y, z
    values = parse_numbers(b" ".join(words), 4 * len(rows))
    count = re.search(rb"^ *- Atoms: +(\d+)", text, re.MULTILINE)
    if values is None or (count is not None and int(count[1]) != len(rows)):
        raise FileError(
            name, f"the table of atomic coordinates has {len(rows)} rows, of which one is damaged or missing."
        )
    values = values.reshape(-1, 4)
    if not np.isin(values[:, 0], np.arange(1, 119)).all():
        raise FileError(name, "an atomic number in the table of coordinates makes no sense.")
    return values[:, 1:], values[:, 0].astype(int)
