"""Labelled structures: those that the deck names, which of them are trained on, their descriptors, a model of a few."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptor_choice import candidates
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.readers.tensors import labels as reference
from mlraman_hpc.readers.tensors.formats import companions
from mlraman_hpc.readers.tensors.trajectory_labels import on_trajectory, read_table_labels
from mlraman_hpc.readers.text import build_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.storage.provenance import Origin

TRIAL_LABELS = 8


def training_origin(job: Job, task: str, settings: dict) -> Origin:
    """Origin of a result that depends on labels, descriptor, regularization and further `settings`."""
    deck, section = job.deck, job.section("reference")
    files = job.files("reference.files")
    parents = hashes(files + companions(files, section.format))
    if section.derivatives is not None:
        parents |= hashes(job.files("reference.derivatives.files"))
        settings = settings | {"derivatives": section.derivatives.model_dump(exclude={"files"})}
    if section.format == "table" or section.frame_from_name is not None:
        parents |= hashes(job.files("trajectory.files"))
    return job.origin(
        task,
        parents,
        section.model_dump(exclude={"files", "derivatives"}),
        descriptor_settings(job),
        deck.model.model_dump(include={"regularization"}),
        settings,
    )


def read_labels(job: Job) -> Labels:
    """All structures with tensors that the deck names; none where it has derivatives alone."""
    with job.located():
        return _read_labels(job)


def _read_labels(job: Job) -> Labels:
    section = job.section("reference")
    files = job.files("reference.files")
    if not files:
        return Labels(build_frames([], np.arange(0)), np.zeros((0, 3, 3)), ())
    if section.format == "table":
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
        files, section.format, section.quantity, section.unit, job.console.warn, tensor_key=section.tensor
    )
    if section.frame_from_name is not None:
        labels, text = on_trajectory(labels, trajectory_index(job), section.frame_from_name, section.frame_offset)
        job.console.say(text)
    return labels


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
    density = labels.frames.atoms_per_frame / labels.frames.volumes
    if np.isfinite(density).any():
        model.number_density[:] = np.nanmin(density), np.nanmax(density)
    return model
