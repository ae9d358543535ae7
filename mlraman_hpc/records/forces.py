"""The record of forces.h5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.records.fields import Record, stored


@dataclass(frozen=True)
class Forces(Record, file_name="forces.h5", kind="forces"):
    """Predicted against reference forces (forces.h5); keys are the elements and 'total'.

    rmse, mae, r2     over atoms and components; relative_rmse: rmse over rms_reference
    slope             sum p f / sum f^2; below 1 the force field is soft
    largest_error     length of the largest error of an atom's force; largest_at: 'file.extxyz, frame 12'
    density           (squares along reference, along predicted) components in each square of the parity plot
    edges_...         of these squares
    """

    frames: int = stored("frames", "1")
    atoms: dict[str, int] = stored("atoms", "1")
    rmse: dict[str, float] = stored("rmse", "eV/Angstrom")
    mae: dict[str, float] = stored("mae", "eV/Angstrom")
    rms_reference: dict[str, float] = stored("rms_reference", "eV/Angstrom")
    relative_rmse: dict[str, float] = stored("relative_rmse", "1")
    r2: dict[str, float] = stored("r2", "1")
    slope: dict[str, float] = stored("slope", "1")
    largest_error: dict[str, float] = stored("largest_error", "eV/Angstrom")
    largest_at: dict[str, str] = stored("largest_at", "1")
    density: dict[str, np.ndarray] = stored("density/counts", "1")
    edges_reference: dict[str, np.ndarray] = stored("density/edges_reference", "eV/Angstrom")
    edges_predicted: dict[str, np.ndarray] = stored("density/edges_predicted", "eV/Angstrom")
    warnings: tuple[str, ...] = stored("warnings", "1", default=())
