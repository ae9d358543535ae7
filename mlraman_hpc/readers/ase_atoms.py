"""`ase.Atoms` as the program's own arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import POLARIZABILITY_UNITS, canonical_unit
from mlraman_hpc.records.frames import Frames, Labels

if TYPE_CHECKING:
    import ase

KEY = "polarizability"


def frames_of_atoms(structures: Sequence[ase.Atoms]) -> Frames:
    """Positions, elements, cells and periodic directions; a cell row along an open direction counts as zero."""
    periodic = np.array([atoms.pbc for atoms in structures], dtype=bool).reshape(-1, 3)
    cells = np.array([atoms.cell.array for atoms in structures], dtype=float).reshape(-1, 3, 3)
    counts = [len(atoms) for atoms in structures]
    return Frames(
        positions=np.concatenate([np.empty((0, 3)), *(atoms.positions for atoms in structures)]),
        numbers=np.concatenate([np.empty(0, int), *(atoms.numbers for atoms in structures)]).astype(np.int64),
        first_atom=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        cells=cells * periodic[:, :, None],
        periodic=periodic,
        index=np.arange(len(structures)),
    )


def labels_of_atoms(structures: Sequence[ase.Atoms], unit: str) -> Labels:
    """Labels from `atoms.info["polarizability"]`, nine numbers or (3, 3), of the whole cell, in `unit`."""
    tensors = []
    for number, atoms in enumerate(structures):
        tensor = np.asarray(atoms.info.get(KEY, ()), dtype=float)
        if tensor.size != 9 or not np.isfinite(tensor).all():
            raise DataError(f"structure {number}: info['{KEY}'] should hold the nine finite numbers of a tensor")
        tensors.append(tensor.reshape(3, 3))
    unit = canonical_unit(unit, POLARIZABILITY_UNITS)
    if unit not in POLARIZABILITY_UNITS:
        raise DataError(f"unit: '{unit}' is not one of {', '.join(POLARIZABILITY_UNITS)}")
    alpha = np.array(tensors) * POLARIZABILITY_UNITS[unit]
    sources = tuple(f"structure {number}" for number in range(len(structures)))
    return Labels(frames_of_atoms(structures), (alpha + alpha.transpose(0, 2, 1)) / 2, sources)
