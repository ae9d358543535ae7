"""`mlraman spectrum`: alpha(t) -> raman.h5, raman.dat, raman.jdx and figures. Root works; the series is small."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.numbers import percent
from mlraman_hpc.numerics.spectra.central_peak import average_of_spectra
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.pipeline.independent_runs import are_independent, average_runs
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.spectra import (
    composition_of_series,
    convention,
    knows_constant_part,
    model_of_series,
    polarizability_series,
    raman_options,
    series_origin,
    series_path,
    spectrum_settings,
)
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.records.spectra import CellPart, RamanSpectrum
from mlraman_hpc.reports import tables
from mlraman_hpc.reports.jcamp_dx import write_raman_jdx
from mlraman_hpc.storage.provenance import Origin

ESTIMATOR = "3"  # raised where the same series gives another spectrum: what an older version wrote is made again
LARGE_ERROR = 0.2  # of the labels' fluctuation


def spectrum(job: Job) -> None:
    """Write the spectrum of the deck's series, or of alpha.h5."""
    if are_independent(job):
        average = partial(average_of_spectra, most_modes=raman_options(job).most_modes)
        average_runs(job, spectrum, RamanSpectrum, average, _output)
    else:
        run_step(job, RamanSpectrum, _origin, _compute, root_alone=True)


def _origin(job: Job) -> Origin:
    parents, history = series_origin(job)
    made_elsewhere = job.deck.series.model_dump(exclude={"file"}) if job.deck.series else {}
    return job.origin("spectrum", parents, ESTIMATOR, spectrum_settings(job), made_elsewhere, history=history)


def _compute(step: Step) -> Output:
    return _output(step.job, _spectrum(step.job), step.origin)


def _output(job: Job, result: RamanSpectrum, origin: Origin) -> Output:
    end = job.deck.spectrum.max_wavenumber
    return Output(
        result,
        figures=_figures(result, job.deck.title, end),
        files={
            "raman.dat": (tables.raman_table, result, _provenance(job, origin), end),
            "raman.jdx": (write_raman_jdx, result, job.deck.title, _provenance(job, origin), end),
        },
        lines=_lines(result),
        warnings=[*result.warnings],
    )


def _spectrum(job: Job) -> RamanSpectrum:
    series, cell_part = polarizability_series(job)
    members = None if series.members is None else np.swapaxes(series.members, 0, 1)
    options = raman_options(job)
    try:
        result = raman_spectrum(
            series.value, series.frame_interval, options, series.by_species, series.species or (), members
        )
    except DataError as error:
        raise DataError(f"{series_path(job)}: {error}") from None
    model = model_of_series(job)
    mean = result.mean_polarizability if model is None or knows_constant_part(model) else None
    result = replace(result, mean_polarizability=mean, cell_part=cell_part)
    if composition := composition_of_series(job):
        result = replace(result, atoms=sum(composition.values()), composition=composition)
    if result.error_model is not None or model is None or not (model.relative_error or 0.0) > LARGE_ERROR:
        return result
    text = (
        f"the model misses about {percent(model.relative_error**2)} of the polarizability's fluctuations (test labels) "
        "and so does the spectrum, more at high wavenumbers; a committee (model.committee: 8) puts part of it back and "
        "gives the model's error"
    )
    return replace(result, warnings=(*result.warnings, text))


def _figures(result: RamanSpectrum, title: str, end: float | None) -> dict[str, tuple]:
    drawn: dict[str, tuple] = {
        "raman.png": (figures.raman_figure, result, title, end),
        "raman_polarization.png": (figures.polarization_figure, result, title, end),
    }
    if result.temperature is not None:
        drawn["raman_reduced.png"] = (figures.reduced_figure, result, title, end)
    if result.species:
        drawn["raman_species.png"] = (figures.species_figure, result, title, end)
    if result.angle_map is not None:
        drawn["raman_angle.png"] = (figures.angle_figure, result, title, end)
    if result.central_peak is not None:
        drawn["central_peak.png"] = (figures.central_peak_figure, result, title)
    return drawn


def _provenance(job: Job, origin: Origin) -> list[str]:
    return [
        f"{job.deck.title or 'Raman spectrum'}: mlraman_hpc {__version__}",
        *(f"from {name} ({digest})" for name, digest in origin.parents.items()),
        f"convention: {convention(job)}",
        f"full provenance: {RamanSpectrum.file_name}",
    ]


def _lines(result: RamanSpectrum) -> list[str]:
    return [*_cell_lines(result.cell_part), *_central_lines(result)]


def _cell_lines(part: CellPart | None) -> list[str]:
    if part is None:
        return []
    return [
        f"what follows the cell's {part.kind} was taken out: {percent(part.share)} of alpha's variance. The volume "
        f"varies by {percent(part.volume_spread)} (root mean square); d ln alpha/d ln V = {part.volume_derivative:.2f}"
    ]


def _central_lines(result: RamanSpectrum) -> list[str]:
    peak = result.central_peak
    if peak is None:
        return []
    weight = (
        f"low-frequency weight (below {peak.cutoff:g} cm^-1, of the total): {peak.weight:.4f} +- "
        f"{peak.weight_error:.4f} (statistics)"
    )
    if peak.weight_model_error is not None:
        weight += f" +- {peak.weight_model_error:.4f} (model)"
    lines = [weight, f"central peak: {peak.verdict}"] if peak.verdict else [weight]
    if result.added is not None and result.error_model_bias is not None:
        total = result.intensity["total"].sum()
        lines.append(
            f"mean over the committee: adds {percent(result.added['total'].sum() / total)} of the intensity, which the "
            f"model takes away; more labels may change it by {percent(result.error_model_bias['total'].sum() / total)}"
        )
    relaxing = result.relative(peak.relaxing_below)
    if np.isfinite(relaxing):
        lines.append(
            f"relaxing variance of alpha below {peak.cutoff:g} cm^-1, per atom and relative: {relaxing:.3g} +- "
            f"{result.relative(peak.full_relaxing_error):.2g}"
        )
    return lines
