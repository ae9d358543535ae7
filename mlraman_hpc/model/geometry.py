"""Frames as the compiled loops want them: periodic in all three directions, arrays of one type and order."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.records.frames import Frames


def periodic_cells(frames: Frames, cutoff: float) -> np.ndarray:
    """Cells (frames, 3, 3) Angstrom in which no atom meets an image of itself along a direction that is not periodic.

    Along such a direction the lattice vector is replaced by one orthogonal to the periodic ones, as long as the atoms
    extend plus a vacuum wider than the cutoff. DataError for positions that are not numbers and flat cells.
    """
    bad = np.flatnonzero(~np.isfinite(frames.positions).all(axis=1))
    if len(bad):
        k = frames.frame_of_atom[bad[0]]
        raise DataError(
            f"frame {frames.index[k]}: the position of atom {bad[0] - frames.first_atom[k] + 1} is not a "
            "number; the file is damaged there"
        )
    cells = np.array(frames.cells, dtype=float, order="C")
    for k in np.flatnonzero(~frames.periodic.all(axis=1)):
        positions = frames.positions[frames.first_atom[k] : frames.first_atom[k + 1]]
        cells[k] = _with_vacuum(cells[k], frames.periodic[k], positions, 1.01 * cutoff + 0.1)
    lengths = np.linalg.norm(cells, axis=2).prod(axis=1)
    flat = np.flatnonzero(~(np.abs(np.linalg.det(cells)) > 1e-6 * lengths))
    if len(flat):
        raise DataError(
            f"frame {frames.index[flat[0]]}: the periodic cell has no volume "
            f"({frames.cells[flat[0]].tolist()}); check the file's lattice vectors"
        )
    return cells


def laid_out(frames: Frames, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """positions (atoms, 3), first_atom (frames + 1,), periodic cells and their inverses (frames, 3, 3).

    Always of the same types and writeable, for the loops are compiled anew for any other kind of array.
    """
    cells = periodic_cells(frames, cutoff)
    positions = np.require(frames.positions, np.float64, ["C", "W"])
    return positions, np.require(frames.first_atom, np.int64, ["C", "W"]), cells, np.linalg.inv(cells)


def _with_vacuum(cell: np.ndarray, periodic: np.ndarray, positions: np.ndarray, gap: float) -> np.ndarray:
    _, _, axes = np.linalg.svd(np.vstack([cell[periodic], np.zeros((1, 3))]))
    free = axes[periodic.sum() :] if periodic.any() else np.eye(3)
    extent = np.ptp(positions @ free.T, axis=0) if len(positions) else np.zeros(len(free))
    filled = cell.copy()
    filled[~periodic] = free * (extent + gap)[:, None]
    return filled
