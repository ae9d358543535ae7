"""`mlraman spectrum`: alpha(t) -> raman.h5, raman.dat and figures. Root works; the series is small."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.numerics.spectra.single_crystal import Geometry
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.readers.tensors import series as series_files
from mlraman_hpc.records.spectra import PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.reports import tables
from mlraman_hpc.storage import hdf5

KIND = "raman spectrum"


def spectrum(job: Job) -> None:
    """Write the spectrum of the deck's series, or of alpha.h5."""
    job.session.on_root(_spectrum, job)


def _spectrum(job: Job) -> None:
    path = job.output / "raman.h5"
    origin = _origin(job)
    if job.up_to_date(path, origin):
        job.console.say(f"{path} is up to date")
        return
    series = our_series(job)
    result = _compute(job, series)
    for text in result.warnings:
        job.console.warn(text)
    _draw(job, result)
    tables.raman_table(path.with_suffix(".dat"), result, _provenance(job, origin), job.deck.spectrum.max_wavenumber)
    hdf5.save(result, path, origin)  # last: whoever finds it finds figures and table too
    _report(job, result)
    job.console.say(f"wrote {path}, {path.with_suffix('.dat').name}, {path.with_suffix('.png').name}")


def _draw(job: Job, result: RamanSpectrum) -> None:
    title, end = job.deck.title, job.deck.spectrum.max_wavenumber
    job.draw("raman.png", figures.raman_figure, result, title, end)
    job.draw("raman_polarization.png", figures.polarization_figure, result, title, end)
    if result.species:
        job.draw("raman_species.png", figures.species_figure, result, title, end)
    if result.angle_map is not None:
        job.draw("raman_angle.png", figures.angle_figure, result, title, end)
    if result.central_peak is not None:
        job.draw("central_peak.png", figures.central_peak_figure, result, title)


def _provenance(job: Job, origin) -> list[str]:
    return [
        f"{job.deck.title or 'Raman spectrum'}: mlraman_hpc {__version__}",
        *(f"from {name} ({digest})" for name, digest in origin.parents.items()),
        "full provenance: raman.h5",
    ]


def _report(job: Job, result: RamanSpectrum) -> None:
    peak = result.central_peak
    if peak is None:
        return
    job.console.say(
        f"low-frequency weight (below {peak.cutoff:g} cm^-1, of the total): {peak.weight:.4f} +- "
        f"{peak.weight_error:.4f}"
    )
    if peak.verdict:
        job.console.say(f"central peak: {peak.verdict}")


def _alpha_path(job: Job) -> Path:
    return job.output / "alpha.h5"


def _origin(job: Job):
    parents, history = series_origin(job)
    made_elsewhere = job.deck.series.model_dump(exclude={"file"}) if job.deck.series else {}
    return job.origin("spectrum", parents, job.deck.spectrum.model_dump(), made_elsewhere, history=history)


def our_series(job: Job) -> PolarizabilitySeries:
    """The series that the spectrum is of: the deck's own, or alpha.h5."""
    if job.deck.series:
        return read_series(job)
    return hdf5.load(PolarizabilitySeries, _alpha_path(job))


def series_origin(job: Job) -> tuple[dict[str, str], tuple[dict, ...]]:
    """Parents and history of whatever is made from that series."""
    if job.deck.series:
        return hashes(job.files("series.file")), ()
    path = _alpha_path(job)
    if not path.exists():
        raise DataError(f"{path}: no polarizabilities yet; 'mlraman predict' computes them")
    return {str(path): hdf5.content_of(path)}, hdf5.read_origin(path).history


def read_series(job: Job, dotted: str = "series") -> PolarizabilitySeries:
    """The series that the deck describes in its section `dotted`."""
    section = attrgetter(dotted)(job.deck)
    file = job.files(f"{dotted}.file")[0]
    with job.deck_lines():
        value, steps, messages = series_files.read_series(
            file, section.format, section.order, section.quantity, section.unit, section.volume, section.tensor
        )
    for text in messages:
        job.console.warn(text)
    steps = np.arange(len(value)) if steps is None else steps
    return PolarizabilitySeries(value, steps, np.arange(len(value)) * section.frame_interval)


def _compute(job: Job, series: PolarizabilitySeries) -> RamanSpectrum:
    members = None if series.members is None else np.swapaxes(series.members, 0, 1)
    try:
        return raman_spectrum(
            series.value, series.frame_interval, options_of(job), series.by_species, series.species or (), members
        )
    except DataError as error:
        source = job.deck.series.file if job.deck.series else _alpha_path(job)
        raise DataError(f"{source}: {error}") from None


def options_of(job: Job) -> RamanOptions:
    """The deck's spectrum section as the numerics room wants it."""
    values = job.deck.spectrum.model_dump(exclude={"geometries", "angle_map"})
    turn = job.deck.spectrum.angle_map
    return RamanOptions(
        **values,
        geometries=tuple(_geometry(job, number) for number in range(len(job.deck.spectrum.geometries))),
        angle_map=(tuple(turn.direction), tuple(turn.start), turn.step) if turn else None,
    )


def _geometry(job: Job, number: int) -> Geometry:
    given = job.deck.spectrum.geometries[number]
    name = given.name or f"{_short(given.incident)}{_short(given.scattered)}"
    earlier = [other.name for other in job.deck.spectrum.geometries[:number]]
    if name in earlier or "/" in name:
        raise DeckError(
            f"{job.deck.location(f'spectrum.geometries.{number}.name')}: '{name}' is used twice or has a "
            "slash; give each geometry a name of its own"
        )
    vectors = {key: tuple(value) if value else None for key, value in given.model_dump(exclude={"name"}).items()}
    return Geometry(name, **vectors)


def _short(vector: list[float]) -> str:
    """'(1 0 0)'"""
    return "(" + " ".join(f"{x:.3g}" for x in vector) + ")"
