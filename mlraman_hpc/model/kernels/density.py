"""The density expansion of each atom, compiled.

Around each atom i

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|),   q = (a, n).

Neighbours are found with bins, and expanded up to ROOM together. The order of sums depends on nothing but the frame.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from mlraman_hpc.model.kernels.buffers import BITS, ROOM, TERMS, WIDTH
from mlraman_hpc.model.kernels.jit import jit_call as apart, jit_inline as inner
from mlraman_hpc.model.kernels.simd import (
    add_scaled,
    below,
    larger,
    load,
    lowest_bit,
    minus,
    number,
    over,
    plus,
    root,
    save,
    smaller,
    spread,
    times,
)

SINE = tuple((-1) ** k / factorial(2 * k + 1) for k in range(10))  # its series

# In the loops below arrays have one index, the loop's own variable, wherever they can: of any other signed index the
# compiler must ask whether it is negative, and then it gathers elements one by one.


@inner
def _harmonics(near, count, factors):
    """near.angular: real spherical harmonics of unit vectors, [l^2 + l + m], no Condon-Shortley phase."""
    vector, out, stride = near.vector, near.angular, near.angular.shape[1]
    across = vector.shape[1]
    for k in range(0, count, WIDTH):
        x, y, z = load(vector, k), load(vector, across + k), load(vector, 2 * across + k)
        cosine, sine = spread(1.0), spread(0.0)  # of m phi, times sin(theta)^m
        for m in range(factors.shape[1]):
            before, legendre = spread(0.0), spread(factors[2, m, m])
            for l in range(m, factors.shape[1]):
                if l > m:
                    step = minus(times(z, legendre), times(spread(factors[1, l, m]), before))
                    before, legendre = legendre, times(spread(factors[0, l, m]), step)
                save(out, (l * l + l + m) * stride + k, times(legendre, cosine))
                if m > 0:
                    save(out, (l * l + l - m) * stride + k, times(legendre, sine))
            cosine, sine = minus(times(cosine, x), times(sine, y)), plus(times(sine, x), times(cosine, y))


@inner
def _radial(near, found, lengths, f):
    """near.radial[k, l n]: f_cut R_nl of each neighbour, a polynomial in each piece of the way to the cutoff."""
    distance, smooth, step, last, width = near.vector[3], near.smooth, lengths[2], f.shape[0] - 1, f.shape[2]
    for k in range(found):
        place = distance[k] / step
        piece = min(int(place), last)
        x, scale = spread(place - piece - 0.5), spread(smooth[k])
        first, to = piece * TERMS * width, k * near.radial.shape[1]
        for n in range(first, first + width, WIDTH):
            value = load(f, n + (TERMS - 1) * width)
            for power in range(TERMS - 2, -1, -1):
                value = plus(times(value, x), load(f, n + power * width))
            save(near.radial, to + n - first, times(value, scale))


@inner
def _unit_vectors(near, count, cutoff, width):
    """Make vectors unit vectors, r^2 r, and fill in f_cut."""
    vector, across = near.vector, near.vector.shape[1]
    for k in range(0, count, WIDTH):
        r = root(load(vector, 3 * across + k))
        inverse = over(spread(1.0), larger(r, spread(1e-12)))
        for d in range(3):
            save(vector, d * across + k, times(load(vector, d * across + k), inverse))
        save(vector, 3 * across + k, r)
        inside = smaller(larger(plus(r, spread(width - cutoff)), spread(0.0)), spread(width))
        angle = add_scaled(spread(-0.5 * np.pi), np.pi / width, inside)  # cos(pi t) = -sin(pi (t - 1/2))
        save(near.smooth, k, add_scaled(spread(0.5), -0.5, _sine(angle)))


@inner
def _sine(a):
    """sin(a) for |a| <= pi/2 as its series, exact to 2e-16, and without a call."""
    q, series = times(a, a), spread(SINE[-1])
    for k in range(len(SINE) - 2, -1, -1):
        series = plus(spread(SINE[k]), times(q, series))
    return times(a, series)


@inner
def _add_products(near, s, sizes, rho):
    """rho[l m, s, n] += sum over neighbours of species s of radial[l n] angular[l m], four at once."""
    members, radial, angular = near.members[s], near.radial, near.angular
    radials, room, width = sizes[1], rho.shape[2], radial.shape[1]
    across, stride = rho.shape[1] * room, angular.shape[1]
    for g in range(0, near.count[s], 4):
        j0, j1, j2, j3 = members[g], members[g + 1], members[g + 2], members[g + 3]
        for l in range(sizes[0]):
            for n in range(0, room, WIDTH):  # beyond the last n are functions of the next l, which nobody reads
                place, target = l * radials + n, s * room + n
                f0, f1 = load(radial, j0 * width + place), load(radial, j1 * width + place)
                f2, f3 = load(radial, j2 * width + place), load(radial, j3 * width + place)
                for m in range(l * l, (l + 1) * (l + 1)):
                    row = m * stride
                    total = add_scaled(load(rho, m * across + target), number(angular, row + j0), f0)
                    total = add_scaled(total, number(angular, row + j1), f1)
                    total = add_scaled(total, number(angular, row + j2), f2)
                    save(rho, m * across + target, add_scaled(total, number(angular, row + j3), f3))


@apart
def _add_neighbours(near, found, basis, rho):
    """rho[l m, species, n] += what the `found` neighbours add, whose vectors and species are there."""
    if found == 0:
        return
    filled = (found + WIDTH - 1) // WIDTH * WIDTH
    near.vector[:, found:filled] = 1.0
    _unit_vectors(near, filled, basis.lengths[0], basis.lengths[1])
    _radial(near, found, basis.lengths, basis.radial)
    _harmonics(near, filled, basis.harmonics)
    for s in range(basis.sizes[2]):
        near.members[s, near.count[s] : near.count[s] + 3] = ROOM  # nobody, to fill up the last four
        _add_products(near, s, basis.sizes, rho)
        near.count[s] = 0


@inner
def bin_atoms(positions, cell, inverse, species, count, reach, bins):
    """Fill in `bins`; count and reach (3,) as from `loops.bins_of`."""
    start, flat, fraction = bins.start, bins.flat, bins.fraction
    for d in range(3):
        bins.count[d], bins.reach[d] = count[d], reach[d]
    total = count[0] * count[1] * count[2]
    start[: total + 1] = 0
    for i in range(len(positions)):
        for d in range(3):
            f = positions[i, 0] * inverse[0, d] + positions[i, 1] * inverse[1, d] + positions[i, 2] * inverse[2, d]
            fraction[i, d] = f - np.floor(f)
        flat[i] = (_bin(fraction[i, 0], count[0]) * count[1] + _bin(fraction[i, 1], count[1])) * count[2] + _bin(
            fraction[i, 2], count[2]
        )
        start[flat[i] + 1] += 1
    for b in range(1, total + 1):
        start[b] += start[b - 1]
    for i in range(len(positions) - 1, -1, -1):  # from here on start[b + 1] is where the next atom of bin b goes
        start[flat[i] + 1] -= 1
        k = start[flat[i] + 1]
        bins.species[k] = species[i]
        for d in range(3):
            bins.place[k, d] = _bin(fraction[i, d], count[d])
            bins.wrapped[d, k] = fraction[i, 0] * cell[0, d] + fraction[i, 1] * cell[1, d] + fraction[i, 2] * cell[2, d]
    for b in range(total):
        start[b] = start[b + 1]
    start[total] = len(positions)


@inner
def _bin(fraction, count):
    return min(int(fraction * count), count - 1)


@inner
def _first_bin(begin, count):
    """The bin that stands at `begin` where images of the cell are lined up, and which image it is in."""
    image = begin // count
    return begin - image * count, image


@inner
def _look(places, itself, shift, seen, bins, limit, near):
    """Measure the way to the atoms at these places (from, to), moved by `shift`; returns how many were looked at now.

    near.inside tells which of all that were looked at are within the cutoff and not the atom itself.
    """
    wrapped, across, room, way = bins.wrapped, bins.wrapped.shape[1], near.way.shape[1], near.way
    x0, y0, z0 = spread(shift[0]), spread(shift[1]), spread(shift[2])
    for j in range(places[0], places[1], WIDTH):
        x, y = plus(load(wrapped, j), x0), plus(load(wrapped, across + j), y0)
        z = plus(load(wrapped, 2 * across + j), z0)
        square = plus(times(x, x), plus(times(y, y), times(z, z)))
        inside = below(square, limit) & ((1 << min(places[1] - j, WIDTH)) - 1)
        if j <= itself < j + WIDTH:
            inside &= ~(1 << (itself - j))
        save(way, seen, x)
        save(way, room + seen, y)
        save(way, 2 * room + seen, z)
        save(way, 3 * room + seen, square)
        near.first[seen // WIDTH] = j
        near.inside[seen // BITS] |= inside << seen % BITS
        seen += WIDTH
    return seen


@apart
def _collect(near, bins, seen, found, basis, rho):
    """Take the neighbours from what was looked at; returns how many are there. ROOM of them are added to rho."""
    vector, way, room = near.vector, near.way, near.way.shape[1]
    for w in range((seen + BITS - 1) // BITS):
        inside = near.inside[w]
        near.inside[w] = 0
        while inside != 0:  # a branch for each atom that was looked at would be guessed wrong too often
            k = w * BITS + lowest_bit(inside)
            inside &= inside - 1
            for d in range(4):
                vector[d, found] = number(way, d * room + k)
            s = number(bins.species, near.first[k // WIDTH] + k % WIDTH)
            s ^= s >> BITS - 1  # ~s stands for an atom of species s that is a neighbour only
            near.members[s, near.count[s]] = found
            near.count[s] += 1
            found += 1
            if found == ROOM:
                _add_neighbours(near, found, basis, rho)
                found = 0
    return found


@inner
def expand(i, bins, cell, basis, near, rho):
    """rho[l m, species, n] of the atom at place i of `bins`."""
    rho[:] = 0.0
    for n in range(basis.sizes[1]):
        rho[0, bins.species[i], n] = basis.central[n]
    place, start, count, reach, wrapped = bins.place, bins.start, bins.count, bins.reach, bins.wrapped
    limit, seen, found = basis.lengths[0] ** 2, 0, 0
    # counted on from the first bin and its image: a division in the loops would take as long as five neighbours
    bin_a, image_a = _first_bin(place[i, 0] - reach[0], count[0])
    first_b, first_image_b = _first_bin(place[i, 1] - reach[1], count[1])
    first_c, first_image_c = _first_bin(place[i, 2] - reach[2], count[2])
    for _ in range(2 * reach[0] + 1):
        bin_b, image_b = first_b, first_image_b
        for _ in range(2 * reach[1] + 1):
            row = (bin_a * count[1] + bin_b) * count[2]
            bin_c, image_c, left = first_c, first_image_c, 2 * reach[2] + 1
            while left > 0:  # bins along the third direction lie side by side, as far as one image goes
                width = min(left, count[2] - bin_c)
                shift = (
                    image_a * cell[0, 0] + image_b * cell[1, 0] + image_c * cell[2, 0] - wrapped[0, i],
                    image_a * cell[0, 1] + image_b * cell[1, 1] + image_c * cell[2, 1] - wrapped[1, i],
                    image_a * cell[0, 2] + image_b * cell[1, 2] + image_c * cell[2, 2] - wrapped[2, i],
                )
                itself = i if image_a == 0 and image_b == 0 and image_c == 0 else -1
                begin, end = start[row + bin_c], start[row + bin_c + width]
                while begin < end:
                    stop = min(end, begin + near.way.shape[1] - seen)
                    seen = _look((begin, stop), itself, shift, seen, bins, limit, near)
                    begin = stop
                    if seen == near.way.shape[1]:
                        found = _collect(near, bins, seen, found, basis, rho)
                        seen = 0
                bin_c, image_c, left = 0, image_c + 1, left - width
            bin_b += 1
            if bin_b == count[1]:
                bin_b, image_b = 0, image_b + 1
        bin_a += 1
        if bin_a == count[0]:
            bin_a, image_a = 0, image_a + 1
    found = _collect(near, bins, seen, found, basis, rho)
    _add_neighbours(near, found, basis, rho)
