"""Tables that the kernels read: radial functions, spherical harmonics, Clebsch-Gordan couplings, weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import pi, sqrt

import numpy as np
from numpy.polynomial.chebyshev import chebval

from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.model.kernels.buffers import POLYNOMIAL_TERMS, SIMD_WIDTH, Basis, BlockCouplings, TermCouplings
from mlraman_hpc.records.model import Descriptor

featomic_reference = LazyModule("mlraman_hpc.model.featomic_reference")  # on one rank only, which sends the tables

SEGMENT_COUNTS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
RADIAL_ACCURACY = 1e-10  # of the radial functions, relative to the largest value


@lru_cache(maxsize=4)  # campaigns need the same ones again and again
def basis_tables(descriptor: Descriptor, species: int) -> Basis:
    """For this descriptor and number of species; radial functions are computed by featomic, once."""
    # The scaling is a factor of the radial functions; |r|^m has no series in r, what it multiplies has.
    scaling = descriptor.radial_scaling
    radial = _segments(
        _chebyshev_series(replace(descriptor, radial_scaling=None)),
        (lambda x: np.ones_like(x)) if scaling is None else (lambda x: scaling(x * descriptor.cutoff)),
    )
    return Basis(
        sizes=np.array([descriptor.max_angular + 1, descriptor.max_radial + 1, species]),
        lengths=np.array([descriptor.cutoff, descriptor.cutoff_width, descriptor.cutoff / len(radial)]),
        radial=radial,
        central=featomic_reference.central_atom(descriptor),
        harmonics=_recursion_factors(descriptor.max_angular),
    )


def _chebyshev_series(descriptor: Descriptor) -> np.ndarray:
    """Chebyshev series (terms, l, n) of R_nl(r) in r/cutoff from -1 to 1.

    R_nl(-r) = (-1)^l R_nl(r): a series of that parity takes featomic's values at the positive nodes only; it is
    lengthened until its last terms vanish.
    """
    parity = np.arange(descriptor.max_angular + 1)[None, :, None] % 2
    for length in (64, 96, 128, 192):
        nodes = np.cos(pi * (np.arange(length // 2) + 0.5) / length)
        values = featomic_reference.radial_functions(descriptor, nodes * descriptor.cutoff)
        orders = np.arange(length)
        cosines = np.cos(orders[:, None] * np.arccos(nodes))
        series = np.tensordot(cosines, values, axes=1) * 4 / length
        series[0] /= 2
        series[(orders[:, None, None] + parity + 0 * series).astype(int) % 2 == 1] = 0
        if np.abs(series[-8:]).max() < 1e-12 * np.abs(series).max():
            break
    return series


def _segments(series: np.ndarray, factor: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A Chebyshev series (terms, l, n) times factor(x), from 0 to 1, as polynomials on equal segments.

    See `Basis.radial`.

    As few segments as give RADIAL_ACCURACY, judged half-way between the points at which the polynomials are exact.
    """
    nodes = np.cos(pi * (np.arange(POLYNOMIAL_TERMS) + 0.5) / POLYNOMIAL_TERMS) / 2
    between = np.cos(pi * np.arange(POLYNOMIAL_TERMS + 1) / POLYNOMIAL_TERMS) / 2

    def values(count: int, x: np.ndarray) -> np.ndarray:
        points = (np.arange(count)[:, None] + 0.5 + x) / count
        values = chebval(points, series.reshape(len(series), -1)) * factor(points)
        return np.moveaxis(values, 0, -1)  # (segments, x, l n)

    for count in SEGMENT_COUNTS:
        table = np.linalg.inv(np.vander(nodes, increasing=True)) @ values(count, nodes)
        exact = values(count, between)
        error = np.abs(np.vander(between, POLYNOMIAL_TERMS, increasing=True) @ table - exact).max()
        if error < RADIAL_ACCURACY * np.abs(exact).max():
            break
    return np.ascontiguousarray(np.pad(table, [(0, 0), (0, 0), (0, -table.shape[2] % SIMD_WIDTH)]))


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


def block_couplings(coefficients: dict[tuple[int, int, int], np.ndarray], channels: int) -> BlockCouplings:
    """For Clebsch-Gordan coefficients {(l1, l2, lambda): array} and a number of channels q."""
    pairs = sorted({key[:2] for key in coefficients})
    entries, values = [], []
    for key, coefficient in coefficients.items():
        for m1, m2, component, value in _couplings(key, coefficient):
            entries.append((pairs.index(key[:2]), m1, m2, component))
            values.append(value)
    sizes = [(2 * l1 + 1) * channels * (2 * l2 + 1) * channels for l1, l2 in pairs]
    first = np.concatenate([[0], np.cumsum(sizes)])
    return BlockCouplings(np.array(pairs), first, np.array(entries, dtype=np.int64), np.array(values))


def term_couplings(coefficients: dict[tuple[int, int, int], np.ndarray]) -> TermCouplings:
    """For Clebsch-Gordan coefficients {(l1, l2, lambda): array}, terms in sorted order."""
    entries, values, first = [], [], [0]
    for key in sorted(coefficients):
        for m1, m2, component, value in _couplings(key, coefficients[key]):
            entries.append((m1, m2, component))
            values.append(value)
        first.append(len(entries))
    angular = [key[:2] for key in sorted(coefficients)]
    return TermCouplings(np.array(angular), np.array(first), np.array(entries, dtype=np.int64), np.array(values))


def _couplings(key: tuple[int, int, int], coefficient: np.ndarray):
    """m1, m2, component and value of each coefficient that is not zero; where l1 = l2, m1 < m2 stands for both."""
    l1, l2, order = key
    for m1, m2, mu in np.argwhere(np.abs(coefficient) > 1e-12):
        if l1 < l2 or m1 <= m2:
            yield m1, m2, mu + (order == 2), coefficient[m1, m2, mu] * (2 if l1 == l2 and m1 < m2 else 1)


def term_weights(coefficients: dict, squares: dict[int, np.ndarray]) -> np.ndarray:
    """Weights (..., terms, Q, Q) for `term_couplings`, [q', q] of l2 and l1; Q padded with zeros to a multiple of four.

    squares: {lambda: (..., blocks, Q, Q)}, [q, q'], blocks as in `BlockCouplings`
    """
    pairs = sorted({key[:2] for key in coefficients})
    terms = [squares[order][..., pairs.index((l1, l2)), :, :] for l1, l2, order in sorted(coefficients)]
    swapped = np.swapaxes(np.stack(terms, axis=-3), -1, -2)
    missing = -swapped.shape[-1] % 4
    return np.ascontiguousarray(np.pad(swapped, [(0, 0)] * (swapped.ndim - 2) + [(0, missing)] * 2))


def block_weights(squares: dict[int, np.ndarray]) -> np.ndarray:
    """Weights (..., 2, K) for lambda = 0 and 2, K = (block, q, q') padded with zeros to whole vectors.

    squares: {lambda: (..., blocks, Q, Q)}, [q, q'], blocks as in `BlockCouplings`
    """
    flat = np.stack([squares[order].reshape(*squares[order].shape[:-3], -1) for order in (0, 2)], axis=-2)
    return np.ascontiguousarray(np.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, -flat.shape[-1] % SIMD_WIDTH)]))


def atoms_to_sum_first(terms: TermCouplings, weights: np.ndarray, couplings: BlockCouplings) -> float:
    """From how many atoms in a frame on it is faster to sum its descriptor before the members' weights are applied.

    The cost of either is counted in products; those that wait for memory count as often as they take longer. weights
    (members, species, terms, Q, Q) as from `term_weights`. Infinite where it never is.
    """
    members, species, _, channels, _ = weights.shape
    pairs = (2 * couplings.angular + 1).prod(axis=1)
    halved = pairs / (1 + (couplings.angular[:, 0] == couplings.angular[:, 1]))
    direct = members * (2 * terms.angular[:, 0] + 1).sum() * channels**2
    summed = halved.sum() * channels**2
    once = species * (10 * (len(couplings.values) + pairs.sum()) + 12 * members * len(pairs)) * channels**2
    return once / (direct - summed) if direct > summed else np.inf
