"""The linear model of the density expansion of each atom, compiled. The weights are applied first,

    u^i_{m1 q'} = sum_q W^{s lambda}_{l1 l2 q q'} rho^i_{q l1 m1}
    alpha^{lambda mu} = sum_i sum_{l1 l2} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> sum_{q'} u^i_{m1 q'} rho^i_{q' l2 m2},

where most coefficients <l1 m1 l2 m2|lambda mu> are zero. Atoms of one species share a batch, whichever frames they are
from, one atom in each lane; each lane computes as if it were alone. The order of sums depends on nothing but the frame:
the same to the last bit in any batch.
"""

from __future__ import annotations

from mlraman_hpc.model.kernels.buffers import BATCH_ATOMS, SIMD_WIDTH
from mlraman_hpc.model.kernels.density import expand
from mlraman_hpc.model.kernels.jit import jit_call, jit_inline
from mlraman_hpc.model.kernels.neighbours import bin_atoms
from mlraman_hpc.model.kernels.simd import add, add_scaled, broadcast, load, maximum, mul, store, store_transposed, sub


@jit_call
def predict_from_atoms(frames, basis, terms, weights, limits, bins, neighbours, batch, out, outliers):
    """out[frame, member, species, 6] and outliers[frame], zero before; see `interface.predict_from_atoms`."""
    for frame in range(len(frames.cells)):
        bin_atoms(frames, frame, bins)
        for i in range(frames.first_atom[frame + 1] - frames.first_atom[frame]):  # neighbours in space in succession
            s = bins.species[i]
            if s < 0:
                continue
            k = batch.size[s]
            expand(i, bins, frames.cells[frame], basis, neighbours, batch.density[s, k])
            batch.frame[s, k] = frame
            batch.size[s] = k + 1
            if k + 1 == BATCH_ATOMS:
                _contract_batch(batch, s, basis, terms, weights, limits, out, outliers)
    for s in range(len(batch.size)):
        if batch.size[s]:  # lanes that are not filled have earlier atoms, whose results are not used
            _contract_batch(batch, s, basis, terms, weights, limits, out, outliers)


@jit_call
def _contract_batch(batch, s, basis, terms, weights, limits, out, outliers):
    """out[frame, member, s] += tensors of the atoms of species s in the batch, in the order in which they came."""
    frame, size = batch.frame[s], batch.size[s]
    _transpose(batch.density[s], basis, weights.shape[3], batch.channels)
    _excess(batch.channels, basis.sizes[0], weights.shape[3], limits, s, batch.excess)
    for k in range(size):
        outliers[frame[k]] += batch.excess[k] > 0.0
    for member in range(len(weights)):
        _contract(batch, weights[member, s], terms)
        for k in range(size):
            for component in range(6):
                out[frame[k], member, s, component] += batch.tensors[component, k]
    batch.size[s] = 0


@jit_inline
def _transpose(density, basis, padded, channels):
    """channels[(l, q, m), k] = density[k, (l, m), s, n] of the atoms k; `padded` channels q for each l.

    Padding of n comes along; it lands in channels and l that follow, and so is written before those. What stays of it
    in padded channels meets weights that are zero.
    """
    radials = basis.sizes[1]
    atom = density.shape[1] * density.shape[2] * density.shape[3]
    for k in range(0, BATCH_ATOMS, SIMD_WIDTH):
        for l in range(basis.sizes[0]):
            width = 2 * l + 1
            for m in range(width):
                for s in range(basis.sizes[2]):
                    for n in range(0, radials, SIMD_WIDTH):
                        i = k * atom + ((l * l + m) * density.shape[2] + s) * density.shape[3] + n
                        target = (l * l * padded + (s * radials + n) * width + m) * BATCH_ATOMS + k
                        store_transposed(
                            channels,
                            target,
                            width * BATCH_ATOMS,
                            (
                                load(density, i),
                                load(density, i + atom),
                                load(density, i + 2 * atom),
                                load(density, i + 3 * atom),
                                load(density, i + 4 * atom),
                                load(density, i + 5 * atom),
                                load(density, i + 6 * atom),
                                load(density, i + 7 * atom),
                            ),
                        )


@jit_inline
def _excess(channels, angulars, padded, limits, s, out):
    """out[k]: by how much any invariant p_{l q} = sum_m rho_{q l m}^2 of the atom in lane k leaves `limits`, or less
    than zero; limits (2, species, (l, q)).
    """
    count = limits.shape[2] // angulars
    out[:] = -1.0
    for l in range(angulars):
        for q in range(count):
            first = l * l * padded + q * (2 * l + 1)
            low, high = broadcast(limits[0, s, l * count + q]), broadcast(limits[1, s, l * count + q])
            for k in range(0, BATCH_ATOMS, SIMD_WIDTH):
                squares = broadcast(0.0)
                for i in range(first * BATCH_ATOMS + k, (first + 2 * l + 1) * BATCH_ATOMS + k, BATCH_ATOMS):
                    squares = add(squares, mul(load(channels, i), load(channels, i)))
                store(out, k, maximum(load(out, k), maximum(sub(squares, high), sub(low, squares))))


@jit_inline
def _contract(batch, weights, terms):
    """batch.tensors[component, k] of the atoms in the lanes; weights (terms, Q, Q), Q padded to a multiple of four."""
    channels, weighted, tensors, product = batch.channels, batch.weighted, batch.tensors, batch.product
    padded = weights.shape[1]
    tensors[:] = 0.0
    for t in range(len(terms.angular)):
        l1, l2 = terms.angular[t, 0], terms.angular[t, 1]
        width1, width2 = 2 * l1 + 1, 2 * l2 + 1
        _apply_weights(channels, l1 * l1 * padded * BATCH_ATOMS, width1 * BATCH_ATOMS, weights[t], weighted)
        last1, last2 = -1, -1
        for e in range(terms.first[t], terms.first[t + 1]):
            m1, m2, component = terms.entries[e, 0], terms.entries[e, 1], terms.entries[e, 2]
            if m1 != last1 or m2 != last2:
                _dot(weighted, m1, width1, channels, l2 * l2 * padded + m2, width2, padded, product)
                last1, last2 = m1, m2
            for k in range(0, BATCH_ATOMS, SIMD_WIDTH):
                i = component * BATCH_ATOMS + k
                store(tensors, i, add_scaled(load(tensors, i), terms.values[e], load(product, k)))


@jit_inline
def _apply_weights(channels, first, length, weights, out):
    """out[p] = sum_q weights[p, q] row[q]; the numbers of q and of p are multiples of four.

    row[q] are `length` numbers of `channels` from first + q length on.
    """
    out[: weights.shape[0] * length // BATCH_ATOMS] = 0.0
    for p in range(0, weights.shape[0], 4):
        for q in range(0, weights.shape[1], 4):
            a0, a1, a2, a3 = weights[p, q], weights[p, q + 1], weights[p, q + 2], weights[p, q + 3]
            b0, b1, b2, b3 = weights[p + 1, q], weights[p + 1, q + 1], weights[p + 1, q + 2], weights[p + 1, q + 3]
            c0, c1, c2, c3 = weights[p + 2, q], weights[p + 2, q + 1], weights[p + 2, q + 2], weights[p + 2, q + 3]
            d0, d1, d2, d3 = weights[p + 3, q], weights[p + 3, q + 1], weights[p + 3, q + 2], weights[p + 3, q + 3]
            for k in range(0, length, SIMD_WIDTH):
                i, o = first + q * length + k, p * length + k
                r0, r1, r2 = load(channels, i), load(channels, i + length), load(channels, i + 2 * length)
                r3 = load(channels, i + 3 * length)
                store(out, o, _add_four(load(out, o), a0, r0, a1, r1, a2, r2, a3, r3))
                o += length
                store(out, o, _add_four(load(out, o), b0, r0, b1, r1, b2, r2, b3, r3))
                o += length
                store(out, o, _add_four(load(out, o), c0, r0, c1, r1, c2, r2, c3, r3))
                o += length
                store(out, o, _add_four(load(out, o), d0, r0, d1, r1, d2, r2, d3, r3))


@jit_inline
def _add_four(values, a, x, b, y, c, z, d, w):
    """values + a x + b y + c z + d w"""
    return add_scaled(add_scaled(add_scaled(add_scaled(values, a, x), b, y), c, z), d, w)


@jit_inline
def _dot(left, first_left, stride_left, right, first_right, stride_right, count, out):
    """out[k] = sum_q left[first_left + q stride_left, k] right[first_right + q stride_right, k]"""
    t0 = t1 = t2 = t3 = broadcast(0.0)
    i, j = first_left * BATCH_ATOMS, first_right * BATCH_ATOMS
    for _ in range(count):
        t0 = add(t0, mul(load(left, i), load(right, j)))
        t1 = add(t1, mul(load(left, i + SIMD_WIDTH), load(right, j + SIMD_WIDTH)))
        t2 = add(t2, mul(load(left, i + 2 * SIMD_WIDTH), load(right, j + 2 * SIMD_WIDTH)))
        t3 = add(t3, mul(load(left, i + 3 * SIMD_WIDTH), load(right, j + 3 * SIMD_WIDTH)))
        i += stride_left * BATCH_ATOMS
        j += stride_right * BATCH_ATOMS
    store(out, 0, t0)
    store(out, SIMD_WIDTH, t1)
    store(out, 2 * SIMD_WIDTH, t2)
    store(out, 3 * SIMD_WIDTH, t3)
