"""One structure, from any file that ASE reads."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, first_line


def read_structure(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cell (3, 3) Angstrom, atomic numbers (atoms,), fractional coordinates (atoms, 3)) of the file's first structure.

    Raises DataError, without the file's name, where ASE cannot read it or where it has no cell.
    """
    from ase.io import read  # here, for all ranks pay for the import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path, index=0, parallel=False)  # else every rank would have to call
    except Exception as error:  # every reader of ASE fails in its own way
        reason = first_line(error)
        raise DataError(f"ASE cannot read a structure from it: {reason}") from None
    cell = np.array(atoms.cell)
    if abs(np.linalg.det(cell)) < 1e-6:
        raise DataError("the structure has no cell of three vectors")
    return cell, atoms.numbers, np.linalg.solve(cell.T, atoms.positions.T).T
