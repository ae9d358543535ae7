"""Sizes, tables and buffers of the kernels: which array lies how in memory, and who allocates it.

Machine code that allocates nothing needs nothing of numba when it runs. README.md says why the arrays lie as they do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIMD_WIDTH = 8  # doubles in a vector: what the widest registers take
CACHE_LINE = 8  # doubles
WORD_BITS = 64
NEIGHBOUR_CAPACITY = 128  # neighbours of an atom that are expanded together
CANDIDATE_CAPACITY = 512  # atoms whose distance is computed before the neighbours among them are collected
POLYNOMIAL_TERMS = 8  # of radial functions: as many as give few segments, which stay in the nearest cache
CHUNK_ATOMS = 16  # atoms whose densities `descriptor_sum` multiplies together; a multiple of the 8 of one sweep
BATCH_ATOMS = 4 * SIMD_WIDTH  # atoms that `contraction` takes together; fewer make short loops, more overflow the cache


class Basis(NamedTuple):
    """Tables of the density expansion.

    sizes     (3,): max_angular + 1, max_radial + 1, number of species
    lengths   (3,): cutoff, cutoff_width, length of a segment (Angstrom)
    radial    (segments, POLYNOMIAL_TERMS, (l, n)): R_nl on each segment as coefficients of x^0, x^1, ..., x from -1/2
              to 1/2; (l, n) padded with zeros to whole vectors
    central   (max_radial + 1,): rho_{n 0 0} of the atom's own density
    harmonics (3, max_angular + 1, max_angular + 1): factors of the recursion in `density._harmonics`
    """

    sizes: np.ndarray
    lengths: np.ndarray
    radial: np.ndarray
    central: np.ndarray
    harmonics: np.ndarray


class BlockCouplings(NamedTuple):
    """Couplings of the blocks (l1, l2), l1 <= l2, of both lambda.

    angular (blocks, 2) l1, l2; first (blocks + 1,) offset of each block's products (2 l1 + 1, Q, 2 l2 + 1, Q);
    entries (couplings, 4) block, m1, m2 (from 0), component (0: lambda = 0; 1 ... 5: lambda = 2, mu = -2 ... 2);
    values (couplings,) Clebsch-Gordan coefficients, doubled for m1 < m2 where l1 = l2
    """

    angular: np.ndarray
    first: np.ndarray
    entries: np.ndarray
    values: np.ndarray


class TermCouplings(NamedTuple):
    """Couplings of the terms (l1, l2, lambda), l1 <= l2: each has its own matrix of weights.

    angular (terms, 2) l1, l2; first (terms + 1,) offset of each term's couplings; entries (couplings, 3) m1, m2 (from
    0), component as in `BlockCouplings`; values (couplings,), doubled for m1 < m2 where l1 = l2
    """

    angular: np.ndarray
    first: np.ndarray
    entries: np.ndarray
    values: np.ndarray


class BinBuffers(NamedTuple):
    """The atoms of a frame sorted into bins, see `neighbours.bin_atoms`.

    In the order of bins: wrapped (3, atoms + SIMD_WIDTH) positions in the cell (Angstrom), species (atoms,), bin
    (atoms, 3). start (bins + 1,) first atom of each bin in that order; bin_counts, bin_reach (3,) as in `KernelFrames`.
    Intermediate: fraction (atoms, 3), flat (atoms,) number of the bin
    """

    wrapped: np.ndarray
    species: np.ndarray
    bin: np.ndarray
    start: np.ndarray
    bin_counts: np.ndarray
    bin_reach: np.ndarray
    fraction: np.ndarray
    flat: np.ndarray


class NeighbourBuffers(NamedTuple):
    """Candidates and neighbours of one atom; arrays are a little longer than their capacity, for whole vectors.

    Candidates: candidate_vectors (4, CANDIDATE_CAPACITY) x, y, z and r^2; candidate_first (CANDIDATE_CAPACITY /
    SIMD_WIDTH,) atom in the first lane of each vector; neighbour_bits (CANDIDATE_CAPACITY / WORD_BITS,) a bit for each.
    Neighbours: vectors (4, NEIGHBOUR_CAPACITY) x, y, z and r^2 (Angstrom), then the unit vector and r; cutoff_values
    (NEIGHBOUR_CAPACITY,) f_cut; radial (NEIGHBOUR_CAPACITY + 1, (l, n)) f_cut R_nl; angular ((l, m),
    NEIGHBOUR_CAPACITY + SIMD_WIDTH) Y_lm. Number NEIGHBOUR_CAPACITY has zeros, to pad groups of four.
    by_species (S, NEIGHBOUR_CAPACITY + 4) the neighbours of each species, species_count (S,) how many
    """

    candidate_vectors: np.ndarray
    candidate_first: np.ndarray
    neighbour_bits: np.ndarray
    vectors: np.ndarray
    cutoff_values: np.ndarray
    radial: np.ndarray
    angular: np.ndarray
    by_species: np.ndarray
    species_count: np.ndarray


class AtomBatch(NamedTuple):
    """Atoms of one species whose tensors are computed together, one atom in each lane.

    Waiting, for each species: density (S, BATCH_ATOMS, (l, m), S, n), frame (S, BATCH_ATOMS) the frame that each atom
    is from, size (S,) number of atoms.
    For the species that is contracted: channels ((l, q, m), BATCH_ATOMS), weighted ((m, q), BATCH_ATOMS), tensors
    (6, BATCH_ATOMS), excess and product (BATCH_ATOMS,)
    """

    density: np.ndarray
    frame: np.ndarray
    size: np.ndarray
    channels: np.ndarray
    weighted: np.ndarray
    tensors: np.ndarray
    excess: np.ndarray
    product: np.ndarray


class DescriptorBuffers(NamedTuple):
    """For the descriptor summed over the atoms of a species.

    density ((l, m), S, n) of an atom as `density.expand` makes it; compact (CHUNK_ATOMS, (l, m, q)) without padding;
    products see `BlockCouplings`; invariants (Q,); summed (6, (block, q, q')), padded with zeros to whole vectors;
    extremes (2, (l, q)) of the atoms' invariants
    """

    density: np.ndarray
    compact: np.ndarray
    products: np.ndarray
    invariants: np.ndarray
    summed: np.ndarray
    extremes: np.ndarray


def aligned_zeros(*shape: int) -> np.ndarray:
    """Zeros that begin at a cache line: a vector that crosses from one to the next takes twice as long."""
    size = int(np.prod(shape))
    memory = np.zeros(size + CACHE_LINE)
    first = -(memory.ctypes.data // 8) % CACHE_LINE
    return memory[first : first + size].reshape(shape)


def aligned_basis(basis: Basis) -> Basis:
    radial = aligned_zeros(*basis.radial.shape)
    radial[:] = basis.radial
    return basis._replace(radial=radial)


def density_shape(basis: Basis) -> tuple[int, int, int]:
    """Of rho[(l, m), species, n] of one atom; n padded to whole vectors."""
    angulars, radials, species = map(int, basis.sizes)
    return angulars * angulars, species, -(-radials // SIMD_WIDTH) * SIMD_WIDTH


def bin_buffers(atoms: int, bins: int) -> BinBuffers:
    """For frames of up to so many atoms and bins."""
    return BinBuffers(
        wrapped=np.zeros((3, atoms + SIMD_WIDTH)),
        species=np.empty(atoms, np.int64),
        bin=np.empty((atoms, 3), np.int64),
        start=np.empty(bins + 1, np.int64),
        bin_counts=np.empty(3, np.int64),
        bin_reach=np.empty(3, np.int64),
        fraction=np.empty((atoms, 3)),
        flat=np.empty(atoms, np.int64),
    )


def neighbour_buffers(basis: Basis) -> NeighbourBuffers:
    angulars, _, species = basis.sizes
    return NeighbourBuffers(
        candidate_vectors=aligned_zeros(4, CANDIDATE_CAPACITY),
        candidate_first=np.zeros(CANDIDATE_CAPACITY // SIMD_WIDTH, np.int64),
        neighbour_bits=np.zeros(CANDIDATE_CAPACITY // WORD_BITS, np.int64),
        vectors=aligned_zeros(4, NEIGHBOUR_CAPACITY),
        cutoff_values=aligned_zeros(NEIGHBOUR_CAPACITY),
        radial=aligned_zeros(NEIGHBOUR_CAPACITY + 1, basis.radial.shape[2] + SIMD_WIDTH),
        angular=aligned_zeros(angulars**2, NEIGHBOUR_CAPACITY + SIMD_WIDTH),
        by_species=np.zeros((species, NEIGHBOUR_CAPACITY + 4), np.int64),
        species_count=np.zeros(species, np.int64),
    )


def atom_batch(basis: Basis, channels: int) -> AtomBatch:
    """channels: Q padded as in the weights, see `tables.term_weights`."""
    angulars, _, species = basis.sizes
    widest = 2 * angulars - 1  # components of the largest l
    return AtomBatch(
        density=aligned_zeros(species, BATCH_ATOMS, *density_shape(basis)),
        frame=np.zeros((species, BATCH_ATOMS), np.int64),
        size=np.zeros(species, np.int64),
        channels=aligned_zeros(angulars * angulars * channels + widest * SIMD_WIDTH, BATCH_ATOMS),
        weighted=aligned_zeros(widest * channels, BATCH_ATOMS),
        tensors=aligned_zeros(6, BATCH_ATOMS),
        excess=aligned_zeros(BATCH_ATOMS),
        product=aligned_zeros(BATCH_ATOMS),
    )


def descriptor_buffers(basis: Basis, couplings: BlockCouplings, columns: int) -> DescriptorBuffers:
    """columns: length of a row of `summed`, 0 where the caller provides it."""
    angulars, radials, species = basis.sizes
    channels = radials * species
    return DescriptorBuffers(
        density=aligned_zeros(*density_shape(basis)),
        compact=aligned_zeros(CHUNK_ATOMS, angulars * angulars * channels),
        products=aligned_zeros(couplings.first[-1]),
        invariants=aligned_zeros(channels),
        summed=aligned_zeros(6, columns),
        extremes=aligned_zeros(2, angulars * channels),
    )
