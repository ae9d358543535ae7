"""One material of a campaign: its deck, its log, its commands, and a status file that says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, StoppedEarly, UserError
from mlraman_hpc.campaign import common_model
from mlraman_hpc.commands.run import run
from mlraman_hpc.config.campaign_deck import Campaign, Material, ModelSource, ordinary_yaml
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import Features
from mlraman_hpc.numerics.regression.scores import tensor_scores
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.labels import read_labels, reference_settings, shared_features
from mlraman_hpc.pipeline.prediction import load_model, model_path
from mlraman_hpc.pipeline.step import Output, Step
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.training import LabelTest
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.folder_lock import Busy
from mlraman_hpc.storage.provenance import Origin

STATUS, LOG, DECK = "status.txt", "log.txt", "deck.yaml"


class State(str, Enum):
    """How a material's last run ended; the text is what its status file holds, of a failure its message instead."""

    UNFINISHED = "unfinished"
    DONE = "done"
    FAILED = "failed"
    NOT_BEGUN = "not begun"

    def __str__(self) -> str:
        return self.value


class _Log(Console):
    """Everything goes into the material's own log, warnings too."""

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.say(f"warning: {text}")
        self.warnings[text] = self.warnings.get(text, 0) + 1
        if self.status:
            self.status.warned(len(self.warnings))


@contextmanager
def logging(folder: Path, session: Session, level: int):
    """A console that writes to log.txt, for all ranks; on root it is opened.

    Afterwards notices of other packages go to the console that they went to before.
    """
    stream = session.only_on_root(_open_log, folder)
    before = list(Console.handlers())
    try:
        yield _Log(session, max(1, level), stream)
    finally:
        Console.handlers()[:] = before
        if stream is not None:
            with suppress(OSError):  # a full disk ends the log only
                stream.close()


def _open_log(folder: Path):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / LOG, "a", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error.strerror}; check 'output', free space and quota"
        ) from None


def compute(plan: Campaign, material: Material, session: Session, level: int, force: bool) -> str | None:
    """All commands of the material; None, or the message of what went wrong. For all ranks of `session`."""

    def work(job: Job) -> None:
        session.only_on_root(_check_labels_computed, material)
        run(job)
        test_labels(plan, material, job)
        session.only_on_root(_mark, job, State.DONE)

    return attempt(material, session, level, force, work)


def attempt(material: Material, session: Session, level: int, force: bool, work: Callable[[Job], object]) -> str | None:
    """`work` in the material's folder, with its log and status; None, or the message of what went wrong."""
    try:
        with opened(material, session, level, force) as job:
            work(job)
    except StoppedEarly:
        raise
    except UserError as error:
        return message_of(error, session)
    return None


def message_of(error: UserError, session: Session) -> str:
    """Of an error that all ranks have; what one rank alone has ends the job."""
    if session.size > 1 and not error.shared:
        raise error
    return str(error)


@contextmanager
def opened(material: Material, session: Session, level: int, force: bool) -> Iterator[Job]:
    """The material's folder, locked, with its log and status, which tell how the block ended. For all ranks."""
    with logging(material.folder, session, level) as console:
        job = Job(material.deck, session, console, force)
        try:
            with job.folder(), job.status(material.name):
                session.only_on_root(_begin, job)
                yield job
        except UserError as error:
            _note(job, error)
            raise
        console.summary()


def _begin(job: Job) -> None:
    _mark(job, State.UNFINISHED)
    write(job.output / DECK, ordinary_yaml(job.deck))


def _check_labels_computed(material: Material) -> None:
    path = material.folder / Model.file_name
    if material.model is ModelSource.COMPUTED and not path.exists():
        raise DataError(f"{path}: no model yet; 'mlraman label' with the campaign's deck computes its labels")


def _note(job: Job, error: UserError) -> None:
    """The message goes to log and status file, but not into a folder that another job has locked."""
    job.console.say(f"error: {error}")
    if job.session.is_root and not isinstance(error, (Busy, StoppedEarly)) and job.output.is_dir():
        with suppress(UserError):  # the first problem is the one to report
            _mark(job, str(error))


def fail(materials: list[Material], text: str) -> None:
    """Notes why materials were not computed at all; on root."""
    for material in materials:
        write(material.folder / STATUS, f"{text}\n")


def _mark(job: Job, text: str) -> None:
    write(job.output / STATUS, f"{text}\n")


def write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def status(material: Material) -> tuple[State, str]:
    """How the material's last run ended, and the message of what went wrong."""
    try:
        text = (material.folder / STATUS).read_text(encoding="utf-8").strip()
    except OSError:
        text = ""
    if text in (State.DONE, State.UNFINISHED):
        return State(text), ""
    return (State.FAILED, text) if text else (State.NOT_BEGUN, "")


# A model that others share, or that was given, is tested on the material's own labels.


def test_labels(plan: Campaign, material: Material, job: Job) -> None:
    """Write label_test.h5 for a material with labels that do not train a model of its own."""
    if material.labels is None:
        return
    session, labels_job = job.session, replace(job, deck=material.labels)
    session.enter_stage("label test")
    rows = session.on_root(common_model.test_rows, plan, material)
    step = Step(job, LabelTest.file_name, _origin, labels_job, rows)
    if step.up_to_date():
        return
    labels = session.on_root(read_labels, labels_job)
    labels = labels if rows is None else labels.take(rows)
    if len(labels) == 0:
        return
    model = session.on_root(load_model, job)
    features = shared_features(job, labels, model.descriptor, model.numbers)
    step.write(session.only_on_root(_label_test, model, labels, features, rows is not None))


def _origin(job: Job, labels_job: Job, rows: np.ndarray | None) -> Origin:
    model = model_path(job)
    parents = hashes(labels_job.files("reference.files")) | {str(model): hdf5.content_of(model)}
    return job.origin(
        "label test", parents, reference_settings(labels_job, {"files"}), None if rows is None else rows.tolist()
    )


def _label_test(model: Model, labels: Labels, features: Features, left_out: bool) -> Output:
    predicted = polarizability.predict_features(model, features)
    errors = tensor_scores(labels.polarizability, predicted)
    line = (
        f"the model on {len(labels)} labels of this material: R2 {errors['r2']['diagonal']:.4f} diagonal, "
        f"{errors['r2']['off_diagonal']:.4f} off-diagonal"
    )
    return Output(LabelTest(errors["r2"], errors["rmse"], len(labels), left_out), lines=[line])
