"""The kernels as Python calls them; neither numba nor featomic is loaded where compiled code is there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlraman_hpc.model.kernels.buffers import (
    Basis,
    BinBuffers,
    BlockCouplings,
    TermCouplings,
    aligned_basis,
    atom_batch,
    bin_buffers,
    descriptor_buffers,
    neighbour_buffers,
)
from mlraman_hpc.model.kernels.inputs import KernelFrames
from mlraman_hpc.model.kernels.object_cache import Kernel

_predict_from_atoms = Kernel("mlraman_hpc.model.kernels.contraction", "predict_from_atoms")
_predict_from_sums = Kernel("mlraman_hpc.model.kernels.descriptor_sum", "predict_from_sums")
_sum_features = Kernel("mlraman_hpc.model.kernels.descriptor_sum", "sum_features")


def predict_from_atoms(
    frames: KernelFrames, basis: Basis, terms: TermCouplings, weights: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spherical tensors (frames, members, species, 6) and numbers of outliers (frames,), see `contraction`.

    weights (members, species, terms, Q, Q) as from `tables.term_weights`; limits (2, species, (l, q)): an atom with an
    invariant outside of them is an outlier.
    """
    out, outliers = _results(frames, weights)
    basis, batch = aligned_basis(basis), atom_batch(basis, weights.shape[3])
    buffers = _bins_for(frames), neighbour_buffers(basis), batch
    _predict_from_atoms(frames, basis, terms, weights, limits, *buffers, out, outliers)
    return out, outliers


def predict_from_sums(
    frames: KernelFrames, basis: Basis, couplings: BlockCouplings, weights: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `predict_from_atoms`, faster for many members: each frame's descriptor is summed first.

    weights (members, species, 2, K) as from `tables.block_weights`
    """
    out, outliers = _results(frames, weights)
    basis, work = aligned_basis(basis), descriptor_buffers(basis, couplings, weights.shape[3])
    buffers = _bins_for(frames), neighbour_buffers(basis), work
    _predict_from_sums(frames, basis, couplings, weights, limits, *buffers, out, outliers)
    return out, outliers


def summed_features(
    frames: KernelFrames, basis: Basis, couplings: BlockCouplings
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each frame: X^s (species, 6, blocks, Q, Q), and the extremes of its atoms' invariants, (species, (l, q)) each.

    The arrays are overwritten when the next frame is computed. Extremes are inf and -inf where there is no atom.
    """
    angulars, radials, species = map(int, basis.sizes)
    channels = radials * species
    summed = np.empty((species, 6, len(couplings.angular) * channels**2))
    lowest, highest = np.empty((2, species, angulars * channels))
    limits = np.stack([np.full(lowest.shape, -np.inf), np.full(lowest.shape, np.inf)])
    basis, work = aligned_basis(basis), descriptor_buffers(basis, couplings, 0)
    buffers = _bins_for(frames), neighbour_buffers(basis), work
    for k in range(len(frames.cells)):
        lowest[:], highest[:] = np.inf, -np.inf
        _sum_features(frames.frame(k), basis, couplings, limits, *buffers, summed, lowest, highest)
        yield summed.reshape(species, 6, -1, channels, channels), lowest, highest


def _results(frames: KernelFrames, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(frames.cells)
    return np.zeros((count, *weights.shape[:2], 6)), np.zeros(count, np.int64)


def _bins_for(frames: KernelFrames) -> BinBuffers:
    """For the largest of these frames."""
    atoms = np.diff(frames.first_atom)
    return bin_buffers(int(max(atoms, default=0)), int(max(frames.bin_counts.prod(axis=1), default=0)))
