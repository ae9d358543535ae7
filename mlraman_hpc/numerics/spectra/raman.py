"""The Raman spectrum of a polarizability series, equations S1-S3, with error bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra import central_peak, errorbars, quality, single_crystal
from mlraman_hpc.numerics.spectra.correlation import Block, lagged_products, nyquist, smooth_blocks
from mlraman_hpc.numerics.spectra.intensity import (
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
from mlraman_hpc.numerics.spectra.plan import Plan, RamanOptions, calibration_of, plan
from mlraman_hpc.numerics.spectra.smoothing import resample
from mlraman_hpc.records.spectra import AngleMap, RamanSpectrum

LEAST_FRAMES = 16
_POWDER = np.stack([pair_weights(ISOTROPIC), pair_weights(ANISOTROPIC)])  # S_a and S_g from PAIRS


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
    powder = _POWDER @ density
    factor = intensity_factor(setup.wavenumber, options.laser_wavelength, options.temperature)
    raw = _named(powder * factor, powder * setup.wavenumber)
    intensity = _smoothed(powder, factor, setup)
    component = setup.smooth(density * factor)
    result = RamanSpectrum(
        wavenumber=setup.wavenumber,
        intensity=intensity,
        raw=raw,
        depolarization_ratio=depolarization_ratio(intensity["polarized"], intensity["depolarized"]),
        fluctuation=_fluctuation(powder, setup),
        component=dict(zip(single_crystal.component_names(), component)),
        frames=len(alpha),
        frame_interval=float(frame_interval),
        smoothing=float(options.smoothing),
        smoothing_kind=f"{options.smoothing_kind} {options.smoothing_measure}",
        nyquist=nyquist(frame_interval),
        resolution=setup.resolution,
        visible_end=visible_end(setup.wavenumber, intensity["total"]),
        geometry=_geometries(component, options),
        angle_map=_angle_map(component, options),
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
    if options.blocks == 1:
        raise DataError("one block gives no error bar; take 0 (none) or at least 2 blocks")
    least = max(LEAST_FRAMES, 4 * options.blocks)
    if len(alpha) < least:
        raise DataError(
            f"the polarizability series has {len(alpha)} frames; a spectrum with {options.blocks} blocks needs {least}"
        )
    if not np.isfinite(interval) or interval <= 0:
        raise DataError(f"the frame interval is {interval} fs; it must be positive")
    bad = np.flatnonzero(~np.isfinite(alpha).all(axis=(1, 2)))
    if len(bad):
        raise DataError(f"the polarizability of frame {bad[0]} is not a finite number ({len(bad)} such frames)")
    if options.time_step is not None and options.time_step > interval * (1 + 1e-9):
        raise DataError(
            f"the integrator's time step of {options.time_step:g} fs is longer than the {interval:g} fs between frames"
        )


def _reader(alpha: np.ndarray, h: np.ndarray, convert):
    """read(start, stop) for `lagged_products`: converted channels without their mean."""
    mean = convert((h @ alpha.reshape(len(h), -1) / h.sum()).reshape(alpha.shape[1:]))
    return lambda start, stop: convert(alpha[start:stop]) - mean[..., None]


def _tensor_products(alpha: np.ndarray, setup: Plan) -> tuple[np.ndarray, np.ndarray | None]:
    """C(k)/W of PAIRS (21, lags + 1), and each block's part for S_a, S_g and geometries (blocks, 2 + ..., lags + 1)."""
    read = _reader(alpha, setup.h, channels)
    if not setup.options.blocks:
        whole = Block(0, np.ones(len(alpha)))
        return lagged_products(read, setup.h, PAIRS, setup.lags, whole) / setup.power, None
    forms = np.vstack([_POWDER, *(single_crystal.geometry_weights(one) for one in setup.options.geometries)])
    total, parts = 0.0, []
    for block in smooth_blocks(setup.h, setup.options.blocks):
        products = lagged_products(read, setup.h, PAIRS, setup.lags, block) / setup.power
        parts.append(forms @ products)
        total = total + products
    return total, np.array(parts)


def _named(intensity: np.ndarray, reduced: np.ndarray) -> dict[str, np.ndarray]:
    """By name, from S_a, S_g (..., 2, wavenumbers) times the intensity's factor and times nu."""
    return {
        **averages(intensity[..., 0, :], intensity[..., 1, :]),
        "susceptibility": averages(reduced[..., 0, :], reduced[..., 1, :])["total"],
    }


def _smoothed(powder: np.ndarray, factor: np.ndarray, setup: Plan) -> dict[str, np.ndarray]:
    """Smoothed intensities by name from densities S_a, S_g (..., 2, wavenumbers)."""
    return _named(setup.smooth(powder * factor), setup.smooth(powder * setup.wavenumber))


def _fluctuation(powder: np.ndarray, setup: Plan) -> dict[str, np.ndarray]:
    a, g = setup.smooth(powder)
    return {"isotropic": a, "anisotropic": g, "total": averages(a, g)["total"]}


def _geometries(component: np.ndarray, options: RamanOptions) -> dict[str, np.ndarray] | None:
    if not options.geometries:
        return None
    return {one.name: single_crystal.geometry_weights(one) @ component for one in options.geometries}


def _angle_map(component: np.ndarray, options: RamanOptions) -> AngleMap | None:
    if options.angle_map is None:
        return None
    return AngleMap(*single_crystal.angle_resolved(component, *options.angle_map))


def _species_spectra(shares, species, setup: Plan, factor) -> dict[str, np.ndarray]:
    """Auto and cross spectra of the shares, cross terms counted twice, so that all of them add up to the total."""
    names = list(species)
    if shares.ndim != 4 or shares.shape[1] != len(names) or len(shares) != len(setup.h):
        raise DataError(
            f"the species' shares have the shape {shares.shape}, expected "
            f"({len(setup.h)}, {len(names)}, 3, 3) for {', '.join(names)}"
        )
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


def _whole_products(series, convert, pairs, setup: Plan) -> np.ndarray:
    whole = Block(0, np.ones(len(series)))
    return lagged_products(_reader(series, setup.h, convert), setup.h, pairs, setup.lags, whole) / setup.power


def _invariants(products: np.ndarray) -> np.ndarray:
    """(..., 6, lags) of `invariant_channels` to (..., 2, lags)."""
    return np.stack([products[..., 0, :], products[..., 1:, :].sum(axis=-2)], axis=-2)


def _model_error(members, setup: Plan, factor) -> dict[str, np.ndarray]:
    pairs = [(c, c) for c in range(6)]
    spectra = []
    for member in members:
        powder = setup.density(_invariants(_whole_products(member, invariant_channels, pairs, setup)))
        spectra.append(_smoothed(powder, factor, setup))
    return {name: errorbars.spread(np.array([one[name] for one in spectra])) for name in spectra[0]}


def _with_blocks(result: RamanSpectrum, by_block, alpha, setup: Plan, factor) -> RamanSpectrum:
    """Everything that needs blocks: error bars, central peak, and whether the spectrum has converged."""
    blocks = len(by_block)
    density = setup.density(by_block)
    all_without = (density.sum(axis=0) - density) * (blocks / (blocks - 1))
    parts, without = density[:, :2], all_without[:, :2]
    calibration = calibration_of(setup)
    geometry_errors = {
        one.name: errorbars.jackknife(setup.smooth(all_without[:, 2 + number] * factor), calibration.factor)
        for number, one in enumerate(setup.options.geometries)
    }
    errors = {
        name: errorbars.jackknife(values, calibration.factor)
        for name, values in _smoothed(without, factor, setup).items()
    }
    peak = central_peak.analyse(setup, parts.sum(axis=0), without, factor, calibration.factor)
    found = (
        *quality.block_warnings(setup),
        *quality.drift_warnings(alpha, blocks),
        *quality.halves_warnings(setup, averages(parts[:, 0] * factor, parts[:, 1] * factor)["total"]),
    )
    return replace(
        result,
        error_statistical=errors,
        error_geometry=geometry_errors or None,
        blocks=blocks,
        central_peak=peak,
        warnings=found,
    )


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
            return None if values is None else values[..., : len(new)]
        return resample(values, old, new)

    names = (
        "intensity",
        "raw",
        "fluctuation",
        "component",
        "error_statistical",
        "error_model",
        "error_geometry",
        "species",
        "geometry",
    )
    changed = {name: put(getattr(result, name)) for name in names}
    angle_map = result.angle_map
    if angle_map is not None:
        angle_map = replace(angle_map, parallel=put(angle_map.parallel), crossed=put(angle_map.crossed))
    ratio = depolarization_ratio(changed["intensity"]["polarized"], changed["intensity"]["depolarized"])
    return replace(result, wavenumber=new, depolarization_ratio=ratio, angle_map=angle_map, **changed)
