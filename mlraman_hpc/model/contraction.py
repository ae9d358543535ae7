"""Sums of density products over the atoms of one species, and the linear model applied to them.

For each centre species s and each pair l1 <= l2 (l1 + l2 even, l2 - l1 <= 2)

    G^s_{l1 m1 q, l2 m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2}

is formed once for a frame. Everything linear in the lambda-SOAP descriptor summed over atoms follows from G:
the summed features, and every member's polarizability, without the descriptor of a single atom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlraman_hpc.model.expansion import Basis, bin_atoms, compiled, expand

# Atoms whose rho is held at a time; a multiple of the eight that `_accumulate` takes in one sweep.
CHUNK = 16


class Blocks(NamedTuple):
    """The pairs (l1, l2), and where each lies in the arrays that hold all of them end to end.

    angular (blocks, 2) l1, l2; first (blocks + 1,) of G; first_weight (blocks + 1,) of the tiled weights;
    first_coupling (blocks + 1,) of `coupling`, which holds (m1, m2, 6): lambda = 0, then mu = -2 ... 2
    """

    angular: np.ndarray
    first: np.ndarray
    first_weight: np.ndarray
    first_coupling: np.ndarray
    coupling: np.ndarray


def blocks(coefficients: dict[tuple[int, int, int], np.ndarray], channels: int) -> Blocks:
    """Layout for these Clebsch-Gordan coefficients {(l1, l2, lambda): array} and number of channels q."""
    pairs = sorted({key[:2] for key in coefficients})
    couplings = []
    for l1, l2 in pairs:
        coupling = np.zeros((2 * l1 + 1, 2 * l2 + 1, 6))
        for order, columns in ((0, slice(0, 1)), (2, slice(1, 6))):
            if (l1, l2, order) in coefficients:
                coupling[..., columns] = coefficients[l1, l2, order]
        couplings.append(coupling.ravel())
    sizes = [((2 * l1 + 1) * channels * (2 * l2 + 1) * channels) for l1, l2 in pairs]
    tiles = [channels * (2 * l2 + 1) * channels for _, l2 in pairs]
    return Blocks(np.array(pairs), _starts(sizes), _starts(tiles), _starts([c.size for c in couplings]),
                  np.concatenate(couplings))


def _starts(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@compiled
def _accumulate(rho, atoms, blocks, channels, products):
    """products += sum over the first `atoms` of rho of rho_{l1 m1 q} rho_{l2 m2 q'}, eight atoms in one sweep."""
    for b in range(len(blocks.angular)):
        l1, l2 = blocks.angular[b]
        width = (2 * l2 + 1) * channels
        columns = slice(l2 * l2 * channels, l2 * l2 * channels + width)
        for a in range(0, atoms, 8):
            r0, r1, r2, r3 = rho[a, columns], rho[a + 1, columns], rho[a + 2, columns], rho[a + 3, columns]
            r4, r5, r6, r7 = rho[a + 4, columns], rho[a + 5, columns], rho[a + 6, columns], rho[a + 7, columns]
            for row in range((2 * l1 + 1) * channels):
                p = l1 * l1 * channels + row
                c0, c1, c2, c3 = rho[a, p], rho[a + 1, p], rho[a + 2, p], rho[a + 3, p]
                c4, c5, c6, c7 = rho[a + 4, p], rho[a + 5, p], rho[a + 6, p], rho[a + 7, p]
                start = blocks.first[b] + row * width
                target = products[start : start + width]
                for k in range(width):
                    target[k] += (
                        c0 * r0[k] + c1 * r1[k] + c2 * r2[k] + c3 * r3[k]
                        + c4 * r4[k] + c5 * r5[k] + c6 * r6[k] + c7 * r7[k]
                    )


@compiled
def _invariants(rho, angulars, channels, out):
    """p_{l q} = sum_m rho_{q l m}^2 of one atom, out[l channels + q]."""
    out[:] = 0.0
    for l in range(angulars):
        for m in range(l * l, (l + 1) * (l + 1)):
            for q in range(channels):
                out[l * channels + q] += rho[m * channels + q] ** 2


@compiled
def correlate(positions, cell, species, basis, blocks, products, lowest, highest, limits):
    """Fill products[s] with G^s of one frame; lowest and highest of the invariants; return the number of outliers.

    positions (atoms, 3) Angstrom, cell (3, 3), species (atoms,) place in the list of species, products (species, P),
    lowest, highest (species, invariants), limits (2, species, invariants): atoms outside them are counted.
    """
    angulars, channels = basis.sizes[0], basis.sizes[1] * basis.sizes[2]
    bins = bin_atoms(positions, cell, basis.lengths[0])
    rho = np.empty((CHUNK, angulars * angulars * channels))
    radial, angular = np.empty(angulars * basis.sizes[1]), np.empty(angulars * angulars)
    invariants = np.empty(angulars * channels)
    outliers = 0
    for s in range(len(products)):
        products[s] = 0.0
        held = 0
        for i in range(len(positions)):
            if species[i] != s:
                continue
            expand(i, bins, cell, species, basis, radial, angular, rho[held].reshape(angulars * angulars, channels))
            _invariants(rho[held], angulars, channels, invariants)
            outside = False
            for k in range(len(invariants)):
                lowest[s, k] = min(lowest[s, k], invariants[k])
                highest[s, k] = max(highest[s, k], invariants[k])
                outside |= invariants[k] < limits[0, s, k] or invariants[k] > limits[1, s, k]
            outliers += outside
            held += 1
            if held == CHUNK:
                _accumulate(rho, held, blocks, channels, products[s])
                held = 0
        if held:
            filled = (held + 7) // 8 * 8
            rho[held:filled] = 0.0
            _accumulate(rho, filled, blocks, channels, products[s])
    return outliers


@compiled
def contract(products, weights, blocks, channels, out):
    """out[mu] = sum_{l1 l2} sum_{m1 m2} C_{m1 m2 mu} sum_{q q'} W_{q q'} G_{l1 m1 q, l2 m2 q'} of one species.

    products (P,), weights (2, tiled) for lambda = 0 and 2, W repeated along m2; out (6,): lambda = 0, mu = -2 ... 2.
    """
    out[:] = 0.0
    longest = 0
    for b in range(len(blocks.angular)):
        longest = max(longest, (2 * blocks.angular[b, 1] + 1) * channels)
    scalar, tensor = np.empty(longest), np.empty(longest)
    for b in range(len(blocks.angular)):
        l1, l2 = blocks.angular[b]
        width = (2 * l2 + 1) * channels
        for m1 in range(2 * l1 + 1):
            scalar[:], tensor[:] = 0.0, 0.0
            for q in range(channels):
                start = blocks.first[b] + (m1 * channels + q) * width
                row = products[start : start + width]
                tile = blocks.first_weight[b] + q * width
                w0, w2 = weights[0, tile : tile + width], weights[1, tile : tile + width]
                for k in range(width):
                    scalar[k] += w0[k] * row[k]
                    tensor[k] += w2[k] * row[k]
            for m2 in range(2 * l2 + 1):
                t0, t2 = 0.0, 0.0
                for q in range(m2 * channels, (m2 + 1) * channels):
                    t0 += scalar[q]
                    t2 += tensor[q]
                c = blocks.first_coupling[b] + (m1 * (2 * l2 + 1) + m2) * 6
                out[0] += blocks.coupling[c] * t0
                for mu in range(1, 6):
                    out[mu] += blocks.coupling[c + mu] * t2


@compiled
def predict(positions, first_atom, cells, species, basis, blocks, weights, limits, out, outliers):
    """out[frame, member, species, 6] for every frame by itself; weights (members, species, 2, tiled)."""
    shape = limits.shape[1:]
    products = np.empty((shape[0], blocks.first[-1]))
    lowest, highest = np.empty(shape), np.empty(shape)
    channels = basis.sizes[1] * basis.sizes[2]
    for k in range(len(cells)):
        atoms = slice(first_atom[k], first_atom[k + 1])
        outliers[k] = correlate(positions[atoms], cells[k], species[atoms], basis, blocks, products, lowest, highest,
                                limits)
        for member in range(len(weights)):
            for s in range(shape[0]):
                contract(products[s], weights[member, s], blocks, channels, out[k, member, s])


def tiled(blocks: Blocks, squares: dict[int, dict]) -> np.ndarray:
    """Weights {lambda: {(l1, l2): (species, Q, Q)}} for `contract`: (species, 2, tiles), repeated along m2."""
    count = len(squares[0][0, 0])
    result = np.zeros((count, 2, blocks.first_weight[-1]))
    for (l1, l2), start, stop in zip(blocks.angular.tolist(), blocks.first_weight, blocks.first_weight[1:]):
        for place, order in enumerate((0, 2)):
            if (l1, l2) in squares[order]:
                repeated = np.tile(squares[order][l1, l2], (1, 1, 2 * l2 + 1))
                result[:, place, start:stop] = repeated.reshape(count, -1)
    return result


def summed_products(positions, cell, species, basis: Basis, blocks: Blocks):
    """G of one frame (species, P), and the lowest and highest invariants (species, invariants) of its atoms."""
    shape = (int(basis.sizes[2]), int(basis.sizes.prod()))
    products = np.empty((shape[0], blocks.first[-1]))
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    limits = np.stack([lowest * -1, highest * -1])
    correlate(positions, cell, species, basis, blocks, products, lowest, highest, limits)
    return products, lowest, highest
