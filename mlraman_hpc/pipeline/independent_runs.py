"""`trajectory.runs`: each file is a run of its own, with a job of its own below OUTPUT/runs; results are averaged."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.prediction import model_path
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.records.fields import Record
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

R = TypeVar("R", bound=Record)


def are_independent(job: Job) -> bool:
    """Whether the files of the deck's trajectory are runs of their own."""
    return bool(job.deck.trajectory and job.deck.trajectory.runs)


def jobs_of_runs(job: Job) -> list[Job]:
    """A job for each file of the trajectory, in OUTPUT/runs/NUMBER, with the model of this one and without figures."""
    return [dataclasses.replace(job, deck=deck) for deck in job.session.on_root(_decks, job)]


def _decks(job: Job) -> list:
    deck, section = job.deck, job.deck.trajectory
    files, folder = job.files("trajectory.files"), job.deck.folder
    if len(files) < 2:
        raise DeckKeyError("trajectory.runs", f"needs two files or more, one for each run; found {len(files)}")
    file = None if deck.model.predictor else os.path.relpath(model_path(job), folder)
    model = deck.model.model_copy(update={"file": file})
    decks = []
    for number, file in enumerate(files):
        trajectory = section.model_copy(update={"files": [os.path.relpath(file, folder)], "runs": False})
        output = str(job.output / "runs" / str(number))
        changes = {"output": output, "figures": False, "trajectory": trajectory, "model": model, "reference": None}
        decks.append(deck.model_copy(update=changes))
    return decks


def average_runs(
    job: Job,
    command: Callable[[Job], None],
    record_type: type[R],
    average: Callable[[Sequence[R]], R],
    output: Callable[[Job, R, Origin], Output],
) -> None:
    """`command` for each run, then their `average` as this job's result, with `output` for its figures and lines."""
    with job.located():
        runs = jobs_of_runs(job)
    for run in runs:
        command(run)
    paths = [run.output / record_type.file_name for run in runs]
    run_step(
        job,
        record_type,
        partial(_origin, paths=paths, task=command.__name__),
        partial(_average, paths=paths, record_type=record_type, average=average, output=output),
        root_alone=True,
    )


def _origin(job: Job, paths: list[Path], task: str) -> Origin:
    parents = {str(path): hdf5.content_of(path) for path in paths}
    return job.origin(task, parents, "mean of runs", history=hdf5.history_of(paths[0]))


def _average(
    step: Step,
    paths: list[Path],
    record_type: type[R],
    average: Callable[[Sequence[R]], R],
    output: Callable[[Job, R, Origin], Output],
) -> Output:
    result = average([hdf5.load(record_type, path) for path in paths])
    step.job.console.say(f"mean of {len(paths)} runs, errors from their scatter")
    return output(step.job, result, step.origin)
