"""Labelled structures as extended XYZ that reads back to the same numbers."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.records.frames import DerivativeLabels, Frames, Labels

_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))


def extended_xyz(labels: Labels, comments: list[str] | None = None) -> str:
    """The text of a file with all frames: positions and cells in Angstrom, 'polarizability' in Angstrom^3.

    comments: key=value ... for each comment line.
    """
    return "".join(_frame(labels, k, f"{comments[k]} " if comments else "") for k in range(len(labels)))


def _frame(labels: Labels, k: int, comment: str = "") -> str:
    """Number of atoms, comment line with cell and tensor, and one line for each atom."""
    tensor = f'polarizability="{_all_digits(labels.polarizability[k])}" {comment}'
    return _structure(labels.frames, k, "species:S:1:pos:R:3", tensor, labels.frames.positions)


def frames_extended_xyz(frames: Frames, comments: list[str]) -> str:
    """Frames alone, with further `comments` (key=value ...) on each comment line."""
    return "".join(
        _structure(frames, k, "species:S:1:pos:R:3", f"{comments[k]} ", frames.positions) for k in range(len(frames))
    )


def _structure(frames: Frames, k: int, properties: str, comment: str, values: np.ndarray) -> str:
    """Frame k with `values` (atoms of all frames, ...) on the lines of its atoms."""
    atoms = slice(*frames.first_atom[k : k + 2])
    pbc = " ".join("T" if periodic else "F" for periodic in frames.periodic[k])
    lattice = f'Lattice="{_all_digits(frames.cells[k])}" ' if frames.cells[k].any() else ""
    rows = zip(symbols(frames.numbers[atoms]), values[atoms])
    return f'{atoms.stop - atoms.start}\n{lattice}Properties={properties} {comment}pbc="{pbc}"\n' + "".join(
        f"{symbol} {_all_digits(row)}\n" for symbol, row in rows
    )


def derivatives_extended_xyz(labels: DerivativeLabels, comments: list[str] | None = None) -> str:
    """The same with 18 numbers an atom: for d/dx, d/dy, d/dz each xx yy zz xy yz zx, Angstrom^2."""
    columns = np.stack([labels.derivatives[:, :, a, b] for a, b in _PAIRS], axis=-1).reshape(-1, 18)
    values = np.concatenate([labels.frames.positions, columns], axis=1)
    order = 'unit=angstrom^2 order="x:xx,yy,zz,xy,yz,zx y:... z:..." '
    properties = "species:S:1:pos:R:3:polarizability_gradient:R:18"
    return "".join(
        _structure(labels.frames, k, properties, order + (f"{comments[k]} " if comments else ""), values)
        for k in range(len(labels))
    )


def _all_digits(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(values))
