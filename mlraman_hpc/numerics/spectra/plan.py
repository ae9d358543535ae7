"""What is fixed before a spectrum is computed: options, and the taper, lags, grid and smoothing that follow."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.correlation import grid_points, grid_wavenumbers, spectral_density, taper_resolution
from mlraman_hpc.numerics.spectra.single_crystal import Geometry
from mlraman_hpc.numerics.spectra.smoothing import (
    KINDS,
    MEASURES,
    WINDOWS,
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
_POSITIVE = ("laser_wavelength", "temperature", "max_wavenumber", "step", "time_step", "max_correlation_time")


@dataclass(frozen=True)
class RamanOptions:
    """What may be chosen about a spectrum; the names are the deck's.

    smoothing             cm^-1: sigma (half width for a Lorentzian) or full width at half maximum; 0: none
    smoothing_kind        gaussian, lorentzian; smoothing_measure: sigma, fwhm
    laser_wavelength      nm; None: no factor (1 - nu/nu_in)^4
    temperature           K, for the Bose-Einstein factor n + 1; None: no factor
    blocks                for the statistical error; 0: none
    max_wavenumber, step  cm^-1; None: up to Nyquist, and the transform's own grid
    time_step             fs, of the Verlet integrator: corrects the wavenumber axis
    max_correlation_time  fs, longest lag used, under `window` (none, hann, cosine, gaussian, triangle)
    low_frequency         cm^-1, upper end of the low-frequency weight
    geometries            of an oriented crystal
    angle_map             direction of the light, polarization at angle zero, step in degrees
    most_modes            oscillators in the fit of the low-frequency part, at most

    Raises DataError for a value that has no meaning.
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
    angle_map: tuple[tuple[float, ...], tuple[float, ...], float] | None = None
    most_modes: int = 4

    def __post_init__(self) -> None:
        for name, known in (("smoothing_kind", KINDS), ("smoothing_measure", MEASURES), ("window", WINDOWS)):
            if getattr(self, name) not in known:
                raise DataError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        for name in ("smoothing", "low_frequency"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and float(value) >= 0):
                raise DataError(f"{name} is {value!r}; it must be a number that is not negative")
        for name in ("blocks", "most_modes"):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= 0):
                raise DataError(f"{name} is {value!r}; it must be an integer that is not negative")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and float(value) > 0):
                raise DataError(f"{name} is {value!r}; it must be a positive number, or None")


@dataclass(frozen=True)
class SpectrumPlan:
    """Everything that follows from the number of frames, their interval (fs) and the options.

    h           (frames,) taper
    lags        longest lag, in frames; window: (lags + 1,) lambda(k)
    points      intervals of the wavenumber grid
    resolution  cm^-1, sigma of the Gaussian as wide as the taper's kernel
    width       cm^-1, of the line shape; remaining: what of it is still to be convolved with, after the window
    """

    h: Floats
    lags: int
    window: Floats
    points: int
    resolution: float
    width: float
    remaining: float
    interval: float
    options: RamanOptions

    @property
    def wavenumber(self) -> Floats:
        """(points + 1,) cm^-1"""
        return grid_wavenumbers(self.points, self.interval)

    @property
    def power(self) -> float:
        """W = sum_t h_t^2"""
        return float(np.dot(self.h, self.h))

    @property
    def duration(self) -> float:
        """Length of the series, fs"""
        return self.interval * len(self.h)

    @property
    def blocks(self) -> int:
        return self.options.blocks

    def density(self, products: Floats) -> Floats:
        """One-sided spectral densities (..., points + 1) of C(k)/W (..., lags + 1)."""
        density = spectral_density(products * self.window, self.points, self.interval)
        if self.options.time_step is None:
            return density
        moved = verlet_wavenumber(self.wavenumber, self.options.time_step)
        return move_axis(density, self.wavenumber, moved)

    def smooth(self, spectrum: Floats) -> Floats:
        """Spectra (..., points + 1), convolved with what remains of the line shape."""
        return smooth(spectrum, self.interval, self.remaining, self.options.smoothing_kind)

    def line_shape(self, lag_times: Floats) -> Floats:
        """G at lags (fs), the transform of what remains of the line shape."""
        return line_shape_lags(lag_times, self.remaining, self.options.smoothing_kind)

    def lag_kernel(self, lags: int) -> Floats:
        """(lags + 1,) what multiplies the correlation function: window times line shape."""
        return self.window[: lags + 1] * self.line_shape(np.arange(lags + 1) * self.interval)

    @property
    def lost_with_mean(self) -> float:
        """Share of the smoothed density at zero wavenumber that is lost with the series' own mean.

        For a density S that is flat there, <C(k)> = W S delta_k - S [2 sum h^3/sum h - (sum h^2)^2/(sum h)^2] at lags
        short against the series.
        """
        h1, h2, h3 = (float(np.sum(self.h**n)) for n in (1, 2, 3))
        kernel = self.lag_kernel(self.lags)
        return (2 * h3 / h1 - (h2 / h1) ** 2) / h2 * float(2 * kernel.sum() - kernel[0])


def spectrum_plan(frames: int, interval: float, options: RamanOptions) -> SpectrumPlan:
    """Taper, lags and grid for `frames` frames, `interval` fs apart.

    The line shape is convolved in full with the tapered periodogram. Very long series get a window on the lags; its
    variance is deducted from that of the line shape, so that both together have the width asked for.
    """
    width = width_of(options.smoothing, options.smoothing_kind, options.smoothing_measure)
    smoothing_time = 1 / (RAD_PER_FS_PER_WAVENUMBER * width) if width else np.inf
    h = smoothing_taper(frames, interval, width)
    lags, window, window_width = _lag_window(frames, interval, smoothing_time, options)
    deducted = window_width**2 if options.smoothing_kind == "gaussian" else 0.0
    remaining = float(np.sqrt(max(width**2 - deducted, 0.0)))
    fine = min(width / 8 if width else np.inf, options.step / 4 if options.step else np.inf)
    points = grid_points(lags, interval, fine)
    return SpectrumPlan(h, lags, window, points, taper_resolution(h, interval), width, remaining, interval, options)


def _lag_window(
    frames: int, interval: float, smoothing_time: float, options: RamanOptions
) -> tuple[int, Floats, float]:
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
