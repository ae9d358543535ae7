"""Labelled structures as extended XYZ that reads back to the same numbers."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.records.frames import DerivativeLabels, Frames, Labels

_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))


def extended_xyz(labels: Labels) -> str:
    """The text of a file with all frames: positions and cells in Angstrom, 'polarizability' in Angstrom^3."""
    return "".join(_frame(labels, k) for k in range(len(labels)))


def _frame(labels: Labels, k: int) -> str:
    """Number of atoms, comment line with cell and tensor, and one line for each atom."""
    frames, atoms = labels.frames, slice(*labels.frames.first_atom[k : k + 2])
    pbc = " ".join("T" if periodic else "F" for periodic in frames.periodic[k])
    lattice = f'Lattice="{_all_digits(frames.cells[k])}" ' if frames.cells[k].any() else ""
    tensor = f'polarizability="{_all_digits(labels.polarizability[k])}"'
    rows = zip(symbols(frames.numbers[atoms]), frames.positions[atoms])
    return f'{atoms.stop - atoms.start}\n{lattice}Properties=species:S:1:pos:R:3 {tensor} pbc="{pbc}"\n' + "".join(
        f"{symbol} {_all_digits(position)}\n" for symbol, position in rows
    )


def derivatives_extended_xyz(labels: DerivativeLabels) -> str:
    """The same with 18 numbers an atom: for d/dx, d/dy, d/dz each xx yy zz xy yz zx, Angstrom^2."""
    return "".join(_derivatives_of_frame(labels.frames, k, labels.of_frame(k)) for k in range(len(labels)))


def _derivatives_of_frame(frames: Frames, k: int, values: np.ndarray) -> str:
    atoms = slice(*frames.first_atom[k : k + 2])
    pbc = " ".join("T" if periodic else "F" for periodic in frames.periodic[k])
    lattice = f'Lattice="{_all_digits(frames.cells[k])}" ' if frames.cells[k].any() else ""
    columns = np.stack([values[:, :, a, b] for a, b in _PAIRS], axis=-1).reshape(len(values), 18)
    head = (
        f"{len(values)}\n{lattice}Properties=species:S:1:pos:R:3:polarizability_gradient:R:18 unit=angstrom^2 "
        f'order="x:xx,yy,zz,xy,yz,zx y:... z:..." pbc="{pbc}"\n'
    )
    rows = zip(symbols(frames.numbers[atoms]), frames.positions[atoms], columns)
    return head + "".join(
        f"{symbol} {_all_digits(position)} {_all_digits(numbers)}\n" for symbol, position, numbers in rows
    )


def _all_digits(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(values))
