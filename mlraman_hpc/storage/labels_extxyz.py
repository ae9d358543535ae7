"""Labelled structures as extended XYZ that reads back to the same numbers."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.records.frames import Labels


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


def _all_digits(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(values))
