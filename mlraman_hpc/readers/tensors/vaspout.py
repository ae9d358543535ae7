"""VASP vaspout.h5: the dielectric tensor of a single configuration."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import FrameLocation, readable
from mlraman_hpc.readers.trajectory.vaspout import KIND, STEPS, complete_frames, decoded, elements, read

h5py = LazyModule("h5py")
_RESPONSE = "results/linear_response"


def read_label(path: str, name: str) -> Calculation:
    """Structure and macroscopic electronic dielectric tensor with local fields.

    Errors: DataError without it, for several ionic steps, and for electronic steps that did not converge.
    """
    with readable(name, KIND), h5py.File(path, "r", locking=False) as file:
        if f"{_RESPONSE}/electron_dielectric_tensor" not in file:
            raise DataError(f"{name}: no dielectric tensor; compute it with LEPSILON = .TRUE.")
        tensor = np.array(file[f"{_RESPONSE}/electron_dielectric_tensor"][()], dtype=float).reshape(3, 3)
        method = _method(file)
        if method not in ("", "dft", "scf"):
            raise DataError(
                f"{name}: the dielectric tensor is of the method '{method}', without local fields of the "
                "functional; compute it with LRPA = .FALSE."
            )
        steps = len(file[f"{STEPS}/position_ions"])
        if steps != 1:
            raise DataError(f"{name}: {steps} ionic steps; compute one configuration at a time (NSW = 0).")
        _check_converged(file, name)
        numbers = elements(file, name)
        complete_frames(file, len(numbers), name, lambda text: None)
        positions, _, cell, _ = read(path, np.arange(1), lambda k: FrameLocation(name, 0, k), numbers)[0]
    if not np.isfinite(tensor).all():
        raise DataError(f"{name}: a component of the dielectric tensor is not a number.")
    return Calculation(positions, numbers, cell, same_tensor([tensor], name), "dielectric")


def _method(file: h5py.File) -> str:
    path = f"{_RESPONSE}/method_dielectric_tensor"
    return decoded(file[path][()]).lower() if path in file else ""


def _check_converged(file: h5py.File, name: str) -> None:
    path = f"{STEPS}/electronic_step_converged"
    if path in file and np.any(file[path][()] != 0):
        raise DataError(f"{name}: the electronic loop did not reach EDIFF (NELM reached).")
