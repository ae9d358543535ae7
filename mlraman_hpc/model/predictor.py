"""Apply a model to frames: the kernels and the tables that they need, ready to be sent to other ranks."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.model.kernels.buffers import SIMD_WIDTH
from mlraman_hpc.model.kernels.inputs import count_centres, kernel_frames, mask_non_centres, species_of_atoms
from mlraman_hpc.model.kernels.interface import predict_from_atoms, predict_from_sums
from mlraman_hpc.numerics.tensors import from_spherical
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model

# What makes a predictor; ranks that are sent one need none of them.
descriptors = LazyModule("mlraman_hpc.model.descriptors")
featomic_reference = LazyModule("mlraman_hpc.model.featomic_reference")
tables = LazyModule("mlraman_hpc.model.kernels.tables")

# An atom counts as an outlier where an invariant leaves the range of the training atoms by more than this share of it.
# For alpha-AgI at 500 K that happens to 3 atoms in 10,000 with 93 training cells (40 in 10,000 with 20), but in nine of
# ten frames in which one atom was displaced by 1.5 Angstrom.
OUTLIER_MARGIN = 0.5


@dataclass(frozen=True)
class Prediction:
    """Polarizabilities of frames.

    shares    (frames, species, 3, 3) Angstrom^3 of the atoms of each species, baseline included; their sum is alpha
    members   (frames, M, 3, 3) alpha of each committee member; None without a committee
    outliers  (frames,) number of atoms far outside the training range (see `OUTLIER_MARGIN`)
    total     (frames, 3, 3) alpha of a model that knows neither shares nor outliers, which are None then
    cells     (frames, 3, 3) Angstrom of the frames, where they go along
    """

    shares: np.ndarray | None
    members: np.ndarray | None
    outliers: np.ndarray | None
    total: np.ndarray | None = None
    cells: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.total if self.shares is None else self.shares)

    @property
    def polarizability(self) -> np.ndarray:
        """alpha (frames, 3, 3) Angstrom^3"""
        return self.total if self.shares is None else self.shares.sum(axis=1)

    def rows(self, rows: slice) -> Prediction:
        """Of some of the frames."""
        values = _columns(self)
        return Prediction(*(None if value is None else value[rows] for value in values))


def _columns(part: Prediction) -> tuple[np.ndarray | None, ...]:
    return part.shares, part.members, part.outliers, part.total, part.cells


def joined(parts: list[Prediction]) -> Prediction:
    """Of all their frames, one after another."""
    columns = zip(*map(_columns, parts))
    return Prediction(*(None if column[0] is None else np.concatenate(column) for column in columns))


class Predictor:
    """A model made ready: radial functions tabulated, weights in the order in which the kernels read them.

    A frame's result is the same to the last bit in any company. Made on one rank and sent to the others: these need
    neither featomic nor the time to make the tables.
    """

    concurrent, whole_batches = True, False  # by several threads at once, in any company

    def __init__(self, model: Model):
        self.cutoff = model.descriptor.cutoff
        self._numbers = model.numbers
        self._basis = tables.basis_tables(model.descriptor, len(self._numbers))
        coefficients = featomic_reference.clebsch_gordan(model.descriptor.max_angular)
        channels = len(self._numbers) * (model.descriptor.max_radial + 1)
        layout = descriptors.feature_layout(coefficients, channels)
        models = [(model.baseline, model.isotropic, model.anisotropic), *model.members]
        self._baselines, isotropic, anisotropic = (np.array(weights) for weights in zip(*models))
        shape = (len(models), len(self._numbers), -1)
        squares = {0: layout.unpack(isotropic.reshape(shape), 0), 2: layout.unpack(anisotropic.reshape(shape), 2)}
        self._terms = tables.term_couplings(coefficients)
        self._term_weights = tables.term_weights(coefficients, squares)
        self._couplings = tables.block_couplings(coefficients, channels)
        self._block_weights = tables.block_weights(squares)
        self.summed_from = tables.atoms_to_sum_first(self._terms, self._term_weights, self._couplings)
        width = model.highest - model.lowest
        self._limits = np.stack([model.lowest - OUTLIER_MARGIN * width, model.highest + OUTLIER_MARGIN * width])

    @property
    def tensors(self) -> int:
        """Number of tensors that come out for each frame."""
        return len(self._numbers) + len(self._baselines) - 1

    def summing_from(self, atoms: float) -> Predictor:
        """The same, with the descriptors of frames of so many atoms or more summed before the weights are applied."""
        other = copy(self)
        other.summed_from = atoms
        return other

    def without_contraction(self) -> Predictor:
        """Does all but apply the weights, to be timed; its results mean nothing."""
        partial = self.summing_from(np.inf)
        partial._terms = self._terms._replace(angular=self._terms.angular[:0], first=self._terms.first[:1])
        partial._term_weights = self._term_weights[:, :, :0].copy()
        return partial

    def neighbours_only(self) -> Predictor:
        """Searches the neighbours and expands them in one function instead of all, to be timed only as well."""
        partial, sizes = self.without_contraction(), np.array([1, 1, len(self._numbers)])
        partial._basis = self._basis._replace(
            sizes=sizes,
            radial=self._basis.radial[:, :, :SIMD_WIDTH].copy(),
            harmonics=self._basis.harmonics[:, :1, :1].copy(),
        )
        partial._limits = self._limits[:, :, : len(self._numbers)].copy()
        return partial

    def __call__(self, frames: Frames, centres: np.ndarray | None = None) -> Prediction:
        """Prediction for frames of any size; DataError for a species that the model does not know.

        centres (atoms,) bool: alpha of these atoms alone; the others are their neighbours.
        """
        species = mask_non_centres(species_of_atoms(frames, self._numbers), centres)
        spherical, outliers = self._spherical(frames, species)
        atoms = count_centres(frames, species, len(self._numbers))
        isotropic = spherical[..., 0] + sqrt(3) * atoms[:, None] * self._baselines
        tensors = from_spherical(isotropic, spherical[..., 1:])
        members = tensors[:, 1:].sum(axis=2) if len(self._baselines) > 1 else None
        return Prediction(tensors[:, 0], members, outliers)

    def _spherical(self, frames: Frames, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spherical tensors (frames, members, species, 6), and the number of outliers (frames,)."""
        large = frames.atoms_per_frame >= self.summed_from
        if not large.any():
            return self._from_atoms(frames, species)
        if large.all():
            return self._from_sums(frames, species)
        spherical = np.empty((len(frames), len(self._baselines), len(self._numbers), 6))
        outliers = np.empty(len(frames), dtype=np.int64)
        for rows, compute in ((~large, self._from_atoms), (large, self._from_sums)):
            spherical[rows], outliers[rows] = compute(frames.take(rows), species[rows[frames.frame_of_atom]])
        return spherical, outliers

    def _from_atoms(self, frames: Frames, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = kernel_frames(frames, species, self.cutoff)
        return predict_from_atoms(inputs, self._basis, self._terms, self._term_weights, self._limits)

    def _from_sums(self, frames: Frames, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = kernel_frames(frames, species, self.cutoff)
        return predict_from_sums(inputs, self._basis, self._couplings, self._block_weights, self._limits)
