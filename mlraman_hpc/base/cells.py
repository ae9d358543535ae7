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


FLIPPED = 0.2  # most that a cell may change from one frame to the next, in its own vectors, beside a flip


def flips(cells: np.ndarray) -> np.ndarray | None:
    """(frames, 3, 3) integers T such that the rows of T_k H_k change smoothly from frame to frame; None: all are 1.

    cells: (frames, 3, 3) H_k. LAMMPS' box flips choose other vectors of the lattice where a cell is tilted too far:
    H_(k-1) = M H_k with M of integers and determinant 1, so that T_k = T_(k-1) M. Fractional coordinates become s T^-1.
    """
    if len(cells) < 2 or not np.ptp(cells, axis=0).any():
        return None
    ratio = cells[:-1] @ np.linalg.inv(cells[1:])
    whole = np.round(ratio)
    unlike = (whole != np.eye(3)).any(axis=(1, 2))
    same_lattice = (np.abs(ratio - whole).max(axis=(1, 2)) < FLIPPED) & (np.abs(np.linalg.det(whole) - 1) < 1e-6)
    rows = np.flatnonzero(unlike & same_lattice)
    if not len(rows):
        return None
    result = np.tile(np.eye(3), (len(cells), 1, 1))
    for row in rows:
        result[row + 1 :] = result[row] @ whole[row]
    return result
