"""The Raman spectrum of a polarizability series, equations S1-S3, with error bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra import central_peak, quality, single_crystal
from mlraman_hpc.numerics.spectra.committee import CommitteeDensities
from mlraman_hpc.numerics.spectra.correlation import Block, ReadChannels, lagged_products, nyquist, smooth_blocks
from mlraman_hpc.numerics.spectra.errorbars import calibrate, jackknife
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
from mlraman_hpc.numerics.spectra.plan import RamanOptions, SpectrumPlan, spectrum_plan
from mlraman_hpc.numerics.spectra.smoothing import resample
from mlraman_hpc.records.spectra import AngleMap, RamanSpectrum

LEAST_FRAMES = 16
_POWDER = np.stack([pair_weights(ISOTROPIC), pair_weights(ANISOTROPIC)])  # S_a and S_g from PAIRS
_ON_GRID = (
    "intensity",
    "raw",
    "fluctuation",
    "component",
    "error_statistical",
    "error_model",
    "error_model_bias",
    "added",
    "error_geometry",
    "species",
    "geometry",
)

Spectra = dict[str, Floats]


def raman_spectrum(
    alpha: npt.ArrayLike,
    frame_interval: float,
    options: RamanOptions | None = None,
    shares: npt.ArrayLike | None = None,
    species: Sequence[str] = (),
    members: npt.ArrayLike | None = None,
    **settings: Any,
) -> RamanSpectrum:
    """I(nu) = (1 - nu/nu_in)^4 nu (45 S_a + 7 S_g)/45, smoothed, with error bars (equations S1-S3).

    alpha           (frames, 3, 3) Angstrom^3, of the cell
    frame_interval  fs between two frames
    options         or their fields as keywords: raman_spectrum(alpha, 10.0, smoothing=6.0, temperature=300.0)
    shares          (frames, species, 3, 3) of each of the `species`, adding up to alpha: adds the species' spectra
    members         (members, frames, 3, 3) of a committee: adds what the model takes away, and its error (`committee`)

    Intensities in Angstrom^6, wavenumbers in cm^-1. Raises DataError for options without meaning and for a series
    that is too short, not finite or of another shape; TypeError for an unknown keyword.
    """
    options = _with_settings(options or RamanOptions(), settings)
    series = _array(alpha, "polarizability series")
    _check(series, frame_interval, options)
    plan = spectrum_plan(len(series), frame_interval, options)
    products, by_block = _tensor_products(series, plan)
    committee, added = (None, None) if members is None else _committee(series, members, plan)
    density = plan.density(products if added is None else products + added)
    powder = _POWDER @ density
    factor = intensity_factor(plan.wavenumber, options.laser_wavelength, options.temperature)
    intensity = _smoothed(powder, factor, plan)
    component = plan.smooth(density * factor)
    result = RamanSpectrum(
        wavenumber=plan.wavenumber,
        intensity=intensity,
        raw=_named(powder * factor, powder * plan.wavenumber),
        depolarization_ratio=depolarization_ratio(intensity["polarized"], intensity["depolarized"]),
        fluctuation=_fluctuation(powder, plan),
        component=dict(zip(single_crystal.component_names(), component)),
        frames=len(series),
        frame_interval=float(frame_interval),
        smoothing=float(options.smoothing),
        smoothing_kind=f"{options.smoothing_kind} {options.smoothing_measure}",
        nyquist=nyquist(frame_interval),
        resolution=plan.resolution,
        visible_end=visible_end(plan.wavenumber, intensity["total"]),
        geometry=_geometries(component, options),
        angle_map=_angle_map(component, options),
        species=None if shares is None else _species_spectra(shares, species, plan, factor, intensity["total"]),
        error_model=None if committee is None else _by_name(committee.error, factor, plan),
        error_model_bias=None if committee is None else _by_name(committee.bias, factor, plan),
        added=None if added is None else _smoothed(_POWDER @ plan.density(added), factor, plan),
        laser_wavelength=options.laser_wavelength,
        temperature=options.temperature,
        mean_polarizability=float(np.trace(series, axis1=1, axis2=2).mean() / 3),
    )
    warnings = [*quality.aliasing(result), *quality.short_trajectory(plan)]
    if by_block is not None:
        if added is not None:  # alike in all blocks: its own statistical error is small beside that of alpha
            by_block = by_block + _forms(plan) @ added / plan.blocks
        block_density = plan.density(by_block)
        result = _with_errors(result, block_density, plan, factor, committee)
        block_total = averages(block_density[:, 0] * factor, block_density[:, 1] * factor)["total"]
        warnings += [
            *quality.short_blocks(plan),
            *quality.drift(series, plan.blocks),
            *quality.unequal_halves(plan, block_total),
        ]
    return _on_output_grid(replace(result, warnings=tuple(map(str, warnings))), options)


def _with_settings(options: RamanOptions, settings: dict[str, Any]) -> RamanOptions:
    known = [field.name for field in fields(RamanOptions)]
    for name in settings:
        if name not in known:
            raise TypeError(f"raman_spectrum has no option {name!r}; there are {', '.join(known)}")
    return replace(options, **settings)


def _array(values: npt.ArrayLike, name: str) -> Floats:
    """Real numbers; DataError for what cannot be read as such."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"the {name} must be an array, its entries have different lengths") from None
    if array.dtype.kind not in "fiu":
        raise DataError(f"the {name} must be an array of real numbers, this one has the type {array.dtype}")
    return array if array.dtype == np.float64 else array.astype(float)


def _check(alpha: Floats, interval: float, options: RamanOptions) -> None:
    if alpha.ndim != 3 or alpha.shape[1:] != (3, 3):
        raise DataError(f"a polarizability series has the shape (frames, 3, 3), this one has {alpha.shape}")
    if options.blocks == 1:
        raise DataError("one block gives no error bar; take 0 (none) or at least 2 blocks")
    least = max(LEAST_FRAMES, 4 * options.blocks)
    if len(alpha) < least:
        raise DataError(
            f"the polarizability series has {len(alpha)} frames; a spectrum with {options.blocks} blocks needs {least}"
        )
    if not isinstance(interval, Real) or not np.isfinite(float(interval)) or interval <= 0:
        raise DataError(f"the frame interval is {interval} fs; it must be positive")
    bad = np.flatnonzero(~np.isfinite(alpha).all(axis=(1, 2)))
    if len(bad):
        raise DataError(f"the polarizability of frame {bad[0]} is not a finite number ({len(bad)} such frames)")
    if options.time_step is not None and options.time_step > interval * (1 + 1e-9):
        raise DataError(
            f"the integrator's time step of {options.time_step:g} fs is longer than the {interval:g} fs between frames"
        )


def _reader(tensors: Floats, h: Floats, convert: Callable[[Floats], Floats]) -> ReadChannels:
    """read(start, stop) for `lagged_products`: converted channels without their mean."""
    mean = convert((h @ tensors.reshape(len(h), -1) / h.sum()).reshape(tensors.shape[1:]))
    return lambda start, stop: convert(tensors[start:stop]) - mean[..., None]


def _tensor_products(alpha: Floats, plan: SpectrumPlan) -> tuple[Floats, Floats | None]:
    """C(k)/W of PAIRS (21, lags + 1), and each block's share of S_a, S_g and geometries (blocks, 2 + ..., lags + 1)."""
    read = _reader(alpha, plan.h, channels)
    if not plan.blocks:
        return lagged_products(read, plan.h, PAIRS, plan.lags, Block.of_all(len(alpha))) / plan.power, None
    forms = _forms(plan)
    total, by_block = np.zeros((len(PAIRS), plan.lags + 1)), []
    for block in smooth_blocks(plan.h, plan.blocks):
        products = lagged_products(read, plan.h, PAIRS, plan.lags, block) / plan.power
        by_block.append(forms @ products)
        total = total + products
    return total, np.array(by_block)


def _forms(plan: SpectrumPlan) -> Floats:
    """(2 + ..., 21): S_a, S_g and geometries from PAIRS."""
    return np.vstack([_POWDER, *map(single_crystal.geometry_weights, plan.options.geometries)])


def _named(intensity: Floats, reduced: Floats) -> Spectra:
    """By name, from S_a, S_g (..., 2, wavenumbers) times the intensity's factor and times nu."""
    return {
        **averages(intensity[..., 0, :], intensity[..., 1, :]),
        "susceptibility": averages(reduced[..., 0, :], reduced[..., 1, :])["total"],
    }


def _smoothed(powder: Floats, factor: Floats, plan: SpectrumPlan) -> Spectra:
    """Smoothed intensities by name from densities S_a, S_g (..., 2, wavenumbers)."""
    return _named(plan.smooth(powder * factor), plan.smooth(powder * plan.wavenumber))


def _fluctuation(powder: Floats, plan: SpectrumPlan) -> Spectra:
    a, g = plan.smooth(powder)
    return {"isotropic": a, "anisotropic": g, "total": averages(a, g)["total"]}


def _geometries(component: Floats, options: RamanOptions) -> Spectra | None:
    spectra: Spectra = {x.name: single_crystal.geometry_weights(x) @ component for x in options.geometries}
    return spectra or None


def _angle_map(component: Floats, options: RamanOptions) -> AngleMap | None:
    if options.angle_map is None:
        return None
    return AngleMap(*single_crystal.angle_resolved(component, *options.angle_map))


def _species_spectra(
    shares: npt.ArrayLike, species: Sequence[str], plan: SpectrumPlan, factor: Floats, total: Floats
) -> Spectra:
    """Auto and cross spectra of the shares, cross terms counted twice, scaled so that all of them add up to the total.

    They do without scaling but for what a committee adds to the total.
    """
    names, tensors = list(species), _array(shares, "species' shares")
    if tensors.shape != (len(plan.h), len(names), 3, 3):
        raise DataError(
            f"the species' shares have the shape {tensors.shape}, expected "
            f"({len(plan.h)}, {len(names)}, 3, 3) for {', '.join(names)}"
        )
    couples = [(s, t) for s in range(len(names)) for t in range(s, len(names))]
    pairs = [(6 * s + c, 6 * t + c) for s, t in couples for c in range(6)]

    def convert(values: Floats) -> Floats:
        return np.concatenate([invariant_channels(values[..., s, :, :]) for s in range(len(names))])

    products = _products(tensors, convert, pairs, plan).reshape(len(couples), 6, -1)
    spectra = plan.smooth(plan.density(_invariants(products)) * factor)
    by_pair = {
        names[s] if s == t else f"{names[s]}-{names[t]}": (1 if s == t else 2) * averages(*spectrum)["total"]
        for (s, t), spectrum in zip(couples, spectra)
    }
    own = np.sum(list(by_pair.values()), axis=0)
    scale = np.divide(total, own, out=np.ones_like(total), where=own > 1e-9 * own.max(initial=0.0))
    return {name: values * scale for name, values in by_pair.items()}


def _products(
    tensors: Floats, convert: Callable[[Floats], Floats], pairs: list[tuple[int, int]], plan: SpectrumPlan
) -> Floats:
    """C(k)/W of pairs of converted channels, (pairs, lags + 1)."""
    read = _reader(tensors, plan.h, convert)
    return lagged_products(read, plan.h, pairs, plan.lags, Block.of_all(len(tensors))) / plan.power


def _invariants(products: Floats) -> Floats:
    """(..., 6, lags) of `invariant_channels` to (..., 2, lags)."""
    return np.stack([products[..., 0, :], products[..., 1:, :].sum(axis=-2)], axis=-2)


def _committee(
    alpha: Floats, members: npt.ArrayLike, plan: SpectrumPlan
) -> tuple[CommitteeDensities | None, Floats | None]:
    """Densities of the committee, and C(k)/W of PAIRS (21, lags + 1) that its deviations add; None for one member."""
    committee = _array(members, "committee's series")
    if committee.ndim != 4 or committee.shape[1:] != (len(plan.h), 3, 3):
        raise DataError(
            f"the committee's series have the shape {committee.shape}, expected (members, {len(plan.h)}, 3, 3)"
        )
    if len(committee) < 2:
        return None, None
    mean = committee.mean(axis=0)
    added, densities = np.zeros((len(PAIRS), plan.lags + 1)), []
    for member in committee:
        deviation = member - mean
        read = _reader(deviation, plan.h, channels)
        added += lagged_products(read, plan.h, PAIRS, plan.lags, Block.of_all(len(alpha))) / plan.power
        densities.append(_powder_density(alpha + deviation, plan))
    committee_densities = CommitteeDensities(
        np.array(densities), _powder_density(alpha, plan), _powder_density(mean, plan)
    )
    return committee_densities, added / len(committee)


def _powder_density(alpha: Floats, plan: SpectrumPlan) -> Floats:
    """(2, wavenumbers) S_a and S_g."""
    return plan.density(_invariants(_products(alpha, invariant_channels, [(c, c) for c in range(6)], plan)))


def _by_name(error: Callable[[Callable[[Floats], Floats]], Floats], factor: Floats, plan: SpectrumPlan) -> Spectra:
    """`CommitteeDensities.error` or `bias` of the smoothed intensities."""

    def of(name: str) -> Callable[[Floats], Floats]:
        return lambda powder: _smoothed(powder, factor, plan)[name]

    return {name: error(of(name)) for name in _smoothed(np.zeros((2, len(factor))), factor, plan)}


def _with_errors(
    result: RamanSpectrum, density: Floats, plan: SpectrumPlan, factor: Floats, committee: CommitteeDensities | None
) -> RamanSpectrum:
    """Error bars and the central peak from the blocks' densities (blocks, 2 + geometries, wavenumbers)."""
    blocks = len(density)
    without = (density.sum(axis=0) - density) * (blocks / (blocks - 1))
    calibration = calibrate(plan).factor
    spectra = _smoothed(without[:, :2], factor, plan)
    geometries = {
        geometry.name: jackknife(plan.smooth(without[:, 2 + number] * factor), calibration)
        for number, geometry in enumerate(plan.options.geometries)
    }
    return replace(
        result,
        error_statistical={name: jackknife(values, calibration) for name, values in spectra.items()},
        error_geometry=geometries or None,
        blocks=blocks,
        central_peak=central_peak.analyse(
            plan, density[:, :2].sum(axis=0), without[:, :2], factor, calibration, committee
        ),
    )


def visible_end(wavenumber: Floats, total: Floats) -> float:
    """Where the figure may end: beyond it no value exceeds 0.5 % of the highest; a twentieth is added."""
    if not total.max() > 0:
        return float(wavenumber[-1])
    last = wavenumber[np.flatnonzero(total > 0.005 * total.max())[-1]]
    return float(min(wavenumber[-1], np.ceil(1.05 * last / 10) * 10 + 10))


def _on_output_grid(result: RamanSpectrum, options: RamanOptions) -> RamanSpectrum:
    """Cut at max_wavenumber and, with a step, average into its bins."""
    grid = result.wavenumber
    end = min(options.max_wavenumber or grid[-1], grid[-1])
    if options.step is None:
        output = grid[grid <= end * (1 + 1e-12)]
    else:
        output = np.arange(int(end / options.step + 1e-9) + 1) * options.step
    if len(output) < 2:
        raise DataError(f"the spectrum ends at {end:g} cm^-1, below two grid points; raise max_wavenumber")

    def put(values: Floats) -> Floats:
        return values[..., : len(output)] if options.step is None else resample(values, grid, output)

    def put_all(spectra: Spectra | None) -> Spectra | None:
        return None if spectra is None else {name: put(values) for name, values in spectra.items()}

    changed: dict[str, Any] = {name: put_all(getattr(result, name)) for name in _ON_GRID}
    turned = result.angle_map
    if turned is not None:
        turned = replace(turned, parallel=put(turned.parallel), crossed=put(turned.crossed))
    ratio = depolarization_ratio(changed["intensity"]["polarized"], changed["intensity"]["depolarized"])
    return replace(result, wavenumber=output, depolarization_ratio=ratio, angle_map=turned, **changed)
