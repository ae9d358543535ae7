"""Vibrational density of states of each species, and its zero-frequency limit.

With S_i(nu) the one-sided spectral density of atom i's velocity (sum of the three axes), whose integral over wavenumber
is <v_i^2>, the share of species s is

    g_s(nu) = f sum_{i in s} w_i S_i(nu) / sum_i w_i <v_i^2>,

with w_i = m_i (mass-weighted; the denominator is then f kT) or 1, and f degrees of freedom: 3 N - 3, those of the
centre of mass being removed, or where atoms are frozen the 3 N of the others. So the integral of sum_s g_s is f
exactly; that of one g_s is 3 N_s as far as the kinetic energy is evenly distributed in the trajectory at hand.
g has the unit cm (degrees of freedom per cm^-1).

The self-diffusion coefficient is the zero-frequency limit,

    D = 1/3 int_0^inf <v(0).v(t)> dt = S_i(0) / (12 c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.correlation import (
    grid_points,
    grid_wavenumbers,
    lagged_products,
    smooth_blocks,
    spectral_density,
    taper_resolution,
)
from mlraman_hpc.numerics.spectra.errorbars import calibrate, jackknife
from mlraman_hpc.numerics.spectra.smoothing import line_shape_lags, smoothing_taper

_VANISHED = 8.5  # exp(-x^2/2) is 2e-16


@dataclass(frozen=True)
class VdosPlan:
    """What follows from frames, interval (fs) and smoothing.

    h           (frames,) taper
    window      (lags + 1,) transform of the Gaussian, which is convolved in full, as for Raman spectra
    points      intervals of the wavenumber grid
    width       cm^-1, sigma of the Gaussian; resolution: sigma of the Gaussian as wide as the taper's kernel
    blocks      of the trajectory, for errors
    """

    h: Floats
    window: Floats
    points: int
    width: float
    resolution: float
    blocks: int
    interval: float

    @property
    def lags(self) -> int:
        return len(self.window) - 1

    @property
    def wavenumber(self) -> Floats:
        """(points + 1,) cm^-1"""
        return grid_wavenumbers(self.points, self.interval)

    def density(self, products: Floats) -> Floats:
        """Smoothed one-sided spectral density of a correlation function (..., lags + 1)."""
        return spectral_density(products * self.window, self.points, self.interval)

    def line_shape(self, lag_times: Floats) -> Floats:
        """Transform of the Gaussian at lags (fs)."""
        return line_shape_lags(lag_times, self.width, "gaussian")


@dataclass(frozen=True)
class Vdos:
    """The density of states in degrees of freedom per cm^-1.

    wavenumber           (points + 1,) cm^-1
    share, share_error   (species, points + 1) g_s and one standard error, cm; total, total_error: their sum
    degrees              (species,) integral of each share
    temperature          K, of the kinetic energy
    """

    wavenumber: Floats
    share: Floats
    share_error: Floats
    total: Floats
    total_error: Floats
    degrees: Floats
    temperature: float


def vdos_plan(frames: int, interval: float, smoothing: float, blocks: int) -> VdosPlan:
    """Taper, lags and grid for `frames` frames, `interval` fs apart; smoothing: sigma of the Gaussian, cm^-1."""
    h = smoothing_taper(frames, interval, smoothing)
    lags = min(frames - 1, int(_VANISHED / (RAD_PER_FS_PER_WAVENUMBER * smoothing * interval)) + 1)
    window = line_shape_lags(np.arange(lags + 1) * interval, smoothing, "gaussian")
    points = grid_points(lags, interval, smoothing / 8)
    return VdosPlan(h, window, points, smoothing, taper_resolution(h, interval), blocks, interval)


def velocity_products(velocities: Floats, plan: VdosPlan) -> Floats:
    """(blocks, lags + 1) lagged products of velocities (atoms, 3, frames), Angstrom/fs, summed over atoms and axes."""
    total = np.zeros((plan.blocks, plan.lags + 1))
    pairs = [(axis, axis) for axis in range(3)]
    for atom in velocities:

        def read(start: int, stop: int, atom: Floats = atom) -> Floats:
            return atom[:, start:stop]

        for number, block in enumerate(smooth_blocks(plan.h, plan.blocks)):
            total[number] += lagged_products(read, plan.h, pairs, plan.lags, block).sum(axis=0)
    return total


def velocities_from_positions(positions: Floats, plan: VdosPlan) -> Floats:
    """(atoms, 3, frames) Angstrom/fs from unwrapped positions, exact wherever the taper is not zero.

    h dx/dt = d(h x)/dt - x dh/dt, where h x vanishes at both ends, so that its derivative is multiplying its transform
    by i omega: the position's power spectrum times omega^2, without the loss of a finite difference.
    """
    slope = _derivative(plan.h, plan.interval)
    centred = positions - (positions @ plan.h / plan.h.sum())[..., None]
    velocities: Floats = (_derivative(centred * plan.h, plan.interval) - centred * slope) / plan.h
    return velocities


def _derivative(series: Floats, interval: float) -> Floats:
    frames = series.shape[-1]
    omega = 2 * np.pi * fft.rfftfreq(frames, interval)
    if frames % 2 == 0:
        omega[-1] = 0.0  # the phase of a wave at the Nyquist frequency is not known
    derivative: Floats = fft.irfft(1j * omega * fft.rfft(series), frames)
    return derivative


def vdos(
    products: list[Floats],
    masses: list[float],
    atoms: int,
    plan: VdosPlan,
    mass_weighted: bool,
    degrees: int | None = None,
) -> Vdos:
    """g_s = f sum_{i in s} w_i S_i / sum_i w_i <v_i^2> with its error.

    products: each species' sum of `velocity_products`, (blocks, lags + 1); masses: of each species, u; atoms: number
    of all atoms; mass_weighted: w_i = m_i, otherwise 1; degrees: f, where it is not 3 N - 3.
    """
    weights = np.array(masses) if mass_weighted else np.ones(len(masses))
    weighted = np.array(products) * weights[:, None, None]  # species, blocks, lags
    total = weighted.sum(axis=1)
    degrees = 3 * atoms - 3 if degrees is None else degrees
    normalised = _normalised(total, degrees)
    without = [_normalised(total - weighted[:, block], degrees) for block in range(plan.blocks)]
    spectra = np.array([plan.density(products) for products in without])
    factor = calibrate(plan).factor
    share = plan.density(normalised)
    energy = np.array(products).sum(axis=1)[:, 0] @ np.array(masses) / np.dot(plan.h, plan.h)
    return Vdos(
        plan.wavenumber,
        share,
        jackknife(spectra, factor),
        share.sum(axis=0),
        jackknife(spectra.sum(axis=1), factor),
        normalised[:, 0],
        float(energy / (degrees * BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K)),
    )


def _normalised(weighted: Floats, degrees: int) -> Floats:
    """Products (species, lags) scaled such that the total at lag 0 is `degrees`."""
    normalised: Floats = weighted * (degrees / weighted[:, 0].sum())
    return normalised
