"""The summed lambda-SOAP descriptor of a frame, made of the density expansion of each atom; compiled.

Products are summed over the atoms of a species first,

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2},

which the Clebsch-Gordan coefficients make the lambda-SOAP descriptor, never formed for a single atom.
"""

from __future__ import annotations

from mlraman_hpc.model.compiled import inner
from mlraman_hpc.model.expansion import bin_atoms, expand
from mlraman_hpc.model.loops import CHUNK
from mlraman_hpc.model.vectors import number


@inner
def _accumulate(rho, atoms, blocks, channels, products):
    """products += sum over the first `atoms` of rho of rho_{l1 m1 q} rho_{l2 m2 q'}, eight atoms in one sweep."""
    for b in range(len(blocks.angular)):
        l1, l2 = blocks.angular[b, 0], blocks.angular[b, 1]
        width = (2 * l2 + 1) * channels
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
                    row = blocks.first[b] + (m1 * channels + q) * width
                    target = products[row + skipped : row + width]
                    for k in range(width - skipped):
                        target[k] += (c0 * r0[k] + c1 * r1[k] + c2 * r2[k] + c3 * r3[k]
                                      + c4 * r4[k] + c5 * r5[k] + c6 * r6[k] + c7 * r7[k])


@inner
def _couple(products, blocks, channels, summed):
    """summed[component, block, q, q'] = sum over the couplings of Clebsch-Gordan coefficient times product."""
    summed[:] = 0.0
    for e in range(len(blocks.values)):
        b, m1, m2, component = blocks.entries[e, 0], blocks.entries[e, 1], blocks.entries[e, 2], blocks.entries[e, 3]
        value, width = blocks.values[e], 2 * blocks.angular[b, 1] + 1
        for q1 in range(channels):
            row = blocks.first[b] + ((m1 * channels + q1) * width + m2) * channels
            part, target = products[row : row + channels], summed[component, b, q1]
            for q2 in range(channels):
                target[q2] += value * part[q2]


@inner
def _widen(rho, angulars, squares, lowest, highest):
    """Widen lowest and highest (l q,) by the invariants p_{l q} = sum_m rho_{q l m}^2 of an atom."""
    channels = len(squares)
    for l in range(angulars):
        squares[:] = 0.0
        for m in range(l * l, (l + 1) * (l + 1)):
            part = rho[m * channels : (m + 1) * channels]
            for q in range(channels):
                squares[q] += part[q] ** 2
        for q in range(channels):
            k = l * channels + q
            lowest[k] = min(lowest[k], squares[q])
            highest[k] = max(highest[k], squares[q])


@inner
def _without_gaps(one, radials, rho):
    """rho[l m, s, n] of one atom without what fills n up."""
    k = 0
    for part in range(one.shape[0] * one.shape[1]):
        for n in range(radials):
            rho[k] = number(one, part * one.shape[2] + n)
            k += 1


@inner
def sum_features(positions, cell, inverse, count, reach, species, basis, blocks, bins, near, one, rho, products,
                 squares, summed, lowest, highest):
    """X^s of one frame; see `loops.sum_features`, which makes room for the rest."""
    angulars, channels = basis.sizes[0], len(squares)
    bin_atoms(positions, cell, inverse, species, count, reach, bins)
    for s in range(len(summed)):
        products[:], held = 0.0, 0
        for i in range(len(positions)):
            if bins.species[i] != s:
                continue
            expand(i, bins, cell, basis, near, one)
            _without_gaps(one, basis.sizes[1], rho[held])
            _widen(rho[held], angulars, squares, lowest[s], highest[s])
            held += 1
            if held == CHUNK:
                _accumulate(rho, held, blocks, channels, products)
                held = 0
        if held:
            filled = (held + 7) // 8 * 8
            rho[held:filled] = 0.0
            _accumulate(rho, filled, blocks, channels, products)
        _couple(products, blocks, channels, summed[s])
