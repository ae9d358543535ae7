"""The linear model, or the summed descriptor, made of the density expansion of each atom; compiled.

`predict` applies the weights of a model first,

    u^i_{m1 q'} = sum_q W^{s lambda}_{l1 l2 q q'} rho^i_{q l1 m1}
    alpha^{lambda mu} = sum_i sum_{l1 l2} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> sum_{q'} u^i_{m1 q'} rho^i_{q' l2 m2},

where most coefficients <l1 m1 l2 m2|lambda mu> are zero. `sum_features` sums products over the atoms of a frame,

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2},

which the same coefficients make the lambda-SOAP descriptor, never formed for a single atom.

The arithmetic of an atom and the order of sums depend on nothing but the frame: the same to the last bit in any batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlraman_hpc.model.compiled import inner, outer
from mlraman_hpc.model.expansion import bin_atoms, expand, room_for_density, room_for_neighbours
from mlraman_hpc.model.vectors import add_scaled, load, save

CHUNK = 16  # atoms whose rho `sum_features` holds; a multiple of the eight that `_accumulate` takes in one sweep
LANES = 32  # atoms that `predict` contracts side by side; fewer make short loops, more overflow the cache


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
    bins = bin_atoms(positions, cell, inverse, species, basis.lengths[0])
    rho = np.empty((CHUNK, angulars * angulars * channels))
    near, one, products = room_for_neighbours(basis), room_for_density(basis), np.empty(blocks.first[-1])
    outliers = 0
    for s in range(len(summed)):
        products[:], held = 0.0, 0
        for i in range(len(positions)):
            if bins[1][i] != s:
                continue
            expand(i, bins, cell, basis, near, one)
            rho[held] = one[:, :, : basis.sizes[1]].copy().reshape(-1)
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
def _lay_side_by_side(rho, basis, room, lanes):
    """rho[k, l m, s, n] of the atoms k into lanes[(l, q, m), k]; each l has room for more channels, which stay zero."""
    radials = basis.sizes[1]
    flat = rho.reshape(LANES, -1)
    for l in range(basis.sizes[0]):
        width = 2 * l + 1
        for m in range(width):
            for s in range(basis.sizes[2]):
                for n in range(radials):
                    source = ((l * l + m) * rho.shape[2] + s) * rho.shape[3] + n
                    target = lanes[l * l * room + (s * radials + n) * width + m]
                    for k in range(LANES):
                        target[k] = flat[k, source]


@inner
def _excess(lanes, angulars, room, limits, s, out):
    """out[k]: by how much any invariant p_{l q} = sum_m rho_{q l m}^2 of the atom in lane k leaves `limits`, or less
    than zero; limits (2, species, l q).
    """
    channels = limits.shape[2] // angulars
    squares = np.empty(LANES)
    out[:] = -1.0
    for l in range(angulars):
        for q in range(channels):
            first = l * l * room + q * (2 * l + 1)
            squares[:] = 0.0
            for m in range(2 * l + 1):
                part = lanes[first + m]
                for k in range(LANES):
                    squares[k] += part[k] * part[k]
            low, high = limits[0, s, l * channels + q], limits[1, s, l * channels + q]
            for k in range(LANES):
                out[k] = max(out[k], max(squares[k] - high, low - squares[k]))


@inner
def _weighted(part, weights, out):
    """out[p] = sum_q weights[p, q] part[q]; the number of q and that of p are multiples of four."""
    length = part.shape[1]
    out[:] = 0.0
    for p in range(0, weights.shape[0], 4):
        for q in range(0, weights.shape[1], 4):
            a0, a1, a2, a3 = weights[p, q], weights[p, q + 1], weights[p, q + 2], weights[p, q + 3]
            b0, b1, b2, b3 = weights[p + 1, q], weights[p + 1, q + 1], weights[p + 1, q + 2], weights[p + 1, q + 3]
            c0, c1, c2, c3 = weights[p + 2, q], weights[p + 2, q + 1], weights[p + 2, q + 2], weights[p + 2, q + 3]
            d0, d1, d2, d3 = weights[p + 3, q], weights[p + 3, q + 1], weights[p + 3, q + 2], weights[p + 3, q + 3]
            for k in range(0, length, 4):
                i, o = q * length + k, p * length + k
                r0, r1, r2 = load(part, i), load(part, i + length), load(part, i + 2 * length)
                r3 = load(part, i + 3 * length)
                save(out, o, _four_terms(load(out, o), a0, r0, a1, r1, a2, r2, a3, r3))
                o += length
                save(out, o, _four_terms(load(out, o), b0, r0, b1, r1, b2, r2, b3, r3))
                o += length
                save(out, o, _four_terms(load(out, o), c0, r0, c1, r1, c2, r2, c3, r3))
                o += length
                save(out, o, _four_terms(load(out, o), d0, r0, d1, r1, d2, r2, d3, r3))


@inner
def _four_terms(total, a, x, b, y, c, z, d, w):
    return add_scaled(add_scaled(add_scaled(add_scaled(total, a, x), b, y), c, z), d, w)


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
def _add_atoms(rho, owner, held, s, basis, terms, weights, limits, work, out, outliers):
    """out[frame, member, s] += tensors of the first `held` atoms of rho, in the order in which they came.

    work: lanes ((l, q, m), LANES), their products with weights ((2 l + 1) Q, LANES), tensors (7, LANES)
    """
    lanes, products, tensors, excess = work[0], work[1], work[2][:6], work[2][6]
    _lay_side_by_side(rho, basis, weights.shape[3], lanes)
    _excess(lanes, basis.sizes[0], weights.shape[3], limits, s, excess)
    for k in range(held):
        outliers[owner[k]] += excess[k] > 0.0
    for member in range(len(weights)):
        _contract(lanes, weights[member, s], terms, products, tensors)
        for k in range(held):
            out[owner[k], member, s] += tensors[:, k]


@outer
def predict(positions, first_atom, cells, inverses, species, basis, terms, weights, limits, out, outliers):
    """out[frame, member, species, 6]; weights (members, species, terms, Q, Q), see `Terms`.

    Atoms of one species share the lanes, whichever frames they are from; each lane computes as if it were alone.
    """
    angulars, kinds, room = basis.sizes[0], basis.sizes[2], weights.shape[3]
    near, one = room_for_neighbours(basis), room_for_density(basis)
    rho = np.zeros((kinds, LANES, *one.shape))
    owner, held = np.zeros((kinds, LANES), np.int64), np.zeros(kinds, np.int64)
    work = (np.zeros((angulars * angulars * room, LANES)), np.empty(((2 * angulars - 1) * room, LANES)),
            np.empty((7, LANES)))
    out[:], outliers[:] = 0.0, 0
    for frame in range(len(cells)):
        atoms = slice(first_atom[frame], first_atom[frame + 1])
        bins = bin_atoms(positions[atoms], cells[frame], inverses[frame], species[atoms], basis.lengths[0])
        for i in range(len(bins[1])):  # neighbours in space one after another: their data are in the cache
            s = bins[1][i]
            k = held[s]
            expand(i, bins, cells[frame], basis, near, rho[s, k])
            owner[s, k] = frame
            held[s] = k + 1
            if held[s] == LANES:
                _add_atoms(rho[s], owner[s], LANES, s, basis, terms, weights, limits, work, out, outliers)
                held[s] = 0
    for s in range(kinds):
        if held[s]:  # lanes that are not filled hold earlier atoms, whose results are not taken
            _add_atoms(rho[s], owner[s], held[s], s, basis, terms, weights, limits, work, out, outliers)
