"""VASP vaspout.h5: the dielectric tensor of a single configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat, Request, band_gap, single_dielectric
from mlraman_hpc.readers.text import FrameLocation, Warn, reading_errors
from mlraman_hpc.readers.trajectory.vaspout import KIND, STEPS, complete_frames, decoded, elements, read

h5py = LazyModule("h5py")
_RESPONSE = "results/linear_response"


class Vaspout(LabelFormat):
    """A vaspout.h5 of a single configuration: its electronic dielectric tensor with local fields."""

    name = "vaspout"
    file_name = r"vaspout.*\.h5$"
    magic = rb"\x89HDF"

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        name = str(path)
        with reading_errors(name, KIND), h5py.File(path, "r", locking=False) as file:
            tensors = {"dielectric": _tensor(file, name)}
            unconverged = _not_converged(file, name)
            gap = _gap(file)
            numbers = elements(file, name)
            complete_frames(file, len(numbers), name, warn)
            positions, _, cell, _ = read(name, np.arange(1), lambda k: FrameLocation(name, 0, k), numbers)[0]
        return [Calculation(positions, numbers, cell, tensors, name, unconverged=unconverged, gap=gap)]


FORMAT = Vaspout()


def _tensor(file: h5py.File, name: str) -> np.ndarray:
    """Errors: FileError without it, without local fields, and for several ionic steps."""
    if f"{_RESPONSE}/electron_dielectric_tensor" not in file:
        raise FileError(name, "no dielectric tensor; compute it with LEPSILON = .TRUE.")
    method = _method(file)
    if method not in ("", "dft", "scf"):
        raise FileError(
            name,
            f"the dielectric tensor is of the method '{method}', without local fields of the functional; compute it "
            "with LRPA = .FALSE.",
        )
    steps = len(file[f"{STEPS}/position_ions"])
    if steps != 1:
        raise FileError(name, f"{steps} ionic steps; compute one configuration at a time (NSW = 0).")
    tensor = np.array(file[f"{_RESPONSE}/electron_dielectric_tensor"][()], dtype=float).reshape(3, 3)
    if not np.isfinite(tensor).all():
        raise FileError(name, "a component of the dielectric tensor is not a number.")
    return single_dielectric([tensor], name)


def _method(file: h5py.File) -> str:
    path = f"{_RESPONSE}/method_dielectric_tensor"
    return decoded(file[path][()]).lower() if path in file else ""


def _gap(file: h5py.File) -> float | None:
    """eV, from all eigenvalues and their occupations."""
    paths = [f"results/electron_eigenvalues/{name}" for name in ("eigenvalues", "fermiweights")]
    if not all(path in file for path in paths):
        return None
    energies, occupations = (np.array(file[path][()], dtype=float).ravel() for path in paths)
    return band_gap(energies, occupations) if len(energies) == len(occupations) else None


def _not_converged(file: h5py.File, name: str) -> FileError | None:
    path = f"{STEPS}/electronic_step_converged"
    if path in file and np.any(file[path][()] != 0):
        return FileError(name, "the electronic loop did not reach EDIFF (NELM reached).")
    return None
