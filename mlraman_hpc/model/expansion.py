"""Density expansion around each atom, compiled: neighbours, spherical harmonics, tabulated radial functions.

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|),   q = (a, n)

stored for a few atoms at a time as rho[atom, (l m), q] so that it stays in the processor's cache.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit

from mlraman_hpc.model.definition import central_atom, radial_functions
from mlraman_hpc.schema.records import Descriptor

# Products may be fused with sums (one rounding less); sums are never reordered, so the same frame gives the same bits.
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})

KNOTS = 2000


class Basis(NamedTuple):
    """What the compiled loops need of a descriptor.

    sizes     (max_angular + 1, max_radial + 1, species)
    lengths   (cutoff, cutoff_width, spacing of the knots) Angstrom
    spline    (knots, 2, (max_angular + 1) (max_radial + 1)): R_nl and its second derivative times spacing^2/6
    central   (max_radial + 1,): the atom's own density
    harmonics (3, max_angular + 1, max_angular + 1): factors of the recursion in `_harmonics`
    """

    sizes: np.ndarray
    lengths: np.ndarray
    spline: np.ndarray
    central: np.ndarray
    harmonics: np.ndarray


def basis(descriptor: Descriptor, species: int) -> Basis:
    """Tables for this descriptor and this number of species; radial functions read off featomic once."""
    return Basis(
        np.array([descriptor.max_angular + 1, descriptor.max_radial + 1, species]),
        np.array([descriptor.cutoff, descriptor.cutoff_width, descriptor.cutoff / (KNOTS - 1)]),
        _spline(descriptor),
        central_atom(descriptor),
        _recursion_factors(descriptor.max_angular),
    )


def _spline(descriptor: Descriptor) -> np.ndarray:
    """R_nl and its second derivative times spacing^2/6 at KNOTS equal steps from 0 to the cutoff, (KNOTS, 2, l n).

    R_nl(-r) = (-1)^l R_nl(r): a Chebyshev series on [-cutoff, cutoff] of that parity takes featomic's values at the
    positive nodes only; it is lengthened until its last terms vanish.
    """
    angulars = descriptor.max_angular + 1
    knots = np.linspace(0, 1, KNOTS)
    parity = np.arange(angulars)[None, :, None] % 2
    for length in (64, 96, 128, 192):
        nodes = np.cos(pi * (np.arange(length // 2) + 0.5) / length)
        values = radial_functions(descriptor, nodes * descriptor.cutoff)
        orders = np.arange(length)
        cosines = np.cos(orders[:, None] * np.arccos(nodes))
        series = np.tensordot(cosines, values, axes=1) * 4 / length
        series[0] /= 2
        series[(orders[:, None, None] + parity + 0 * series).astype(int) % 2 == 1] = 0
        if np.abs(series[-8:]).max() < 1e-12 * np.abs(series).max():
            break
    second = np.polynomial.chebyshev.chebder(series, 2) * (knots[1] ** 2 / 6)
    table = [np.polynomial.chebyshev.chebval(knots, part).reshape(-1, KNOTS).T for part in (series, second)]
    return np.ascontiguousarray(np.stack(table, axis=1))


def _recursion_factors(max_angular: int) -> np.ndarray:
    """a, b of P_lm = a (z P_{l-1 m} - b P_{l-2 m}) at [l, m], and P_mm at [m, m], sqrt(2) for m > 0 included."""
    factors = np.zeros((3, max_angular + 1, max_angular + 1))
    diagonal = sqrt(1 / (4 * pi))
    for m in range(max_angular + 1):
        diagonal *= sqrt((2 * m + 1) / (2 * m)) if m else 1.0
        factors[2, m, m] = diagonal * (sqrt(2) if m else 1.0)
        for l in range(m + 1, max_angular + 1):
            factors[0, l, m] = sqrt((4 * l * l - 1) / (l * l - m * m))
            factors[1, l, m] = sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1))
    return factors


class Scratch(NamedTuple):
    """Neighbours of one species wait here until there are four.

    radial (S, 4, l n) f_cut R_nl, shells the same memory as (S, 4, l, n), angular (S, 4, l m) Y_lm, count (S,)
    """

    radial: np.ndarray
    shells: np.ndarray
    angular: np.ndarray
    count: np.ndarray


@compiled
def scratch(basis):
    angulars, radials, species = basis.sizes
    shells, angular = np.zeros((species, 4, angulars, radials)), np.zeros((species, 4, angulars * angulars))
    return Scratch(shells.reshape(species, 4, angulars * radials), shells, angular, np.zeros(species, np.int64))


# In the loops below the last index of an array is the loop's own variable wherever it can be: of any other signed
# index the compiler must ask whether it is negative, and then it gathers elements one by one.


@compiled
def _harmonics(x, y, z, factors, out, s, slot):
    """Orthonormal real spherical harmonics of a unit vector, out[s, slot, l^2 + l + m], no Condon-Shortley phase."""
    cosine, sine = 1.0, 0.0
    for m in range(factors.shape[1]):
        before, last = 0.0, factors[2, m, m]
        for l in range(m, factors.shape[1]):
            if l > m:
                before, last = last, factors[0, l, m] * (z * last - factors[1, l, m] * before)
            out[s, slot, l * l + l + m] = last * cosine
            if m > 0:
                out[s, slot, l * l + l - m] = last * sine
        cosine, sine = cosine * x - sine * y, sine * x + cosine * y


@compiled
def _radial(distance, basis, out, s, slot):
    """f_cut R_nl at this distance (Angstrom), out[s, slot, l n]: cubic spline in value and curvature."""
    cutoff, width, step = basis.lengths[0], basis.lengths[1], basis.lengths[2]
    f = basis.spline
    place = distance / step
    knot = min(int(place), f.shape[0] - 2)
    right = place - knot
    left = 1.0 - right
    smooth = 1.0
    if distance > cutoff - width:
        smooth = 0.5 * (1.0 + np.cos(np.pi * (distance - cutoff + width) / width))
    y0, y1 = smooth * left, smooth * right
    m0, m1 = y0 * (left * left - 1.0), y1 * (right * right - 1.0)
    for k in range(f.shape[2]):
        out[s, slot, k] = y0 * f[knot, 0, k] + m0 * f[knot, 1, k] + y1 * f[knot + 1, 0, k] + m1 * f[knot + 1, 1, k]


@compiled
def _add_four(s, held, basis, rho):
    """rho[l m, s, n] += sum over the four neighbours of species s of R Y."""
    f, y = held.shells, held.angular
    for l in range(basis.sizes[0]):
        for m in range(l * l, (l + 1) * (l + 1)):
            y0, y1, y2, y3 = y[s, 0, m], y[s, 1, m], y[s, 2, m], y[s, 3, m]
            for n in range(basis.sizes[1]):
                rho[m, s, n] += y0 * f[s, 0, l, n] + y1 * f[s, 1, l, n] + y2 * f[s, 2, l, n] + y3 * f[s, 3, l, n]


@compiled
def bin_atoms(positions, cell, cutoff):
    """Atoms sorted into bins about half a cutoff wide, along the three lattice directions.

    Returns wrapped positions, bin of each atom (atoms, 3), atoms in the order of their bins, first place of each bin,
    and reach: how many bins to look at on either side, images of the cell included.
    """
    inverse = np.linalg.inv(cell)
    count, reach = np.empty(3, np.int64), np.empty(3, np.int64)
    for d in range(3):
        height = 1.0 / np.sqrt(inverse[0, d] ** 2 + inverse[1, d] ** 2 + inverse[2, d] ** 2)
        # More bins than this only cost memory: in a huge sparse cell most of them would be empty.
        count[d] = max(1, min(int(2.0 * height / cutoff), 4 + int(2.0 * len(positions) ** (1.0 / 3.0))))
        reach[d] = int(cutoff * count[d] / height) + 1
    atoms = len(positions)
    wrapped, place = np.empty((atoms, 3)), np.empty((atoms, 3), np.int64)
    start = np.zeros(count[0] * count[1] * count[2] + 1, np.int64)
    fraction = np.empty(3)
    for i in range(atoms):
        for d in range(3):
            f = positions[i, 0] * inverse[0, d] + positions[i, 1] * inverse[1, d] + positions[i, 2] * inverse[2, d]
            fraction[d] = f - np.floor(f)
            place[i, d] = min(int(fraction[d] * count[d]), count[d] - 1)
        for d in range(3):
            wrapped[i, d] = fraction[0] * cell[0, d] + fraction[1] * cell[1, d] + fraction[2] * cell[2, d]
        start[(place[i, 0] * count[1] + place[i, 1]) * count[2] + place[i, 2] + 1] += 1
    start = np.cumsum(start)
    order, fill = np.empty(atoms, np.int64), start.copy()
    for i in range(atoms):
        b = (place[i, 0] * count[1] + place[i, 1]) * count[2] + place[i, 2]
        order[fill[b]] = i
        fill[b] += 1
    return wrapped, place, order, start, count, reach


@compiled
def expand(i, bins, cell, species, basis, held, rho):
    """rho[l m, species, n] of atom i, which `bins` = bin_atoms(...) locate; `held` is a Scratch."""
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
                for slot in range(start[first + c], start[first + stop]):
                    j = order[slot]
                    x, y, z = wrapped[j, 0] + dx, wrapped[j, 1] + dy, wrapped[j, 2] + dz
                    square = x * x + y * y + z * z
                    if square >= limit or (j == i and shift_a == 0 and shift_b == 0 and shift_c == 0):
                        continue
                    r = np.sqrt(square)
                    inverse = 1.0 / max(r, 1e-12)
                    s = species[j]
                    free = held.count[s]
                    _radial(r, basis, held.radial, s, free)
                    _harmonics(x * inverse, y * inverse, z * inverse, basis.harmonics, held.angular, s, free)
                    held.count[s] = (free + 1) % 4
                    if free == 3:
                        _add_four(s, held, basis, rho)
                c = stop
    for s in range(basis.sizes[2]):
        if held.count[s]:
            held.angular[s, held.count[s] :] = 0.0
            _add_four(s, held, basis, rho)
            held.count[s] = 0
