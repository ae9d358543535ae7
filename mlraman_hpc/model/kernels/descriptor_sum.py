"""The summed lambda-SOAP descriptor of a frame, made of the density expansion of each atom; compiled.

For training, and for a committee: many members share it, while `contraction` works for one.

Products are summed over the atoms of a species first,

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2},

which the Clebsch-Gordan coefficients make the lambda-SOAP descriptor, never formed for a single atom.
"""

from __future__ import annotations

from mlraman_hpc.model.kernels.buffers import CHUNK, WIDTH
from mlraman_hpc.model.kernels.density import bin_atoms, expand
from mlraman_hpc.model.kernels.jit import jit_call as apart, jit_inline as inner
from mlraman_hpc.model.kernels.simd import load, number, plus, spread, times, total


@apart
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
                        target[k] += (
                            c0 * r0[k]
                            + c1 * r1[k]
                            + c2 * r2[k]
                            + c3 * r3[k]
                            + c4 * r4[k]
                            + c5 * r5[k]
                            + c6 * r6[k]
                            + c7 * r7[k]
                        )


@inner
def _couple(products, blocks, channels, summed):
    """summed[component, (block, q, q')] = sum over the couplings of Clebsch-Gordan coefficient times product."""
    summed[:] = 0.0
    for e in range(len(blocks.values)):
        b, m1, m2, component = blocks.entries[e, 0], blocks.entries[e, 1], blocks.entries[e, 2], blocks.entries[e, 3]
        value, width = blocks.values[e], 2 * blocks.angular[b, 1] + 1
        for q in range(channels):
            row, place = blocks.first[b] + ((m1 * channels + q) * width + m2) * channels, (b * channels + q) * channels
            part, target = products[row : row + channels], summed[component, place : place + channels]
            for k in range(channels):
                target[k] += value * part[k]


@inner
def _is_outside(rho, angulars, squares, lowest, highest, limits):
    """Whether any invariant p_{l q} = sum_m rho_{q l m}^2 of an atom is outside `limits` (2, l q).

    lowest and highest (l q,) are widened by them.
    """
    channels, outside = len(squares), False
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
            outside |= squares[q] < limits[0, k] or squares[q] > limits[1, k]
    return outside


@inner
def _without_gaps(one, radials, rho):
    """rho[l m, s, n] of one atom without what fills n up."""
    k = 0
    for part in range(one.shape[0] * one.shape[1]):
        for n in range(radials):
            rho[k] = number(one, part * one.shape[2] + n)
            k += 1


@apart
def _sum_species(s, atoms, bins, cell, basis, blocks, near, room, summed, lowest, highest, limits):
    """summed (6, (block, q, q')) of the atoms of species s; returns the number of those outside `limits`."""
    rho, channels, held, outliers = room.rho, len(room.squares), 0, 0
    room.products[:] = 0.0
    for i in range(atoms):
        if bins.species[i] != s:
            continue
        expand(i, bins, cell, basis, near, room.one)
        _without_gaps(room.one, basis.sizes[1], rho[held])
        outliers += _is_outside(rho[held], basis.sizes[0], room.squares, lowest, highest, limits)
        held += 1
        if held == CHUNK:
            _accumulate(rho, held, blocks, channels, room.products)
            held = 0
    if held:
        filled = (held + 7) // 8 * 8
        rho[held:filled] = 0.0
        _accumulate(rho, filled, blocks, channels, room.products)
    _couple(room.products, blocks, channels, summed)
    return outliers


@apart
def sum_features(
    positions, cell, inverse, count, reach, species, basis, blocks, limits, bins, near, room, summed, lowest, highest
):
    """X^s of one frame; see `loops.sum_features`, which makes room for the rest."""
    bin_atoms(positions, cell, inverse, species, count, reach, bins)
    for s in range(len(summed)):
        _sum_species(
            s, len(positions), bins, cell, basis, blocks, near, room, summed[s], lowest[s], highest[s], limits[:, s]
        )


@inner
def _apply(weights, summed, out):
    """out[component] += weights . summed[component]; weights (2, K) for lambda = 0, 2, summed (6, K)."""
    size = weights.shape[1]
    t0 = t1 = t2 = t3 = t4 = t5 = spread(0.0)
    for k in range(0, size, WIDTH):
        zero, two = load(weights, k), load(weights, size + k)
        t0 = plus(t0, times(zero, load(summed, k)))
        t1 = plus(t1, times(two, load(summed, size + k)))
        t2 = plus(t2, times(two, load(summed, 2 * size + k)))
        t3 = plus(t3, times(two, load(summed, 3 * size + k)))
        t4 = plus(t4, times(two, load(summed, 4 * size + k)))
        t5 = plus(t5, times(two, load(summed, 5 * size + k)))
    out[0], out[1], out[2], out[3], out[4], out[5] = total(t0), total(t1), total(t2), total(t3), total(t4), total(t5)


@apart
def predict_many(
    positions,
    first_atom,
    cells,
    inverses,
    counts,
    reaches,
    species,
    basis,
    blocks,
    weights,
    limits,
    bins,
    near,
    room,
    out,
    outliers,
):
    """out[frame, member, species, 6] and outliers[frame], zero before; see `loops.predict_many`."""
    for frame in range(len(cells)):
        atoms = slice(first_atom[frame], first_atom[frame + 1])
        bin_atoms(positions[atoms], cells[frame], inverses[frame], species[atoms], counts[frame], reaches[frame], bins)
        for s in range(weights.shape[1]):
            outliers[frame] += _sum_species(
                s,
                first_atom[frame + 1] - first_atom[frame],
                bins,
                cells[frame],
                basis,
                blocks,
                near,
                room,
                room.summed,
                room.extremes[0],
                room.extremes[1],
                limits[:, s],
            )
            for member in range(weights.shape[0]):
                _apply(weights[member, s], room.summed, out[frame, member, s])
