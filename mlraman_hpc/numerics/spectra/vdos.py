"""Vibrational density of states of each species, and its zero-frequency limit.

With S_i(nu) the one-sided spectral density of atom i's velocity (sum of the three axes), whose integral over wavenumber
is <v_i^2>, the share of species s is

    g_s(nu) = f sum_{i in s} w_i S_i(nu) / sum_i w_i <v_i^2>,

with w_i = m_i (mass-weighted; the denominator is then f kT) or 1, and f = 3 N - 3 degrees of freedom, those of the
centre of mass being removed. So the integral of sum_s g_s is f exactly; that of one g_s is 3 N_s as far as the kinetic
energy is evenly distributed in the trajectory at hand. g has the unit cm (degrees of freedom per cm^-1).

The self-diffusion coefficient is the zero-frequency limit,

    D = 1/3 int_0^inf <v(0).v(t)> dt = S_i(0) / (12 c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra import errorbars
from mlraman_hpc.numerics.spectra.correlation import (
    grid_wavenumbers,
    lagged_products,
    nyquist,
    smooth_blocks,
    spectral_density,
    taper_resolution,
)
from mlraman_hpc.numerics.spectra.smoothing import line_shape_lags, smoothing_taper

_VANISHED = 8.5  # exp(-x^2/2) is 2e-16


@dataclass(frozen=True)
class VdosPlan:
    """What follows from frames, interval and smoothing.

    h       taper (frames,)           blocks  of the trajectory, for errors
    window  (lags + 1,) transform of the Gaussian, which is convolved in full, as for Raman spectra
    points  intervals of the grid     width   sigma of the Gaussian, cm^-1
    resolution  of the taper's kernel, cm^-1
    """

    h: np.ndarray
    window: np.ndarray
    points: int
    width: float
    resolution: float
    blocks: int
    interval: float

    @property
    def lags(self) -> int:
        return len(self.window) - 1

    @property
    def wavenumber(self) -> np.ndarray:
        return grid_wavenumbers(self.points, self.interval)

    def density(self, products: np.ndarray) -> np.ndarray:
        """Smoothed one-sided spectral density of a correlation function (..., lags + 1)."""
        return spectral_density(products * self.window, self.points, self.interval)


@dataclass(frozen=True)
class Vdos:
    """g (species, points) and its error; total likewise; cm. degrees: integral of each share. temperature: K."""

    wavenumber: np.ndarray
    share: np.ndarray
    share_error: np.ndarray
    total: np.ndarray
    total_error: np.ndarray
    degrees: np.ndarray
    temperature: float


def vdos_plan(frames: int, interval: float, smoothing: float, blocks: int) -> VdosPlan:
    """smoothing: sigma of the Gaussian, cm^-1; interval: fs."""
    h = smoothing_taper(frames, interval, smoothing)
    lags = min(frames - 1, int(_VANISHED / (RAD_PER_FS_PER_WAVENUMBER * smoothing * interval)) + 1)
    window = line_shape_lags(np.arange(lags + 1) * interval, smoothing, "gaussian")
    points = fft.next_fast_len(max(lags + 1, int(np.ceil(8 * nyquist(interval) / smoothing))), real=True)
    return VdosPlan(h, window, points, smoothing, taper_resolution(h, interval), blocks, interval)


def velocity_products(velocities: np.ndarray, plan: VdosPlan) -> np.ndarray:
    """(blocks, lags + 1) lagged products of velocities (atoms, 3, frames), Angstrom/fs, summed over atoms and axes."""
    total = np.zeros((plan.blocks, plan.lags + 1))
    pairs = [(axis, axis) for axis in range(3)]
    for atom in velocities:

        def read(start, stop, atom=atom):
            return atom[:, start:stop]

        for number, block in enumerate(smooth_blocks(plan.h, plan.blocks)):
            total[number] += lagged_products(read, plan.h, pairs, plan.lags, block).sum(axis=0)
    return total


def velocities_from_positions(positions: np.ndarray, plan: VdosPlan) -> np.ndarray:
    """(atoms, 3, frames) Angstrom/fs from unwrapped positions, exact wherever the taper is not zero.

    h dx/dt = d(h x)/dt - x dh/dt, where h x vanishes at both ends, so that its derivative is multiplying its transform
    by i omega: the position's power spectrum times omega^2, without the loss of a finite difference.
    """
    slope = _derivative(plan.h, plan.interval)
    centred = positions - (positions @ plan.h / plan.h.sum())[..., None]
    return (_derivative(centred * plan.h, plan.interval) - centred * slope) / plan.h


def _derivative(series: np.ndarray, interval: float) -> np.ndarray:
    frames = series.shape[-1]
    omega = 2 * np.pi * fft.rfftfreq(frames, interval)
    if frames % 2 == 0:
        omega[-1] = 0.0  # the phase of a wave at the Nyquist frequency is not known
    return fft.irfft(1j * omega * fft.rfft(series), frames)


def vdos(products: list[np.ndarray], masses: list[float], atoms: int, plan: VdosPlan, mass_weighted: bool) -> Vdos:
    """From each species' sum of `velocity_products`, its mass (u) and the number of all atoms."""
    weights = np.array(masses) if mass_weighted else np.ones(len(masses))
    parts = np.array(products) * weights[:, None, None]  # species, blocks, lags
    degrees = 3 * atoms - 3
    whole = _normalised(parts.sum(axis=1), degrees)
    without = [_normalised(parts.sum(axis=1) - parts[:, b], degrees) for b in range(plan.blocks)]
    spectra = np.array([plan.density(part) for part in without])
    factor = calibration(plan)
    share = plan.density(whole)
    energy = np.array(products).sum(axis=1)[:, 0] @ np.array(masses) / np.dot(plan.h, plan.h)
    return Vdos(
        plan.wavenumber,
        share,
        errorbars.jackknife(spectra, factor),
        share.sum(axis=0),
        errorbars.jackknife(spectra.sum(axis=1), factor),
        whole[:, 0],
        float(energy / (degrees * BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K)),
    )


def _normalised(weighted: np.ndarray, degrees: int) -> np.ndarray:
    """Products (species, lags) scaled such that the total at lag 0 is `degrees`."""
    return weighted * (degrees / weighted[:, 0].sum())


def calibration(plan: VdosPlan) -> float:
    """How much of what the smoothing needs the blocks share."""
    times = np.unique(np.linspace(0, len(plan.h) - 1, 32 * plan.blocks).astype(int))
    weights = np.array([block.at(times) for block in smooth_blocks(plan.h, plan.blocks)])
    lags = np.abs(times[:, None] - times[None, :]) * plan.interval
    return errorbars.calibrate(plan.h[times], weights, line_shape_lags(lags, plan.width, "gaussian")).factor
