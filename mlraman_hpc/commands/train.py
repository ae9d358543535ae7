"""`mlraman train`: labelled structures -> model.h5 and parity.png. `mlraman tune`: their descriptor -> tuning.h5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.base.numbers import percent
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.derivatives import predict_tensors
from mlraman_hpc.model.descriptors import Features
from mlraman_hpc.numerics.regression import outliers
from mlraman_hpc.numerics.regression.scores import worst_component
from mlraman_hpc.pipeline.derivatives import (
    DerivativeSet,
    derivative_descriptor,
    derivative_set,
    read_derivative_labels,
)
from mlraman_hpc.pipeline.derivatives import fit as fit_derivatives
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import (
    label_features,
    no_test_text,
    outlier_text,
    split_labels,
    training_origin,
    usable_labels,
)
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.pipeline.tuning import chosen_descriptor, tune_descriptor, tuned
from mlraman_hpc.plots import training as figures
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.training import LabelChecks
from mlraman_hpc.storage.provenance import Origin

LEAST_R2 = 0.5  # of a single component
MOST_ERROR = 0.4  # of the labels' fluctuation


def train(job: Job) -> None:
    """Fit the model and write model.h5; skipped where it is up to date."""
    job.section("reference")
    run_step(job, Model, _origin, _compute)


def tune(job: Job) -> None:
    """Try the candidates and write tuning.h5, whatever descriptor the deck has; `train` uses it with mode: auto."""
    job.section("reference")
    section = job.deck.descriptor.model_copy(update={"mode": "auto", "radial_scaling": None})
    job = replace(job, deck=job.deck.model_copy(update={"descriptor": section}))
    with job.located():
        tune_descriptor(job, usable_labels(job))


def _origin(job: Job) -> Origin:
    return training_origin(job, "train", job.deck.model.model_dump(include={"committee"}))


def _compute(step: Step) -> Output | None:
    job = step.job
    labels = usable_labels(job)
    derivatives = job.session.on_root(read_derivative_labels, job)
    train_rows, test_rows = job.session.on_root(split_labels, job, len(labels))
    job.console.say(f"{len(labels)} labels; training on {len(train_rows)}, testing on {len(test_rows)}")
    if derivatives is not None:
        all_features = label_features(job, labels, derivative_descriptor(job), (derivatives.frames,))
        known = derivative_set(job, derivatives, labels)
        job.session.enter_step("fit")
        return job.session.only_on_root(_fit_both, job, known, labels, all_features, train_rows, test_rows)
    descriptor = chosen_descriptor(job, labels)
    all_features = label_features(job, labels, descriptor)
    job.session.enter_step("fit")
    return job.session.only_on_root(_fit, job, labels, all_features, descriptor, train_rows, test_rows)


def _fit(
    job: Job,
    labels: Labels,
    all_features: Features,
    descriptor: Descriptor,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
) -> Output:
    section = job.deck.model
    model, warnings = polarizability.fit(
        all_features,
        labels,
        train_rows,
        test_rows,
        descriptor,
        section.regularization,
        section.committee,
        job.section("reference").seed,
    )
    output = Output(replace(model, tuning=tuned(job)), lines=[_regularization(model)], warnings=[*warnings])
    _check_labels(job, output, labels, all_features)
    _test(job, output, labels, all_features, test_rows)
    return output


def _regularization(model: Model) -> str:
    ridge = ", ".join(f"{name} {value:.1e}" for name, value in model.regularization.items())
    return f"regularization by lambda: {ridge}"


def _fit_both(
    job: Job,
    known: DerivativeSet,
    labels: Labels,
    all_features: Features,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
) -> Output:
    """From derivatives, and from tensors where there are any."""
    fitted = fit_derivatives(job, known, labels, all_features, train_rows, test_rows, job.deck.model.committee)
    model = fitted.model
    output = Output(model, lines=[_regularization(model)], warnings=[*fitted.warnings])
    output.figures["parity_derivatives.png"] = (figures.derivative_parity_figure, fitted.pairs, job.deck.title)
    output.lines.append("left-out derivatives, R2 and noise (Angstrom^2):   lambda = 0         lambda = 2")
    r2, noise = model.derivative_r2 or {}, model.derivative_noise or {}
    for name in r2["isotropic"]:
        values = (f"{r2[part][name]:8.4f} {noise[part][name]:8.3g}" for part in ("isotropic", "anisotropic"))
        output.lines.append(f"  {name:<44} " + "  ".join(values))
    if model.tensor_noise is not None:
        output.lines.append(
            "left-out tensors of the training set, noise (Angstrom^3): "
            + ", ".join(f"{name} {value:.3g}" for name, value in model.tensor_noise.items())
        )
    if len(labels):
        _check_labels(job, output, labels, all_features)
        _test(job, output, labels, all_features, test_rows)
    return output


def _check_labels(job: Job, output: Output, labels: Labels, all_features: Features) -> None:
    """Names labels that do not fit the others, and keeps in the model what was left out."""
    left_out = None
    if len(labels) >= outliers.FEWEST:
        left_out = polarizability.left_out_labels(all_features, labels, job.deck.model.regularization)
    outside = np.flatnonzero(left_out.outside) if left_out is not None else np.arange(0)
    checks = LabelChecks(
        outlier=tuple(labels.source[k] for k in outside),
        deviation=left_out.deviations[outside] if left_out is not None else np.zeros(0),
        left_out=labels.left_out,
        unconverged=labels.unconverged,
    )
    assert isinstance(output.record, Model)
    output.record = replace(output.record, label_checks=checks)
    if left_out is not None and len(outside):
        output.warnings.append(
            f"{outlier_text(labels, left_out)}. They spoil the model, or its scores where they are tested on: look at "
            "them, compute them again, or take them out with reference.leave_out (outliers, or their names)"
        )


def _test(job: Job, output: Output, labels: Labels, all_features: Features, test_rows: np.ndarray) -> None:
    """Scores and figure of labels never trained on."""
    model = output.record
    assert isinstance(model, Model)
    if len(test_rows):
        tested = labels.polarizability[test_rows]
        if model.derivative_frames is None:
            pair = tested, polarizability.predict_features(model, all_features)[test_rows]
        else:
            pair = tested, predict_tensors(model, all_features.take(test_rows), tested)
        output.figures["parity.png"] = (figures.parity_figure, *pair, job.deck.title)
        _report_test(model, output)
    else:
        output.warnings.append(no_test_text(job))


def _report_test(model: Model, output: Output) -> None:
    """Scores on labels never trained on."""
    r2, rmse = model.scores["r2"], model.scores["rmse"]
    output.lines.append(f"on {len(model.test)} test labels:   R2      RMSE (Angstrom^3)")
    output.lines += [f"  {name.replace('_', '-'):<18} {r2[name]:9.5f}  {rmse[name]:9.4g}" for name in r2]
    output.lines.append(
        f"error, weighted as the Raman intensity, over the labels' fluctuation: {percent(model.relative_error)}"
    )
    worst = worst_component(r2)
    outlying = model.label_checks is not None and model.label_checks.outlier
    advice = "look at the labels that do not fit the others first, then add labels" if outlying else "add labels"
    if model.relative_error > MOST_ERROR:
        output.warnings.append(
            f"the error on test labels is {percent(model.relative_error)} of their fluctuation (worst component "
            f"{worst}, R2 {r2[worst]:.2f}), and that of the spectrum not smaller; it may not be trusted, {advice}"
        )
    elif r2[worst] < LEAST_R2:
        output.warnings.append(
            f"component {worst} is hardly learnt (R2 {r2[worst]:.2f} against its own mean); spectra of oriented "
            "crystals in which it takes part may not be trusted"
        )
