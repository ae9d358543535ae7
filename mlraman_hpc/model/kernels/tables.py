"""Tables that the compiled loops of `contraction` read: radial functions, harmonics, couplings."""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt

import numpy as np
from numpy.polynomial.chebyshev import chebval

from mlraman_hpc.model.featomic_reference import central_atom, radial_functions
from mlraman_hpc.model.kernels.buffers import TERMS, WIDTH, Basis, Blocks, Terms
from mlraman_hpc.records.model import Descriptor

PIECES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
ACCURACY = 1e-10  # of the radial functions, relative to the largest value


@lru_cache(maxsize=4)  # campaigns ask for the same ones again and again
def basis(descriptor: Descriptor, species: int) -> Basis:
    """Tables for this descriptor and this number of species; radial functions read off featomic once."""
    radial = _pieces(_series(descriptor))
    return Basis(
        np.array([descriptor.max_angular + 1, descriptor.max_radial + 1, species]),
        np.array([descriptor.cutoff, descriptor.cutoff_width, descriptor.cutoff / len(radial)]),
        radial,
        central_atom(descriptor),
        _recursion_factors(descriptor.max_angular),
    )


def _series(descriptor: Descriptor) -> np.ndarray:
    """Chebyshev series (terms, l, n) of R_nl(r) in r/cutoff from -1 to 1.

    R_nl(-r) = (-1)^l R_nl(r): a series of that parity takes featomic's values at the positive nodes only; it is
    lengthened until its last terms vanish.
    """
    parity = np.arange(descriptor.max_angular + 1)[None, :, None] % 2
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
    return series


def _pieces(series: np.ndarray) -> np.ndarray:
    """A Chebyshev series (terms, l, n) from 0 to 1 as polynomials of TERMS terms on equal pieces, see `Basis.radial`.

    As few pieces as give ACCURACY, judged half-way between the points at which the polynomials are exact.
    """
    nodes = np.cos(pi * (np.arange(TERMS) + 0.5) / TERMS) / 2
    between = np.cos(pi * np.arange(TERMS + 1) / TERMS) / 2

    def values(count: int, x: np.ndarray) -> np.ndarray:
        places = (np.arange(count)[:, None] + 0.5 + x) / count
        return np.moveaxis(chebval(places, series.reshape(len(series), -1)), 0, -1)  # (pieces, x, l n)

    for count in PIECES:
        table = np.linalg.inv(np.vander(nodes, increasing=True)) @ values(count, nodes)
        exact = values(count, between)
        if np.abs(np.vander(between, TERMS, increasing=True) @ table - exact).max() < ACCURACY * np.abs(exact).max():
            break
    return np.ascontiguousarray(np.pad(table, [(0, 0), (0, 0), (0, -table.shape[2] % WIDTH)]))


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


def terms(coefficients: dict[tuple[int, int, int], np.ndarray]) -> Terms:
    """Terms for these Clebsch-Gordan coefficients {(l1, l2, lambda): array}, in sorted order."""
    entries, values, first = [], [], [0]
    for l1, l2, order in sorted(coefficients):
        coefficient = coefficients[l1, l2, order]
        for m1, m2, mu in np.argwhere(np.abs(coefficient) > 1e-12):
            if l1 < l2 or m1 <= m2:
                entries.append((m1, m2, mu + (order == 2)))
                values.append(coefficient[m1, m2, mu] * (2 if l1 == l2 and m1 < m2 else 1))
        first.append(len(entries))
    angular = [key[:2] for key in sorted(coefficients)]
    return Terms(np.array(angular), np.array(first), np.array(entries, dtype=np.int64), np.array(values))


def term_weights(coefficients: dict, squares: dict[int, np.ndarray]) -> np.ndarray:
    """Weights (..., terms, Q, Q) for `terms`, [q', q] of l2 and l1; Q filled up with zeros to a multiple of four.

    squares: {lambda: (..., blocks, Q, Q)}, [q, q'], blocks as in `Blocks`
    """
    pairs = sorted({key[:2] for key in coefficients})
    chosen = [squares[order][..., pairs.index((l1, l2)), :, :] for l1, l2, order in sorted(coefficients)]
    swapped = np.swapaxes(np.stack(chosen, axis=-3), -1, -2)
    missing = -swapped.shape[-1] % 4
    return np.ascontiguousarray(np.pad(swapped, [(0, 0)] * (swapped.ndim - 2) + [(0, missing)] * 2))


def block_weights(squares: dict[int, np.ndarray]) -> np.ndarray:
    """Weights (..., 2, K) for lambda = 0 and 2, K = (block, q, q') filled up with zeros to whole vectors.

    squares: {lambda: (..., blocks, Q, Q)}, [q, q'], blocks as in `Blocks`
    """
    flat = np.stack([squares[order].reshape(*squares[order].shape[:-3], -1) for order in (0, 2)], axis=-2)
    return np.ascontiguousarray(np.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, -flat.shape[-1] % WIDTH)]))


def atoms_to_sum_first(terms: Terms, weights: np.ndarray, blocks: Blocks) -> float:
    """From how many atoms in a frame on it is faster to sum its descriptor before the members' weights are applied.

    Both ways are counted in products; those that wait for memory count as often as they take longer. weights (members,
    species, terms, Q, Q) as from `term_weights`. Infinite where it never is.
    """
    members, species, _, channels, _ = weights.shape
    pairs = (2 * blocks.angular + 1).prod(axis=1)
    halved = pairs / (1 + (blocks.angular[:, 0] == blocks.angular[:, 1]))
    direct = members * (2 * terms.angular[:, 0] + 1).sum() * channels**2
    summed = halved.sum() * channels**2
    once = species * (10 * (len(blocks.values) + pairs.sum()) + 12 * members * len(pairs)) * channels**2
    return once / (direct - summed) if direct > summed else np.inf
