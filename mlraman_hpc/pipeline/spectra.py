"""The polarizability series of the deck, the settings of its spectrum, and spectra as they are compared."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.numerics.spectra.cell_part import without_cell_part
from mlraman_hpc.numerics.spectra.raman import RamanOptions
from mlraman_hpc.numerics.spectra.single_crystal import Geometry
from mlraman_hpc.pipeline.freshness import refuse_other_deck
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.prediction import model_path
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.readers.series import formats as series_files
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import CellPart, PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.storage import hdf5

KEEPS_CELLS = (0, 7)


def polarizability_series(job: Job) -> tuple[PolarizabilitySeries, CellPart | None]:
    """The series that the spectrum is of, the deck's own or alpha.h5, and what `spectrum.remove_cell` took out."""
    series = read_series(job) if job.deck.series else hdf5.load(PolarizabilitySeries, job.output)
    return without_cell(job, series)


def spectrum_settings(job: Job) -> dict[str, Any]:
    """What the spectrum depends on in the deck; a key of later versions only where it does something."""
    settings = job.deck.spectrum.model_dump()
    return settings if settings["remove_cell"] else {k: v for k, v in settings.items() if k != "remove_cell"}


def without_cell(job: Job, series: PolarizabilitySeries) -> tuple[PolarizabilitySeries, CellPart | None]:
    """Without what follows the cell, where the deck's `spectrum.remove_cell` says so, and what that was."""
    kind = job.deck.spectrum.remove_cell
    if kind is None:
        return series, None
    if series.cell is None and _cell_is_fixed(job):
        job.console.say("the trajectory's cell is fixed: spectrum.remove_cell takes nothing out")
        return series, None
    try:
        return without_cell_part(series, kind)
    except DataError as error:
        raise DeckKeyError(
            "spectrum.remove_cell",
            f"{series_path(job)}: {error}; the file is of a version that did not keep them: 'mlraman predict --force'",
        ) from None


def _cell_is_fixed(job: Job) -> bool:
    """Of alpha.h5 without cells, where a version made it that keeps cells that vary."""
    history = hdf5.history_of(series_path(job))
    version = str(history[-1].get("mlraman_hpc", "0")) if history else "0"
    return tuple(int(part) for part in version.split(".")[:2]) >= KEEPS_CELLS


def series_origin(job: Job) -> tuple[dict[str, str], tuple[dict, ...]]:
    """Parents and history of what is made from that series."""
    if job.deck.series:
        return hashes(job.files("series.file")), ()
    path = job.output / PolarizabilitySeries.file_name
    if not path.exists():
        raise DataError(f"{path}: no polarizabilities yet; 'mlraman predict' computes them")
    refuse_other_deck(job, path)
    return {str(path): hdf5.content_of(path)}, hdf5.history_of(path)


def series_path(job: Job) -> Path:
    """Where the series comes from, for messages."""
    return Path(job.deck.series.file) if job.deck.series else job.output / PolarizabilitySeries.file_name


def composition_of_series(job: Job) -> dict[str, int] | None:
    """Atoms of each element in the cell of alpha.h5; None for a series made elsewhere, and without the trajectory."""
    if job.deck.series or not job.deck.trajectory:
        return None
    try:
        kinds, counts = np.unique(trajectory_index(job).numbers, return_counts=True)
    except (DataError, DeckKeyError):
        return None
    return dict(zip(symbols(kinds), map(int, counts)))


def model_of_series(job: Job) -> Model | None:
    """The linear model that made alpha.h5; None for a series made elsewhere, and where no model is at hand."""
    if job.deck.series or job.deck.model.predictor or not (path := model_path(job)).exists():
        return None
    return hdf5.load(Model, path)


def knows_constant_part(model: Model) -> bool:
    """Whether the mean of alpha means something: it does not where the model knows its derivatives alone."""
    return model.derivative_frames is None or model.tensor_noise is not None


def read_series(job: Job, dotted: str = "series") -> PolarizabilitySeries:
    """The series that the deck describes in its section `dotted`."""
    section = attrgetter(dotted)(job.deck)
    file = job.files(f"{dotted}.file")[0]
    with job.located():
        value, steps, messages = series_files.read_series(
            file, section.format, section.order, section.quantity, section.unit, section.volume, section.tensor
        )
        interval = _series_interval(
            job, dotted, section.frame_interval, series_files.stated_interval(file, section.format), file
        )
    for text in messages:
        job.console.warn(text)
    steps = np.arange(len(value)) if steps is None else steps
    return PolarizabilitySeries(value, steps, np.arange(len(value)) * interval)


def _series_interval(job: Job, dotted: str, wanted: float | None, stated: float | None, file: Path) -> float:
    """fs between two tensors: the deck's, with a warning where the file says otherwise; else the file's."""
    if wanted is None and stated is None:
        text = f"must be given: {file} does not say how much time (fs) lies between two tensors"
        raise DeckKeyError(f"{dotted}.frame_interval", text)
    if wanted is not None and stated is not None and abs(wanted - stated) > 1e-3 * stated:
        job.console.warn(
            f"{job.deck.location(f'{dotted}.frame_interval')}: {wanted:g} fs, but {file} says {stated:g} fs; the "
            "deck's value is used"
        )
    interval = wanted if wanted is not None else stated
    assert interval is not None
    return interval


def raman_options(job: Job) -> RamanOptions:
    """The deck's spectrum section as the estimator wants it."""
    section = job.deck.spectrum
    turn = section.angle_map
    return RamanOptions(
        **section.model_dump(exclude={"geometries", "angle_map", "remove_cell"}),
        geometries=tuple(_geometry(job, number) for number in range(len(section.geometries))),
        angle_map=(tuple(turn.direction), tuple(turn.start), turn.step) if turn else None,
    )


def convention(job: Job) -> str:
    """What two spectra must share to be compared, in words."""
    options, removed = raman_options(job), job.deck.spectrum.remove_cell
    wavelength = options.laser_wavelength
    laser = f"laser {wavelength:g} nm, factor (1 - nu/nu_in)^4" if wavelength else "no laser factor"
    heat = f"Bose factor n + 1 at {options.temperature:g} K" if options.temperature else "no Bose factor (classical)"
    return (
        f"{laser}; {heat}; orientation average, total = parallel and crossed; smoothing {options.smoothing_kind} "
        f"{options.smoothing_measure} {options.smoothing:g} cm^-1"
        + (f"; without what follows the cell's {removed}" if removed else "")
    )


def _geometry(job: Job, number: int) -> Geometry:
    geometries = job.deck.spectrum.geometries
    section = geometries[number]
    name = section.name or f"{_short(section.incident)}{_short(section.scattered)}"
    if name in [other.name for other in geometries[:number]] or "/" in name:
        raise DeckKeyError(
            f"spectrum.geometries.{number}.name",
            f"'{name}' is used twice or has a slash; give each geometry a name of its own",
        )
    vectors = {key: tuple(value) if value else None for key, value in section.model_dump(exclude={"name"}).items()}
    return Geometry(name, **vectors)


def _short(vector: list[float]) -> str:
    """'(1 0 0)'"""
    return "(" + " ".join(f"{x:.3g}" for x in vector) + ")"


def total_with_error(spectrum: RamanSpectrum) -> tuple[np.ndarray, np.ndarray]:
    """The total, and its statistical and model error in quadrature, Angstrom^6; NaN without the former."""
    total = spectrum.intensity["total"]
    errors = [error["total"] for error in (spectrum.error_statistical, spectrum.error_model) if error is not None]
    known = spectrum.error_statistical is not None
    return total, np.sqrt(sum(error**2 for error in errors)) if known else np.full(len(total), np.nan)


def relative_total(spectrum: RamanSpectrum) -> dict[str, np.ndarray]:
    """wavenumber, intensity and error of the total where it is visible, relative to its highest value.

    The error is that of `total_with_error`: of statistics and of the model.
    """
    (total, error), visible = total_with_error(spectrum), spectrum.wavenumber <= spectrum.visible_end
    scale = 1 / total.max() if total.max() > 0 else 1.0
    return {
        "wavenumber": spectrum.wavenumber[visible],
        "intensity": total[visible] * scale,
        "error": error[visible] * scale,
    }
