"""Apply a model to frames: the compiled loops and what they need, ready to be sent to other ranks."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mlraman_hpc.model.geometry import laid_out
from mlraman_hpc.model.kernels.buffers import WIDTH, predict, predict_many
from mlraman_hpc.model.species import counted, of_centres, places
from mlraman_hpc.numerics.tensors import from_spherical
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model

# An atom counts as an outlier where an invariant leaves the range of the training atoms by more than this share of it.
# For alpha-AgI at 500 K that happens to 3 atoms in 10,000 with 93 training cells (40 in 10,000 with 20), but in nine of
# ten frames in which one atom was displaced by 1.5 Angstrom.
MARGIN = 0.5


@dataclass(frozen=True)
class Prediction:
    """What a model says about frames.

    shares    (frames, species, 3, 3) Angstrom^3 of the atoms of each species, baseline included; their sum is alpha
    members   (frames, M, 3, 3) alpha of each committee member; None without a committee
    outliers  (frames,) number of atoms far outside the training range (see `MARGIN`)
    """

    shares: np.ndarray
    members: np.ndarray | None
    outliers: np.ndarray

    @property
    def polarizability(self) -> np.ndarray:
        """alpha (frames, 3, 3) Angstrom^3"""
        return self.shares.sum(axis=1)

    def rows(self, part: slice) -> Prediction:
        """Of some of the frames."""
        members = None if self.members is None else self.members[part]
        return Prediction(self.shares[part], members, self.outliers[part])


def joined(parts: list[Prediction]) -> Prediction:
    """Of all their frames, one after another."""
    shares, members, outliers = zip(*((part.shares, part.members, part.outliers) for part in parts))
    return Prediction(
        np.concatenate(shares), None if members[0] is None else np.concatenate(members), np.concatenate(outliers)
    )


class Predictor:
    """A model made ready: radial functions tabulated, weights laid out for the compiled contraction.

    A frame's result is the same to the last bit in any company. Made on one rank and sent to the others: these need
    neither featomic nor the time to make the tables.
    """

    def __init__(self, model: Model):
        from mlraman_hpc.model import featomic_reference as definition
        from mlraman_hpc.model.descriptors import layout
        from mlraman_hpc.model.kernels.tables import (
            atoms_to_sum_first,
            basis,
            block_weights,
            blocks,
            term_weights,
            terms,
        )

        self.cutoff = model.descriptor.cutoff
        coefficients = definition.clebsch_gordan(model.descriptor.max_angular)
        self._numbers = model.numbers
        self._basis = basis(model.descriptor, len(self._numbers))
        channels = len(self._numbers) * (model.descriptor.max_radial + 1)
        everyone = [(model.baseline, model.isotropic, model.anisotropic), *model.members]
        self._baseline = np.array([baseline for baseline, _, _ in everyone])
        columns = layout(coefficients, channels)
        shape = (len(everyone), len(self._numbers), -1)
        zero, two = (np.array(parts).reshape(shape) for parts in list(zip(*everyone))[1:])
        squares = {0: columns.unpacked(zero, 0), 2: columns.unpacked(two, 2)}
        self._terms, self._weights = terms(coefficients), term_weights(coefficients, squares)
        self._blocks, self._block_weights = blocks(coefficients, channels), block_weights(squares)
        self._summed_from = atoms_to_sum_first(self._terms, self._weights, self._blocks)
        width = model.highest - model.lowest
        self._limits = np.stack([model.lowest - MARGIN * width, model.highest + MARGIN * width])

    @property
    def tensors(self) -> int:
        """Number of tensors that come out for each frame."""
        return len(self._numbers) + len(self._weights) - 1

    def without_contraction(self) -> Predictor:
        """Does all but apply the weights, to be timed; its results mean nothing."""
        part = copy(self)
        part._summed_from = np.inf
        part._terms = self._terms._replace(angular=self._terms.angular[:0], first=self._terms.first[:1])
        part._weights = self._weights[:, :, :0].copy()
        return part

    def neighbours_only(self) -> Predictor:
        """Finds the neighbours and expands them in one function, not in all, to be timed; its results mean nothing."""
        part, sizes = self.without_contraction(), np.array([1, 1, len(self._numbers)])
        part._basis = self._basis._replace(
            sizes=sizes,
            radial=self._basis.radial[:, :, :WIDTH].copy(),
            harmonics=self._basis.harmonics[:, :1, :1].copy(),
        )
        part._limits = self._limits[:, :, : len(self._numbers)].copy()
        return part

    def __call__(self, frames: Frames, centres: np.ndarray | None = None) -> Prediction:
        """Prediction for frames of any size; DataError for a species that the model does not know.

        centres (atoms,) bool: alpha of these atoms alone; the others are their neighbours.
        """
        kinds = of_centres(places(frames, self._numbers), centres)
        spherical = np.empty((len(frames), len(self._weights), len(self._numbers), 6))
        outliers = np.empty(len(frames), dtype=np.int64)
        large = frames.atoms_per_frame >= self._summed_from
        for summed in (False, True):
            which = large == summed
            if which.any():
                part, kind = (
                    (frames, kinds)
                    if which.all()
                    else (frames.take(np.flatnonzero(which)), kinds[which[frames.frame_of_atom]])
                )
                spherical[which], outliers[which] = self._spherical(part, kind, summed)
        atoms = counted(frames, kinds, len(self._numbers))
        isotropic = spherical[..., 0] + sqrt(3) * atoms[:, None] * self._baseline
        tensors = from_spherical(isotropic, spherical[..., 1:])
        members = tensors[:, 1:].sum(axis=2) if len(self._weights) > 1 else None
        return Prediction(tensors[:, 0], members, outliers)

    def _spherical(self, frames: Frames, species: np.ndarray, summed: bool) -> tuple[np.ndarray, np.ndarray]:
        """(frames, members, species, 6), and the number of outliers; summed: the descriptor first, then the weights."""
        laid = laid_out(frames, self.cutoff)
        if summed:
            return predict_many(laid, species, self._basis, self._blocks, self._block_weights, self._limits)
        return predict(laid, species, self._basis, self._terms, self._weights, self._limits)
