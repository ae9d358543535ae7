"""The compiled loops: density expansion of each atom, and the linear model or the summed descriptor made of it.

Around each atom i

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|),   q = (a, n).

`predict` applies the weights of a model first,

    u^i_{m1 q'} = sum_q W^{s lambda}_{l1 l2 q q'} rho^i_{q l1 m1}
    alpha^{lambda mu} = sum_i sum_{l1 l2} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> sum_{q'} u^i_{m1 q'} rho^i_{q' l2 m2},

where most coefficients <l1 m1 l2 m2|lambda mu> are zero. `sum_features` sums products over the atoms of a frame,

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2},

which the same coefficients make the lambda-SOAP descriptor, never formed for a single atom.

The arithmetic of an atom and the order of sums depend on nothing but the frame: the same to the last bit in any batch.
All compiled functions are in this one file: the cache on disk is renewed when the file of the function called first
changes, not when that of one called by it does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

CHUNK = 16  # atoms whose rho `sum_features` holds; a multiple of the eight that `_accumulate` takes in one sweep
LANES = 32  # atoms that `predict` contracts side by side; fewer make short loops, more overflow the cache
# Products may be fused with sums (one rounding less), but sums keep their order.
_FLAGS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
inner = njit(**_FLAGS)


def outer(function):
    """Compile a function that Python calls, and keep the result on disk where there is a place for it."""
    try:
        return njit(cache=True, **_FLAGS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return inner(function)


class Scratch(NamedTuple):
    """Neighbours of one species wait here until there are four.

    radial (S, 4, l n and a few zeros) f_cut R_nl, angular (S, 4, l m) Y_lm, count (S,)
    """

    radial: np.ndarray
    angular: np.ndarray
    count: np.ndarray


@inner
def _scratch(basis):
    angulars, kinds = basis.sizes[0], basis.sizes[2]
    return Scratch(np.zeros((kinds, 4, basis.spline.shape[2])), np.zeros((kinds, 4, angulars * angulars)),
                   np.zeros(kinds, np.int64))


# In the loops below arrays have one index, the loop's own variable, wherever they can: of any other signed index the
# compiler must ask whether it is negative, and then it gathers elements one by one.


@inner
def _harmonics(x, y, z, factors, out):
    """Orthonormal real spherical harmonics of a unit vector, out[l^2 + l + m], no Condon-Shortley phase."""
    cosine, sine = 1.0, 0.0
    for m in range(factors.shape[1]):
        before, last = 0.0, factors[2, m, m]
        for l in range(m, factors.shape[1]):
            if l > m:
                before, last = last, factors[0, l, m] * (z * last - factors[1, l, m] * before)
            out[l * l + l + m] = last * cosine
            if m > 0:
                out[l * l + l - m] = last * sine
        cosine, sine = cosine * x - sine * y, sine * x + cosine * y


@inner
def _radial(distance, lengths, f, out):
    """f_cut R_nl at this distance (Angstrom), out[l n]: cubic spline in value and curvature."""
    cutoff, width, step = lengths[0], lengths[1], lengths[2]
    place = distance / step
    knot = min(int(place), f.shape[0] - 2)
    right = place - knot
    left = 1.0 - right
    smooth = 1.0
    if distance > cutoff - width:
        smooth = 0.5 * (1.0 + np.cos(np.pi * (distance - cutoff + width) / width))
    y0, y1 = smooth * left, smooth * right
    m0, m1 = y0 * (left * left - 1.0), y1 * (right * right - 1.0)
    f0, f1, g0, g1 = f[knot, 0], f[knot, 1], f[knot + 1, 0], f[knot + 1, 1]
    for k in range(len(f0)):
        out[k] = y0 * f0[k] + m0 * f1[k] + y1 * g0[k] + m1 * g1[k]


@inner
def _add_four(f, y, s, rho):
    """rho[l m, s, n] += sum over four neighbours of species s of f[:, l n] y[:, l m]."""
    radials = rho.shape[2]
    for l in range(int(np.sqrt(len(rho)) + 0.5)):
        part = slice(l * radials, (l + 1) * radials)
        f0, f1, f2, f3 = f[0, part], f[1, part], f[2, part], f[3, part]
        for m in range(l * l, (l + 1) * (l + 1)):
            y0, y1, y2, y3 = y[0, m], y[1, m], y[2, m], y[3, m]
            target = rho[m, s]
            for n in range(radials):
                target[n] += y0 * f0[n] + y1 * f1[n] + y2 * f2[n] + y3 * f3[n]


@inner
def _bins_of(inverse, atoms, cutoff):
    """Number of bins, about half a cutoff wide, along the three lattice directions, and how far to look for neighbours.

    reach: bins on either side, images of the cell included.
    """
    count, reach = np.empty(3, np.int64), np.empty(3, np.int64)
    for d in range(3):
        height = 1.0 / np.sqrt(inverse[0, d] ** 2 + inverse[1, d] ** 2 + inverse[2, d] ** 2)
        # More bins than this only cost memory: in a huge sparse cell most of them would be empty.
        count[d] = max(1, min(int(2.0 * height / cutoff), 4 + int(2.0 * atoms ** (1.0 / 3.0))))
        reach[d] = int(cutoff * count[d] / height) + 1
    return count, reach


@inner
def _bin_atoms(positions, cell, inverse, cutoff):
    """Atoms sorted into bins: wrapped positions, bin of each atom (atoms, 3), atoms in the order of their bins, first
    place of each bin in that order, number of bins and reach, see `_bins_of`.
    """
    atoms = len(positions)
    count, reach = _bins_of(inverse, atoms, cutoff)
    wrapped, place = np.empty((atoms, 3)), np.empty((atoms, 3), np.int64)
    flat, order = np.empty(atoms, np.int64), np.empty(atoms, np.int64)
    start = np.zeros(count[0] * count[1] * count[2] + 1, np.int64)
    fraction = np.empty(3)
    for i in range(atoms):
        for d in range(3):
            f = positions[i, 0] * inverse[0, d] + positions[i, 1] * inverse[1, d] + positions[i, 2] * inverse[2, d]
            fraction[d] = f - np.floor(f)
            place[i, d] = min(int(fraction[d] * count[d]), count[d] - 1)
        for d in range(3):
            wrapped[i, d] = fraction[0] * cell[0, d] + fraction[1] * cell[1, d] + fraction[2] * cell[2, d]
        flat[i] = (place[i, 0] * count[1] + place[i, 1]) * count[2] + place[i, 2]
        start[flat[i] + 1] += 1
    for b in range(1, len(start)):
        start[b] += start[b - 1]
    for i in range(atoms - 1, -1, -1):
        start[flat[i] + 1] -= 1
        order[start[flat[i] + 1]] = i
    start[:-1] = start[1:]
    start[-1] = atoms
    return wrapped, place, order, start, count, reach


@inner
def _expand(i, bins, cell, species, basis, held, rho):
    """rho[l m, species, n] of atom i, which `bins` = _bin_atoms(...) locate; `held` is a Scratch."""
    wrapped, place, order, start, count, reach = bins
    rho[:] = 0.0
    for n in range(basis.sizes[1]):
        rho[0, species[i], n] = basis.central[n]
    limit = basis.lengths[0] ** 2
    for a in range(place[i, 0] - reach[0], place[i, 0] + reach[0] + 1):
        shift_a = a // count[0]
        for b in range(place[i, 1] - reach[1], place[i, 1] + reach[1] + 1):
            shift_b = b // count[1]
            row = ((a - shift_a * count[0]) * count[1] + b - shift_b * count[1]) * count[2]
            c, last = place[i, 2] - reach[2], place[i, 2] + reach[2]
            while c <= last:  # bins along the third direction lie side by side, as far as one image goes
                shift_c = c // count[2]
                stop = min(last + 1, (shift_c + 1) * count[2])
                dx = shift_a * cell[0, 0] + shift_b * cell[1, 0] + shift_c * cell[2, 0] - wrapped[i, 0]
                dy = shift_a * cell[0, 1] + shift_b * cell[1, 1] + shift_c * cell[2, 1] - wrapped[i, 1]
                dz = shift_a * cell[0, 2] + shift_b * cell[1, 2] + shift_c * cell[2, 2] - wrapped[i, 2]
                first = row - shift_c * count[2]
                for k in range(start[first + c], start[first + stop]):
                    j = order[k]
                    x, y, z = wrapped[j, 0] + dx, wrapped[j, 1] + dy, wrapped[j, 2] + dz
                    square = x * x + y * y + z * z
                    if square >= limit or (j == i and shift_a == 0 and shift_b == 0 and shift_c == 0):
                        continue
                    r, s = np.sqrt(square), species[j]
                    inverse, slot = 1.0 / max(r, 1e-12), held.count[s]
                    _radial(r, basis.lengths, basis.spline, held.radial[s, slot])
                    _harmonics(x * inverse, y * inverse, z * inverse, basis.harmonics, held.angular[s, slot])
                    held.count[s] = (slot + 1) % 4
                    if slot == 3:
                        _add_four(held.radial[s], held.angular[s], s, rho)
                c = stop
    for s in range(basis.sizes[2]):
        if held.count[s]:
            held.angular[s, held.count[s] :] = 0.0
            _add_four(held.radial[s], held.angular[s], s, rho)
            held.count[s] = 0


@inner
def _accumulate(rho, atoms, blocks, channels, products):
    """products += sum over the first `atoms` of rho of rho_{l1 m1 q} rho_{l2 m2 q'}, eight atoms in one sweep."""
    for b in range(len(blocks.angular)):
        l1, l2 = blocks.angular[b]
        width = (2 * l2 + 1) * channels
        block = products[blocks.first[b] : blocks.first[b + 1]].reshape((2 * l1 + 1) * channels, width)
        for m1 in range(2 * l1 + 1):
            skipped = m1 * channels if l1 == l2 else 0
            columns = slice(l2 * l2 * channels + skipped, (l2 + 1) * (l2 + 1) * channels)
            for a in range(0, atoms, 8):
                r0, r1, r2, r3 = rho[a, columns], rho[a + 1, columns], rho[a + 2, columns], rho[a + 3, columns]
                r4, r5, r6, r7 = rho[a + 4, columns], rho[a + 5, columns], rho[a + 6, columns], rho[a + 7, columns]
                for q in range(channels):
                    p = (l1 * l1 + m1) * channels + q
                    c0, c1, c2, c3 = rho[a, p], rho[a + 1, p], rho[a + 2, p], rho[a + 3, p]
                    c4, c5, c6, c7 = rho[a + 4, p], rho[a + 5, p], rho[a + 6, p], rho[a + 7, p]
                    target = block[m1 * channels + q, skipped:]
                    for k in range(width - skipped):
                        target[k] += (c0 * r0[k] + c1 * r1[k] + c2 * r2[k] + c3 * r3[k]
                                      + c4 * r4[k] + c5 * r5[k] + c6 * r6[k] + c7 * r7[k])


@inner
def _couple(products, blocks, channels, summed):
    """summed[component, block, q, q'] = sum over the couplings of Clebsch-Gordan coefficient times product."""
    summed[:] = 0.0
    last = -1
    for e in range(len(blocks.values)):
        b, m1, m2, component = blocks.entries[e]
        value = blocks.values[e]
        if b != last:
            l1, l2 = blocks.angular[b]
            part = products[blocks.first[b] : blocks.first[b + 1]]
            block = part.reshape(2 * l1 + 1, channels, 2 * l2 + 1, channels)
            last = b
        for q1 in range(channels):
            for q2 in range(channels):
                summed[component, b, q1, q2] += value * block[m1, q1, m2, q2]


@inner
def _is_outside(rho, angulars, s, lowest, highest, limits):
    """Whether any invariant p_{l q} = sum_m rho_{q l m}^2 of an atom of species s is outside `limits`.

    lowest and highest (species, l q) are widened by them.
    """
    channels = len(rho) // (angulars * angulars)
    outside, squares = False, np.empty(channels)
    for l in range(angulars):
        squares[:] = 0.0
        for m in range(l * l, (l + 1) * (l + 1)):
            part = rho[m * channels : (m + 1) * channels]
            for q in range(channels):
                squares[q] += part[q] ** 2
        for q in range(channels):
            k = l * channels + q
            lowest[s, k] = min(lowest[s, k], squares[q])
            highest[s, k] = max(highest[s, k], squares[q])
            outside |= squares[q] < limits[0, s, k] or squares[q] > limits[1, s, k]
    return outside


@outer
def sum_features(positions, cell, inverse, species, basis, blocks, summed, lowest, highest, limits):
    """Fill summed[s] with X^s of one frame, widen lowest and highest by its invariants; return the number of outliers.

    positions (atoms, 3) Angstrom, cell and its inverse (3, 3), species (atoms,) place in the list of species,
    summed (species, 6, blocks, Q, Q), lowest, highest (species, K), limits (2, species, K): atoms outside are counted.
    """
    angulars, channels = basis.sizes[0], basis.sizes[1] * basis.sizes[2]
    bins = _bin_atoms(positions, cell, inverse, basis.lengths[0])
    rho = np.empty((CHUNK, angulars * angulars * channels))
    by_species = rho.reshape(CHUNK, angulars * angulars, basis.sizes[2], basis.sizes[1])
    neighbours, products = _scratch(basis), np.empty(blocks.first[-1])
    outliers = 0
    for s in range(len(summed)):
        products[:], held = 0.0, 0
        for i in range(len(positions)):
            if species[i] != s:
                continue
            _expand(i, bins, cell, species, basis, neighbours, by_species[held])
            outliers += _is_outside(rho[held], angulars, s, lowest, highest, limits)
            held += 1
            if held == CHUNK:
                _accumulate(rho, held, blocks, channels, products)
                held = 0
        if held:
            filled = (held + 7) // 8 * 8
            rho[held:filled] = 0.0
            _accumulate(rho, filled, blocks, channels, products)
        _couple(products, blocks, channels, summed[s])
    return outliers


@inner
def _lay_side_by_side(rho, angulars, channels, room, lanes):
    """rho[k, (l m, q)] of the atoms k into lanes[(l, q, m), k]; each l has room for more channels, which stay zero."""
    for l in range(angulars):
        width = 2 * l + 1
        for q in range(channels):
            for m in range(width):
                source, target = (l * l + m) * channels + q, lanes[l * l * room + q * width + m]
                for k in range(LANES):
                    target[k] = rho[k, source]


@inner
def _weighted(part, weights, out):
    """out[p] = sum_q weights[p, q] part[q]; the number of q and that of p are multiples of four."""
    out[:] = 0.0
    for p in range(0, weights.shape[0], 2):
        target, other = out[p], out[p + 1]
        for q in range(0, weights.shape[1], 4):
            w0, w1, w2, w3 = weights[p, q], weights[p, q + 1], weights[p, q + 2], weights[p, q + 3]
            v0, v1, v2, v3 = weights[p + 1, q], weights[p + 1, q + 1], weights[p + 1, q + 2], weights[p + 1, q + 3]
            r0, r1, r2, r3 = part[q], part[q + 1], part[q + 2], part[q + 3]
            for k in range(part.shape[1]):
                target[k] += w0 * r0[k] + w1 * r1[k] + w2 * r2[k] + w3 * r3[k]
                other[k] += v0 * r0[k] + v1 * r1[k] + v2 * r2[k] + v3 * r3[k]


@inner
def _dot(one, m1, other, m2, out):
    """out[k] = sum_q one[q, m1, k] other[q, m2, k]"""
    out[:] = 0.0
    for q in range(0, one.shape[0], 4):
        a0, a1, a2, a3 = one[q, m1], one[q + 1, m1], one[q + 2, m1], one[q + 3, m1]
        b0, b1, b2, b3 = other[q, m2], other[q + 1, m2], other[q + 2, m2], other[q + 3, m2]
        for k in range(LANES):
            out[k] += a0[k] * b0[k] + a1[k] * b1[k] + a2[k] * b2[k] + a3[k] * b3[k]


@inner
def _contract(lanes, weights, terms, work, tensors):
    """tensors[component, k] of the atoms in the lanes; weights (terms, Q, Q), work ((2 l + 1) Q, LANES)."""
    channels = weights.shape[1]
    product = np.empty(LANES)
    tensors[:] = 0.0
    for t in range(len(terms.angular)):
        l1, l2 = terms.angular[t, 0], terms.angular[t, 1]
        part = lanes[l1 * l1 * channels : (l1 + 1) * (l1 + 1) * channels].reshape(channels, (2 * l1 + 1) * LANES)
        other = lanes[l2 * l2 * channels : (l2 + 1) * (l2 + 1) * channels].reshape(channels, 2 * l2 + 1, LANES)
        flat = work[: (2 * l1 + 1) * channels].reshape(channels, (2 * l1 + 1) * LANES)
        _weighted(part, weights[t], flat)
        weighted = flat.reshape(channels, 2 * l1 + 1, LANES)
        last1, last2 = -1, -1
        for e in range(terms.first[t], terms.first[t + 1]):
            m1, m2, component = terms.entries[e]
            if m1 != last1 or m2 != last2:
                _dot(weighted, m1, other, m2, product)
                last1, last2 = m1, m2
            for k in range(LANES):
                tensors[component, k] += terms.values[e] * product[k]


@inner
def _add_atoms(lanes, owner, held, s, weights, terms, work, tensors, out):
    """out[frame, member, s] += tensors of the atoms in the first lanes, in the order in which they came."""
    for member in range(len(weights)):
        _contract(lanes, weights[member, s], terms, work, tensors)
        for k in range(held):
            out[owner[k], member, s] += tensors[:, k]


@outer
def predict(positions, first_atom, cells, inverses, species, basis, terms, weights, limits, out, outliers):
    """out[frame, member, species, 6]; weights (members, species, terms, Q, Q), see `tables.Terms`.

    Atoms of one species share the lanes, whichever frames they are from; each lane computes as if it were alone.
    """
    angulars, radials, kinds = basis.sizes[0], basis.sizes[1], basis.sizes[2]
    channels, room = radials * kinds, weights.shape[3]
    rho = np.zeros((kinds, LANES, angulars * angulars * channels))
    by_species = rho.reshape(kinds, LANES, angulars * angulars, kinds, radials)
    owner, held = np.empty((kinds, LANES), np.int64), np.zeros(kinds, np.int64)
    neighbours = _scratch(basis)
    ranges = np.empty((2, *limits.shape[1:]))
    lanes = np.zeros((angulars * angulars * room, LANES))
    work, tensors = np.empty(((2 * angulars - 1) * room, LANES)), np.empty((6, LANES))
    out[:], outliers[:] = 0.0, 0
    for frame in range(len(cells)):
        atoms = slice(first_atom[frame], first_atom[frame + 1])
        here = species[atoms]
        bins = _bin_atoms(positions[atoms], cells[frame], inverses[frame], basis.lengths[0])
        for i in bins[2]:  # neighbours in space one after another: their data are in the cache
            s = here[i]
            k = held[s]
            _expand(i, bins, cells[frame], here, basis, neighbours, by_species[s, k])
            outliers[frame] += _is_outside(rho[s, k], angulars, s, ranges[0], ranges[1], limits)
            owner[s, k] = frame
            held[s] = k + 1
            if held[s] == LANES:
                _lay_side_by_side(rho[s], angulars, channels, room, lanes)
                _add_atoms(lanes, owner[s], LANES, s, weights, terms, work, tensors, out)
                held[s] = 0
    for s in range(kinds):
        if held[s]:  # lanes that are not filled hold earlier atoms, whose results are not taken
            _lay_side_by_side(rho[s], angulars, channels, room, lanes)
            _add_atoms(lanes, owner[s], held[s], s, weights, terms, work, tensors, out)
