"""One structure with its tensor, as an electronic-structure program leaves it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlraman_hpc.base.errors import DataError


@dataclass(frozen=True)
class Calculation:
    """positions (atoms, 3) and cell (3, 3) Angstrom; numbers (atoms,).

    tensor    (3, 3) exactly as printed: a relative dielectric tensor, or a polarizability in Angstrom^3
    quantity  'dielectric' or 'polarizability'
    volume    Angstrom^3 as printed, where that has more digits than the cell; else None
    """

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    tensor: np.ndarray
    quantity: str = "dielectric"
    periodic: np.ndarray = field(default_factory=lambda: np.ones(3, bool))
    volume: float | None = None


def same_tensor(tensors: list[np.ndarray], name: str, tolerance: float = 2e-6) -> np.ndarray:
    """The dielectric tensor, which may be printed more than once. Errors: DataError for several, or below 1."""
    if any(np.abs(tensor - tensors[0]).max() > tolerance for tensor in tensors):
        raise DataError(
            f"{name}: holds {len(tensors)} dielectric tensors that differ; which one belongs to the "
            "structure is not clear. Compute one configuration at a time."
        )
    if not (np.diag(tensors[-1]) >= 1).all():
        raise DataError(
            f"{name}: the dielectric tensor has the diagonal {np.diag(tensors[-1]).tolist()}; below 1 is "
            "impossible for electrons at rest (a metal, or not converged)."
        )
    return tensors[-1]
