"""The compiled loops as Python calls them, and the tables that they read.

What the loops need of memory is made here: machine code that allocates nothing needs nothing of numba when it runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlraman_hpc.model.kernels.object_cache import Loop

WIDTH = 8  # numbers in a vector: what the widest registers hold
LINE = 8  # numbers in a line of the cache
ROOM = 128  # neighbours that are expanded together
SEEN = 512  # atoms that are looked at before those of them that are neighbours are collected
BITS = 64  # of an integer
TERMS = 8  # of the polynomials for radial functions: as many as give few pieces, which stay in the nearest cache
CHUNK = 16  # atoms whose rho `sum_features` holds; a multiple of the eight that `_accumulate` takes in one sweep
LANES = 4 * WIDTH  # atoms that `predict` contracts side by side; fewer make short loops, more overflow the cache


class Basis(NamedTuple):
    """What the compiled loops need of a descriptor.

    sizes     (max_angular + 1, max_radial + 1, species)
    lengths   (cutoff, cutoff_width, length of a piece) Angstrom
    radial    (pieces, TERMS, (max_angular + 1) (max_radial + 1)): R_nl on each piece as coefficients of x^0, x^1, ...,
              x from -1/2 to 1/2; filled up with zeros to whole vectors
    central   (max_radial + 1,): the atom's own density
    harmonics (3, max_angular + 1, max_angular + 1): factors of the recursion in `expansion._harmonics`
    """

    sizes: np.ndarray
    lengths: np.ndarray
    radial: np.ndarray
    central: np.ndarray
    harmonics: np.ndarray


class Blocks(NamedTuple):
    """The pairs (l1, l2) and the couplings between their components.

    angular (blocks, 2) l1, l2; first (blocks + 1,) place of each block's products (2 l1 + 1, Q, 2 l2 + 1, Q) among all;
    entries (couplings, 4) block, m1, m2 (from 0), component (0: lambda = 0, 1 ... 5: lambda = 2, mu = -2 ... 2);
    values (couplings,) Clebsch-Gordan coefficients, doubled for m1 < m2 where l1 = l2
    """

    angular: np.ndarray
    first: np.ndarray
    entries: np.ndarray
    values: np.ndarray


class Terms(NamedTuple):
    """What the weights of a model are coupled with: one term for each (l1, l2, lambda).

    angular (terms, 2) l1, l2; first (terms + 1,) place of each term's couplings among all; entries (couplings, 3)
    m1, m2 (from 0), component as in `Blocks`; values (couplings,), doubled for m1 < m2 where l1 = l2
    """

    angular: np.ndarray
    first: np.ndarray
    entries: np.ndarray
    values: np.ndarray


class Near(NamedTuple):
    """Neighbours of one atom, up to ROOM together; arrays are a little longer, for whole vectors.

    way (4, SEEN) x, y, z and r^2 of atoms that were looked at, first (SEEN / WIDTH,) place of the first in each vector,
    inside (SEEN / BITS,) one bit for each: whether it is a neighbour;
    vector (4, ROOM) of neighbours: x, y, z and, to begin with, r^2, then r (Angstrom); smooth (ROOM,) f_cut;
    radial (ROOM + 1, l n) f_cut R_nl, angular (l m, ROOM + WIDTH) Y_lm: neighbour ROOM is nobody, with zeros;
    members (S, ROOM) which neighbours are of each species, count (S,) how many
    """

    way: np.ndarray
    first: np.ndarray
    inside: np.ndarray
    vector: np.ndarray
    smooth: np.ndarray
    radial: np.ndarray
    angular: np.ndarray
    members: np.ndarray
    count: np.ndarray


class Bins(NamedTuple):
    """The atoms of a frame sorted into bins, see `expansion.bin_atoms`.

    In the order of bins: wrapped (3, atoms + WIDTH) Angstrom, species (atoms,), place (atoms, 3) the bin. start
    (bins + 1,) first place of each bin in that order; count (3,) number of bins, reach (3,) how many to look at on
    either side. On the way there: fraction (atoms, 3), flat (atoms,) number of the bin
    """

    wrapped: np.ndarray
    species: np.ndarray
    place: np.ndarray
    start: np.ndarray
    count: np.ndarray
    reach: np.ndarray
    fraction: np.ndarray
    flat: np.ndarray


class Lanes(NamedTuple):
    """Atoms side by side: rho (S, LANES, l m, S, n), owner (S, LANES) their frames, held (S,) how many there are.

    For those of one species: lanes ((l, q, m), LANES), products with weights ((2 l + 1) Q, LANES), tensors (6, LANES),
    excess and dot (LANES,)
    """

    rho: np.ndarray
    owner: np.ndarray
    held: np.ndarray
    lanes: np.ndarray
    products: np.ndarray
    tensors: np.ndarray
    excess: np.ndarray
    dot: np.ndarray


class Sums(NamedTuple):
    """For the descriptor summed over the atoms of a species.

    one: rho of an atom as `expand` makes it; rho (CHUNK, l m q); products, see `Blocks`; squares (Q,); summed
    (6, (block, q, q')), filled up with zeros to whole vectors; extremes (2, l q) of the atoms' invariants
    """

    one: np.ndarray
    rho: np.ndarray
    products: np.ndarray
    squares: np.ndarray
    summed: np.ndarray
    extremes: np.ndarray


_predict = Loop("mlraman_hpc.model.kernels.contraction", "predict")
_predict_many = Loop("mlraman_hpc.model.kernels.descriptor_sum", "predict_many")
_sum_features = Loop("mlraman_hpc.model.kernels.descriptor_sum", "sum_features")


def predict(laid_out, species, basis: Basis, terms: Terms, weights, limits) -> tuple[np.ndarray, np.ndarray]:
    """Spherical tensors (frames, members, species, 6) and the number of outliers (frames,), see `contraction.predict`.

    laid_out: positions, first_atom, cells, inverses as from `geometry.laid_out`; species (atoms,) place in the list of
    species, ~place for an atom that is a neighbour only; weights (members, species, terms, Q, Q), see `Terms`; limits
    (2, species, l q)
    """
    positions, first_atom, cells, inverses = laid_out
    atoms = np.diff(first_atom)
    counts, reaches = bins_of(inverses, atoms, basis.lengths[0])
    basis = _aligned(basis)
    angulars, _, kinds = basis.sizes
    room, density = weights.shape[3], _density(basis)
    lanes = Lanes(
        _zeros(kinds, LANES, *density),
        np.zeros((kinds, LANES), np.int64),
        np.zeros(kinds, np.int64),
        _zeros((angulars * angulars * room + (2 * angulars - 1) * WIDTH), LANES),
        _zeros((2 * angulars - 1) * room, LANES),
        _zeros(6, LANES),
        _zeros(LANES),
        _zeros(LANES),
    )
    out = np.zeros((len(cells), len(weights), kinds, 6))
    outliers = np.zeros(len(cells), np.int64)
    _predict(
        positions,
        first_atom,
        cells,
        inverses,
        counts,
        reaches,
        species,
        basis,
        terms,
        weights,
        limits,
        _bins(atoms, counts),
        _near(basis),
        lanes,
        out,
        outliers,
    )
    return out, outliers


def predict_many(laid_out, species, basis: Basis, blocks: Blocks, weights, limits) -> tuple[np.ndarray, np.ndarray]:
    """The same as `predict`, faster for many members: each frame's descriptor is summed first.

    weights (members, species, 2, K) for lambda = 0 and 2, K = (block, q, q') filled up to whole vectors
    """
    positions, first_atom, cells, inverses = laid_out
    atoms = np.diff(first_atom)
    counts, reaches = bins_of(inverses, atoms, basis.lengths[0])
    out = np.zeros((len(cells), *weights.shape[:2], 6))
    outliers = np.zeros(len(cells), np.int64)
    _predict_many(
        positions,
        first_atom,
        cells,
        inverses,
        counts,
        reaches,
        species,
        _aligned(basis),
        blocks,
        weights,
        limits,
        _bins(atoms, counts),
        _near(basis),
        _sums(basis, blocks, weights.shape[3]),
        out,
        outliers,
    )
    return out, outliers


def sum_features(positions, cell, inverse, species, basis: Basis, blocks: Blocks, summed, lowest, highest) -> None:
    """Fill summed[s] with X^s of one frame and widen lowest and highest by its invariants, see `features`.

    positions (atoms, 3) Angstrom, cell and its inverse (3, 3), species (atoms,) place in the list of species,
    summed (species, 6, blocks Q Q), lowest, highest (species, K)
    """
    atoms = np.array([len(positions)])
    counts, reaches = bins_of(inverse[None], atoms, basis.lengths[0])
    anywhere = np.stack([np.full(lowest.shape, -np.inf), np.full(lowest.shape, np.inf)])
    _sum_features(
        positions,
        cell,
        inverse,
        counts[0],
        reaches[0],
        species,
        _aligned(basis),
        blocks,
        anywhere,
        _bins(atoms, counts),
        _near(basis),
        _sums(basis, blocks, 0),
        summed,
        lowest,
        highest,
    )


def _sums(basis: Basis, blocks: Blocks, size: int) -> Sums:
    angulars, radials, kinds = basis.sizes
    channels = radials * kinds
    return Sums(
        _zeros(*_density(basis)),
        _zeros(CHUNK, angulars * angulars * channels),
        _zeros(blocks.first[-1]),
        _zeros(channels),
        _zeros(6, size),
        _zeros(2, angulars * channels),
    )


def bins_of(inverses: np.ndarray, atoms: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Number of bins along the lattice directions of each frame, and how far to look for neighbours, (frames, 3).

    A cutoff wide, and a quarter of it along the third direction, in which bins lie side by side: to look at a few more
    atoms costs less than to begin anew in another bin. How far: bins on either side, images of the cell included.
    """
    height = 1.0 / np.linalg.norm(inverses, axis=1)
    # More bins than this only cost memory: in a huge sparse cell most of them would be empty.
    most = 4 + (2.0 * np.cbrt(atoms)).astype(np.int64)
    count = np.clip((np.array([1.0, 1.0, 4.0]) * height / cutoff).astype(np.int64), 1, most[:, None])
    return count, (cutoff * count / height).astype(np.int64) + 1


def _density(basis: Basis) -> tuple[int, int, int]:
    """Shape of rho[l m, species, n] of one atom; n filled up to whole vectors."""
    angulars, radials, kinds = map(int, basis.sizes)
    return angulars * angulars, kinds, -(-radials // WIDTH) * WIDTH


def _near(basis: Basis) -> Near:
    angulars, _, kinds = basis.sizes
    return Near(
        _zeros(4, SEEN),
        np.zeros(SEEN // WIDTH, np.int64),
        np.zeros(SEEN // BITS, np.int64),
        _zeros(4, ROOM),
        _zeros(ROOM),
        _zeros(ROOM + 1, basis.radial.shape[2] + WIDTH),
        _zeros(angulars**2, ROOM + WIDTH),
        np.zeros((kinds, ROOM + 4), np.int64),
        np.zeros(kinds, np.int64),
    )


def _aligned(basis: Basis) -> Basis:
    radial = _zeros(*basis.radial.shape)
    radial[:] = basis.radial
    return basis._replace(radial=radial)


def _zeros(*shape: int) -> np.ndarray:
    """Beginning where a line of the cache does: a vector that crosses from one to the next takes twice as long."""
    size = int(np.prod(shape))
    memory = np.zeros(size + LINE)
    first = -(memory.ctypes.data // 8) % LINE
    return memory[first : first + size].reshape(shape)


def _bins(atoms: np.ndarray, counts: np.ndarray) -> Bins:
    """Room for the largest of these frames."""
    most, bins = max(atoms, default=0), max(counts.prod(axis=1), default=0)
    return Bins(
        np.zeros((3, most + WIDTH)),
        np.empty(most, np.int64),
        np.empty((most, 3), np.int64),
        np.empty(bins + 1, np.int64),
        np.empty(3, np.int64),
        np.empty(3, np.int64),
        np.empty((most, 3)),
        np.empty(most, np.int64),
    )
