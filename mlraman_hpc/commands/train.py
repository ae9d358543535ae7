"""`mlraman train`: labelled structures -> model.h5 and parity.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import Features, features
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.plots import training as figures
from mlraman_hpc.readers.tensors import labels as reference
from mlraman_hpc.readers.tensors.frame_match import on_trajectory
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

KIND = "model"
LEAST_R2 = 0.7


def train(job: Job) -> None:
    """Fit the model and write model.h5; skipped where it is up to date."""
    job.section("reference")
    path = job.output / "model.h5"
    origin = job.session.on_root(training_origin, job, "train", job.deck.model.model_dump(include={"committee"}))
    if job.session.on_root(job.up_to_date, path, origin):
        job.console.say(f"{path} is up to date")
        return
    labels = job.session.on_root(read_labels, job)
    train_rows, test_rows = job.session.on_root(draw, job, len(labels))
    job.console.say(f"{len(labels)} labels; training on {len(train_rows)}, testing on {len(test_rows)}")
    all_features = label_features(job, labels)
    job.session.enter_step("fit")
    job.session.on_root(_fit, job, labels, all_features, train_rows, test_rows, path, origin)


def training_origin(job: Job, task: str, settings: dict) -> Origin:
    """Origin of a result that depends on labels, descriptor, regularization and further `settings`."""
    deck = job.deck
    files = job.files("reference.files")
    parents = hashes(files + reference.companions(files))
    if deck.reference.format == "table" or deck.reference.frame_from_name is not None:
        parents |= hashes(job.files("trajectory.files"))
    return job.origin(
        task,
        parents,
        deck.reference.model_dump(exclude={"files"}),
        deck.descriptor.model_dump(),
        deck.model.model_dump(include={"regularization"}),
        settings,
    )


def read_labels(job: Job) -> Labels:
    """All labelled structures that the deck names."""
    with job.deck_lines():
        return _read_labels(job)


def _read_labels(job: Job) -> Labels:
    section = job.deck.reference
    files = job.files("reference.files")
    if section.format == "table":
        if len(files) > 1:
            raise DataError(f"{job.deck.location('reference.files')}: one table, found {len(files)} files")
        index = trajectory_index(job)
        return reference.read_table_labels(
            files[0],
            section.order,
            section.quantity,
            section.unit,
            index,
            section.first,
            section.every,
            job.console.warn,
        )
    labels = reference.read_labels(
        files, section.format, section.quantity, section.unit, job.console.warn, tensor_key=section.tensor
    )
    if section.frame_from_name is not None:
        labels, text = on_trajectory(labels, trajectory_index(job), section.frame_from_name, section.frame_offset)
        job.console.say(text)
    return labels


def draw(job: Job, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows, drawn at random; test first, so that the test set does not depend on N_T."""
    section = job.deck.reference
    test = section.test if section.test is not None else count // 5
    train = section.train if section.train is not None else count - test
    if train + test > count:
        raise DataError(
            f"{job.deck.location('reference.train')}: train ({train}) and test ({test}) are more than the "
            f"{count} labels that there are"
        )
    if train < 2:
        raise DataError(f"{job.deck.location('reference.files')}: {count} labels leave {train} to train on; at least 2")
    order = np.random.default_rng(section.seed).permutation(count)
    return np.sort(order[test : test + train]), np.sort(order[:test])


def label_features(job: Job, labels: Labels) -> Features:
    """Summed lambda-SOAP of every label, each rank its share; complete on root."""
    numbers = sorted(set(labels.frames.numbers.tolist()))
    descriptor = descriptor_of(job)
    job.session.enter_step("descriptors")
    job.session.only_on_root(_compile, job, labels, descriptor, numbers)
    mine = job.session.local_share(range(len(labels)))
    with job.session.collective_errors():
        part = features(labels.frames.take(np.array(mine, dtype=int)), descriptor, numbers)
    parts = job.session.gather(part)
    return Features.join(parts) if parts else part


def _compile(job: Job, labels: Labels, descriptor: Descriptor, numbers: list[int]) -> None:
    """Machine code for all ranks, where no run before has left it."""
    with job.session.stop.deferred():  # the compiler would swallow a stop that is raised inside it
        features(labels.frames.take([0]), descriptor, numbers)


def descriptor_of(job: Job) -> Descriptor:
    return Descriptor(**job.deck.descriptor.model_dump())


def _fit(job: Job, labels: Labels, all_features: Features, train_rows, test_rows, path: Path, origin) -> None:
    section = job.deck.model
    model, warnings = polarizability.fit(
        all_features,
        labels,
        train_rows,
        test_rows,
        descriptor_of(job),
        section.regularization,
        section.committee,
        job.deck.reference.seed,
    )
    for text in warnings:
        job.console.warn(text)
    predicted = polarizability.predict_features(model, all_features)
    _report(job, model, labels, predicted)
    hdf5.save(path, model, KIND, origin)  # last: whoever finds it finds the figure too
    job.console.say(f"wrote {path}")


def _report(job: Job, model: Model, labels: Labels, predicted: np.ndarray) -> None:
    """Scores on labels never trained on, and the figure of them."""
    ridge = ", ".join(f"{name} {value:.1e}" for name, value in model.regularization.items())
    job.console.say(f"regularization by lambda: {ridge}")
    if not len(model.test):
        job.console.warn(
            f"{job.deck.location('reference.test')}: no labels are left for a test; the model's error is not known"
        )
        return
    r2, rmse = model.scores["r2"], model.scores["rmse"]
    job.console.say(f"on {len(model.test)} test labels:   R2      RMSE (Angstrom^3)")
    for name in r2:
        job.console.say(f"  {name.replace('_', '-'):<18} {r2[name]:9.5f}  {rmse[name]:9.4g}")
    if min(r2["diagonal"], r2["off_diagonal"]) < LEAST_R2:
        job.console.warn(
            f"the model explains little of the test labels (R2 {r2['diagonal']:.2f} diagonal, "
            f"{r2['off_diagonal']:.2f} off-diagonal); the spectrum may not be trusted, add labels"
        )
    job.draw(
        "parity.png", figures.parity_figure, labels.polarizability[model.test], predicted[model.test], job.deck.title
    )
