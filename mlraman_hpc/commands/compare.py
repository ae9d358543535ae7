"""`mlraman compare`: the spectrum against that of reference tensors and against a measured one (Fig. 2D), and above
those of other runs (Fig. 3).

-> comparison.h5, comparison.png, comparison_spectra.png
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.numbers import number, percent
from mlraman_hpc.config import yaml_source
from mlraman_hpc.config.deck_reader import input_files
from mlraman_hpc.config.spectrum_sections import Experiment
from mlraman_hpc.numerics.spectra import agreement
from mlraman_hpc.numerics.spectra.intensity import intensity_factor
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.numerics.spectra.smoothing import width_of
from mlraman_hpc.pipeline.freshness import refuse_other_deck
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.spectra import raman_options, read_series, relative_total, total_with_error
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.readers.measured import read_measured
from mlraman_hpc.records.spectra import Comparison, RamanSpectrum
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

LEAST_WAVENUMBER = 1e-3  # cm^-1


def compare(job: Job) -> None:
    """Root works; the spectra are small."""
    job.section("comparison")
    run_step(job, Comparison, _origin, _compute, root_alone=True)


def _origin(job: Job) -> Origin:
    section, ours = job.section("comparison"), job.output / RamanSpectrum.file_name
    if not ours.exists():
        raise DataError(f"{ours}: no spectrum yet; 'mlraman spectrum' computes it")
    refuse_other_deck(job, ours)
    parents = {str(ours): hdf5.content_of(ours)}
    for name in ("series", "experiment"):
        if getattr(section, name) is not None:
            parents |= hashes(job.files(f"comparison.{name}.file"))
    parents |= {str(file): hdf5.content_of(file) for file in _others(job).values()}
    settings = section.model_dump(), job.deck.spectrum.model_dump()
    return job.origin("compare", parents, *settings, history=hdf5.history_of(ours))


def _compute(step: Step) -> Output:
    job, section = step.job, step.job.section("comparison")
    spectrum = hdf5.load(RamanSpectrum, job.output)
    result = Comparison(
        wavenumber=spectrum.wavenumber,
        ours=spectrum.intensity["total"],
        error=(spectrum.error_statistical or {}).get("total"),
        **_reference(job, spectrum),
        **_experiment(job, spectrum),
        **_stack(job, spectrum, _others(job)),
    )
    output = Output(result, lines=_lines(result))
    if section.series or section.experiment:
        label = section.experiment.label if section.experiment else ""
        arguments = result, spectrum.visible_end, label, job.deck.title
        output.figures["comparison.png"] = (figures.comparison_figure, *arguments)
    if result.spectra and section.overlay:
        curves = {section.label: spectrum}
        curves |= {label: hdf5.load(RamanSpectrum, file) for label, file in _others(job).items()}
        output.figures["comparison_spectra.png"] = (figures.overlay_figure, curves, job.deck.title)
    elif result.spectra:
        output.figures["comparison_spectra.png"] = (figures.stack_figure, _rows(result))
    return output


def _others(job: Job) -> dict[str, Path]:
    """Files of other runs' spectra by label."""
    section = job.section("comparison")
    files: dict[str, Path] = {}
    for k, other in enumerate(section.spectra):
        dotted = f"comparison.spectra.{k}"
        if other.label in (section.label, *files) or "/" in other.label:
            raise DeckKeyError(
                f"{dotted}.label",
                f"'{other.label}' "
                + ("is given twice" if "/" not in other.label else "must not contain '/'")
                + "; give each spectrum a name of its own",
            )
        files[other.label] = input_files(job.deck, f"{dotted}.file", [other.file])[0]
    return files


def _stack(job: Job, ours: RamanSpectrum, others: dict[str, Path]) -> dict:
    """This spectrum and those of other runs, side by side; what makes them unlike is told."""
    if not others:
        return {}
    spectra = {job.section("comparison").label: ours}
    for label, file in others.items():
        spectra[label] = hdf5.load(RamanSpectrum, file)
        _check_alike(job, file, ours, spectra[label])
    return {
        "difference": {label: _difference(ours, spectra[label]) for label in others},
        "spectra": {label: relative_total(spectrum) for label, spectrum in spectra.items()},
        "weight": {label: _weight(spectrum) for label, spectrum in spectra.items()},
    }


def _check_alike(job: Job, file: Path, ours: RamanSpectrum, other: RamanSpectrum) -> None:
    """Spectra that were made in different ways are not to be compared by eye."""
    origin = hdf5.read_origin(file)
    keys = yaml_source.parse(origin.deck, str(file)).values.get("spectrum") or {}
    unlike = [
        f"{name} {getattr(other, name)}"
        for name in ("smoothing_kind", "smoothing")
        if getattr(other, name) != getattr(ours, name)
    ]
    unlike += [
        f"{name} {keys[name]}"
        for name in ("laser_wavelength", "temperature")
        if name in keys and keys[name] != getattr(job.deck.spectrum, name)
    ]
    if unlike:
        job.console.warn(
            f"{file}: made with {', '.join(unlike)}, unlike this run; compare heights and positions with care"
        )


def _difference(ours: RamanSpectrum, other: RamanSpectrum) -> np.ndarray:
    """(2,) see `Comparison`; where both have intensity. NaN for the second where one of them has no error."""
    common = (ours.wavenumber <= min(ours.visible_end, other.visible_end, other.wavenumber[-1])).nonzero()[0]
    nu, (mine, my_error) = ours.wavenumber[common], total_with_error(ours)
    theirs, their_error = (np.interp(nu, other.wavenumber, values) for values in total_with_error(other))
    off, both = mine[common] - theirs, np.hypot(my_error[common], their_error)
    within = float(np.mean(np.abs(off) <= both)) if np.isfinite(both).all() else np.nan
    return np.array([np.linalg.norm(off) / np.linalg.norm(mine[common]), within])


def _weight(spectrum: RamanSpectrum) -> np.ndarray:
    peak = spectrum.central_peak
    return np.array([peak.weight, peak.full_weight_error, peak.cutoff] if peak is not None else [np.nan] * 3)


def _rows(result: Comparison) -> list[figures.StackRow]:
    return [
        figures.StackRow(label, **spectrum, weight=float(weight), weight_error=float(error), cutoff=float(cutoff))
        for (label, spectrum), (weight, error, cutoff) in zip(result.spectra.items(), result.weight.values())
    ]


def _reference(job: Job, ours: RamanSpectrum) -> dict:
    """Spectrum of the reference tensors with the same settings, and its distance from ours."""
    if job.section("comparison").series is None:
        return {}
    series = read_series(job, "comparison.series")
    reference = raman_spectrum(series.value, series.frame_interval, replace(raman_options(job), blocks=0))
    values = np.interp(ours.wavenumber, reference.wavenumber, reference.intensity["total"])
    common = (ours.wavenumber <= ours.visible_end) & (ours.wavenumber <= reference.wavenumber[-1])
    distance = np.linalg.norm((ours.intensity["total"] - values)[common]) / np.linalg.norm(values[common])
    return {"reference": values, "distance": float(distance)}


def _experiment(job: Job, ours: RamanSpectrum) -> dict:
    """The measured spectrum less its background, with this spectrum's factors of laser and temperature, scaled so that
    the areas over the common range are equal; and how well it agrees with the prediction at the instrument's width.
    """
    section = job.section("comparison").experiment
    if section is None:
        return {}
    file = job.files("comparison.experiment.file")[0]
    shift, intensity = read_measured(file)
    low, high = max(shift[0], section.start), min(shift[-1], ours.wavenumber[-1], section.end or np.inf)
    common = (ours.wavenumber >= low) & (ours.wavenumber <= high)
    if common.sum() < 10:
        raise DataError(
            f"{file}: covers {shift[0]:g} to {shift[-1]:g} cm^-1, the spectrum 0 to "
            f"{ours.wavenumber[-1]:g}: too little in common"
        )
    nu, total, width = ours.wavenumber[common], ours.intensity["total"], _instrument_width(job, ours)
    seen = agreement.broadened(total, _step(ours), width)
    coefficients = agreement.background(
        nu, np.interp(nu, shift, intensity), seen[common] / _factor(section, ours, nu), section.background
    )
    reduced = (intensity - coefficients[0] - coefficients[1] * shift) * _factor(section, ours, shift)
    measured = np.interp(nu, shift, reduced)
    if measured.sum() <= 0:
        raise DataError(f"{file}: the intensity's area between {low:g} and {high:g} cm^-1 is not positive")
    scale = float(total[common].sum() / measured.sum())
    smoothing = width_of(ours.smoothing, *ours.smoothing_kind.split())
    error = agreement.correlation_error(
        common, seen[common], measured, total_with_error(ours)[1], _step(ours), smoothing, width
    )
    return {
        "experiment_wavenumber": shift,
        "experiment": scale * reduced,
        "scale": scale,
        "scaled_over": np.array([low, high]),
        "background": coefficients if section.background != "none" else None,
        "broadened": seen if width > 0 else None,
        "agreement": np.array([agreement.correlation(seen[common], measured), error]),
    }


def _step(spectrum: RamanSpectrum) -> float:
    return float(spectrum.wavenumber[1] - spectrum.wavenumber[0])


def _factor(section: Experiment, ours: RamanSpectrum, wavenumber: np.ndarray) -> np.ndarray:
    """What turns an intensity with the measurement's factors of laser and temperature into one with ours."""
    laser, temperature = section.laser_wavelength or ours.laser_wavelength, section.temperature or ours.temperature
    if (laser, temperature) == (ours.laser_wavelength, ours.temperature):
        return np.ones(len(wavenumber))
    wavenumber = np.maximum(wavenumber, LEAST_WAVENUMBER)  # a reduced intensity is zero at zero
    measured = intensity_factor(wavenumber, laser, temperature)
    return intensity_factor(wavenumber, ours.laser_wavelength, ours.temperature) / measured


def _instrument_width(job: Job, ours: RamanSpectrum) -> float:
    """sigma (cm^-1) that is still missing to the width of the instrument's line."""
    section = job.section("comparison").experiment
    if section.instrument_width is None:
        return 0.0
    sigma = width_of(section.instrument_width, "gaussian", "fwhm")
    kind, measure = ours.smoothing_kind.split()
    smoothing = width_of(ours.smoothing, kind, measure) if kind == "gaussian" else 0.0
    if smoothing > sigma:
        job.console.warn(
            f"{job.deck.location('comparison.experiment.instrument_width')}: spectrum.smoothing is wider (sigma "
            f"{smoothing:.3g} cm^-1) than the instrument's line (sigma {sigma:.3g}), so the computed bands are too wide"
        )
    return agreement.added_width(sigma, smoothing)


def _lines(result: Comparison) -> list[str]:
    lines = []
    if result.distance is not None:
        lines.append(f"distance to the spectrum of the reference tensors: {percent(result.distance)} (relative L2)")
    for label, (distance, within) in (result.difference or {}).items():
        text = f", within both errors at {100 * within:.0f} % of the wavenumbers" if np.isfinite(within) else ""
        lines.append(f"{label}: differs by {percent(distance)} (relative L2){text}")
    for label, (weight, error, cutoff) in (result.weight or {}).items():
        lines.append(f"{label}: {weight:.4f} +- {error:.4f} of the intensity below {cutoff:g} cm^-1")
    if result.scale is not None:
        low, high = result.scaled_over
        lines.append(f"measured spectrum scaled by {result.scale:.4g}: equal areas from {low:g} to {high:g} cm^-1")
        value, error = result.agreement
        lines.append(f"agreement with it there: correlation coefficient {number(value, error)}")
    return lines
