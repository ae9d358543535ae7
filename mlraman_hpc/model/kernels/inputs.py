"""Frames as the kernels take them: periodic in all three directions, with species indices and a grid of bins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.records.frames import Frames


class KernelFrames(NamedTuple):
    """Arrays of float64 and int64 in C order, the only kind that kernels take.

    positions   (atoms of all frames, 3) Angstrom
    first_atom  (frames + 1,)
    cells       (frames, 3, 3) Angstrom, inverses of them (frames, 3, 3)
    species     (atoms,) index of the species, ~index for an atom that is a neighbour only
    bin_counts  (frames, 3) number of bins along the lattice directions, bin_reach (frames, 3) how many of them to visit
                on either side of an atom's own
    """

    positions: np.ndarray
    first_atom: np.ndarray
    cells: np.ndarray
    inverses: np.ndarray
    species: np.ndarray
    bin_counts: np.ndarray
    bin_reach: np.ndarray

    def frame(self, k: int) -> KernelFrames:
        """One of the frames, alone; arrays are views."""
        begin, end = self.first_atom[k], self.first_atom[k + 1]
        rows = slice(k, k + 1)
        return KernelFrames(
            self.positions[begin:end],
            np.array([0, end - begin]),
            self.cells[rows],
            self.inverses[rows],
            self.species[begin:end],
            self.bin_counts[rows],
            self.bin_reach[rows],
        )


def kernel_frames(frames: Frames, species: np.ndarray, cutoff: float) -> KernelFrames:
    """species (atoms,) as from `species_of_atoms` or `mask_non_centres`; cutoff in Angstrom.

    DataError for positions that are not numbers and cells without volume.
    """
    cells = periodic_cells(frames, cutoff)
    inverses = np.linalg.inv(cells)
    return KernelFrames(
        np.ascontiguousarray(frames.positions, np.float64),
        np.ascontiguousarray(frames.first_atom, np.int64),
        cells,
        inverses,
        species,
        *_bin_grid(inverses, frames.atoms_per_frame, cutoff),
    )


def _bin_grid(inverses: np.ndarray, atoms: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Number of bins along the lattice directions of each frame, and how many to visit on either side, (frames, 3).

    A bin is a cutoff wide, and a quarter of it along the third direction, in which bins are contiguous in memory: to
    measure a few more atoms costs less than to begin anew in another bin. Bins to visit include those of images.
    """
    height = 1.0 / np.linalg.norm(inverses, axis=1)
    # More bins than this only cost memory: in a huge sparse cell most of them would be empty.
    limit = 4 + (2.0 * np.cbrt(atoms)).astype(np.int64)
    count = np.clip((np.array([1.0, 1.0, 4.0]) * height / cutoff).astype(np.int64), 1, limit[:, None])
    return count, (cutoff * count / height).astype(np.int64) + 1


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


def _with_vacuum(cell: np.ndarray, periodic: np.ndarray, positions: np.ndarray, gap: float) -> np.ndarray:
    _, _, axes = np.linalg.svd(np.vstack([cell[periodic], np.zeros((1, 3))]))
    free = axes[periodic.sum() :] if periodic.any() else np.eye(3)
    extent = np.ptp(positions @ free.T, axis=0) if len(positions) else np.zeros(len(free))
    filled = cell.copy()
    filled[~periodic] = free * (extent + gap)[:, None]
    return filled


def species_index(numbers: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Index of each atomic number in `species`; -1 for one that is not there."""
    table = np.full(256, -1, dtype=np.int64)
    table[np.asarray(species, dtype=int)] = np.arange(len(species))
    return table[numbers]


def species_of_atoms(frames: Frames, species: np.ndarray) -> np.ndarray:
    """(atoms,) index of every atom's atomic number in `species`; DataError for an atom of another one."""
    indices = species_index(frames.numbers, species)
    if (indices < 0).any():
        unknown = ", ".join(ELEMENTS[z] for z in np.unique(frames.numbers[indices < 0]))
        frame = frames.index[frames.frame_of_atom[np.flatnonzero(indices < 0)[0]]]
        known = ", ".join(ELEMENTS[z] for z in species)
        raise DataError(f"frame {frame}: contains {unknown}, but the model knows only {known}; train it on such atoms")
    return indices


def mask_non_centres(species: np.ndarray, centres: np.ndarray | None) -> np.ndarray:
    """Species indices, ~index for an atom that is only a neighbour; centres (atoms,) bool, None for all."""
    return species if centres is None else np.where(centres, species, ~species)


def count_centres(frames: Frames, species: np.ndarray, count: int) -> np.ndarray:
    """Number of centres of each of `count` species, (frames, count); species (atoms,) as in `KernelFrames`."""
    cells = (frames.frame_of_atom * count + species)[species >= 0]
    return np.bincount(cells, minlength=len(frames) * count).reshape(len(frames), count).astype(float)
