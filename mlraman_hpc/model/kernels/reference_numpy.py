"""What the kernels compute, in plain NumPy, an equation at a time: to be read, and for tests to compare with.

    rho^i_{q l m} = sum_{j of species a} f_cut(r_ij) R_{nl}(r_ij) Y_{lm}(r_ij/|r_ij|) + delta_{a s_i} delta_{l0} rho^0_n
    X^{s, lambda mu}_{l1 l2 q q'} = sum_{i of s} sum_{m1 m2} <l1 m1 l2 m2|lambda mu> rho^i_{q l1 m1} rho^i_{q' l2 m2}
    alpha^{s, lambda mu} = sum_{l1 <= l2} sum_{q q'} W^{s lambda}_{l1 l2 q q'} X^{s, lambda mu}_{l1 l2 q q'}

with q = (a, n), rho^0_n the atom's own density, and j over all periodic images but the atom itself. Nothing here is
fast: the distances to all atoms of all images that may be close enough are computed, and every sum is written out.
"""

from __future__ import annotations

from itertools import product
from math import factorial, pi, sqrt

import numpy as np
from numpy.polynomial import Legendre

from mlraman_hpc.model.kernels.buffers import Basis
from mlraman_hpc.model.kernels.inputs import KernelFrames

ClebschGordan = dict[tuple[int, int, int], np.ndarray]


def neighbour_vectors(positions: np.ndarray, cell: np.ndarray, i: int, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (neighbours, 3) Angstrom from atom i to all others within the cutoff, images included, and which (j,)."""
    height = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    extent = np.abs((positions - positions[i]) @ np.linalg.inv(cell)).max(axis=0)
    images = np.ceil(cutoff / height + extent).astype(int)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in images))))
    vectors = positions[None] - positions[i] + (shifts @ cell)[:, None]
    itself = (shifts == 0).all(axis=1)[:, None] & (np.arange(len(positions)) == i)
    within = (np.linalg.norm(vectors, axis=2) < cutoff) & ~itself
    return vectors[within], np.nonzero(within)[1]


def cutoff_function(r: np.ndarray, cutoff: float, width: float) -> np.ndarray:
    """f_cut = 1 for r < cutoff - width, (1 + cos(pi (r - cutoff + width)/width))/2 from there to the cutoff."""
    return (1 + np.cos(pi * np.clip((r - cutoff + width) / width, 0, 1))) / 2


def radial_functions(r: np.ndarray, basis: Basis) -> np.ndarray:
    """R_nl(r), (len(r), l, n): sum_p c_p x^p on the segment of r, x from -1/2 to 1/2 on it."""
    angulars, radials, _ = basis.sizes
    segment = np.minimum((r / basis.lengths[2]).astype(int), len(basis.radial) - 1)
    x = r / basis.lengths[2] - segment - 0.5
    powers = x[:, None] ** np.arange(basis.radial.shape[1])
    values = np.einsum("kp,kpf->kf", powers, basis.radial[segment])
    return values[:, : angulars * radials].reshape(len(r), angulars, radials)


def spherical_harmonics(unit: np.ndarray, max_angular: int) -> np.ndarray:
    """Real Y_lm(unit vectors), (len(unit), (l, m)) at l^2 + l + m, without Condon-Shortley phase.

    Y_lm = N_lm P_l^{|m|}(z) (x + i y)^{|m|}: real part for m >= 0, imaginary part for m < 0, with P_l^m(z) here the
    m-th derivative of the Legendre polynomial and N_lm = sqrt((2 - delta_{m0}) (2 l + 1)/(4 pi) (l - m)!/(l + m)!).
    """
    values = np.empty((len(unit), (max_angular + 1) ** 2))
    plane = unit[:, 0] + 1j * unit[:, 1]
    for l in range(max_angular + 1):
        for m in range(l + 1):
            norm = sqrt((2 if m else 1) * (2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m))
            legendre = Legendre.basis(l).deriv(m) if m else Legendre.basis(l)
            harmonic = norm * legendre(unit[:, 2]) * plane**m
            values[:, l * l + l - m], values[:, l * l + l + m] = harmonic.imag, harmonic.real
    return values


def density_expansion(frames: KernelFrames, frame: int, i: int, basis: Basis) -> np.ndarray:
    """rho^i_{l m, a, n} of atom i of a frame, ((l, m), species, n)."""
    angulars, radials, species_count = map(int, basis.sizes)
    cutoff, width, _ = basis.lengths
    positions, cell, species = _frame(frames, frame)
    vectors, neighbours = neighbour_vectors(positions, cell, i, cutoff)
    r = np.linalg.norm(vectors, axis=1)
    radial = cutoff_function(r, cutoff, width)[:, None, None] * radial_functions(r, basis)
    angular = spherical_harmonics(vectors / r[:, None], angulars - 1)
    rho = np.zeros((angulars**2, species_count, radials))
    rho[0, species[i]] = basis.central
    for l in range(angulars):
        for a in range(species_count):
            of_species = (species[neighbours] == a) | (species[neighbours] == ~a)  # centres, and neighbours only
            rows = slice(l * l, (l + 1) ** 2)
            rho[rows, a] += angular[of_species, rows].T @ radial[of_species, l]
    return rho


def summed_features(
    frames: KernelFrames, frame: int, basis: Basis, coefficients: ClebschGordan
) -> dict[tuple, np.ndarray]:
    """{(l1, l2, lambda): X^s (species, 2 lambda + 1, Q, Q)} of a frame."""
    _, _, species = _frame(frames, frame)
    channels = int(basis.sizes[1] * basis.sizes[2])
    X = {key: np.zeros((basis.sizes[2], 2 * key[2] + 1, channels, channels)) for key in coefficients}
    for i in np.flatnonzero(species >= 0):
        rho = density_expansion(frames, frame, int(i), basis).reshape(-1, channels)
        for (l1, l2, order), coefficient in coefficients.items():
            first, second = rho[l1**2 : (l1 + 1) ** 2], rho[l2**2 : (l2 + 1) ** 2]
            X[l1, l2, order][species[i]] += np.einsum("abm,ap,bq->mpq", coefficient, first, second)
    return X


def predict(
    frames: KernelFrames, basis: Basis, coefficients: ClebschGordan, weights: dict[int, np.ndarray]
) -> np.ndarray:
    """alpha^{s, lambda mu} (frames, members, species, 6): lambda = 0, then lambda = 2 with mu = -2 ... 2.

    weights {lambda: W (members, species, blocks, Q, Q)}, blocks (l1, l2) in sorted order
    """
    pairs = sorted({key[:2] for key in coefficients})
    alpha = np.zeros((len(frames.cells), *weights[0].shape[:2], 6))
    for frame, tensors in enumerate(alpha):
        for (l1, l2, order), X in summed_features(frames, frame, basis, coefficients).items():
            columns = slice(0, 1) if order == 0 else slice(1, 6)
            W = weights[order][:, :, pairs.index((l1, l2))]
            tensors[..., columns] += np.einsum("smpq,kspq->ksm", X, W)
    return alpha


def _frame(frames: KernelFrames, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, cell and species of its atoms."""
    atoms = slice(frames.first_atom[k], frames.first_atom[k + 1])
    return frames.positions[atoms], frames.cells[k], frames.species[atoms]
