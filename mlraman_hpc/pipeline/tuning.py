"""The descriptor of a deck that leaves it to the program: chosen once, kept in tuning.h5, used by every command."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.model import descriptor_choice
from mlraman_hpc.model.regression import left_out_error, left_out_problem
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import descriptor_of, label_features, split_labels, training_origin
from mlraman_hpc.pipeline.step import Output, Step
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor
from mlraman_hpc.records.training import Tuning
from mlraman_hpc.reports.wording import tuning_sentence
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin


def chosen_descriptor(job: Job, labels: Labels) -> Descriptor:
    """The deck's, or the one that `tune` chooses. For all ranks."""
    if job.deck.descriptor.mode == "fixed":
        return descriptor_of(job)
    tune_descriptor(job, labels)
    return job.session.on_root(lambda: descriptor_choice.chosen_descriptor(_saved(job), descriptor_of(job)))


def tuned(job: Job) -> Tuning | None:
    """The choice that was made; None where the deck gives the descriptor. On root."""
    return None if job.deck.descriptor.mode == "fixed" else _saved(job)


def _saved(job: Job) -> Tuning:
    return hdf5.load(Tuning, job.output)


def tune_descriptor(job: Job, labels: Labels) -> None:
    """Write tuning.h5 unless it is up to date. For all ranks."""
    step = Step(job, Tuning.file_name, _origin)
    if not step.up_to_date():
        step.write(_compute(job, labels))


def _origin(job: Job) -> Origin:
    return training_origin(job, "tune", {})


def _compute(job: Job, labels: Labels) -> Output | None:
    """Features are shared over the ranks, label by label; the fits, candidate by candidate."""
    session = job.session
    rows, _ = session.on_root(split_labels, job, len(labels))
    known, errors = labels.take(rows), []
    grid = descriptor_choice.candidates(descriptor_of(job), descriptor_choice.molecules_alone(known))
    with job.console.progress("descriptors", len(grid), "candidates", 0) as advance:
        for start in range(0, len(grid), session.size):
            batch = grid[start : start + session.size]
            problems = []
            for descriptor in batch:
                features = label_features(job, known, descriptor)
                problems.append(session.only_on_root(left_out_problem, features, known))
            problems += [None] * (session.size - len(batch))
            problem = session.scatter(problems if session.is_root else None)
            session.enter_step("fits")
            with session.collective_errors():
                error = None if problem is None else left_out_error(problem, job.deck.model.regularization)
            errors += (session.gather(error) or [])[: len(batch)]
            advance(len(batch))
    return session.only_on_root(_output, grid, np.array(errors, dtype=float), known)


def _output(grid: tuple[Descriptor, ...], errors: np.ndarray, labels: Labels) -> Output:
    result = descriptor_choice.tuning(labels, errors)
    lines = [f"leave-one-out error of {len(labels)} training labels over their fluctuation, weighted as the intensity:"]
    for k, (descriptor, error) in enumerate(zip(grid, errors)):
        mark = "  <- chosen" if k == result.chosen else ""
        lines.append(f"  {100 * error / result.fluctuation:6.2f} %  {descriptor}{mark}")
    return Output(result, lines=[*lines, tuning_sentence(result)])
