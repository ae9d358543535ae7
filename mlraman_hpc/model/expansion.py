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
    harmonics (3, (max_angular + 1)^2): factors of the recursion in `_harmonics`
    """

    sizes: np.ndarray
    lengths: np.ndarray
    spline: np.ndarray
    central: np.ndarray
    harmonics: np.ndarray


def basis(descriptor: Descriptor, species: int) -> Basis:
    """Tables for this descriptor and this number of species; radial functions read off featomic once."""
    from scipy.interpolate import CubicSpline

    step = descriptor.cutoff / (KNOTS - 1)
    knots = np.linspace(0, descriptor.cutoff, KNOTS)
    distances = knots[knots > 0.05]
    values = np.zeros((len(distances) + 1, descriptor.max_angular + 1, descriptor.max_radial + 1))
    central = central_atom(descriptor)
    values[0, 0] = central * sqrt(4 * pi)  # at distance 0 a neighbour looks like the atom itself
    values[1:] = radial_functions(descriptor, distances * (1 - 1e-14))  # the last one must be inside the cutoff
    spline = CubicSpline(np.concatenate([[0], distances]), values.reshape(len(values), -1))
    table = np.stack([spline(knots), spline(knots, 2) * step**2 / 6], axis=1)
    return Basis(
        np.array([descriptor.max_angular + 1, descriptor.max_radial + 1, species]),
        np.array([descriptor.cutoff, descriptor.cutoff_width, step]),
        np.ascontiguousarray(table),
        central,
        _recursion_factors(descriptor.max_angular),
    )


def _recursion_factors(max_angular: int) -> np.ndarray:
    """a, b of P_lm = a (z P_{l-1 m} - b P_{l-2 m}) at (l, m >= 0), and P_mm's factor, sqrt(2) for m > 0 included."""
    factors = np.zeros((3, (max_angular + 1) ** 2))
    diagonal = sqrt(1 / (4 * pi))
    for m in range(max_angular + 1):
        diagonal *= sqrt((2 * m + 1) / (2 * m)) if m else 1.0
        factors[2, m * m + 2 * m] = diagonal * (sqrt(2) if m else 1.0)
        for l in range(m + 1, max_angular + 1):
            factors[0, l * l + l + m] = sqrt((4 * l * l - 1) / (l * l - m * m))
            factors[1, l * l + l + m] = sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1))
    return factors


@compiled
def _harmonics(x, y, z, factors, angular, out):
    """Orthonormal real spherical harmonics of a unit vector, out[l^2 + l + m], without Condon-Shortley phase."""
    cosine, sine = 1.0, 0.0
    for m in range(angular):
        before, last = 0.0, factors[2, m * m + 2 * m]
        for l in range(m, angular):
            place = l * l + l
            if l > m:
                before, last = last, factors[0, place + m] * (z * last - factors[1, place + m] * before)
            out[place + m] = last * cosine
            if m > 0:
                out[place - m] = last * sine
        cosine, sine = cosine * x - sine * y, sine * x + cosine * y


@compiled
def _radial(distance, basis, out):
    """f_cut R_nl at this distance (Angstrom), out[l (max_radial + 1) + n]: cubic spline in value and curvature."""
    cutoff, width, step = basis.lengths
    place = distance / step
    knot = min(int(place), basis.spline.shape[0] - 2)
    right = place - knot
    left = 1.0 - right
    smooth = 1.0
    if distance > cutoff - width:
        smooth = 0.5 * (1.0 + np.cos(np.pi * (distance - cutoff + width) / width))
    c0, c1 = smooth * left, smooth * right
    c2, c3 = c0 * (left * left - 1.0), c1 * (right * right - 1.0)
    here, there = basis.spline[knot], basis.spline[knot + 1]
    for k in range(out.size):
        out[k] = c0 * here[0, k] + c1 * there[0, k] + c2 * here[1, k] + c3 * there[1, k]


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
def expand(i, bins, cell, species, basis, radial, angular, rho):
    """rho (lm, q) of atom i, which `bins` = bin_atoms(...) locate; `radial` and `angular` are scratch."""
    wrapped, place, order, start, count, reach = bins
    angulars, radials = basis.sizes[0], basis.sizes[1]
    rho[:] = 0.0
    for n in range(radials):
        rho[0, species[i] * radials + n] = basis.central[n]
    limit = basis.lengths[0] ** 2
    for da in range(-reach[0], reach[0] + 1):
        a = place[i, 0] + da
        shift_a = a // count[0]
        for db in range(-reach[1], reach[1] + 1):
            b = place[i, 1] + db
            shift_b = b // count[1]
            row = ((a - shift_a * count[0]) * count[1] + b - shift_b * count[1]) * count[2]
            for dc in range(-reach[2], reach[2] + 1):
                c = place[i, 2] + dc
                shift_c = c // count[2]
                here = row + c - shift_c * count[2]
                dx = shift_a * cell[0, 0] + shift_b * cell[1, 0] + shift_c * cell[2, 0] - wrapped[i, 0]
                dy = shift_a * cell[0, 1] + shift_b * cell[1, 1] + shift_c * cell[2, 1] - wrapped[i, 1]
                dz = shift_a * cell[0, 2] + shift_b * cell[1, 2] + shift_c * cell[2, 2] - wrapped[i, 2]
                for slot in range(start[here], start[here + 1]):
                    j = order[slot]
                    x, y, z = wrapped[j, 0] + dx, wrapped[j, 1] + dy, wrapped[j, 2] + dz
                    square = x * x + y * y + z * z
                    if square >= limit or (j == i and shift_a == 0 and shift_b == 0 and shift_c == 0):
                        continue
                    r = np.sqrt(square)
                    inverse = 1.0 / max(r, 1e-12)
                    _radial(r, basis, radial)
                    _harmonics(x * inverse, y * inverse, z * inverse, basis.harmonics, angulars, angular)
                    first = species[j] * radials
                    for l in range(angulars):
                        for m in range(l * l, (l + 1) * (l + 1)):
                            for n in range(radials):
                                rho[m, first + n] += angular[m] * radial[l * radials + n]
