"""Where each atom's species stands in a model's list, and how many atoms of each there are."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.records.frames import Frames


def species_index(numbers: np.ndarray, species: np.ndarray) -> np.ndarray:
    """FrameLocation of each atomic number in `species`; -1 for one that is not there."""
    table = np.full(256, -1, dtype=np.int64)
    table[np.asarray(species, dtype=int)] = np.arange(len(species))
    return table[numbers]


def places(frames: Frames, species: np.ndarray) -> np.ndarray:
    """FrameLocation of every atom's species; DataError for an atom of another one."""
    found = species_index(frames.numbers, species)
    if (found < 0).any():
        unknown = ", ".join(ELEMENTS[z] for z in np.unique(frames.numbers[found < 0]))
        frame = frames.index[frames.frame_of_atom[np.flatnonzero(found < 0)[0]]]
        known = ", ".join(ELEMENTS[z] for z in species)
        raise DataError(f"frame {frame}: contains {unknown}, but the model knows only {known}; train it on such atoms")
    return found


def of_centres(kinds: np.ndarray, centres: np.ndarray | None) -> np.ndarray:
    """`places`, and ~place where an atom is no centre, only a neighbour; centres (atoms,) bool, None for all."""
    return kinds if centres is None else np.where(centres, kinds, ~kinds)


def counted(frames: Frames, kinds: np.ndarray, species: int) -> np.ndarray:
    """Number of centres of each species (frames, S)."""
    place = (frames.frame_of_atom * species + kinds)[kinds >= 0]
    return np.bincount(place, minlength=len(frames) * species).reshape(len(frames), species).astype(float)
