"""Labelled structures: those that the deck names, which of them are trained on, their descriptors, a model of a few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptor_choice import candidates
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.numerics.regression import outliers
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import trajectory_hashes, trajectory_index
from mlraman_hpc.readers.tensors import labels as reference
from mlraman_hpc.readers.tensors.formats import companions
from mlraman_hpc.readers.tensors.trajectory_labels import are_along_trajectory, on_trajectory, read_table_labels
from mlraman_hpc.readers.text import build_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.storage.provenance import Origin

TRIAL_LABELS = 8
FIT = "2"  # raised where the same labels give another model: what an older version fitted is made again
OUTLIERS = "outliers"  # what `reference.leave_out` may say instead of a list
MOST_NAMED = 10


def training_origin(job: Job, task: str, settings: dict) -> Origin:
    """Origin of a result that depends on labels, descriptor, regularization and further `settings`."""
    deck, section = job.deck, job.section("reference")
    files = job.files("reference.files")
    parents = hashes(files + companions(files, section.format))
    if section.derivatives is not None:
        parents |= hashes(job.files("reference.derivatives.files"))
        settings = settings | {"derivatives": section.derivatives.model_dump(exclude={"files"})}
    if are_along_trajectory(files, section.format) or section.frame_from_name is not None:
        parents |= trajectory_hashes(job)
    return job.origin(
        task,
        parents,
        reference_settings(job, {"files", "derivatives"}),
        descriptor_settings(job),
        deck.model.model_dump(include={"regularization"}),
        settings | {"fit": FIT},
    )


def reference_settings(job: Job, exclude: set[str]) -> dict:
    """The section's keys without those to `exclude`; those of later versions only where they change something."""
    section = job.section("reference")
    settings = section.model_dump(exclude=exclude)
    new_defaults = {"unconverged": "refuse", "leave_out": None, "species": None, "cell": None}
    return {name: value for name, value in settings.items() if name not in new_defaults or value != new_defaults[name]}


def usable_labels(job: Job) -> Labels:
    """What is trained and tested on: `read_labels` without outliers where the deck says so. For all ranks."""
    labels = job.session.on_root(read_labels, job)
    if job.section("reference").leave_out != OUTLIERS or len(labels) < outliers.FEWEST:
        return labels
    features = label_features(job, labels, descriptor_of(job))
    return job.session.on_root(_without_outliers, job, labels, features)


def _without_outliers(job: Job, labels: Labels, features: Features) -> Labels:
    left_out = polarizability.left_out_labels(features, labels, job.deck.model.regularization)
    if not left_out.outside.any():
        job.console.say("no label is an outlier among the others")
        return labels
    job.console.warn(f"left out (reference.leave_out: outliers): {outlier_text(labels, left_out)}")
    reasons = tuple(
        f"{labels.source[k]} ({left_out.deviations[k]:.3g} robust deviations)" for k in np.flatnonzero(left_out.outside)
    )
    kept = labels.take(~left_out.outside)
    return replace(kept, left_out=labels.left_out + reasons)


def outlier_text(labels: Labels, left_out: polarizability.LeftOut) -> str:
    """'2 of 94 labels do not fit the others: labels.extxyz, frame 40 (512), ...', the farthest first."""
    order = np.argsort(-np.nan_to_num(left_out.deviations), kind="stable")[: left_out.outside.sum()]
    named = ", ".join(f"{labels.source[k]} ({left_out.deviations[k]:.3g})" for k in order[:MOST_NAMED])
    more = f" and {len(order) - MOST_NAMED} more" if len(order) > MOST_NAMED else ""
    return (
        f"{len(order)} of {len(labels)} labels do not fit the others. Robust deviations from what a model of the "
        f"others says of them: {named}{more}"
    )


def far_from_median(labels: Labels) -> str | None:
    """Which periodic labels have a tensor far from the median of their composition; None where none has."""
    frames = labels.frames
    counts = np.stack(
        [np.bincount(frames.frame_of_atom, frames.numbers == z, len(labels)) for z in elements_of(labels)]
    )
    group = np.unique(counts, axis=1, return_inverse=True)[1].ravel()
    isotropic, anisotropic = to_spherical(labels.polarizability)
    deviations = np.nan_to_num(outliers.from_medians(isotropic, anisotropic, group))
    far = np.flatnonzero((deviations > outliers.LIMIT) & frames.periodic.all(axis=1))
    if not len(far):
        return None
    mean = isotropic / np.sqrt(3)
    named = [
        f"{labels.source[k]} ({deviations[k]:.3g} robust deviations; mean polarizability {mean[k]:.4g}, median "
        f"{np.median(mean[group == group[k]]):.4g} Angstrom^3)"
        for k in far[np.argsort(-deviations[far], kind="stable")][:MOST_NAMED]
    ]
    more = f" and {len(far) - MOST_NAMED} more" if len(far) > MOST_NAMED else ""
    return (
        f"{len(far)} of {len(labels)} labels are far from the median tensor of their fellows: "
        f"{', '.join(named)}{more}. Look at them (metallic? not converged? another cell?); "
        "reference.leave_out takes labels out"
    )


def read_labels(job: Job) -> Labels:
    """Structures with tensors that the deck names, less those that it lists to be left out; it may have none."""
    with job.located():
        labels = _read_labels(job)
        unwanted = job.section("reference").leave_out
        return labels if unwanted in (None, OUTLIERS) else _without(job, labels, unwanted)


def _without(job: Job, labels: Labels, unwanted: list) -> Labels:
    """Errors: DataError for an entry that is no label."""
    rows: set[int] = set()
    for item in unwanted:
        named = [k for k, source in enumerate(labels.source) if item == k or _is_named(source, item)]
        if not named:
            example = labels.source[0] if len(labels) else "labels.extxyz, frame 0"
            raise DataError(
                f"{job.deck.location('reference.leave_out')}: none of {len(labels)} labels is {item!r}; they are "
                f"called as '{example}', or have numbers from 0"
            )
        rows.update(named)
    job.console.say(f"{len(rows)} of {len(labels)} labels are left out (reference.leave_out)")
    reasons = tuple(f"{labels.source[k]} (listed)" for k in sorted(rows))
    kept = labels.take(np.setdiff1d(np.arange(len(labels)), sorted(rows)))
    return replace(kept, left_out=labels.left_out + reasons)


def _is_named(source: str, name: str | int) -> bool:
    """Whether the end of a label's source, from a '/' on, is this name."""
    return isinstance(name, str) and (source == name or source.endswith(f"/{name}"))


def _read_labels(job: Job) -> Labels:
    section = job.section("reference")
    files = job.files("reference.files")
    if not files:
        return Labels(build_frames([], np.arange(0)), np.zeros((0, 3, 3)), ())
    if are_along_trajectory(files, section.format):
        if len(files) > 1:
            raise DataError(f"{job.deck.location('reference.files')}: one table, found {len(files)} files")
        index = trajectory_index(job)
        return read_table_labels(
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
        files,
        section.format,
        section.quantity,
        section.unit,
        job.console.warn,
        tensor_key=section.tensor,
        unconverged=section.unconverged,
        order=section.order,
        species=section.species,
        cell=section.cell,
    )
    if section.frame_from_name is not None:
        labels, text = on_trajectory(labels, trajectory_index(job), section.frame_from_name, section.frame_offset)
        job.console.say(text)
    return labels


def no_test_text(job: Job) -> str:
    """What to say where no label is left for a test."""
    return f"{job.deck.location('reference.test')}: no labels are left for a test; the model's error is not known"


def split_labels(job: Job, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows, drawn at random; test first, so that the test set does not depend on N_T."""
    section = job.section("reference")
    test = section.test if section.test is not None else count // 5
    train = section.train if section.train is not None else count - test
    if train + test > count:
        raise DataError(
            f"{job.deck.location('reference.train')}: train ({train}) and test ({test}) are more than the "
            f"{count} labels that there are"
        )
    if train < 2 and section.derivatives is None:
        raise DataError(f"{job.deck.location('reference.files')}: {count} labels leave {train} to train on; at least 2")
    return polarizability.draw_rows(count, train, test, section.seed)


def label_features(job: Job, labels: Labels, descriptor: Descriptor, more: tuple[Frames, ...] = ()) -> Features:
    """Summed lambda-SOAP of every label, each rank its share; complete on root. `more` frames may add elements."""
    job.session.enter_step("descriptors")
    return shared_features(job, labels, descriptor, elements_of(labels, *more))


def shared_features(job: Job, labels: Labels, descriptor: Descriptor, numbers) -> Features:
    """The ranks share the labels; complete on root, each rank's part elsewhere."""
    calculator = job.session.on_root(compiled_calculator, job, labels.frames, descriptor, numbers)
    rows = job.session.local_share(range(len(labels)))
    with job.session.collective_errors():
        part = calculator(labels.frames.take(np.array(rows, dtype=int)))
    parts = job.session.gather(part)
    return Features.join(parts) if parts else part


def compiled_calculator(job: Job, frames: Frames, descriptor: Descriptor, numbers) -> FeatureCalculator:
    """With machine code for all ranks, where no run before has left it."""
    calculator = FeatureCalculator(descriptor, numbers)
    with job.session.stop.deferred():  # the compiler would swallow a stop that is raised inside it
        calculator(frames.take(slice(0, 1)))
    return calculator


def descriptor_of(job: Job) -> Descriptor:
    """The deck's own; where it is to be chosen, the one that takes as long as any of them."""
    return Descriptor.from_keys(job.deck.descriptor.model_dump(exclude={"mode"}))


def descriptor_settings(job: Job) -> dict:
    """What of the deck decides on the descriptor; as it was before there were radial scalings where there is none."""
    settings = job.deck.descriptor.model_dump(exclude={"mode"})
    if settings["radial_scaling"] is None:
        del settings["radial_scaling"]
    if job.deck.descriptor.mode == "auto":
        settings["candidates"] = [str(candidate) for candidate in candidates(descriptor_of(job))]
    return settings


def elements_of(labels: Labels, *more: Frames) -> list[int]:
    """Atomic numbers that occur in labels and further frames, in rising order."""
    return sorted({number for frames in (labels.frames, *more) for number in frames.numbers.tolist()})


def trial_model(job: Job, labels: Labels) -> Model:
    """A model of a few labels: as fast as the real one, and with all its elements and densities."""
    few = labels.take(slice(0, TRIAL_LABELS))
    known = FeatureCalculator(descriptor_of(job), elements_of(labels))(few.frames)
    rows = np.arange(len(few))
    model, _ = polarizability.fit(known, few, rows, rows[:0], descriptor_of(job), 1.0, job.deck.model.committee)
    model.number_density[:] = polarizability.density_range(labels.frames)
    return model
