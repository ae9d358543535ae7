"""Atoms sorted into bins, and distances to the atoms of one run of bins; compiled.

The order of atoms, and so of every sum over neighbours, depends on nothing but the frame.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.model.kernels.buffers import SIMD_WIDTH, WORD_BITS
from mlraman_hpc.model.kernels.jit import jit_inline
from mlraman_hpc.model.kernels.simd import add, broadcast, less_than_mask, load, mul, store


@jit_inline
def bin_atoms(frames, k, bins):
    """Fill `bins` with the atoms of frame k of a `KernelFrames`."""
    first = frames.first_atom[k]
    positions = frames.positions[first : frames.first_atom[k + 1]]
    species = frames.species[first : frames.first_atom[k + 1]]
    cell, inverse, count = frames.cells[k], frames.inverses[k], frames.bin_counts[k]
    start, flat, fraction = bins.start, bins.flat, bins.fraction
    for d in range(3):
        bins.bin_counts[d], bins.bin_reach[d] = count[d], frames.bin_reach[k, d]
    total = count[0] * count[1] * count[2]
    start[: total + 1] = 0
    for i in range(len(positions)):
        for d in range(3):
            f = positions[i, 0] * inverse[0, d] + positions[i, 1] * inverse[1, d] + positions[i, 2] * inverse[2, d]
            fraction[i, d] = f - np.floor(f)
        flat[i] = (_bin_index(fraction[i, 0], count[0]) * count[1] + _bin_index(fraction[i, 1], count[1])) * count[
            2
        ] + _bin_index(fraction[i, 2], count[2])
        start[flat[i] + 1] += 1
    for b in range(1, total + 1):
        start[b] += start[b - 1]
    for i in range(len(positions) - 1, -1, -1):  # from here on start[b + 1] is where the next atom of bin b goes
        start[flat[i] + 1] -= 1
        j = start[flat[i] + 1]
        bins.species[j] = species[i]
        for d in range(3):
            bins.bin[j, d] = _bin_index(fraction[i, d], count[d])
            bins.wrapped[d, j] = fraction[i, 0] * cell[0, d] + fraction[i, 1] * cell[1, d] + fraction[i, 2] * cell[2, d]
    for b in range(total):
        start[b] = start[b + 1]
    start[total] = len(positions)


@jit_inline
def _bin_index(fraction, count):
    return min(int(fraction * count), count - 1)


@jit_inline
def bin_and_image(unfolded, count):
    """The bin and the image of the cell that bin number `unfolded` is, counted through all images."""
    image = unfolded // count
    return unfolded - image * count, image


@jit_inline
def measure_candidates(begin, end, centre, shift, measured, bins, squared_cutoff, buffers):
    """Compute the vectors to atoms begin to end of the bins, moved by `shift`; returns the number of candidates now.

    They are appended to the `measured` candidates of `buffers`, whole vectors at a time. A candidate's neighbour bit is
    set if it is within the cutoff and not the centre itself.
    """
    wrapped, vectors = bins.wrapped, buffers.candidate_vectors
    atoms, capacity = wrapped.shape[1], vectors.shape[1]
    x0, y0, z0 = broadcast(shift[0]), broadcast(shift[1]), broadcast(shift[2])
    for j in range(begin, end, SIMD_WIDTH):
        x, y = add(load(wrapped, j), x0), add(load(wrapped, atoms + j), y0)
        z = add(load(wrapped, 2 * atoms + j), z0)
        square = add(mul(x, x), add(mul(y, y), mul(z, z)))
        bits = less_than_mask(square, squared_cutoff) & ((1 << min(end - j, SIMD_WIDTH)) - 1)
        if j <= centre < j + SIMD_WIDTH:
            bits &= ~(1 << (centre - j))
        store(vectors, measured, x)
        store(vectors, capacity + measured, y)
        store(vectors, 2 * capacity + measured, z)
        store(vectors, 3 * capacity + measured, square)
        buffers.candidate_first[measured // SIMD_WIDTH] = j
        buffers.neighbour_bits[measured // WORD_BITS] |= bits << measured % WORD_BITS
        measured += SIMD_WIDTH
    return measured
