"""What the labels of a round are worth: a model of them, and the error bars of the spectrum that it gives.

Labels for testing are known by the manifest; nothing that is fitted or chosen sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.config.model_sections import Derivatives, Reference
from mlraman_hpc.labelling.collection import DERIVATIVES, LABELS
from mlraman_hpc.labelling.manifest import Kind, Manifest, Purpose, Status
from mlraman_hpc.labelling.rounds import section_of
from mlraman_hpc.labelling.stopping import SpectrumErrors, Verdict, in_range, spectrum_errors
from mlraman_hpc.model import regression
from mlraman_hpc.numerics import Integers
from mlraman_hpc.pipeline.derivatives import derivative_descriptor, derivative_set, read_derivative_labels
from mlraman_hpc.pipeline.derivatives import fit as fit_derivatives
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import label_features, read_labels, training_origin
from mlraman_hpc.pipeline.step import Output, Step
from mlraman_hpc.pipeline.tuning import chosen_descriptor, tuned
from mlraman_hpc.plots.labelling import labelling_figure
from mlraman_hpc.records.frames import DerivativeLabels, Labels
from mlraman_hpc.records.labelling import LabellingHistory
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.provenance import Origin

COMMITTEE = 16  # members where the deck has none
LEAST_TENSORS = 4  # of which a committee can be made


@dataclass(frozen=True)
class Rows:
    """Rows of labels.extxyz, which is in the order of the frames: those trained on and those tested on."""

    train: Integers
    test: Integers


def job_of_labels(job: Job) -> Job:
    """The deck as if its labels were those that were collected, with error bars."""
    section = section_of(job)
    derivatives = section.kind == Kind.DERIVATIVES.value
    there = (job.output / LABELS).exists()
    path = str((job.output / LABELS).absolute())
    reference = Reference(
        files=[path] if there or not derivatives else None,
        format="extxyz",
        quantity="polarizability",
        unit="angstrom^3",
        test=0,
        seed=section.seed,
        derivatives=Derivatives(files=[str((job.output / DERIVATIVES).absolute())]) if derivatives else None,
    )
    model = job.deck.model
    model = model.model_copy(update={"file": None, "committee": model.committee or COMMITTEE})
    return replace(job, deck=job.deck.model_copy(update={"reference": reference, "model": model}))


def enough_to_train(manifest: Manifest, kind: Kind) -> bool:
    """Whether a model with a committee can be made of the labels that are finished."""
    return len(_finished(manifest, Purpose.TRAIN, kind)) >= (1 if kind is Kind.DERIVATIVES else LEAST_TENSORS)


def _finished(manifest: Manifest, purpose: Purpose, kind: Kind) -> list[int]:
    items = (item for item in manifest.of(purpose) if item.status is Status.FINISHED and item.kind is kind)
    return sorted(item.frame for item in items)


def rows_of(manifest: Manifest) -> Rows:
    """By the manifest, never by what a file is called."""
    train = _finished(manifest, Purpose.TRAIN, Kind.POLARIZABILITY)
    test = _finished(manifest, Purpose.TEST, Kind.POLARIZABILITY)
    order = {frame: row for row, frame in enumerate(sorted([*train, *test]))}
    return Rows(np.array([order[k] for k in train], dtype=int), np.array([order[k] for k in test], dtype=int))


def train_on_labels(job: Job, rows: Rows) -> None:
    """model.h5 of the labels for training, unless it is up to date; `job` from `job_of_labels`, for all ranks."""
    step = Step(job, Model.file_name, _model_origin, rows)
    if step.up_to_date():
        return
    session = job.session
    labels: Labels = session.on_root(read_labels, job)
    derivatives: DerivativeLabels | None = session.on_root(read_derivative_labels, job)
    if derivatives is None:
        descriptor = chosen_descriptor(job, labels.take(rows.train))
        known = label_features(job, labels, descriptor)
        committee, regularization = job.deck.model.committee, job.deck.model.regularization
        seed = job.section("reference").seed

        def fit() -> Output:
            model, warnings = regression.fit(
                known, labels, rows.train, rows.test, descriptor, regularization, committee, seed
            )
            return Output(replace(model, tuning=tuned(job)), warnings=[*warnings])

        session.enter_step("fit")
        step.write(session.only_on_root(fit))
        return
    features = label_features(job, labels, derivative_descriptor(job), (derivatives.frames,))
    rows_of_frames = derivative_set(job, derivatives, labels)

    def fit_both() -> Output:
        fitted = fit_derivatives(job, rows_of_frames, labels, features, rows.train, rows.test, job.deck.model.committee)
        return Output(fitted.model, warnings=[*fitted.warnings])

    session.enter_step("fit")
    step.write(session.only_on_root(fit_both))


def _model_origin(job: Job, rows: Rows) -> Origin:
    settings = {"train": rows.train.tolist(), "test": rows.test.tolist(), "committee": job.deck.model.committee}
    return training_origin(job, "label", settings)


def history_of(folder: Path) -> LabellingHistory | None:
    """What earlier rounds have written into an output folder; on root."""
    path = folder / LabellingHistory.file_name
    return hdf5.load(LabellingHistory, path) if path.exists() else None


def record_round(job: Job, manifest: Manifest, end: Verdict) -> Verdict:
    """Add the round to labelling.h5, with its figure, and say whether to stop; on root, after the spectrum was made.

    end  why there is no further round, or GO_ON
    """
    section = section_of(job)
    spectrum, model = hdf5.load(RamanSpectrum, job.output), hdf5.load(Model, job.output)
    errors = spectrum_errors(spectrum, section.stop_range)
    kind = Kind(section.kind)
    count = len(_finished(manifest, Purpose.TRAIN, kind))
    verdict = errors.verdict(section.stop_share, section.stop_error, count, kind)
    verdict = end if verdict is Verdict.GO_ON else verdict
    history = _with_round(job, manifest, spectrum, model, errors, verdict)
    parents = {
        str(job.output / name): hdf5.content_of(job.output / name)
        for name in (Model.file_name, RamanSpectrum.file_name)
    }
    origin = job.origin("label", parents, section.model_dump())
    hdf5.save(history, job.output, origin)
    job.draw("labelling.png", labelling_figure, history, job.deck.title)
    for line in _lines(history):
        job.console.say(line)
    return verdict


def _with_round(
    job: Job, manifest: Manifest, spectrum: RamanSpectrum, model: Model, errors: SpectrumErrors, verdict: Verdict
) -> LabellingHistory:
    section, kind = section_of(job), Kind(section_of(job).kind)
    inside = in_range(spectrum, section.stop_range)
    seconds = [item.cpu_seconds for item in manifest.calculations if item.cpu_seconds is not None]
    digest = provenance.hash_of([(item.structure, item.input, item.status.value) for item in manifest.calculations])
    total = spectrum.intensity["total"]
    before = history_of(job.output)
    rows = _rows_before(before, spectrum, digest, manifest.rounds)
    last = before.spectra[rows[-1]] if before is not None and len(rows) else None
    change = np.nan if last is None else _distance(total, last, inside)
    new = {
        "round": manifest.rounds,
        "labels": len(_finished(manifest, Purpose.TRAIN, kind)),
        "cpu_seconds": sum(seconds) if seconds else np.nan,
        "model_error": errors.model,
        "statistical_error": errors.statistical,
        "change": change,
        "test_error": np.nan if model.relative_error is None else model.relative_error,
    }
    columns = {
        name: np.append([] if before is None else getattr(before, name)[rows], value) for name, value in new.items()
    }
    spectra = np.concatenate([*([] if before is None else [before.spectra[rows]]), total[None]])
    low, high = section.stop_range or (0.0, spectrum.visible_end)
    digests = (*(() if before is None else (before.digest[k] for k in rows)), digest)
    for name in ("round", "labels"):
        columns[name] = columns[name].astype(int)
    return LabellingHistory(
        **columns,
        wavenumber=spectrum.wavenumber,
        spectra=spectra,
        share=section.stop_share,
        low=low,
        high=high,
        verdict=verdict.value,
        digest=digests,
    )


def _rows_before(before: LabellingHistory | None, spectrum: RamanSpectrum, digest: str, number: int) -> list[int]:
    """Rounds to keep: earlier ones, on the same grid."""
    if before is None or not np.array_equal(before.wavenumber, spectrum.wavenumber):
        return []
    return [k for k in range(len(before)) if before.round[k] < number and before.digest[k] != digest]


def _distance(reference: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    return float(np.linalg.norm((reference - other)[inside]) / np.linalg.norm(reference[inside]))


def _lines(history: LabellingHistory) -> list[str]:
    lines = [
        f"from {history.low:g} to {history.high:.4g} cm^-1, relative to the intensity:",
        " round  labels  CPU time (h)  model  trajectory  change  error on test labels",
    ]
    percent: Callable[[float], str] = lambda value: "  -   " if np.isnan(value) else f"{100 * value:5.1f}%"  # noqa: E731
    for k in range(len(history)):
        hours = history.cpu_seconds[k] / 3600
        lines.append(
            f" {history.round[k]:5d}  {history.labels[k]:6d}  {'      -' if np.isnan(hours) else f'{hours:7.2f}':>12}  "
            f"{percent(history.model_error[k])}  {percent(history.statistical_error[k]):>10}  "
            f"{percent(history.change[k])}  {percent(history.test_error[k])}"
        )
    ends = history.verdict != Verdict.GO_ON.value
    return [*lines, f"{'stop' if ends else 'go on'}: {history.verdict}"]
