"""Sums of density products over the atoms of one species, and the linear model applied to them.

For each centre species s and each pair l1 <= l2 (l1 + l2 even, l2 - l1 <= 2) the products

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2}

are formed once for a frame, as matrix products over the atoms; where l1 = l2 only those with m1 <= m2. Their sums with
Clebsch-Gordan coefficients are the lambda-SOAP descriptor summed over the atoms,

    X^{s, lambda mu}_{l1 l2 q q'} = sum_{m1 m2} <l1 m1 l2 m2|lambda mu> G^s_{m1 q, m2 q'},

so that the descriptor of a single atom never exists, and each member of a committee costs one scalar product more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from mlraman_hpc.model.expansion import Basis, bin_atoms, compiled, expand, scratch

# Atoms whose rho is held at a time; a multiple of the eight that `_accumulate` takes in one sweep.
CHUNK = 16


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


def blocks(coefficients: dict[tuple[int, int, int], np.ndarray], channels: int) -> Blocks:
    """Blocks for these Clebsch-Gordan coefficients {(l1, l2, lambda): array} and number of channels q."""
    pairs = sorted({key[:2] for key in coefficients})
    entries, values = [], []
    for (l1, l2, order), coefficient in coefficients.items():
        for m1, m2, mu in np.argwhere(np.abs(coefficient) > 1e-12):
            if l1 < l2 or m1 <= m2:
                entries.append((pairs.index((l1, l2)), m1, m2, mu + (order == 2)))
                values.append(coefficient[m1, m2, mu] * (2 if l1 == l2 and m1 < m2 else 1))
    sizes = [(2 * l1 + 1) * channels * (2 * l2 + 1) * channels for l1, l2 in pairs]
    first = np.concatenate([[0], np.cumsum(sizes)])
    return Blocks(np.array(pairs), first, np.array(entries, dtype=np.int64), np.array(values))


@compiled
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
                        target[k] += (
                            c0 * r0[k] + c1 * r1[k] + c2 * r2[k] + c3 * r3[k]
                            + c4 * r4[k] + c5 * r5[k] + c6 * r6[k] + c7 * r7[k]
                        )


@compiled
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


@compiled
def _invariants(rho, angulars, channels, out):
    """p_{l q} = sum_m rho_{q l m}^2 of one atom, out[l channels + q]."""
    out[:] = 0.0
    for l in range(angulars):
        for m in range(l * l, (l + 1) * (l + 1)):
            for q in range(channels):
                out[l * channels + q] += rho[m * channels + q] ** 2


@compiled
def correlate(positions, cell, species, basis, blocks, summed, lowest, highest, limits):
    """Fill summed[s] with X^s of one frame, widen lowest and highest by its invariants; return the number of outliers.

    positions (atoms, 3) Angstrom, cell (3, 3), species (atoms,) place in the list of species, summed (species, 6,
    blocks, Q, Q), lowest, highest (species, K), limits (2, species, K): atoms outside them are counted.
    """
    angulars, channels = basis.sizes[0], basis.sizes[1] * basis.sizes[2]
    bins = bin_atoms(positions, cell, basis.lengths[0])
    rho = np.empty((CHUNK, angulars * angulars * channels))
    by_species = rho.reshape(CHUNK, angulars * angulars, basis.sizes[2], basis.sizes[1])
    neighbours = scratch(basis)
    invariants = np.empty(angulars * channels)
    products = np.empty(blocks.first[-1])
    outliers = 0
    for s in range(len(summed)):
        products[:] = 0.0
        held = 0
        for i in range(len(positions)):
            if species[i] != s:
                continue
            expand(i, bins, cell, species, basis, neighbours, by_species[held])
            _invariants(rho[held], angulars, channels, invariants)
            outside = False
            for k in range(len(invariants)):
                lowest[s, k] = min(lowest[s, k], invariants[k])
                highest[s, k] = max(highest[s, k], invariants[k])
                outside |= invariants[k] < limits[0, s, k] or invariants[k] > limits[1, s, k]
            outliers += outside
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _apply(summed, weights, out):
    """out[0] = X^0 . w^0, out[mu] = X^{2 mu} . w^2; summed (6, P), weights (2, P).

    The sum is reordered to fill the vector registers, always in the same way for the same P.
    """
    t0, t1, t2, t3, t4, t5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(summed.shape[1]):
        w = weights[1, k]
        t0 += summed[0, k] * weights[0, k]
        t1 += summed[1, k] * w
        t2 += summed[2, k] * w
        t3 += summed[3, k] * w
        t4 += summed[4, k] * w
        t5 += summed[5, k] * w
    out[0], out[1], out[2], out[3], out[4], out[5] = t0, t1, t2, t3, t4, t5


@compiled
def predict(positions, first_atom, cells, species, basis, blocks, weights, limits, out, outliers):
    """out[frame, member, species, 6] for every frame by itself; weights (members, species, 2, blocks Q Q)."""
    ranges = np.empty((2, *limits.shape[1:]))
    channels = basis.sizes[1] * basis.sizes[2]
    summed = np.empty((weights.shape[1], 6, len(blocks.angular), channels, channels))
    flat = summed.reshape(weights.shape[1], 6, weights.shape[3])
    for k in range(len(cells)):
        atoms = slice(first_atom[k], first_atom[k + 1])
        outliers[k] = correlate(positions[atoms], cells[k], species[atoms], basis, blocks, summed, ranges[0], ranges[1],
                                limits)
        for member in range(len(weights)):
            for s in range(weights.shape[1]):
                _apply(flat[s], weights[member, s], out[k, member, s])


def summed_features(positions, cell, species, basis: Basis, blocks: Blocks):
    """X of one frame (species, 6, blocks, Q, Q), and the lowest and highest invariants (species, K) of its atoms."""
    kinds, channels = int(basis.sizes[2]), int(basis.sizes[1] * basis.sizes[2])
    shape = (kinds, int(basis.sizes[0]) * channels)
    summed = np.empty((kinds, 6, len(blocks.angular), channels, channels))
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    correlate(positions, cell, species, basis, blocks, summed, lowest, highest, np.stack([-lowest, -highest]))
    return summed, lowest, highest
