"""The lambda-SOAP descriptor summed over the atoms of a frame, from the density expansion of each atom; compiled.

For training, and for a committee: its members share the sum, where `contraction` works for each of them.

Products are summed over the atoms of a species first,

    G^s_{m1 q, m2 q'} = sum_{i of s} rho^i_{q l1 m1} rho^i_{q' l2 m2},

which the Clebsch-Gordan coefficients make the lambda-SOAP descriptor, never formed for a single atom.
"""

from __future__ import annotations

from mlraman_hpc.model.kernels.buffers import CHUNK_ATOMS, SIMD_WIDTH
from mlraman_hpc.model.kernels.density import expand
from mlraman_hpc.model.kernels.jit import jit_call, jit_inline
from mlraman_hpc.model.kernels.neighbours import bin_atoms
from mlraman_hpc.model.kernels.simd import add, broadcast, horizontal_sum, load, load_scalar, mul


@jit_call
def sum_features(frames, basis, couplings, limits, bins, neighbours, work, summed, lowest, highest):
    """Descriptor and extremes of the only frame; see `interface.summed_features`."""
    bin_atoms(frames, 0, bins)
    for s in range(len(summed)):
        _sum_species(
            s,
            len(frames.positions),
            bins,
            frames.cells[0],
            basis,
            couplings,
            neighbours,
            work,
            summed[s],
            lowest[s],
            highest[s],
            limits[:, s],
        )


@jit_call
def predict_from_sums(frames, basis, couplings, weights, limits, bins, neighbours, work, out, outliers):
    """out[frame, member, species, 6] and outliers[frame], zero before; see `interface.predict_from_sums`."""
    for frame in range(len(frames.cells)):
        bin_atoms(frames, frame, bins)
        for s in range(weights.shape[1]):
            outliers[frame] += _sum_species(
                s,
                frames.first_atom[frame + 1] - frames.first_atom[frame],
                bins,
                frames.cells[frame],
                basis,
                couplings,
                neighbours,
                work,
                work.summed,
                work.extremes[0],
                work.extremes[1],
                limits[:, s],
            )
            for member in range(weights.shape[0]):
                _apply_weights(weights[member, s], work.summed, out[frame, member, s])


@jit_call
def _sum_species(s, atoms, bins, cell, basis, couplings, neighbours, work, summed, lowest, highest, limits):
    """summed (6, (block, q, q')) of the atoms of species s; returns the number of those outside `limits`."""
    rho, channels, waiting, outliers = work.compact, len(work.invariants), 0, 0
    work.products[:] = 0.0
    for i in range(atoms):
        if bins.species[i] != s:
            continue
        expand(i, bins, cell, basis, neighbours, work.density)
        _remove_padding(work.density, basis.sizes[1], rho[waiting])
        outliers += _is_outside(rho[waiting], basis.sizes[0], work.invariants, lowest, highest, limits)
        waiting += 1
        if waiting == CHUNK_ATOMS:
            _add_products(rho, waiting, couplings, channels, work.products)
            waiting = 0
    if waiting:
        padded = (waiting + 7) // 8 * 8
        rho[waiting:padded] = 0.0
        _add_products(rho, padded, couplings, channels, work.products)
    _couple(work.products, couplings, channels, summed)
    return outliers


@jit_inline
def _remove_padding(density, radials, rho):
    """rho[(l, m, q)] = density[(l, m), s, n]"""
    k = 0
    for row in range(density.shape[0] * density.shape[1]):
        for n in range(radials):
            rho[k] = load_scalar(density, row * density.shape[2] + n)
            k += 1


@jit_inline
def _is_outside(rho, angulars, invariants, lowest, highest, limits):
    """Whether any invariant p_{l q} = sum_m rho_{q l m}^2 of an atom is outside `limits` (2, (l, q)).

    lowest and highest ((l, q),) are widened by them.
    """
    channels, outside = len(invariants), False
    for l in range(angulars):
        invariants[:] = 0.0
        for m in range(l * l, (l + 1) * (l + 1)):
            row = rho[m * channels : (m + 1) * channels]
            for q in range(channels):
                invariants[q] += row[q] ** 2
        for q in range(channels):
            k = l * channels + q
            lowest[k] = min(lowest[k], invariants[q])
            highest[k] = max(highest[k], invariants[q])
            outside |= invariants[q] < limits[0, k] or invariants[q] > limits[1, k]
    return outside


@jit_call
def _add_products(rho, atoms, couplings, channels, products):
    """products += sum over the first `atoms` of rho of rho_{l1 m1 q} rho_{l2 m2 q'}, eight atoms in one sweep."""
    for b in range(len(couplings.angular)):
        l1, l2 = couplings.angular[b, 0], couplings.angular[b, 1]
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
                    row = couplings.first[b] + (m1 * channels + q) * width
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


@jit_inline
def _couple(products, couplings, channels, summed):
    """summed[component, (block, q, q')] = sum over the couplings of Clebsch-Gordan coefficient times product."""
    summed[:] = 0.0
    for e in range(len(couplings.values)):
        b, m1, m2 = couplings.entries[e, 0], couplings.entries[e, 1], couplings.entries[e, 2]
        component, value = couplings.entries[e, 3], couplings.values[e]
        width = 2 * couplings.angular[b, 1] + 1
        for q in range(channels):
            first = couplings.first[b] + ((m1 * channels + q) * width + m2) * channels
            column = (b * channels + q) * channels
            row, target = products[first : first + channels], summed[component, column : column + channels]
            for k in range(channels):
                target[k] += value * row[k]


@jit_inline
def _apply_weights(weights, summed, out):
    """out[component] = weights . summed[component]; weights (2, K) for lambda = 0, 2, summed (6, K)."""
    size = weights.shape[1]
    t0 = t1 = t2 = t3 = t4 = t5 = broadcast(0.0)
    for k in range(0, size, SIMD_WIDTH):
        w0, w2 = load(weights, k), load(weights, size + k)
        t0 = add(t0, mul(w0, load(summed, k)))
        t1 = add(t1, mul(w2, load(summed, size + k)))
        t2 = add(t2, mul(w2, load(summed, 2 * size + k)))
        t3 = add(t3, mul(w2, load(summed, 3 * size + k)))
        t4 = add(t4, mul(w2, load(summed, 4 * size + k)))
        t5 = add(t5, mul(w2, load(summed, 5 * size + k)))
    out[0], out[1], out[2] = horizontal_sum(t0), horizontal_sum(t1), horizontal_sum(t2)
    out[3], out[4], out[5] = horizontal_sum(t3), horizontal_sum(t4), horizontal_sum(t5)
