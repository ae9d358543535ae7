"""lambda-SOAP features summed over the atoms of each species, without the descriptor of a single atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.model import featomic_reference as definition
from mlraman_hpc.model.geometry import laid_out
from mlraman_hpc.model.kernels.buffers import sum_features
from mlraman_hpc.model.kernels.tables import basis, blocks
from mlraman_hpc.model.species import counted, of_centres, places, species_index
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Descriptor


@dataclass(frozen=True)
class Layout:
    """Columns of the features of one centre species, for lambda = 0 and 2 each.

    Of each block (l1, l2) with l1 < l2 all (q, q'), with l1 = l2 those with q <= q': the rest is the same by symmetry,
    and sqrt(2) for q < q' makes inner products equal to those of featomic's vector.

    pieces  {lambda: [(block, l1, l2, first column, last column + 1)]}, blocks numbered as in `loops.Blocks`
    """

    channels: int
    pieces: dict[int, list[tuple[int, int, int, int, int]]]

    def size(self, order: int) -> int:
        return self.pieces[order][-1][4] if self.pieces[order] else 0

    def packed(self, summed: np.ndarray, order: int) -> np.ndarray:
        """(..., blocks, Q, Q) -> (..., columns)"""
        result = np.empty((*summed.shape[:-3], self.size(order)))
        for block, l1, l2, start, stop in self.pieces[order]:
            result[..., start:stop] = pack(summed[..., block, :, :], l1 == l2)
        return result

    def unpacked(self, weights: np.ndarray, order: int) -> np.ndarray:
        """(..., columns) -> (..., blocks, Q, Q), zero for blocks that this lambda does not have."""
        count = 1 + max(piece[0] for pieces in self.pieces.values() for piece in pieces)
        squares = np.zeros((*weights.shape[:-1], count, self.channels, self.channels))
        for block, l1, l2, start, stop in self.pieces[order]:
            squares[..., block, :, :] = unpack(weights[..., start:stop], self.channels, l1 == l2)
        return squares


def layout(coefficients: dict, channels: int) -> Layout:
    """Layout for Clebsch-Gordan coefficients {(l1, l2, lambda): array} and a number of channels q = (species, n)."""
    pairs = sorted({key[:2] for key in coefficients})
    pieces: dict[int, list] = {0: [], 2: []}
    for l1, l2, order in sorted(coefficients):
        width = channels * (channels + 1) // 2 if l1 == l2 else channels**2
        first = pieces[order][-1][4] if pieces[order] else 0
        pieces[order].append((pairs.index((l1, l2)), l1, l2, first, first + width))
    return Layout(channels, pieces)


def pack(square: np.ndarray, same: bool) -> np.ndarray:
    """(..., Q, Q) of one block -> (..., columns), see `Layout`; `same`: l1 = l2."""
    if not same:
        return square.reshape(*square.shape[:-2], -1)
    rows, columns = np.triu_indices(square.shape[-1])
    halves = np.where(rows == columns, 0.5, np.sqrt(0.5))
    return (square[..., rows, columns] + square[..., columns, rows]) * halves


def unpack(weights: np.ndarray, channels: int, same: bool) -> np.ndarray:
    """(..., columns) -> (..., Q, Q) with sum(pack(X) w) = sum_{q q'} X_{q q'} unpack(w)_{q q'}."""
    if not same:
        return weights.reshape(*weights.shape[:-1], channels, channels)
    rows, columns = np.triu_indices(channels)
    square = np.zeros((*weights.shape[:-1], channels, channels))
    square[..., rows, columns] += weights * np.where(rows == columns, 0.5, np.sqrt(0.5))
    return square + np.swapaxes(square, -1, -2)


@dataclass(frozen=True)
class Features:
    """Summed lambda-SOAP of labelled frames.

    species      (S,) atomic numbers, in the order of the centre species and of the neighbours' channels
    X0           (frames, P0), X2 (frames, 5, P2): P runs over centre species, l1 l2, q q' (see `Layout`)
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

    def take(self, which) -> Features:
        """The frames with these places, in this order."""
        return Features(self.species, *(values[which] for values in self._by_frame()))

    def _by_frame(self) -> tuple[np.ndarray, ...]:
        return self.X0, self.X2, self.composition, self.lowest, self.highest

    @staticmethod
    def join(parts: list[Features]) -> Features:
        """Frames of all parts, one after another; the parts share their species."""
        columns = zip(*(part._by_frame() for part in parts))
        return Features(parts[0].species, *(np.concatenate(values) for values in columns))


def features(frames: Frames, descriptor: Descriptor, species) -> Features:
    """Summed features X^{s, lambda mu}_{l1 l2 q q'} = sum_{i of s} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> rho rho'.

    The same numbers as featomic's EquivariantPowerSpectrum (sigma = 1) summed over atoms, each independent one once.
    A pure function: frames may be dealt out and the results joined with `Features.join`. `species` are the atomic
    numbers of the whole data set. A frame without atoms of a species has zeros there.
    """
    species = np.asarray(species, dtype=int)
    coefficients = definition.clebsch_gordan(descriptor.max_angular)
    tables = basis(descriptor, len(species))
    channels = len(species) * (descriptor.max_radial + 1)
    pairs, columns = blocks(coefficients, channels), layout(coefficients, channels)
    size = [len(species) * columns.size(order) for order in (0, 2)]
    X0, X2 = np.empty((len(frames), size[0])), np.empty((len(frames), 5, size[1]))
    kinds = places(frames, species)
    composition = counted(frames, kinds, len(species))
    shape = (len(frames), len(species), (descriptor.max_angular + 1) * channels)
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    summed = np.empty((len(species), 6, len(pairs.angular) * channels**2))
    positions, first_atom, cells, inverses = laid_out(frames, descriptor.cutoff)
    for k in range(len(frames)):
        atoms = slice(first_atom[k], first_atom[k + 1])
        sum_features(
            positions[atoms], cells[k], inverses[k], kinds[atoms], tables, pairs, summed, lowest[k], highest[k]
        )
        squares = summed.reshape(len(species), 6, -1, channels, channels)
        X0[k] = columns.packed(squares[:, :1], 0).ravel()
        X2[k] = np.swapaxes(columns.packed(squares[:, 1:], 2), 0, 1).reshape(5, -1)
    return Features(species, X0, X2, composition, lowest, highest)


def reference_features(frames: Frames, descriptor: Descriptor, species, centres: np.ndarray | None = None) -> Features:
    """The same as `features`, by featomic's EquivariantPowerSpectrum: the definition, and many times slower.

    centres (atoms,) bool: sums are over these atoms alone.
    """
    species = np.asarray(species, dtype=int)
    spectrum = definition.power_spectrum(frames, descriptor, species, centres)
    channels = len(species) * (descriptor.max_radial + 1)
    columns = layout(definition.clebsch_gordan(descriptor.max_angular), channels)
    parts = {order: np.zeros((len(frames), 2 * order + 1, len(species), columns.size(order))) for order in (0, 2)}
    for key, block in spectrum.items():
        order, s = int(key["o3_lambda"]), int(species_index(np.array(key["center_type"]), species))
        summed = np.zeros((len(frames), *block.values.shape[1:]))
        np.add.at(summed, block.samples.values[:, 0], block.values)
        l_of = block.properties.values[:, :2]
        for _, l1, l2, start, stop in columns.pieces[order]:
            chosen = summed[..., (l_of[:, 0] == l1) & (l_of[:, 1] == l2)]
            square = chosen.reshape(*chosen.shape[:2], channels, channels)
            parts[order][:, :, s, start:stop] = pack(square, l1 == l2)
    none = np.full((len(frames), len(species), 0), np.nan)
    X0, X2 = parts[0].reshape(len(frames), -1), parts[2].reshape(len(frames), 5, -1)
    kinds = of_centres(places(frames, species), centres)
    return Features(species, X0, X2, counted(frames, kinds, len(species)), none, none)
