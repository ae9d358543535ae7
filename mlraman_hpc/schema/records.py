"""The nouns: frozen dataclasses of arrays, with axes and units.

A field made with `stored` says where it lies in its HDF5 file and in which unit; `store.py` needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np


def stored(path: str, unit: str, **kwargs):
    """A dataclass field that lies at `path` in the HDF5 file, in `unit` ('1' for a number without unit)."""
    return field(metadata={"path": path, "unit": unit}, **kwargs)


@dataclass(frozen=True)
class Frames:
    """Atomic configurations; the atoms of all frames are laid end to end, so their number may vary.

    positions   (atoms of all frames, 3) Angstrom, Cartesian
    numbers     (atoms of all frames,) atomic numbers
    first_atom  (frames + 1,) frame k owns atoms first_atom[k] to first_atom[k + 1]
    cells       (frames, 3, 3) Angstrom, rows are lattice vectors; zero along directions that are not periodic
    periodic    (frames, 3) bool
    index       (frames,) number of each frame in the file (or chain of files) it was read from, from 0
    """

    positions: np.ndarray
    numbers: np.ndarray
    first_atom: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.first_atom) - 1

    @property
    def atoms_per_frame(self) -> np.ndarray:
        return np.diff(self.first_atom)

    @property
    def frame_of_atom(self) -> np.ndarray:
        return np.repeat(np.arange(len(self)), self.atoms_per_frame)

    @property
    def volumes(self) -> np.ndarray:
        """(frames,) Angstrom^3; NaN where the frame is not periodic in all three directions."""
        volumes = np.abs(np.linalg.det(self.cells))
        return np.where(self.periodic.all(axis=1), volumes, np.nan)

    def take(self, which) -> Frames:
        """The frames with these places (integers or a boolean mask), in this order."""
        which = np.arange(len(self))[which]
        counts = self.atoms_per_frame[which]
        starts = self.first_atom[which]
        first_atom = np.concatenate([[0], np.cumsum(counts)])
        atoms = np.arange(first_atom[-1]) + np.repeat(starts - first_atom[:-1], counts)
        return replace(
            self, positions=self.positions[atoms], numbers=self.numbers[atoms], first_atom=first_atom,
            cells=self.cells[which], periodic=self.periodic[which], index=self.index[which],
        )

    @staticmethod
    def join(parts: list[Frames]) -> Frames:
        """Frames of all parts, one after another."""
        counts = np.concatenate([part.atoms_per_frame for part in parts])
        return Frames(
            positions=np.concatenate([part.positions for part in parts]),
            numbers=np.concatenate([part.numbers for part in parts]),
            first_atom=np.concatenate([[0], np.cumsum(counts)]),
            cells=np.concatenate([part.cells for part in parts]),
            periodic=np.concatenate([part.periodic for part in parts]),
            index=np.concatenate([part.index for part in parts]),
        )


@dataclass(frozen=True)
class Labels:
    """Frames with reference tensors.

    polarizability  (frames, 3, 3) Angstrom^3, of the whole cell, symmetric
    source          where each came from: 'file.extxyz, frame 12' or '000010.OUTCAR.gz'
    """

    frames: Frames
    polarizability: np.ndarray
    source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, which) -> Labels:
        which = np.arange(len(self))[which]
        return Labels(self.frames.take(which), self.polarizability[which], tuple(self.source[k] for k in which))


@dataclass(frozen=True)
class Descriptor:
    """Hyper-parameters of lambda-SOAP, featomic's names; lengths in Angstrom. max_radial + 1 radial functions."""

    cutoff: float = stored("cutoff", "Angstrom")
    cutoff_width: float = stored("cutoff_width", "Angstrom")
    density_width: float = stored("density_width", "Angstrom")
    max_angular: int = stored("max_angular", "1")
    max_radial: int = stored("max_radial", "1")


@dataclass(frozen=True)
class PolarizabilitySeries:
    """alpha along a trajectory (alpha.h5, H5MD 1.1).

    value       (frames, 3, 3) of the whole cell, symmetric
    by_species  (frames, species, 3, 3) share of each centre species; their sum is `value`
    members     (frames, members, 3, 3) of each committee member, calibrated
    outliers    (frames,) atoms far outside the model's training range
    """

    value: np.ndarray = stored("observables/polarizability/value", "Angstrom^3")
    step: np.ndarray = stored("observables/polarizability/step", "1")
    time: np.ndarray = stored("observables/polarizability/time", "fs")
    by_species: np.ndarray | None = stored("observables/polarizability_by_species/value", "Angstrom^3", default=None)
    members: np.ndarray | None = stored("observables/polarizability_committee/value", "Angstrom^3", default=None)
    outliers: np.ndarray | None = stored("observables/outliers/value", "1", default=None)
    species: tuple[str, ...] | None = stored("observables/polarizability_by_species/species", "1", default=None)

    @property
    def frame_interval(self) -> float:
        """fs"""
        return float(self.time[1] - self.time[0])
