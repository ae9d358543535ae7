"""lambda-SOAP features summed over the atoms of each species, without the descriptor of a single atom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.model.kernels.inputs import (
    count_centres,
    kernel_frames,
    mask_non_centres,
    species_index,
    species_of_atoms,
)
from mlraman_hpc.model.kernels.interface import summed_features
from mlraman_hpc.model.kernels.tables import basis_tables, block_couplings
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Descriptor

featomic_reference = LazyModule("mlraman_hpc.model.featomic_reference")  # on one rank only, which sends the tables


class BlockColumns(NamedTuple):
    """Columns start to stop of the features are those of the block (l1, l2), numbered as in `BlockCouplings`."""

    block: int
    l1: int
    l2: int
    start: int
    stop: int


@dataclass(frozen=True)
class FeatureLayout:
    """Columns of the features of one centre species, for lambda = 0 and 2 each.

    Of each block (l1, l2) with l1 < l2 all (q, q'), with l1 = l2 those with q <= q': the rest is the same by symmetry,
    and sqrt(2) for q < q' makes inner products equal to those of featomic's vector.
    """

    channels: int
    columns: dict[int, list[BlockColumns]]

    def size(self, order: int) -> int:
        return self.columns[order][-1].stop if self.columns[order] else 0

    def pack(self, squares: np.ndarray, order: int) -> np.ndarray:
        """(..., blocks, Q, Q) -> (..., columns)"""
        result = np.empty((*squares.shape[:-3], self.size(order)))
        for block, l1, l2, start, stop in self.columns[order]:
            result[..., start:stop] = pack_block(squares[..., block, :, :], l1 == l2)
        return result

    def unpack(self, weights: np.ndarray, order: int) -> np.ndarray:
        """(..., columns) -> (..., blocks, Q, Q), zero for blocks that this lambda does not have."""
        count = 1 + max(columns.block for blocks in self.columns.values() for columns in blocks)
        squares = np.zeros((*weights.shape[:-1], count, self.channels, self.channels))
        for block, l1, l2, start, stop in self.columns[order]:
            squares[..., block, :, :] = unpack_block(weights[..., start:stop], self.channels, l1 == l2)
        return squares


def feature_layout(coefficients: dict, channels: int) -> FeatureLayout:
    """For Clebsch-Gordan coefficients {(l1, l2, lambda): array} and a number of channels q = (species, n)."""
    pairs = sorted({key[:2] for key in coefficients})
    columns: dict[int, list[BlockColumns]] = {0: [], 2: []}
    for l1, l2, order in sorted(coefficients):
        width = channels * (channels + 1) // 2 if l1 == l2 else channels**2
        start = columns[order][-1].stop if columns[order] else 0
        columns[order].append(BlockColumns(pairs.index((l1, l2)), l1, l2, start, start + width))
    return FeatureLayout(channels, columns)


def pack_block(square: np.ndarray, symmetric: bool) -> np.ndarray:
    """(..., Q, Q) of one block -> (..., columns), see `FeatureLayout`; symmetric: l1 = l2."""
    if not symmetric:
        return square.reshape(*square.shape[:-2], -1)
    upper, lower, halves = _triangles(square.shape[-1])
    flat = square.reshape(*square.shape[:-2], -1)
    return (flat[..., upper] + flat[..., lower]) * halves


@lru_cache(maxsize=8)
def _triangles(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of (q, q') and (q', q), q <= q', in a square that is written as a line, and the factor of their sum."""
    rows, columns = np.triu_indices(channels)
    halves = np.where(rows == columns, 0.5, np.sqrt(0.5))
    return rows * channels + columns, columns * channels + rows, halves


def unpack_block(weights: np.ndarray, channels: int, symmetric: bool) -> np.ndarray:
    """(..., columns) -> (..., Q, Q) with sum(pack_block(X) w) = sum_{q q'} X_{q q'} unpack_block(w)_{q q'}."""
    if not symmetric:
        return weights.reshape(*weights.shape[:-1], channels, channels)
    rows, columns = np.triu_indices(channels)
    square = np.zeros((*weights.shape[:-1], channels, channels))
    square[..., rows, columns] += weights * np.where(rows == columns, 0.5, np.sqrt(0.5))
    return square + np.swapaxes(square, -1, -2)


@dataclass(frozen=True)
class Features:
    """Summed lambda-SOAP of labelled frames.

    species      (S,) atomic numbers, in the order of the centre species and of the neighbours' channels
    X0           (frames, P0), X2 (frames, 5, P2): P runs over centre species, l1 l2, q q' (see `FeatureLayout`)
    composition  (frames, S) number of atoms of each species
    lowest, highest  (frames, S, K) of the atoms' invariants p_{l q} = sum_m rho_{q l m}^2; +-inf where there are none
    """

    species: np.ndarray
    X0: np.ndarray
    X2: np.ndarray
    composition: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    def __len__(self) -> int:
        return len(self.X0)

    def take(self, rows) -> Features:
        """These frames, in this order."""
        return Features(self.species, *(values[rows] for values in self._by_frame()))

    def _by_frame(self) -> tuple[np.ndarray, ...]:
        return self.X0, self.X2, self.composition, self.lowest, self.highest

    @staticmethod
    def join(parts: list[Features]) -> Features:
        """Frames of all parts, one after another; the parts share their species."""
        if len(parts) == 1:  # gigabytes, of many elements
            return parts[0]
        columns = zip(*(part._by_frame() for part in parts))
        return Features(parts[0].species, *(np.concatenate(values) for values in columns))


class FeatureCalculator:
    """Summed features X^{s, lambda mu}_{l1 l2 q q'} = sum_{i of s} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> rho rho'.

    The same numbers as featomic's EquivariantPowerSpectrum (sigma = 1) summed over atoms, each independent one once.
    species: atomic numbers of the whole data set. Made on one rank and sent to the others: these do not need featomic.
    DeckError for a descriptor that featomic cannot compute.
    """

    def __init__(self, descriptor: Descriptor, species):
        self.species = np.asarray(species, dtype=int)
        self.cutoff = descriptor.cutoff
        coefficients = featomic_reference.clebsch_gordan(descriptor.max_angular)
        channels = len(self.species) * (descriptor.max_radial + 1)
        self._basis = basis_tables(descriptor, len(self.species))
        self._couplings = block_couplings(coefficients, channels)
        self._layout = feature_layout(coefficients, channels)

    @property
    def columns(self) -> tuple[int, int]:
        """Number of columns for lambda = 0 and 2."""
        return len(self.species) * self._layout.size(0), len(self.species) * self._layout.size(2)

    def __call__(self, frames: Frames, centres: np.ndarray | None = None) -> Features:
        """Any frames, to be joined with `Features.join`; a frame without atoms of a species has zeros there.

        centres (atoms,) bool: sums are over these atoms alone.

        DataError for a species that was not named, positions that are not numbers and cells without volume.
        """
        species = mask_non_centres(species_of_atoms(frames, self.species), centres)
        layout, count = self._layout, len(self.species)
        X0 = np.empty((len(frames), count * layout.size(0)))
        X2 = np.empty((len(frames), 5, count * layout.size(2)))
        lowest, highest = np.empty((2, len(frames), count, self._basis.sizes[0] * layout.channels))
        inputs = kernel_frames(frames, species, self.cutoff)
        for k, (squares, low, high) in enumerate(summed_features(inputs, self._basis, self._couplings)):
            X0[k] = layout.pack(squares[:, :1], 0).ravel()
            X2[k] = np.swapaxes(layout.pack(squares[:, 1:], 2), 0, 1).reshape(5, -1)
            lowest[k], highest[k] = low, high
        return Features(self.species, X0, X2, count_centres(frames, species, count), lowest, highest)


def training_bytes(labels: int, trained: int, columns: tuple[int, int]) -> float:
    """Peak memory of root in training, bytes.

    Features of all labels twice (parts of the ranks and their whole, then the whole and the training set), and the
    kernel of lambda = 2 with what its eigenvectors need.

    columns: P0 and P2 as `FeatureCalculator.columns`
    """
    return 8.0 * (2 * labels * (columns[0] + 5 * columns[1]) + 5 * (5 * trained) ** 2)


def features(frames: Frames, descriptor: Descriptor, species) -> Features:
    """Of `FeatureCalculator`, used once."""
    return FeatureCalculator(descriptor, species)(frames)


def reference_features(frames: Frames, descriptor: Descriptor, species, centres: np.ndarray | None = None) -> Features:
    """The same as `features`, by featomic's EquivariantPowerSpectrum, which defines them and is many times slower.

    centres (atoms,) bool: sums are over these atoms alone.
    """
    numbers = np.asarray(species, dtype=int)
    spectrum = featomic_reference.power_spectrum(frames, descriptor, numbers, centres)
    channels = len(numbers) * (descriptor.max_radial + 1)
    layout = feature_layout(featomic_reference.clebsch_gordan(descriptor.max_angular), channels)
    X = {order: np.zeros((len(frames), 2 * order + 1, len(numbers), layout.size(order))) for order in (0, 2)}
    for key, values in spectrum.items():
        order, s = int(key["o3_lambda"]), int(species_index(np.array(key["center_type"]), numbers))
        summed = np.zeros((len(frames), *values.values.shape[1:]))
        np.add.at(summed, values.samples.values[:, 0], values.values)
        l_of = values.properties.values[:, :2]
        for _, l1, l2, start, stop in layout.columns[order]:
            block = summed[..., (l_of[:, 0] == l1) & (l_of[:, 1] == l2)]
            square = block.reshape(*block.shape[:2], channels, channels)
            X[order][:, :, s, start:stop] = pack_block(square, l1 == l2)
    none = np.full((len(frames), len(numbers), 0), np.nan)
    composition = count_centres(frames, mask_non_centres(species_of_atoms(frames, numbers), centres), len(numbers))
    return Features(numbers, X[0].reshape(len(frames), -1), X[2].reshape(len(frames), 5, -1), composition, none, none)
