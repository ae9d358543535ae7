"""Atomic configurations, and configurations with reference tensors or with derivatives of these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS


@dataclass(frozen=True)
class Frames:
    """Atomic configurations; the atoms of all frames are laid end to end, so their number may vary.

    positions   (atoms of all frames, 3) Angstrom, Cartesian
    numbers     (atoms of all frames,) atomic numbers
    first_atom  (frames + 1,) frame k owns atoms first_atom[k] to first_atom[k + 1]
    cells       (frames, 3, 3) Angstrom, rows are lattice vectors; zero along directions that are not periodic
    periodic    (frames, 3) bool
    index       (frames,) number of each frame in the file (or chain of files) it was read from, from 0
    velocities  (atoms of all frames, 3) in the file's own unit; None where they are missing or were not read
    masses      (atoms of all frames,) u, where the file has them; None otherwise
    """

    positions: np.ndarray
    numbers: np.ndarray
    first_atom: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    index: np.ndarray
    velocities: np.ndarray | None = None
    masses: np.ndarray | None = None

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

    def take(self, which: np.ndarray | list[int] | slice) -> Frames:
        """The frames with these indices (integers, a boolean mask or a slice), in this order."""
        rows = np.arange(len(self))[which]
        counts = self.atoms_per_frame[rows]
        starts = self.first_atom[rows]
        first_atom = np.concatenate([[0], np.cumsum(counts)])
        atoms = np.arange(first_atom[-1]) + np.repeat(starts - first_atom[:-1], counts)
        return replace(
            self,
            positions=self.positions[atoms],
            numbers=self.numbers[atoms],
            first_atom=first_atom,
            cells=self.cells[rows],
            periodic=self.periodic[rows],
            index=self.index[rows],
            velocities=None if self.velocities is None else self.velocities[atoms],
            masses=None if self.masses is None else self.masses[atoms],
        )

    @staticmethod
    def join(parts: list[Frames]) -> Frames:
        """Frames of all parts, one after another; velocities and masses only where all parts have them."""

        def joined(name: str) -> np.ndarray | None:
            arrays = [getattr(part, name) for part in parts]
            return None if any(array is None for array in arrays) else np.concatenate(arrays)

        counts = np.concatenate([part.atoms_per_frame for part in parts])
        return Frames(
            positions=np.concatenate([part.positions for part in parts]),
            numbers=np.concatenate([part.numbers for part in parts]),
            first_atom=np.concatenate([[0], np.cumsum(counts)]),
            cells=np.concatenate([part.cells for part in parts]),
            periodic=np.concatenate([part.periodic for part in parts]),
            index=np.concatenate([part.index for part in parts]),
            velocities=joined("velocities"),
            masses=joined("masses"),
        )


@dataclass(frozen=True)
class Labels:
    """Frames with reference tensors.

    polarizability  (frames, 3, 3) Angstrom^3, of the whole cell, symmetric
    source          where each came from: 'file.extxyz, frame 12' or '000010.OUTCAR.gz'
    unconverged     sources of those that are used although their calculation did not reach its own criterion
    left_out        sources of labels that were read and are not here, each with the reason in brackets
    """

    frames: Frames
    polarizability: np.ndarray
    source: tuple[str, ...]
    unconverged: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, which: np.ndarray | list[int] | slice) -> Labels:
        """The labels with these indices, in this order."""
        rows = np.arange(len(self))[which]
        sources = tuple(self.source[k] for k in rows)
        unconverged = tuple(name for name in self.unconverged if name in sources)
        return Labels(self.frames.take(rows), self.polarizability[rows], sources, unconverged, self.left_out)


@dataclass(frozen=True)
class DerivativeLabels:
    """Frames with the derivatives of the polarizability with respect to the atoms' positions.

    derivatives  (atoms of all frames, 3, 3, 3) Angstrom^2: [i, c, a, b] = d alpha_ab / d r_ic, symmetric in a and b;
                 their sum over the atoms of a frame is zero
    net          (frames, 3, 3, 3) Angstrom^2: that sum before it was taken off, which is noise of the calculation
    source       where each frame came from
    """

    frames: Frames
    derivatives: np.ndarray
    net: np.ndarray
    source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, which: np.ndarray | list[int] | slice) -> DerivativeLabels:
        """The frames with these indices, in this order."""
        rows = np.arange(len(self))[which]
        first = self.frames.first_atom
        atoms = np.concatenate([np.empty(0, int), *(np.arange(first[k], first[k + 1]) for k in rows)])
        source = tuple(self.source[k] for k in rows)
        return DerivativeLabels(self.frames.take(rows), self.derivatives[atoms], self.net[rows], source)

    def of_frame(self, k: int) -> np.ndarray:
        """(atoms, 3, 3, 3) of frame k."""
        return self.derivatives[slice(*self.frames.first_atom[k : k + 2])]

    def rms_by_element(self) -> dict[str, float]:
        """{element: root mean square of the 27 numbers, Angstrom^2}"""
        numbers = self.frames.numbers
        return {ELEMENTS[z]: float(np.sqrt(np.mean(self.derivatives[numbers == z] ** 2))) for z in np.unique(numbers)}
