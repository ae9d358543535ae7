"""The density expansion of each atom, compiled.

Around each atom i

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|),   q = (a, n).

Neighbours are found with bins, and expanded up to ROOM together. The order of sums depends on nothing but the frame.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.model.compiled import inner
from mlraman_hpc.model.loops import ROOM
from mlraman_hpc.model.vectors import add_scaled, load, number, save

# In the loops below arrays have one index, the loop's own variable, wherever they can: of any other signed index the
# compiler must ask whether it is negative, and then it gathers elements one by one.


@inner
def _harmonics(vector, count, factors, out):
    """Real spherical harmonics of unit vectors, out[l^2 + l + m], no Condon-Shortley phase (four at once)."""
    for k in range(0, count, 4):
        x0, x1, x2, x3 = vector[0, k], vector[0, k + 1], vector[0, k + 2], vector[0, k + 3]
        y0, y1, y2, y3 = vector[1, k], vector[1, k + 1], vector[1, k + 2], vector[1, k + 3]
        z0, z1, z2, z3 = vector[2, k], vector[2, k + 1], vector[2, k + 2], vector[2, k + 3]
        c0 = c1 = c2 = c3 = 1.0
        s0 = s1 = s2 = s3 = 0.0
        for m in range(factors.shape[1]):
            b0 = b1 = b2 = b3 = 0.0
            p0 = p1 = p2 = p3 = factors[2, m, m]
            for l in range(m, factors.shape[1]):
                if l > m:
                    f, g = factors[0, l, m], factors[1, l, m]
                    n0, n1 = f * (z0 * p0 - g * b0), f * (z1 * p1 - g * b1)
                    n2, n3 = f * (z2 * p2 - g * b2), f * (z3 * p3 - g * b3)
                    b0, b1, b2, b3 = p0, p1, p2, p3
                    p0, p1, p2, p3 = n0, n1, n2, n3
                row = out[l * l + l + m]
                row[k], row[k + 1], row[k + 2], row[k + 3] = p0 * c0, p1 * c1, p2 * c2, p3 * c3
                if m > 0:
                    row = out[l * l + l - m]
                    row[k], row[k + 1], row[k + 2], row[k + 3] = p0 * s0, p1 * s1, p2 * s2, p3 * s3
            c0, s0 = c0 * x0 - s0 * y0, s0 * x0 + c0 * y0
            c1, s1 = c1 * x1 - s1 * y1, s1 * x1 + c1 * y1
            c2, s2 = c2 * x2 - s2 * y2, s2 * x2 + c2 * y2
            c3, s3 = c3 * x3 - s3 * y3, s3 * x3 + c3 * y3


@inner
def _radial(distance, smooth, step, f, out):
    """smooth R_nl at this distance (Angstrom), out[l n]: cubic spline in value and curvature."""
    place = distance / step
    knot = min(int(place), f.shape[0] - 2)
    right = place - knot
    left = 1.0 - right
    y0, y1 = smooth * left, smooth * right
    m0, m1 = y0 * (left * left - 1.0), y1 * (right * right - 1.0)
    f0, f1, g0, g1 = f[knot, 0], f[knot, 1], f[knot + 1, 0], f[knot + 1, 1]
    for k in range(len(f0)):
        out[k] = y0 * f0[k] + m0 * f1[k] + y1 * g0[k] + m1 * g1[k]


@inner
def _unit_vectors(near, count, cutoff, width):
    """Make vectors unit vectors, r^2 r, and fill in f_cut."""
    x, y, z, r, smooth = near.vector[0], near.vector[1], near.vector[2], near.vector[3], near.smooth
    for k in range(count):
        r[k] = np.sqrt(r[k])
        inverse = 1.0 / max(r[k], 1e-12)
        x[k] *= inverse
        y[k] *= inverse
        z[k] *= inverse
        # cos(pi t) = -sin(pi (t - 1/2)) as its series, exact to 2e-16, and without a call
        a = np.pi * (min(max((r[k] - cutoff + width) / width, 0.0), 1.0) - 0.5)
        q = a * a
        term = 1.0 - q / 420.0
        for n in range(9, 0, -1):
            term = 1.0 - q * term / (2 * n * (2 * n + 1))
        smooth[k] = 0.5 - 0.5 * a * term


@inner
def _by_species(near, count):
    """Sort neighbours by species; each list is filled up with nobody to a multiple of four."""
    near.count[:] = 0
    for k in range(count):
        s = near.kind[k]
        near.members[s, near.count[s]] = k
        near.count[s] += 1
    for s in range(len(near.count)):
        near.members[s, near.count[s] : near.count[s] + 3] = ROOM


@inner
def _add_products(near, s, sizes, rho):
    """rho[l m, s, n] += sum over neighbours of species s of radial[l n] angular[l m], four at once."""
    members, radial, angular = near.members[s], near.radial, near.angular
    radials, room, width = sizes[1], rho.shape[2], radial.shape[1]
    across, stride = rho.shape[1] * room, angular.shape[1]
    for g in range(0, near.count[s], 4):
        j0, j1, j2, j3 = members[g], members[g + 1], members[g + 2], members[g + 3]
        for l in range(sizes[0]):
            for n in range(0, room, 4):  # beyond the last n are functions of the next l, which nobody reads
                place, target = l * radials + n, s * room + n
                f0, f1 = load(radial, j0 * width + place), load(radial, j1 * width + place)
                f2, f3 = load(radial, j2 * width + place), load(radial, j3 * width + place)
                for m in range(l * l, (l + 1) * (l + 1)):
                    row = m * stride
                    total = add_scaled(load(rho, m * across + target), number(angular, row + j0), f0)
                    total = add_scaled(total, number(angular, row + j1), f1)
                    total = add_scaled(total, number(angular, row + j2), f2)
                    save(rho, m * across + target, add_scaled(total, number(angular, row + j3), f3))


@inner
def _add_neighbours(near, found, basis, rho):
    """rho[l m, species, n] += what the first `found` neighbours add."""
    if found == 0:
        return
    filled = (found + 3) // 4 * 4
    near.vector[:, found:filled] = 1.0
    _unit_vectors(near, filled, basis.lengths[0], basis.lengths[1])
    for k in range(found):
        _radial(near.vector[3, k], near.smooth[k], basis.lengths[2], basis.spline, near.radial[k])
    _harmonics(near.vector, filled, basis.harmonics, near.angular)
    _by_species(near, found)
    for s in range(basis.sizes[2]):
        _add_products(near, s, basis.sizes, rho)


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
            fraction[i, 2], count[2])
        start[flat[i] + 1] += 1
    for b in range(1, total + 1):
        start[b] += start[b - 1]
    for i in range(len(positions) - 1, -1, -1):  # from here on start[b + 1] is where the next atom of bin b goes
        start[flat[i] + 1] -= 1
        k = start[flat[i] + 1]
        bins.species[k] = species[i]
        for d in range(3):
            bins.place[k, d] = _bin(fraction[i, d], count[d])
            bins.wrapped[d, k] = (fraction[i, 0] * cell[0, d] + fraction[i, 1] * cell[1, d]
                                  + fraction[i, 2] * cell[2, d])
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
def expand(i, bins, cell, basis, near, rho):
    """rho[l m, species, n] of the atom at place i of `bins`."""
    rho[:] = 0.0
    for n in range(basis.sizes[1]):
        rho[0, bins.species[i], n] = basis.central[n]
    species, place, start, count, reach = bins.species, bins.place, bins.start, bins.count, bins.reach
    x, y, z = bins.wrapped[0], bins.wrapped[1], bins.wrapped[2]
    dx, dy, dz, squares = near.vector[0], near.vector[1], near.vector[2], near.vector[3]
    limit, found = basis.lengths[0] ** 2, 0
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
                x0 = image_a * cell[0, 0] + image_b * cell[1, 0] + image_c * cell[2, 0] - x[i]
                y0 = image_a * cell[0, 1] + image_b * cell[1, 1] + image_c * cell[2, 1] - y[i]
                z0 = image_a * cell[0, 2] + image_b * cell[1, 2] + image_c * cell[2, 2] - z[i]
                itself = i if image_a == 0 and image_b == 0 and image_c == 0 else -1
                for j in range(start[row + bin_c], start[row + bin_c + width]):
                    u, v, w = x[j] + x0, y[j] + y0, z[j] + z0
                    square = u * u + v * v + w * w
                    dx[found], dy[found], dz[found], squares[found] = u, v, w, square
                    near.kind[found] = species[j]
                    found += (square < limit) & (j != itself)  # no branch that would be guessed wrong
                    if found == ROOM:
                        _add_neighbours(near, found, basis, rho)
                        found = 0
                bin_c, image_c, left = 0, image_c + 1, left - width
            bin_b += 1
            if bin_b == count[1]:
                bin_b, image_b = 0, image_b + 1
        bin_a += 1
        if bin_a == count[0]:
            bin_a, image_a = 0, image_a + 1
    _add_neighbours(near, found, basis, rho)
