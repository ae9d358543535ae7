"""The Raman spectrum of a polarizability series, equations S1-S3, with error bars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from mlraman_hpc.errors import DataError
from mlraman_hpc.numerics import central_peak, errorbars, quality, single_crystal
from mlraman_hpc.numerics.correlation import (
    Block,
    integrate,
    lagged_products,
    nyquist,
    smooth_blocks,
    spectral_density,
    taper,
    taper_width,
)
from mlraman_hpc.numerics.intensity import (
    ANISOTROPIC,
    ISOTROPIC,
    PAIRS,
    averages,
    channels,
    depolarization_ratio,
    intensity_factor,
    invariant_channels,
    pair_weights,
)
from mlraman_hpc.numerics.single_crystal import Geometry
from mlraman_hpc.numerics.smoothing import (
    lag_window,
    line_shape_lags,
    move_axis,
    resample,
    smooth,
    verlet_wavenumber,
    width_of,
)
from mlraman_hpc.schema.records import AngleMap, RamanSpectrum
from mlraman_hpc.units import RAD_PER_FS_PER_WAVENUMBER

MOST_LAGS = 2**15  # longer series are broadened by a Gaussian that is negligible beside the smoothing
LEAST_FRAMES = 16
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
class _Plan:
    """Everything that follows from the number of frames and the options.

    h        taper (frames,)          lags, window  longest lag and lambda(k)
    points   intervals of the grid    resolution    width of the taper's kernel
    width    of the line shape        remaining     width still to be convolved with, after taper and window
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


def plan(frames: int, interval: float, options: RamanOptions) -> _Plan:
    """Taper, lags and grid. Smoothing in all has the width asked for: variances of Gaussians add up."""
    width = width_of(options.smoothing, options.smoothing_kind, options.smoothing_measure)
    smoothing_time = 1 / (RAD_PER_FS_PER_WAVENUMBER * width) if width else np.inf
    h = taper(frames, int(min(frames / 8, 8 * smoothing_time / interval)))
    resolution = taper_width(h, interval)
    lags, window, window_width = _window(frames, interval, smoothing_time, options)
    spent = resolution**2 + window_width**2 if options.smoothing_kind == "gaussian" else 0.0
    remaining = float(np.sqrt(max(width**2 - spent, 0.0)))
    fine = min(width / 8 if width else np.inf, options.step / 4 if options.step else np.inf)
    points = fft.next_fast_len(max(lags + 1, int(np.ceil(nyquist(interval) / fine))), real=True)
    return _Plan(h, lags, window, points, resolution, width, remaining, interval, options)


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


def raman_spectrum(
    alpha: np.ndarray,
    frame_interval: float,
    options: RamanOptions | None = None,
    shares: np.ndarray | None = None,
    species: tuple[str, ...] = (),
    members: np.ndarray | None = None,
) -> RamanSpectrum:
    """I(nu) = (1 - nu/nu_in)^4 nu (45 S_a + 7 S_g)/45, smoothed, with error bars (equations S1-S3).

    alpha (frames, 3, 3) in Angstrom^3, `frame_interval` fs apart; shares (frames, species, 3, 3) with the names
    `species`, adding up to alpha; members (members, frames, 3, 3) of a committee. Raises DataError for a series that
    is too short or not finite.
    """
    options = options or RamanOptions()
    _check(alpha, frame_interval, options)
    setup = plan(len(alpha), frame_interval, options)
    products, by_block = _tensor_products(alpha, setup)
    density = setup.density(products)
    powder = _powder(density)
    factor = intensity_factor(setup.wavenumber, options.laser_wavelength, options.temperature)
    raw = _named(powder * factor, powder * setup.wavenumber)
    intensity = _smoothed(powder, factor, setup)
    component = setup.smooth(density * factor)
    result = RamanSpectrum(
        wavenumber=setup.wavenumber, intensity=intensity, raw=raw,
        depolarization_ratio=depolarization_ratio(intensity["polarized"], intensity["depolarized"]),
        fluctuation=_fluctuation(powder, setup),
        component=dict(zip(single_crystal.component_names(), component)),
        frames=len(alpha), frame_interval=float(frame_interval), smoothing=float(options.smoothing),
        smoothing_kind=f"{options.smoothing_kind} {options.smoothing_measure}", nyquist=nyquist(frame_interval),
        resolution=setup.resolution, visible_end=visible_end(setup.wavenumber, intensity["total"]),
        geometry=_geometries(component, options), angle_map=_angle_map(component, options),
    )
    if shares is not None:
        result = replace(result, species=_species_spectra(shares, species, setup, factor))
    if members is not None and len(members) > 1:
        result = replace(result, error_model=_model_error(members, setup, factor))
    if options.blocks:
        result = _with_blocks(result, by_block, alpha, setup, factor)
    result = replace(result, warnings=(*quality.spectrum_warnings(result, setup.width), *result.warnings))
    return _on_output_grid(result, options)


def _check(alpha: np.ndarray, interval: float, options: RamanOptions) -> None:
    if alpha.ndim != 3 or alpha.shape[1:] != (3, 3):
        raise DataError(f"a polarizability series has the shape (frames, 3, 3), this one has {alpha.shape}")
    least = max(LEAST_FRAMES, 4 * options.blocks)
    if len(alpha) < least:
        raise DataError(
            f"the polarizability series has {len(alpha)} frames; a spectrum with {options.blocks} blocks needs {least}")
    if not np.isfinite(interval) or interval <= 0:
        raise DataError(f"the frame interval is {interval} fs; it must be positive")
    bad = np.flatnonzero(~np.isfinite(alpha).all(axis=(1, 2)))
    if len(bad):
        raise DataError(f"the polarizability of frame {bad[0]} is not a finite number ({len(bad)} such frames)")
    if options.time_step is not None and options.time_step > interval * (1 + 1e-9):
        raise DataError(
            f"the integrator's time step of {options.time_step:g} fs is longer than the {interval:g} fs between frames")


def _reader(alpha: np.ndarray, h: np.ndarray, convert):
    """read(start, stop) for `lagged_products`: converted channels without their mean."""
    mean = convert((h @ alpha.reshape(len(h), -1) / h.sum()).reshape(alpha.shape[1:]))
    return lambda start, stop: convert(alpha[start:stop]) - mean[..., None]


def _tensor_products(alpha: np.ndarray, setup: _Plan) -> tuple[np.ndarray, np.ndarray | None]:
    """C(k)/W of PAIRS (21, lags + 1), and each block's part for S_a and S_g (blocks, 2, lags + 1)."""
    read = _reader(alpha, setup.h, channels)
    if not setup.options.blocks:
        whole = Block(0, np.ones(len(alpha)))
        return lagged_products(read, setup.h, PAIRS, setup.lags, whole) / setup.power, None
    total, parts = 0.0, []
    for block in smooth_blocks(setup.h, setup.options.blocks):
        products = lagged_products(read, setup.h, PAIRS, setup.lags, block) / setup.power
        parts.append(_powder(products))
        total = total + products
    return total, np.array(parts)


def _powder(pairs: np.ndarray) -> np.ndarray:
    """S_a and S_g (2, ...) from PAIRS (21, ...)."""
    return np.stack([pair_weights(ISOTROPIC), pair_weights(ANISOTROPIC)]) @ pairs


def _named(intensity: np.ndarray, reduced: np.ndarray) -> dict[str, np.ndarray]:
    """By name, from S_a, S_g (..., 2, wavenumbers) times the intensity's factor and times nu."""
    return {
        **averages(intensity[..., 0, :], intensity[..., 1, :]),
        "susceptibility": averages(reduced[..., 0, :], reduced[..., 1, :])["total"],
    }


def _smoothed(powder: np.ndarray, factor: np.ndarray, setup: _Plan) -> dict[str, np.ndarray]:
    """Smoothed intensities by name from densities S_a, S_g (..., 2, wavenumbers)."""
    return _named(setup.smooth(powder * factor), setup.smooth(powder * setup.wavenumber))


def _fluctuation(powder: np.ndarray, setup: _Plan) -> dict[str, np.ndarray]:
    a, g = setup.smooth(powder)
    return {"isotropic": a, "anisotropic": g, "total": averages(a, g)["total"]}


def _geometries(component: np.ndarray, options: RamanOptions) -> dict[str, np.ndarray] | None:
    if not options.geometries:
        return None
    return {geometry.name: single_crystal.geometry_spectrum(component, geometry) for geometry in options.geometries}


def _angle_map(component: np.ndarray, options: RamanOptions) -> AngleMap | None:
    if options.angle_map is None:
        return None
    return AngleMap(*single_crystal.angle_resolved(component, *options.angle_map))


def _species_spectra(shares, species, setup: _Plan, factor) -> dict[str, np.ndarray]:
    """Auto and cross spectra of the shares, cross terms counted twice, so that all of them add up to the total."""
    names = list(species)
    if shares.ndim != 4 or shares.shape[1] != len(names) or len(shares) != len(setup.h):
        raise DataError(f"the species' shares have the shape {shares.shape}, expected "
                        f"({len(setup.h)}, {len(names)}, 3, 3) for {', '.join(names)}")
    couples = [(s, t) for s in range(len(names)) for t in range(s, len(names))]
    pairs = [(6 * s + c, 6 * t + c) for s, t in couples for c in range(6)]

    def convert(tensors):
        return np.concatenate([invariant_channels(tensors[..., s, :, :]) for s in range(len(names))])

    products = _whole_products(shares, convert, pairs, setup).reshape(len(couples), 6, -1)
    spectra = setup.smooth(setup.density(_invariants(products)) * factor)
    return {
        names[s] if s == t else f"{names[s]}-{names[t]}": (1 if s == t else 2) * averages(*spectrum)["total"]
        for (s, t), spectrum in zip(couples, spectra)
    }


def _whole_products(series, convert, pairs, setup: _Plan) -> np.ndarray:
    whole = Block(0, np.ones(len(series)))
    return lagged_products(_reader(series, setup.h, convert), setup.h, pairs, setup.lags, whole) / setup.power


def _invariants(products: np.ndarray) -> np.ndarray:
    """(..., 6, lags) of `invariant_channels` to (..., 2, lags)."""
    return np.stack([products[..., 0, :], products[..., 1:, :].sum(axis=-2)], axis=-2)


def _model_error(members, setup: _Plan, factor) -> dict[str, np.ndarray]:
    pairs = [(c, c) for c in range(6)]
    spectra = []
    for member in members:
        powder = setup.density(_invariants(_whole_products(member, invariant_channels, pairs, setup)))
        spectra.append(_smoothed(powder, factor, setup))
    return {name: errorbars.spread(np.array([one[name] for one in spectra])) for name in spectra[0]}


def _with_blocks(result: RamanSpectrum, by_block, alpha, setup: _Plan, factor) -> RamanSpectrum:
    """Everything that needs blocks: error bars, central peak, and whether the spectrum has converged."""
    blocks = len(by_block)
    parts = setup.density(by_block)
    without = (parts.sum(axis=0) - parts) * (blocks / (blocks - 1))
    calibration = calibration_of(setup)
    errors = {name: errorbars.jackknife(values, calibration.factor)
              for name, values in _smoothed(without, factor, setup).items()}
    peak = central_peak.analyse(setup, parts.sum(axis=0), without, factor, calibration.factor)
    found = (*quality.block_warnings(setup), *quality.drift_warnings(alpha, blocks),
             *quality.halves_warnings(setup, averages(parts[:, 0] * factor, parts[:, 1] * factor)["total"]))
    return replace(result, error_statistical=errors, blocks=blocks, central_peak=peak, warnings=found)


def calibration_of(setup: _Plan) -> errorbars.Calibration:
    """How much of what the smoothing needs this plan's blocks share."""
    blocks = setup.options.blocks
    times = np.unique(np.linspace(0, len(setup.h) - 1, 32 * blocks).astype(int))
    weights = np.array([block.at(times) for block in smooth_blocks(setup.h, blocks)])
    lags = np.abs(times[:, None] - times[None, :]) * setup.interval
    kernel = line_shape_lags(lags, setup.remaining, setup.options.smoothing_kind)
    return errorbars.calibrate(setup.h[times], weights, kernel)


def visible_end(wavenumber: np.ndarray, total: np.ndarray) -> float:
    """Where the figure may end: beyond it no value exceeds 0.5 % of the highest; a twentieth is added."""
    if not total.max() > 0:
        return float(wavenumber[-1])
    last = wavenumber[np.flatnonzero(total > 0.005 * total.max())[-1]]
    return float(min(wavenumber[-1], np.ceil(1.05 * last / 10) * 10 + 10))


def _on_output_grid(result: RamanSpectrum, options: RamanOptions) -> RamanSpectrum:
    """Cut at max_wavenumber and, with a step, average into its bins."""
    old = result.wavenumber
    end = min(options.max_wavenumber or old[-1], old[-1])
    if options.step is None:
        new = old[old <= end * (1 + 1e-12)]
    else:
        new = np.arange(int(end / options.step + 1e-9) + 1) * options.step
    if len(new) < 2:
        raise DataError(f"the spectrum ends at {end:g} cm^-1, below two grid points; raise max_wavenumber")

    def put(values):
        if isinstance(values, dict):
            return {name: put(item) for name, item in values.items()}
        if values is None or options.step is None:
            return None if values is None else values[..., :len(new)]
        return resample(values, old, new)

    names = ("intensity", "raw", "fluctuation", "component", "error_statistical", "error_model", "species", "geometry")
    changed = {name: put(getattr(result, name)) for name in names}
    angle_map = result.angle_map
    if angle_map is not None:
        angle_map = replace(angle_map, parallel=put(angle_map.parallel), crossed=put(angle_map.crossed))
    ratio = depolarization_ratio(changed["intensity"]["polarized"], changed["intensity"]["depolarized"])
    return replace(result, wavenumber=new, depolarization_ratio=ratio, angle_map=angle_map, **changed)


def area(result: RamanSpectrum, name: str = "total") -> float:
    """Integral of a smoothed intensity (Angstrom^6 cm^-1)."""
    return float(integrate(result.intensity[name], result.wavenumber[1]))
