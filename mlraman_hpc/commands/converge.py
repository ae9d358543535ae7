"""`mlraman converge`: spectra against N_T and against trajectory length -> convergence.h5, convergence.png (S5-S12).

Models of all sizes are carried along the trajectory together, like the members of a committee: the price of one. All
spectra are those of one model each, the final one too: without what a committee adds. Sizes are those of `mlraman
learning-curve`: frames with derivatives where the deck has several, else tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.config.model_sections import ConvergenceSection
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.numerics.spectra.errorbars import calibrate, expected_distance
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.pipeline.checkpointing import Checkpoint
from mlraman_hpc.pipeline.derivatives import derivative_descriptor, derivative_set, fit_to_draw, read_derivative_labels
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import (
    descriptor_settings,
    label_features,
    reference_settings,
    split_labels,
    training_origin,
    usable_labels,
)
from mlraman_hpc.pipeline.prediction import predict_along_trajectory
from mlraman_hpc.pipeline.spectra import (
    polarizability_series,
    raman_options,
    series_origin,
    spectrum_settings,
    without_cell,
)
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.pipeline.trajectory import trajectory_hashes
from mlraman_hpc.pipeline.tuning import chosen_descriptor
from mlraman_hpc.plots import training as figures
from mlraman_hpc.records.frames import DerivativeLabels, Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.checkpoint import CheckpointFile
from mlraman_hpc.storage.provenance import Origin

SERIES_FILE = "convergence_alpha.h5"  # alpha of a model of each size, as if they were members of a committee
SECTIONS = ("reference", "descriptor", "model", "trajectory", "spectrum", "convergence")
ESTIMATOR = "3"  # raised where the same input gives other numbers: what an older version wrote is made again
LEAST_FRAMES = 64  # of a part of the trajectory


def converge(job: Job) -> None:
    """Distances of spectra to the final one: from fewer labels, and from shorter trajectories."""
    run_step(job, Convergence, _origin, _compute)


def _section(job: Job) -> ConvergenceSection:
    return job.deck.convergence or ConvergenceSection()


def _origin(job: Job) -> Origin:
    parents, history = series_origin(job)
    settings = [ESTIMATOR, _section(job).model_dump(), spectrum_settings(job)]
    if job.deck.reference:
        parents |= training_origin(job, "converge", {}).parents
        settings += [
            reference_settings(job, {"files"}),
            descriptor_settings(job),
            job.deck.model.model_dump(include={"regularization"}),
            job.section("trajectory").model_dump(),
        ]
    return job.origin("converge", parents, *settings, history=history)


def _compute(step: Step) -> Output | None:
    job, checkpoint = step.job, step.checkpoint(SECTIONS, Convergence.kind)
    sizes, frames, by_size = _against_labels(job, checkpoint) if job.deck.reference else ([], False, None)
    job.session.enter_step("spectra")
    return job.session.only_on_root(_output, job, sizes, frames, by_size)


def _against_labels(job: Job, checkpoint: Checkpoint) -> tuple[list[int], bool, PolarizabilitySeries | None]:
    """Sizes, whether they are frames with derivatives, and root's series with one 'member' for each size.

    Each training set holds the smaller ones.
    """
    labels = usable_labels(job)
    derivatives = job.session.on_root(read_derivative_labels, job)
    frames = derivatives is not None and len(derivatives) > 1
    train, _ = job.session.on_root(split_labels, job, len(labels))
    if derivatives is not None and not frames and len(train) < 2:
        return [], False, None  # there is nothing to take away
    sizes = job.session.on_root(_sizes, job, len(derivatives) if frames else len(train), frames)
    series = Step(job, SERIES_FILE, _series_origin, sizes)
    if not series.up_to_date():
        _fit_all(job, checkpoint, labels, derivatives, sizes)
        series.write(predict_along_trajectory(series, lambda job: _model(checkpoint.file, sizes)))
    return sizes, frames, job.session.only_on_root(hdf5.load, PolarizabilitySeries, series.path)


def _series_origin(job: Job, sizes: list[int]) -> Origin:
    training = training_origin(job, "converge", {"sizes": sizes})
    parents = trajectory_hashes(job) | training.parents
    return job.origin(
        "converge", parents, ESTIMATOR, training.key, job.section("trajectory").model_dump(exclude={"files"})
    )


def _sizes(job: Job, most: int, frames: bool) -> list[int]:
    """The deck's sizes below that of the final model, and that one."""
    least, what = (1, "frames with derivatives") if frames else (2, "labels")
    wanted = _section(job).train or [max(least, most // part) for part in (8, 4, 2)]
    sizes = sorted({size for size in wanted if size < most})
    if not sizes:
        raise DataError(f"{job.deck.location('convergence.train')}: no size is below the {most} {what} trained on")
    return [*sizes, most]


def _fit_all(
    job: Job, checkpoint: Checkpoint, labels: Labels, derivatives: DerivativeLabels | None, sizes: list[int]
) -> None:
    """A model of each size that is not in the checkpoint."""
    todo = job.session.on_root(lambda: [size for size in sizes if str(size) not in checkpoint.file])
    if not todo:
        return
    fit = _fit_to_tensors(job, labels) if derivatives is None else _fit_to_both(job, labels, derivatives)
    job.session.enter_step("fits")
    with checkpoint.guard():
        for size in todo:
            job.session.only_on_root(lambda size=size: checkpoint.file.put(str(size), fit(size)))
            checkpoint.commit_if_due()


def _fit_to_tensors(job: Job, labels: Labels) -> Callable[[int], Model]:
    """The model of some labels, by their number; for root."""
    descriptor = chosen_descriptor(job, labels)
    known = label_features(job, labels, descriptor)

    def fit(size: int) -> Model:
        train, test = split_labels(job, len(labels))
        rows = np.sort(_shuffling(job).permutation(train)[:size])
        return polarizability.fit(known, labels, rows, test, descriptor, job.deck.model.regularization)[0]

    return fit


def _fit_to_both(job: Job, labels: Labels, derivatives: DerivativeLabels) -> Callable[[int], Model]:
    """The model of some frames with derivatives and all tensors, or of one such frame and some tensors; for root."""
    known = label_features(job, labels, derivative_descriptor(job), (derivatives.frames,))
    rows = derivative_set(job, derivatives, labels, single_frames=True)

    def fit(size: int) -> Model:
        return fit_to_draw(job, rows, labels, known, *split_labels(job, len(labels)), size, _shuffling(job))

    return fit


def _shuffling(job: Job) -> np.random.Generator:
    """The same for all sizes, so that each training set holds the smaller ones."""
    return np.random.default_rng(job.section("reference").seed)


def _model(checkpoint: CheckpointFile, sizes: list[int]) -> Model:
    """The model of all training labels, with one of each size in place of a committee, which no distance widens."""
    fits = [checkpoint.get(str(size), Model) for size in sizes]
    return replace(
        fits[-1],
        coverage=None,
        committee_baseline=np.array([fit.baseline for fit in fits]),
        committee_isotropic=np.array([fit.isotropic for fit in fits]),
        committee_anisotropic=np.array([fit.anisotropic for fit in fits]),
    )


def _output(job: Job, sizes: list[int], frames: bool, by_size: PolarizabilitySeries | None) -> Output:
    (series, _), options = polarizability_series(job), raman_options(job)
    final = raman_spectrum(series.value, series.frame_interval, options)
    lengths = _against_length(job, series, final, options)
    labels = _size_spectra(without_cell(job, by_size)[0], final, options) if by_size is not None else {}
    visible = final.wavenumber <= final.visible_end
    result = Convergence(
        wavenumber=final.wavenumber[visible],
        train_size=np.array(sizes, dtype=int) if sizes else None,
        train_frames=True if frames else None,
        **{name: values[..., visible] if values.ndim == 2 else values for name, values in (labels | lengths).items()},
        statistical_error=_norm(final.error_statistical["total"], final) if final.error_statistical else np.nan,
    )
    figure = (figures.convergence_figure, result, job.deck.title)
    alone = ["spectra of the model alone, without what its committee adds"] if series.members is not None else []
    return Output(result, figures={"convergence.png": figure}, lines=alone + _lines(result))


def _norm(values: np.ndarray, final: RamanSpectrum) -> float:
    """Root of the integrated square, relative to the final spectrum's."""
    visible = final.wavenumber <= final.visible_end
    return float(np.linalg.norm(values[visible]) / np.linalg.norm(final.intensity["total"][visible]))


def _size_spectra(by_size: PolarizabilitySeries, final: RamanSpectrum, options: RamanOptions) -> dict:
    bare = replace(options, blocks=0)
    assert by_size.members is not None
    spectra = np.array(
        [
            raman_spectrum(by_size.members[:, k], by_size.frame_interval, bare).intensity["total"]
            for k in range(by_size.members.shape[1])
        ]
    )
    return {"train_spectra": spectra, "train_distance": _distances(spectra, final)}


def _distances(spectra: np.ndarray, final: RamanSpectrum) -> np.ndarray:
    return np.array([_norm(values - final.intensity["total"], final) for values in spectra])


def _against_length(job: Job, series: PolarizabilitySeries, final: RamanSpectrum, options: RamanOptions) -> dict:
    """Spectra of the first parts of the trajectory, on the final grid, their distances, and those that are expected."""
    frames = [round(fraction * len(series.value)) for fraction in sorted({*_section(job).fraction, 1.0})]
    usable = [count for count in frames if count >= LEAST_FRAMES]
    if len(usable) < len(frames):
        job.console.warn(
            f"{job.deck.location('convergence.fraction')}: parts with fewer than {LEAST_FRAMES} frames are left out"
        )
    bare = replace(options, blocks=0)
    spectra = np.array(
        [_on_grid(raman_spectrum(series.value[:count], series.frame_interval, bare), final) for count in usable]
    ).reshape(len(usable), len(final.wavenumber))
    return {
        "length": np.array(usable) * series.frame_interval / 1000,
        "length_spectra": spectra,
        "length_distance": _distances(spectra, final),
        "length_expected": _expected(final, options, usable),
    }


def _expected(final: RamanSpectrum, options: RamanOptions, frames: list[int]) -> np.ndarray:
    """Distances (parts,) that chance alone makes; NaN without error bars."""
    if not final.error_statistical:
        return np.full(len(frames), np.nan)
    full = spectrum_plan(final.frames, final.frame_interval, options)
    error = _norm(final.error_statistical["total"], final) / calibrate(full).student  # root mean square, not 68 %
    parts = [spectrum_plan(count, final.frame_interval, options) for count in frames]
    return error * np.array([expected_distance(part, full) for part in parts])


def _on_grid(spectrum: RamanSpectrum, final: RamanSpectrum) -> np.ndarray:
    return np.interp(final.wavenumber, spectrum.wavenumber, spectrum.intensity["total"])


def _lines(result: Convergence) -> list[str]:
    lines = [f"statistical error of the final spectrum: {100 * result.statistical_error:.1f} % (relative L2)"]
    if result.train_size is not None:
        lines.append(f"{' frames' if result.train_frames else '    N_T'}   distance to the final spectrum")
        for size, distance in zip(result.train_size, result.train_distance):
            lines.append(f"  {size:5d}   {100 * distance:.1f} %")
    lines.append("  length   distance   expected by chance")
    for length, distance, expected in zip(result.length, result.length_distance, result.length_expected):
        lines.append(f"  {length:5.4g} ps   {100 * distance:.1f} %   {100 * expected:.1f} %")
    if result.train_size is not None and len(result.train_size) > 1:
        last = result.train_distance[-2]
        comparison = "smaller" if last < result.statistical_error else "larger"
        lines.append(
            f"from {result.train_size[-2]} to {result.train_size[-1]} {result.trained_on} the spectrum changes by "
            f"{100 * last:.1f} %, {comparison} than its statistical error"
        )
    return lines
