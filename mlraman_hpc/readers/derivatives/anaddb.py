"""ABINIT: derivatives of the susceptibility by third-order response (2n + 1 theorem), `dchidt` of anaddb.nc (nlflag 1).

dchidt[a, b, c, i] = d chi_ab/d r_ic in 1/bohr with chi = (epsilon - 1)/(4 pi), so d alpha/d r = V dchidt, V the cell's
volume. With `ramansr 1` anaddb has made the sum over atoms zero: then nothing tells the noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors import anaddb
from mlraman_hpc.readers.tensors.base import Calculation, FileError


def derivatives_of(path: Path) -> tuple[Calculation, np.ndarray]:
    """Structure, and d alpha_ab/d r_ic (atoms, 3, 3, 3) Angstrom^2. Errors: FileError where `dchidt` is missing."""
    name = str(path)
    structure, values = anaddb.structure_and(path, "dchidt", "nlflag 1 on a database with third-order response")
    atoms = len(structure.numbers)
    if values.shape != (3, 3, 3, atoms) or not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        raise FileError(name, f"dchidt of shape {values.shape} makes no sense, or was never written.")
    volume = abs(np.linalg.det(structure.cell)) / ANGSTROM_PER_BOHR
    return structure, volume * np.moveaxis(values, (3, 2), (0, 1))
