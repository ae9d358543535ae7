"""Fractional coordinates in cells that may change with time or be open along some directions."""

from __future__ import annotations

import numpy as np


def completed(cells: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Cells (frames, 3, 3) whose rows along open directions are unit vectors across the others; periodic (3,)."""
    if periodic.all():
        return cells
    result = np.array(cells)
    for cell in result:
        across = np.linalg.qr(cell[periodic].T, mode="complete")[0].T[periodic.sum() :]
        cell[~periodic] = across
    return result


def fractional(positions: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(frames, atoms, 3) from Cartesian positions of the same shape; cells (frames, 3, 3), rows lattice vectors.

    Written out: a matrix product may round differently with the number of frames at a time.
    """
    inverse = np.linalg.inv(cells)[:, None]
    return (
        positions[..., 0:1] * inverse[..., 0, :]
        + positions[..., 1:2] * inverse[..., 1, :]
        + positions[..., 2:3] * inverse[..., 2, :]
    )


def cartesian(coordinates: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(atoms, 3, frames) Angstrom, from fractional coordinates of that shape and one cell."""
    x, y, z = np.moveaxis(coordinates, 1, 0)
    return np.stack([x * cell[0, k] + y * cell[1, k] + z * cell[2, k] for k in range(3)], axis=1)
