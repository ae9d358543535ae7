"""The linear model made of the density expansion of each atom; compiled. The weights are applied first,

    u^i_{m1 q'} = sum_q W^{s lambda}_{l1 l2 q q'} rho^i_{q l1 m1}
    alpha^{lambda mu} = sum_i sum_{l1 l2} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> sum_{q'} u^i_{m1 q'} rho^i_{q' l2 m2},

where most coefficients <l1 m1 l2 m2|lambda mu> are zero. The arithmetic of an atom and the order of sums depend on
nothing but the frame: the same to the last bit in any batch.
"""

from __future__ import annotations

from mlraman_hpc.model.kernels.buffers import LANES, WIDTH
from mlraman_hpc.model.kernels.density import bin_atoms, expand
from mlraman_hpc.model.kernels.jit import jit_call as apart, jit_inline as inner
from mlraman_hpc.model.kernels.simd import add_scaled, larger, load, minus, plus, save, save_columns, spread, times


@inner
def _lay_side_by_side(rho, basis, room, lanes):
    """rho[k, l m, s, n] of the atoms k into lanes[(l, q, m), k].

    More n than there are come along; they land in channels and l that follow, and so are written before those. What
    stays of them in channels that fill up the room meets weights that are zero.
    """
    radials = basis.sizes[1]
    atom = rho.shape[1] * rho.shape[2] * rho.shape[3]
    for k in range(0, LANES, WIDTH):
        for l in range(basis.sizes[0]):
            width = 2 * l + 1
            for m in range(width):
                for s in range(basis.sizes[2]):
                    for n in range(0, radials, WIDTH):
                        i = k * atom + ((l * l + m) * rho.shape[2] + s) * rho.shape[3] + n
                        to = (l * l * room + (s * radials + n) * width + m) * LANES + k
                        save_columns(
                            lanes,
                            to,
                            width * LANES,
                            (
                                load(rho, i),
                                load(rho, i + atom),
                                load(rho, i + 2 * atom),
                                load(rho, i + 3 * atom),
                                load(rho, i + 4 * atom),
                                load(rho, i + 5 * atom),
                                load(rho, i + 6 * atom),
                                load(rho, i + 7 * atom),
                            ),
                        )


@inner
def _excess(lanes, angulars, room, limits, s, out):
    """out[k]: by how much any invariant p_{l q} = sum_m rho_{q l m}^2 of the atom in lane k leaves `limits`, or less
    than zero; limits (2, species, l q).
    """
    channels = limits.shape[2] // angulars
    out[:] = -1.0
    for l in range(angulars):
        for q in range(channels):
            first = l * l * room + q * (2 * l + 1)
            low, high = spread(limits[0, s, l * channels + q]), spread(limits[1, s, l * channels + q])
            for k in range(0, LANES, WIDTH):
                squares = spread(0.0)
                for i in range(first * LANES + k, (first + 2 * l + 1) * LANES + k, LANES):
                    squares = plus(squares, times(load(lanes, i), load(lanes, i)))
                save(out, k, larger(load(out, k), larger(minus(squares, high), minus(low, squares))))


@inner
def _weighted(lanes, first, length, weights, out):
    """out[p] = sum_q weights[p, q] part[q]; the number of q and that of p are multiples of four.

    part[q] are the `length` numbers of lanes from first + q length on.
    """
    out[: weights.shape[0] * length // LANES] = 0.0
    for p in range(0, weights.shape[0], 4):
        for q in range(0, weights.shape[1], 4):
            a0, a1, a2, a3 = weights[p, q], weights[p, q + 1], weights[p, q + 2], weights[p, q + 3]
            b0, b1, b2, b3 = weights[p + 1, q], weights[p + 1, q + 1], weights[p + 1, q + 2], weights[p + 1, q + 3]
            c0, c1, c2, c3 = weights[p + 2, q], weights[p + 2, q + 1], weights[p + 2, q + 2], weights[p + 2, q + 3]
            d0, d1, d2, d3 = weights[p + 3, q], weights[p + 3, q + 1], weights[p + 3, q + 2], weights[p + 3, q + 3]
            for k in range(0, length, WIDTH):
                i, o = first + q * length + k, p * length + k
                r0, r1, r2 = load(lanes, i), load(lanes, i + length), load(lanes, i + 2 * length)
                r3 = load(lanes, i + 3 * length)
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
def _dot(one, first, step, other, second, stride, channels, out):
    """out[k] = sum_q one[first + q step, k] other[second + q stride, k]"""
    t0 = t1 = t2 = t3 = spread(0.0)
    i, j = first * LANES, second * LANES
    for _ in range(channels):
        t0 = plus(t0, times(load(one, i), load(other, j)))
        t1 = plus(t1, times(load(one, i + WIDTH), load(other, j + WIDTH)))
        t2 = plus(t2, times(load(one, i + 2 * WIDTH), load(other, j + 2 * WIDTH)))
        t3 = plus(t3, times(load(one, i + 3 * WIDTH), load(other, j + 3 * WIDTH)))
        i += step * LANES
        j += stride * LANES
    save(out, 0, t0)
    save(out, WIDTH, t1)
    save(out, 2 * WIDTH, t2)
    save(out, 3 * WIDTH, t3)


@inner
def _contract(work, weights, terms):
    """work.tensors[component, k] of the atoms in the lanes; weights (terms, Q, Q)"""
    lanes, products, tensors, product = work.lanes, work.products, work.tensors, work.dot
    channels = weights.shape[1]
    tensors[:] = 0.0
    for t in range(len(terms.angular)):
        l1, l2 = terms.angular[t, 0], terms.angular[t, 1]
        width1, width2 = 2 * l1 + 1, 2 * l2 + 1
        _weighted(lanes, l1 * l1 * channels * LANES, width1 * LANES, weights[t], products)
        last1, last2 = -1, -1
        for e in range(terms.first[t], terms.first[t + 1]):
            m1, m2, component = terms.entries[e, 0], terms.entries[e, 1], terms.entries[e, 2]
            if m1 != last1 or m2 != last2:
                _dot(products, m1, width1, lanes, l2 * l2 * channels + m2, width2, channels, product)
                last1, last2 = m1, m2
            for k in range(0, LANES, WIDTH):
                place = component * LANES + k
                save(tensors, place, add_scaled(load(tensors, place), terms.values[e], load(product, k)))


@apart
def _add_atoms(work, s, basis, terms, weights, limits, out, outliers):
    """out[frame, member, s] += tensors of the atoms of species s that are held, in the order in which they came."""
    owner, held = work.owner[s], work.held[s]
    _lay_side_by_side(work.rho[s], basis, weights.shape[3], work.lanes)
    _excess(work.lanes, basis.sizes[0], weights.shape[3], limits, s, work.excess)
    for k in range(held):
        outliers[owner[k]] += work.excess[k] > 0.0
    for member in range(len(weights)):
        _contract(work, weights[member, s], terms)
        for k in range(held):
            for component in range(6):
                out[owner[k], member, s, component] += work.tensors[component, k]
    work.held[s] = 0


@apart
def predict(
    positions,
    first_atom,
    cells,
    inverses,
    counts,
    reaches,
    species,
    basis,
    terms,
    weights,
    limits,
    bins,
    near,
    work,
    out,
    outliers,
):
    """out[frame, member, species, 6] and outliers[frame], zero before; see `loops.predict`.

    Atoms of one species share the lanes, whichever frames they are from; each lane computes as if it were alone.
    """
    for frame in range(len(cells)):
        atoms = slice(first_atom[frame], first_atom[frame + 1])
        bin_atoms(positions[atoms], cells[frame], inverses[frame], species[atoms], counts[frame], reaches[frame], bins)
        for i in range(first_atom[frame + 1] - first_atom[frame]):  # neighbours in space one after another
            s = bins.species[i]
            if s < 0:
                continue
            k = work.held[s]
            expand(i, bins, cells[frame], basis, near, work.rho[s, k])
            work.owner[s, k] = frame
            work.held[s] = k + 1
            if k + 1 == LANES:
                _add_atoms(work, s, basis, terms, weights, limits, out, outliers)
    for s in range(len(work.held)):
        if work.held[s]:  # lanes that are not filled hold earlier atoms, whose results are not taken
            _add_atoms(work, s, basis, terms, weights, limits, out, outliers)
