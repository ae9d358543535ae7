"""ABINIT anaddb.nc: clamped-ion dielectric tensor `emacro_cart` and the structure beside it.

`emacro_cart_rlx`, which is another one, has the relaxation of the ions in it. Classic netCDF or netCDF-4.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.io import netcdf_file

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import reading_errors

KIND = "a netCDF file of anaddb"
_NEEDED = {
    "primitive_vectors": (3, 3),
    "reduced_atom_positions": (-1, 3),
    "atom_species": (-1,),
    "atomic_numbers": (-1,),
    "emacro_cart": (3, 3),
}


def read_label(path: str, name: str) -> Calculation:
    """One anaddb.nc. Errors: DataError where the tensor (dieflag) or the structure is missing or makes no sense."""
    with reading_errors(name, KIND):
        values = _variables(path)
    missing = [label for label in _NEEDED if label not in values]
    if missing:
        raise DataError(
            f"{name}: no {', '.join(missing)}: run anaddb with dieflag 1 on a database with the response "
            "to the electric field."
        )
    for label, shape in _NEEDED.items():
        found = values[label]
        fits = found.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, found.shape))
        if not fits or not np.isfinite(found).all() or np.abs(found).max(initial=0) > 1e6:  # also netCDF's fill value
            raise DataError(f"{name}: {label} of shape {found.shape} makes no sense or was never written.")
    cell = values["primitive_vectors"] * ANGSTROM_PER_BOHR
    return Calculation(
        values["reduced_atom_positions"] @ cell,
        _numbers(values, name),
        cell,
        same_tensor([values["emacro_cart"]], name),
    )


def _variables(path: str) -> dict[str, np.ndarray]:
    """Needed variables that are there."""
    if Path(path).read_bytes()[:4] == b"\x89HDF":
        with h5py.File(path, "r", locking=False) as file:
            return {label: np.array(file[label][()], dtype=float) for label in _NEEDED if label in file}
    with netcdf_file(path, "r", mmap=False) as file:
        there = [label for label in _NEEDED if label in file.variables]
        return {label: np.array(file.variables[label][...], dtype=float) for label in there}


def _numbers(values: dict[str, np.ndarray], name: str) -> np.ndarray:
    kinds, species = values["atomic_numbers"], values["atom_species"]
    fits = np.isin(species, np.arange(1, len(kinds) + 1)).all() and np.isin(kinds, np.arange(1, 119)).all()
    if not fits or len(species) != len(values["reduced_atom_positions"]):
        raise DataError(f"{name}: species {species.tolist()} with atomic numbers {kinds.tolist()} make no sense.")
    return kinds[species.astype(int) - 1].astype(int)
