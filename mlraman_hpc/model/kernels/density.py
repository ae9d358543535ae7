"""The density expansion of each atom, compiled.

Around each atom i

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|),   q = (a, n).

Candidates come from the bins around the atom; the neighbours among them are expanded up to NEIGHBOUR_CAPACITY together.
The order of sums depends on nothing but the frame.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from mlraman_hpc.model.kernels.buffers import NEIGHBOUR_CAPACITY, POLYNOMIAL_TERMS, SIMD_WIDTH, WORD_BITS
from mlraman_hpc.model.kernels.jit import jit_call, jit_inline
from mlraman_hpc.model.kernels.neighbours import bin_and_image, measure_candidates
from mlraman_hpc.model.kernels.simd import (
    add,
    add_scaled,
    broadcast,
    div,
    load,
    load_scalar,
    maximum,
    minimum,
    mul,
    sqrt,
    store,
    sub,
    trailing_zeros,
)

SINE_SERIES = tuple((-1) ** k / factorial(2 * k + 1) for k in range(10))

# In the loops below arrays have one index, the loop's own variable, wherever they can: of any other signed index the
# compiler must ask whether it is negative, and then it gathers elements one by one.


@jit_inline
def expand(i, bins, cell, basis, buffers, rho):
    """rho[(l, m), species, n] of atom i, in the order of the bins."""
    rho[:] = 0.0
    for n in range(basis.sizes[1]):
        rho[0, bins.species[i], n] = basis.central[n]
    start, count, reach, wrapped = bins.start, bins.bin_counts, bins.bin_reach, bins.wrapped
    capacity = buffers.candidate_vectors.shape[1]
    squared_cutoff, measured, neighbours = basis.lengths[0] ** 2, 0, 0
    # counted on from the first bin and its image: a division in the loops would take as long as five neighbours
    bin_a, image_a = bin_and_image(bins.bin[i, 0] - reach[0], count[0])
    first_b, first_image_b = bin_and_image(bins.bin[i, 1] - reach[1], count[1])
    first_c, first_image_c = bin_and_image(bins.bin[i, 2] - reach[2], count[2])
    for _ in range(2 * reach[0] + 1):
        bin_b, image_b = first_b, first_image_b
        for _ in range(2 * reach[1] + 1):
            row = (bin_a * count[1] + bin_b) * count[2]
            bin_c, image_c, left = first_c, first_image_c, 2 * reach[2] + 1
            while left > 0:  # bins along the third direction are contiguous, as far as one image goes
                width = min(left, count[2] - bin_c)
                shift = (
                    image_a * cell[0, 0] + image_b * cell[1, 0] + image_c * cell[2, 0] - wrapped[0, i],
                    image_a * cell[0, 1] + image_b * cell[1, 1] + image_c * cell[2, 1] - wrapped[1, i],
                    image_a * cell[0, 2] + image_b * cell[1, 2] + image_c * cell[2, 2] - wrapped[2, i],
                )
                centre = i if image_a == 0 and image_b == 0 and image_c == 0 else -1
                begin, end = start[row + bin_c], start[row + bin_c + width]
                while begin < end:
                    stop = min(end, begin + capacity - measured)
                    measured = measure_candidates(begin, stop, centre, shift, measured, bins, squared_cutoff, buffers)
                    begin = stop
                    if measured == capacity:
                        neighbours = _collect_neighbours(buffers, bins, measured, neighbours, basis, rho)
                        measured = 0
                bin_c, image_c, left = 0, image_c + 1, left - width
            bin_b += 1
            if bin_b == count[1]:
                bin_b, image_b = 0, image_b + 1
        bin_a += 1
        if bin_a == count[0]:
            bin_a, image_a = 0, image_a + 1
    neighbours = _collect_neighbours(buffers, bins, measured, neighbours, basis, rho)
    _add_neighbours(buffers, neighbours, basis, rho)


@jit_call
def _collect_neighbours(buffers, bins, measured, neighbours, basis, rho):
    """Append the neighbours among the candidates; returns their number. Full buffers are added to rho and emptied."""
    vectors, candidates, capacity = buffers.vectors, buffers.candidate_vectors, buffers.candidate_vectors.shape[1]
    for w in range((measured + WORD_BITS - 1) // WORD_BITS):
        bits = buffers.neighbour_bits[w]
        buffers.neighbour_bits[w] = 0
        while bits != 0:  # a branch for each candidate would be mispredicted too often
            k = w * WORD_BITS + trailing_zeros(bits)
            bits &= bits - 1
            for d in range(4):
                vectors[d, neighbours] = load_scalar(candidates, d * capacity + k)
            s = load_scalar(bins.species, buffers.candidate_first[k // SIMD_WIDTH] + k % SIMD_WIDTH)
            s ^= s >> WORD_BITS - 1  # ~s stands for an atom of species s that is a neighbour only
            buffers.by_species[s, buffers.species_count[s]] = neighbours
            buffers.species_count[s] += 1
            neighbours += 1
            if neighbours == NEIGHBOUR_CAPACITY:
                _add_neighbours(buffers, neighbours, basis, rho)
                neighbours = 0
    return neighbours


@jit_call
def _add_neighbours(buffers, neighbours, basis, rho):
    """rho[(l, m), species, n] += what the neighbours add, whose vectors and species are in the buffers."""
    if neighbours == 0:
        return
    padded = (neighbours + SIMD_WIDTH - 1) // SIMD_WIDTH * SIMD_WIDTH
    buffers.vectors[:, neighbours:padded] = 1.0
    _unit_vectors(buffers, padded, basis.lengths[0], basis.lengths[1])
    _radial(buffers, neighbours, basis.lengths, basis.radial)
    _harmonics(buffers, padded, basis.harmonics)
    for s in range(basis.sizes[2]):
        count = buffers.species_count[s]
        buffers.by_species[s, count : count + 3] = NEIGHBOUR_CAPACITY  # adds zeros, to pad the last group of four
        _add_products(buffers, s, basis.sizes, rho)
        buffers.species_count[s] = 0


@jit_inline
def _unit_vectors(buffers, count, cutoff, width):
    """x, y, z, r^2 become the unit vector and r; cutoff_values = f_cut(r) = (1 + cos(pi (r - cutoff + width)/width))/2
    in the last `width` before the cutoff, 1 below.
    """
    vectors, capacity = buffers.vectors, buffers.vectors.shape[1]
    for k in range(0, count, SIMD_WIDTH):
        r = sqrt(load(vectors, 3 * capacity + k))
        inverse = div(broadcast(1.0), maximum(r, broadcast(1e-12)))
        for d in range(3):
            store(vectors, d * capacity + k, mul(load(vectors, d * capacity + k), inverse))
        store(vectors, 3 * capacity + k, r)
        inside = minimum(maximum(add(r, broadcast(width - cutoff)), broadcast(0.0)), broadcast(width))
        angle = add_scaled(broadcast(-0.5 * np.pi), np.pi / width, inside)  # cos(pi t) = -sin(pi (t - 1/2))
        store(buffers.cutoff_values, k, add_scaled(broadcast(0.5), -0.5, _sine(angle)))


@jit_inline
def _sine(a):
    """sin(a) for |a| <= pi/2 as its series, exact to 2e-16, and without a call."""
    square, series = mul(a, a), broadcast(SINE_SERIES[-1])
    for k in range(len(SINE_SERIES) - 2, -1, -1):
        series = add(broadcast(SINE_SERIES[k]), mul(square, series))
    return mul(a, series)


@jit_inline
def _radial(buffers, neighbours, lengths, coefficients):
    """radial[k, (l, n)] = f_cut R_nl of each neighbour, by the polynomial of the segment that its distance lies in."""
    distance, cutoff_values, segment_length = buffers.vectors[3], buffers.cutoff_values, lengths[2]
    last, width = coefficients.shape[0] - 1, coefficients.shape[2]
    for k in range(neighbours):
        scaled = distance[k] / segment_length
        segment = min(int(scaled), last)
        x, scale = broadcast(scaled - segment - 0.5), broadcast(cutoff_values[k])
        first, row = segment * POLYNOMIAL_TERMS * width, k * buffers.radial.shape[1]
        for n in range(first, first + width, SIMD_WIDTH):
            value = load(coefficients, n + (POLYNOMIAL_TERMS - 1) * width)
            for power in range(POLYNOMIAL_TERMS - 2, -1, -1):
                value = add(mul(value, x), load(coefficients, n + power * width))
            store(buffers.radial, row + n - first, mul(value, scale))


@jit_inline
def _harmonics(buffers, count, factors):
    """angular[l^2 + l + m, k]: real spherical harmonics of the unit vectors, without Condon-Shortley phase."""
    vectors, angular = buffers.vectors, buffers.angular
    capacity, stride = vectors.shape[1], angular.shape[1]
    for k in range(0, count, SIMD_WIDTH):
        x, y, z = load(vectors, k), load(vectors, capacity + k), load(vectors, 2 * capacity + k)
        cosine, sine = broadcast(1.0), broadcast(0.0)  # of m phi, times sin(theta)^m
        for m in range(factors.shape[1]):
            previous, legendre = broadcast(0.0), broadcast(factors[2, m, m])
            for l in range(m, factors.shape[1]):
                if l > m:
                    step = sub(mul(z, legendre), mul(broadcast(factors[1, l, m]), previous))
                    previous, legendre = legendre, mul(broadcast(factors[0, l, m]), step)
                store(angular, (l * l + l + m) * stride + k, mul(legendre, cosine))
                if m > 0:
                    store(angular, (l * l + l - m) * stride + k, mul(legendre, sine))
            cosine, sine = sub(mul(cosine, x), mul(sine, y)), add(mul(sine, x), mul(cosine, y))


@jit_inline
def _add_products(buffers, s, sizes, rho):
    """rho[(l, m), s, n] += sum over neighbours of species s of radial[l n] angular[l m], four at once."""
    members, radial, angular = buffers.by_species[s], buffers.radial, buffers.angular
    radials, padded, width = sizes[1], rho.shape[2], radial.shape[1]
    row_length, stride = rho.shape[1] * padded, angular.shape[1]
    for g in range(0, buffers.species_count[s], 4):
        j0, j1, j2, j3 = members[g], members[g + 1], members[g + 2], members[g + 3]
        for l in range(sizes[0]):
            for n in range(0, padded, SIMD_WIDTH):  # beyond the last n are functions of the next l, never read
                column, target = l * radials + n, s * padded + n
                f0, f1 = load(radial, j0 * width + column), load(radial, j1 * width + column)
                f2, f3 = load(radial, j2 * width + column), load(radial, j3 * width + column)
                for m in range(l * l, (l + 1) * (l + 1)):
                    row = m * stride
                    sums = add_scaled(load(rho, m * row_length + target), load_scalar(angular, row + j0), f0)
                    sums = add_scaled(sums, load_scalar(angular, row + j1), f1)
                    sums = add_scaled(sums, load_scalar(angular, row + j2), f2)
                    store(rho, m * row_length + target, add_scaled(sums, load_scalar(angular, row + j3), f3))
