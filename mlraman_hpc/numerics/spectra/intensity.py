"""Equations S1-S3: from spectral densities of tensor components to Raman intensities.

Components are in the order xx yy zz xy yz zx. With S_ij the one-sided spectral densities of the components,

    S_a = sum_ij A_ij S_ij = density of (alpha_xx + alpha_yy + alpha_zz)/3            (S2 without its omega^2)
    S_g = sum_ij G_ij S_ij = 3 (S_xyxy + S_yzyz + S_zxzx)
          + [S(xx - yy) + S(yy - zz) + S(zz - xx)]/2                                  (S3 without its omega^2)
    I(nu) = (1 - nu/nu_in)^4 nu (45 S_a + 7 S_g)/45                                   (S1; omega^2/omega = omega ~ nu)

At nu = 0 everything is finite. Angstrom^6.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.units import SECOND_RADIATION_CM_K, wavenumber_of_laser
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.tensors import components, to_spherical

PAIRS = [(i, j) for i in range(6) for j in range(i, 6)]

ISOTROPIC = np.zeros((6, 6))
ISOTROPIC[:3, :3] = 1 / 9
ANISOTROPIC = np.diag([1.0, 1.0, 1.0, 3.0, 3.0, 3.0])
ANISOTROPIC[:3, :3] -= 0.5 * (1 - np.eye(3))

# share of S_a and of S_g in each spherically averaged intensity (Long, The Raman Effect, appendix A14)
AVERAGES = {
    "total": (1.0, 7 / 45),
    "isotropic": (1.0, 0.0),
    "anisotropic": (0.0, 7 / 45),
    "polarized": (1.0, 4 / 45),
    "depolarized": (0.0, 3 / 45),
}


def channels(alpha: Floats) -> Floats:
    """Symmetric part of (..., 3, 3) as components (6, ...), in the order of COMPONENTS."""
    values = components(alpha)
    values[..., 3:] += alpha[..., [1, 2, 0], [0, 1, 2]]
    values[..., 3:] *= 0.5
    return np.moveaxis(values, -1, 0)


def invariant_channels(alpha: Floats) -> Floats:
    """(..., 3, 3) to (6, ...): the mean polarizability, and five whose squares add up to gamma^2."""
    isotropic, anisotropic = to_spherical(alpha)
    return np.concatenate([isotropic[None] / np.sqrt(3), np.sqrt(1.5) * np.moveaxis(anisotropic, -1, 0)])


def pair_weights(form: Floats) -> Floats:
    """Weights on PAIRS (21,) of a quadratic form (6, 6)."""
    return np.array([form[i, j] if i == j else form[i, j] + form[j, i] for i, j in PAIRS])


def laser_factor(wavenumber: Floats, laser_wavelength: float | None) -> Floats:
    """(nu_in - nu)^4 / nu_in^4; 0 beyond nu_in; 1 without a laser. Wavelength in nm."""
    if laser_wavelength is None:
        return np.ones_like(wavenumber)
    factor: Floats = np.maximum(1 - wavenumber / wavenumber_of_laser(laser_wavelength), 0.0) ** 4
    return factor


def thermal_wavenumber(wavenumber: Floats, temperature: float | None) -> Floats:
    """nu [n(nu, T) + 1] in cm^-1, with its limit k_B T / (h c) at zero; nu itself without a temperature (K)."""
    if temperature is None:
        return np.asarray(wavenumber, float)
    x = SECOND_RADIATION_CM_K * np.asarray(wavenumber, float) / temperature
    safe = np.where(x > 0, x, 1.0)
    return temperature / SECOND_RADIATION_CM_K * np.where(x > 0, safe / -np.expm1(-safe), 1.0)


def intensity_factor(wavenumber: Floats, laser_wavelength: float | None, temperature: float | None) -> Floats:
    """What turns a spectral density of polarizability (Angstrom^6 cm) into an intensity (Angstrom^6), in cm^-1."""
    return laser_factor(wavenumber, laser_wavelength) * thermal_wavenumber(wavenumber, temperature)


def averages(isotropic: Floats, gamma: Floats) -> dict[str, Floats]:
    """The spherically averaged intensities of AVERAGES from S_a and S_g, or what is linear in them."""
    return {name: a * isotropic + g * gamma for name, (a, g) in AVERAGES.items()}


def depolarization_ratio(polarized: Floats, depolarized: Floats) -> Floats:
    """VH / VV; NaN where VV vanishes."""
    defined = polarized > 1e-12 * np.max(polarized, initial=0.0)
    return np.where(defined, depolarized / np.where(defined, polarized, 1.0), np.nan)
