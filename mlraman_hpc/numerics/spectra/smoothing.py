"""The taper of series whose spectra are smoothed, convolution with a line shape, changes of the wavenumber axis.

Raman spectra and densities of states have one taper and one smoothing: the line shape is convolved in full with the
tapered periodogram, and what the finite series broadens comes on top.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.correlation import taper

KINDS = ("gaussian", "lorentzian")
MEASURES = ("sigma", "fwhm")
RAMP = 0.05  # of the series, at each end: the customary ten per cent taper
LEAST_RAMP = 8  # frames, as far as these are no more than an eighth: shorter ones leak, and differentiate badly
RAMP_TIMES = 8  # smoothing times that a ramp lasts at most
WINDOWS = ("none", "hann", "cosine", "gaussian", "triangle")


def smoothing_taper(frames: int, interval: float, width: float) -> Floats:
    """(frames,) taper of a series, frames `interval` fs apart, whose spectrum is to be smoothed with `width` cm^-1."""
    longest = RAMP_TIMES / (RAD_PER_FS_PER_WAVENUMBER * width * interval) if width else np.inf
    return taper(frames, int(min(max(RAMP * frames, min(LEAST_RAMP, frames / 8)), longest)))


def width_of(smoothing: float, kind: str, measure: str) -> float:
    """sigma of a Gaussian or half width at half maximum of a Lorentzian (cm^-1) of which `measure` is `smoothing`."""
    if measure == "sigma":
        return smoothing
    return smoothing / (2 * np.sqrt(2 * np.log(2))) if kind == "gaussian" else smoothing / 2


def line_shape_lags(lag_times: Floats, width: float, kind: str) -> Floats:
    """Fourier transform of the normalised line shape at lags (fs): what multiplies the correlation function."""
    phase = RAD_PER_FS_PER_WAVENUMBER * width * lag_times
    transform: Floats = np.exp(-0.5 * phase**2) if kind == "gaussian" else np.exp(-phase)
    return transform


def smooth(spectrum: Floats, interval: float, width: float, kind: str = "gaussian") -> Floats:
    """Convolution of spectra (..., points + 1), on the grid 0 ... Nyquist, with a normalised line shape.

    The spectrum is continued evenly beyond both ends, so that its integral stays what it was and no intensity is
    lost at zero wavenumber. A spectrum that is nowhere negative stays so.
    """
    if width == 0:
        return spectrum
    points = spectrum.shape[-1] - 1
    lags = fft.dct(spectrum, type=1, axis=-1) / (2 * points)
    lags *= line_shape_lags(np.arange(points + 1) * interval, width, kind)
    smoothed: Floats = fft.dct(lags, type=1, axis=-1)
    rounding = 1e-13 * np.abs(spectrum).max(axis=-1, keepdims=True, initial=0)
    return np.where(np.abs(smoothed) < rounding, np.abs(smoothed), smoothed)


def lag_window(name: str, lags: int) -> Floats:
    """Window on the correlation function, from 1 at lag 0 to its end at `lags`. (lags + 1,)"""
    x = np.arange(lags + 1) / max(lags, 1)
    return {
        "none": np.ones_like(x),
        "hann": np.cos(np.pi / 2 * x) ** 2,
        "cosine": np.cos(np.pi / 2 * x),
        "gaussian": np.exp(-0.5 * (3 * x) ** 2),
        "triangle": 1 - x,
    }[name]


def verlet_wavenumber(wavenumber: Floats, time_step: float) -> Floats:
    """nu_0 = sin(x nu)/x with x = pi c D: wavenumber of the continuous motion from that of Verlet's algorithm.

    D is `time_step` (fs); wavenumbers in cm^-1. x(t + D) - 2 x(t) + x(t - D) = -(omega_0 D)^2 x(t) has the solution
    cos(omega t) with omega_0 = (2/D) sin(omega D / 2) <= omega: the discrete motion is too fast.
    """
    half_phase = 0.5 * RAD_PER_FS_PER_WAVENUMBER * time_step
    continuous: Floats = np.sin(half_phase * np.asarray(wavenumber)) / half_phase
    return continuous


def move_axis(density: Floats, wavenumber: Floats, moved: Floats) -> Floats:
    """Density (..., points) on the same even grid after each wavenumber has moved to `moved` (increasing, <= old).

    Integrals stay the same: what lay between the midpoints of grid points is distributed evenly over the interval
    between the moved midpoints.
    """
    step = wavenumber[1]
    edges = np.concatenate([[0.0], wavenumber[:-1] + step / 2, wavenumber[-1:]])
    moved_edges = np.interp(edges, wavenumber, moved)
    content = _from_zero(density * np.diff(edges))
    rows = content.reshape(-1, content.shape[-1])
    at_edges = np.array([np.interp(edges, moved_edges, row) for row in rows]).reshape(content.shape)
    return np.diff(at_edges, axis=-1) / np.diff(edges)


def _from_zero(content: Floats) -> Floats:
    """Cumulative sum along the last axis, beginning with 0."""
    return np.concatenate([np.zeros((*content.shape[:-1], 1)), np.cumsum(content, axis=-1)], axis=-1)


def resample(spectrum: Floats, wavenumber: Floats, target: Floats) -> Floats:
    """Mean of a spectrum (..., points) over the bins around `target` (even steps); integrals stay the same."""
    step = target[1] - target[0]
    edges = np.concatenate([target - step / 2, target[-1:] + step / 2]).clip(0, wavenumber[-1])
    fine = wavenumber[1]
    inner = 0.5 * fine * (spectrum[..., 1:] + spectrum[..., :-1])
    content = _from_zero(inner)
    rows = content.reshape(-1, content.shape[-1])
    at_edges = np.array([np.interp(edges, wavenumber, row) for row in rows])
    binned = np.diff(at_edges, axis=-1) / np.maximum(np.diff(edges), 1e-300)
    return binned.reshape(*spectrum.shape[:-1], len(target))
