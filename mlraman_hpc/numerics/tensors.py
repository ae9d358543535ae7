"""Symmetric 3x3 tensors as irreducible spherical tensors: lambda = 0 (one number) and lambda = 2 (five)."""

from __future__ import annotations

from math import sqrt

import numpy as np

from mlraman_hpc.numerics import Floats

COMPONENTS = ("xx", "yy", "zz", "xy", "yz", "zx")
_ROWS, _COLUMNS = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 1, 2, 0])


def components(tensors: Floats) -> Floats:
    """(..., 3, 3) symmetric -> (..., 6) in the order of COMPONENTS: xx yy zz xy yz zx."""
    return tensors[..., _ROWS, _COLUMNS]


def from_components(values: Floats) -> Floats:
    """(..., 6) in the order xx yy zz xy yz zx -> (..., 3, 3) symmetric."""
    tensors = np.empty((*values.shape[:-1], 3, 3))
    tensors[..., _ROWS, _COLUMNS] = values
    tensors[..., _COLUMNS, _ROWS] = values
    return tensors


def to_spherical(tensors: Floats) -> tuple[Floats, Floats]:
    """alpha^0 = tr(alpha)/sqrt(3); alpha^2 = sqrt(2) (xy, yz, (2zz - xx - yy)/sqrt(12), xz, (xx - yy)/2).

    Orthonormal: (alpha^0)^2 + |alpha^2|^2 = sum_ab alpha_ab^2, and under a rotation alpha^2 turns like the real
    spherical harmonics of degree 2 with m = -2 ... 2. The antisymmetric part of `tensors` is dropped.

    tensors (..., 3, 3) -> (...,) and (..., 5), in the unit of `tensors`.
    """
    xx, yy, zz = (tensors[..., k, k] for k in range(3))
    xy, yz, zx = ((tensors[..., a, b] + tensors[..., b, a]) / 2 for a, b in ((0, 1), (1, 2), (2, 0)))
    isotropic = (xx + yy + zz) / sqrt(3)
    anisotropic = sqrt(2) * np.stack([xy, yz, (2 * zz - xx - yy) / sqrt(12), zx, (xx - yy) / 2], axis=-1)
    return isotropic, anisotropic


def from_spherical(isotropic: Floats, anisotropic: Floats) -> Floats:
    """Inverse of `to_spherical`: (...,) and (..., 5) -> (..., 3, 3) symmetric.

    Element by element, so that a tensor never depends on its neighbours in the array, to the last bit.
    """
    third = isotropic / sqrt(3)
    axial, planar = anisotropic[..., 2] / sqrt(6), anisotropic[..., 4] / sqrt(2)
    off = anisotropic[..., [0, 1, 3]] / sqrt(2)
    values = [third - axial + planar, third - axial - planar, third + 2 * axial, off[..., 0], off[..., 1], off[..., 2]]
    return from_components(np.stack(values, axis=-1))


def invariants(tensors: Floats) -> tuple[Floats, Floats]:
    """Mean polarizability and squared anisotropy, a = tr(alpha)/3 and gamma^2 = 3/2 |alpha^2|^2.

    gamma^2 = 3 (xy^2 + yz^2 + zx^2) + ((xx - yy)^2 + (yy - zz)^2 + (zz - xx)^2)/2 as in equation S3.
    tensors (..., 3, 3) -> (...,) and (...,).
    """
    isotropic, anisotropic = to_spherical(tensors)
    return isotropic / sqrt(3), 1.5 * (anisotropic**2).sum(axis=-1)


def rotate(tensors: Floats, rotation: Floats) -> Floats:
    """R alpha R^T for tensors (..., 3, 3) and an orthogonal matrix (3, 3)."""
    rotated: Floats = rotation @ tensors @ rotation.T
    return rotated
