"""What a calculation of spectra needs to know beforehand: taper, lags, grid and what is left to be smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra import errorbars
from mlraman_hpc.numerics.spectra.correlation import nyquist, smooth_blocks, spectral_density, taper_resolution
from mlraman_hpc.numerics.spectra.single_crystal import Geometry
from mlraman_hpc.numerics.spectra.smoothing import (
    lag_window,
    line_shape_lags,
    move_axis,
    smooth,
    smoothing_taper,
    verlet_wavenumber,
    width_of,
)

MOST_LAGS = 2**15  # longer series are broadened by a Gaussian that is negligible beside the smoothing
_VANISHED = 6.5  # exp(-x^2/2) is 7e-10


@dataclass(frozen=True)
class RamanOptions:
    """What the user may choose; the names are the deck's.

    smoothing             cm^-1: sigma (half width for a Lorentzian) or full width at half maximum; 0: none
    laser_wavelength      nm; None: no factor (1 - nu/nu_in)^4
    temperature           K; given: the Bose-Einstein factor n + 1
    blocks                for the statistical error; 0: none
    max_wavenumber, step  cm^-1; None: up to Nyquist, and the transform's own grid
    time_step             fs, of the Verlet integrator: corrects the wavenumber axis
    max_correlation_time  fs, longest lag used, under `window`
    low_frequency         cm^-1, upper end of the low-frequency weight
    """

    smoothing: float = 4.0
    smoothing_kind: str = "gaussian"
    smoothing_measure: str = "sigma"
    laser_wavelength: float | None = 514.5
    temperature: float | None = None
    blocks: int = 8
    max_wavenumber: float | None = None
    step: float | None = None
    time_step: float | None = None
    max_correlation_time: float | None = None
    window: str = "none"
    low_frequency: float = 50.0
    geometries: tuple[Geometry, ...] = ()
    angle_map: tuple[tuple[float, ...], tuple[float, ...], float] | None = None  # direction, start, step
    most_modes: int = 4


@dataclass(frozen=True)
class Plan:
    """Everything that follows from the number of frames and the options.

    h        taper (frames,)          lags, window  longest lag and lambda(k)
    points   intervals of the grid    resolution    of the taper's kernel
    width    of the line shape        remaining     width still to be convolved with, after the window
    """

    h: np.ndarray
    lags: int
    window: np.ndarray
    points: int
    resolution: float
    width: float
    remaining: float
    interval: float
    options: RamanOptions

    @property
    def wavenumber(self) -> np.ndarray:
        return np.arange(self.points + 1) * (nyquist(self.interval) / self.points)

    @property
    def power(self) -> float:
        return float(np.dot(self.h, self.h))

    def density(self, products: np.ndarray) -> np.ndarray:
        """One-sided spectral densities of C(k)/W."""
        density = spectral_density(products * self.window, self.points, self.interval)
        if self.options.time_step is None:
            return density
        moved = verlet_wavenumber(self.wavenumber, self.options.time_step)
        return move_axis(density, self.wavenumber, moved)

    def smooth(self, spectrum: np.ndarray) -> np.ndarray:
        return smooth(spectrum, self.interval, self.remaining, self.options.smoothing_kind)

    @property
    def duration(self) -> float:
        """Length of the series, fs"""
        return self.interval * len(self.h)

    @property
    def lost_with_mean(self) -> float:
        """Share of the smoothed density at zero wavenumber that went with the series' own mean.

        For a density S that is flat there, <C(k)> = W S delta_k - S [2 sum h^3/sum h - (sum h^2)^2/(sum h)^2] at lags
        short against the series.
        """
        h1, h2, h3 = (float(np.sum(self.h**n)) for n in (1, 2, 3))
        lags = np.arange(self.lags + 1) * self.interval
        kernel = self.window * line_shape_lags(lags, self.remaining, self.options.smoothing_kind)
        return (2 * h3 / h1 - (h2 / h1) ** 2) / h2 * float(2 * kernel.sum() - kernel[0])


def plan(frames: int, interval: float, options: RamanOptions) -> Plan:
    """Taper, lags and grid. The line shape is convolved in full with the tapered periodogram; of a window on the lags
    of a very long series the variance is deducted, so that both together have the width asked for."""
    width = width_of(options.smoothing, options.smoothing_kind, options.smoothing_measure)
    smoothing_time = 1 / (RAD_PER_FS_PER_WAVENUMBER * width) if width else np.inf
    h = smoothing_taper(frames, interval, width)
    resolution = taper_resolution(h, interval)
    lags, window, window_width = _window(frames, interval, smoothing_time, options)
    spent = window_width**2 if options.smoothing_kind == "gaussian" else 0.0
    remaining = float(np.sqrt(max(width**2 - spent, 0.0)))
    fine = min(width / 8 if width else np.inf, options.step / 4 if options.step else np.inf)
    points = fft.next_fast_len(max(lags + 1, int(np.ceil(nyquist(interval) / fine))), real=True)
    return Plan(h, lags, window, points, resolution, width, remaining, interval, options)


def _window(frames: int, interval: float, smoothing_time: float, options: RamanOptions):
    """Longest lag, lambda(k), and the width (cm^-1) of a Gaussian lambda's transform."""
    if options.max_correlation_time is not None:
        lags = min(frames - 1, max(1, int(options.max_correlation_time / interval)))
        return lags, lag_window(options.window, lags), 0.0
    enough = MOST_LAGS
    if np.isfinite(smoothing_time):
        enough = max(enough, int(8 * _VANISHED * smoothing_time / interval))
    if frames - 1 <= enough:
        return frames - 1, lag_window(options.window, frames - 1), 0.0
    width = _VANISHED / (RAD_PER_FS_PER_WAVENUMBER * enough * interval)
    window = line_shape_lags(np.arange(enough + 1) * interval, width, "gaussian")
    return enough, window * lag_window(options.window, enough), width


def calibration_of(setup: Plan) -> errorbars.Calibration:
    """How much of what the smoothing needs this plan's blocks share."""
    blocks = setup.options.blocks
    times = np.unique(np.linspace(0, len(setup.h) - 1, 32 * blocks).astype(int))
    weights = np.array([block.at(times) for block in smooth_blocks(setup.h, blocks)])
    lags = np.abs(times[:, None] - times[None, :]) * setup.interval
    kernel = line_shape_lags(lags, setup.remaining, setup.options.smoothing_kind)
    return errorbars.calibrate(setup.h[times], weights, kernel)
