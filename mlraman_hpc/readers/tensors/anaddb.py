"""ABINIT anaddb.nc: clamped-ion dielectric tensor `emacro_cart` and the structure beside it.

`emacro_cart_rlx`, which is another one, has the relaxation of the ions in it. Classic netCDF or netCDF-4.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat, Request, single_dielectric
from mlraman_hpc.readers.text import Warn, reading_errors

h5py = LazyModule("h5py")
scipy_io = LazyModule("scipy.io")
_KIND = "a netCDF file of anaddb"
_STRUCTURE = {
    "primitive_vectors": (3, 3),
    "reduced_atom_positions": (-1, 3),
    "atom_species": (-1,),
    "atomic_numbers": (-1,),
}


class Anaddb(LabelFormat):
    """One anaddb.nc of one configuration."""

    name = "anaddb"
    file_name = r"\.nc$"
    magic = rb"CDF"

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        remedy = "dieflag 1 on a database with the response to the electric field"
        structure, epsilon = structure_and(path, "emacro_cart", remedy)
        if epsilon.shape != (3, 3) or not np.isfinite(epsilon).all() or np.abs(epsilon).max() > 1e6:
            raise FileError(path, f"emacro_cart of shape {epsilon.shape} makes no sense or was never written.")
        return [replace(structure, tensors={"dielectric": single_dielectric([epsilon], str(path))})]


FORMAT = Anaddb()


def structure_and(path: Path, variable: str, remedy: str) -> tuple[Calculation, np.ndarray]:
    """The structure, without tensors, and one more variable of the file.

    Errors: FileError where one of them is missing; `remedy` says what anaddb has to be run with.
    """
    name = str(path)
    with reading_errors(name, _KIND):
        values = _variables(path, variable)
    _check(values, name, variable, remedy)
    cell = values["primitive_vectors"] * ANGSTROM_PER_BOHR
    positions = values["reduced_atom_positions"] @ cell
    return Calculation(positions, _numbers(values, name), cell, {}, name), values[variable]


def _check(values: dict[str, np.ndarray], name: str, variable: str, remedy: str) -> None:
    """Errors: FileError where the variable or the structure is missing or the latter makes no sense."""
    missing = [label for label in (*_STRUCTURE, variable) if label not in values]
    if missing:
        raise FileError(name, f"no {', '.join(missing)}: run anaddb with {remedy}.")
    for label, shape in _STRUCTURE.items():
        array = values[label]
        fits = array.ndim == len(shape) and all(size in (-1, actual) for size, actual in zip(shape, array.shape))
        if not fits or not np.isfinite(array).all() or np.abs(array).max(initial=0) > 1e6:  # also netCDF's fill value
            raise FileError(name, f"{label} of shape {array.shape} makes no sense or was never written.")


def _variables(path: Path, variable: str) -> dict[str, np.ndarray]:
    """Those of the structure's variables and of this one that the file has."""
    wanted = (*_STRUCTURE, variable)
    if path.read_bytes()[:4] == b"\x89HDF":
        with h5py.File(path, "r", locking=False) as file:
            return {label: np.array(file[label][()], dtype=float) for label in wanted if label in file}
    with scipy_io.netcdf_file(path, "r", mmap=False) as file:
        labels = [label for label in wanted if label in file.variables]
        return {label: np.array(file.variables[label][...], dtype=float) for label in labels}


def _numbers(values: dict[str, np.ndarray], name: str) -> np.ndarray:
    elements, species = values["atomic_numbers"], values["atom_species"]
    fits = np.isin(species, np.arange(1, len(elements) + 1)).all() and np.isin(elements, np.arange(1, 119)).all()
    if not fits or len(species) != len(values["reduced_atom_positions"]):
        raise FileError(name, f"species {species.tolist()} with atomic numbers {elements.tolist()} make no sense.")
    return elements[species.astype(int) - 1].astype(int)
