"""One material of a campaign: its deck, its log, its tasks, and a mark that says how it ended."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, StoppedEarly, UserError
from mlraman_hpc.campaign import common_model
from mlraman_hpc.commands.predict import load_model, model_path
from mlraman_hpc.commands.run import run
from mlraman_hpc.commands.train import read_labels
from mlraman_hpc.config import campaign_deck as campaign
from mlraman_hpc.config.campaign_deck import Campaign, Material
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import Features, features
from mlraman_hpc.numerics.regression.scores import tensor_scores
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.records.training import LabelTest
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.folder_lock import Busy

STATUS, LOG, DECK = "status.txt", "log.txt", "deck.yaml"
UNFINISHED, DONE = "unfinished", "done"
TEST, TEST_KIND = "label_test.h5", "label test"


class _Log(Console):
    """Everything goes into the material's own log, warnings too."""

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.say(f"warning: {text}")
        self.warnings[text] = self.warnings.get(text, 0) + 1


@contextmanager
def logging(folder: Path, session: Session, level: int):
    """A console that writes to log.txt, for all ranks; on root it is opened."""
    stream = session.only_on_root(_open_log, folder)
    try:
        yield _Log(session, max(1, level), stream)
    finally:
        if stream is not None:
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
    """All tasks of the material; None, or the message of what went wrong. For all ranks of `session`."""
    try:
        with logging(material.folder, session, level) as console:
            job = Job(material.deck, session, console, force)
            try:
                with job.folder():
                    session.only_on_root(_begin, job)
                    run(job)
                    test_labels(plan, material, job)
                    session.only_on_root(_mark, job, DONE)
            except UserError as error:
                _note(job, error)
                raise
            console.summary()
    except StoppedEarly:
        raise
    except UserError as error:
        if session.size > 1 and not error.shared:
            raise
        return str(error)
    return None


def _begin(job: Job) -> None:
    _mark(job, UNFINISHED)
    write(job.output / DECK, campaign.ordinary_yaml(job.deck))


def _note(job: Job, error: UserError) -> None:
    """The message is kept, but not in a folder that another job holds."""
    job.console.say(f"error: {error}")
    if job.session.is_root and not isinstance(error, (Busy, StoppedEarly)) and job.output.is_dir():
        with suppress(UserError):  # the first problem is the one to report
            _mark(job, str(error))


def fail(material: Material, text: str) -> None:
    """Notes why a material was not computed at all; on root."""
    material.folder.mkdir(parents=True, exist_ok=True)
    write(material.folder / STATUS, text + "\n")


def _mark(job: Job, text: str) -> None:
    write(job.output / STATUS, text + "\n")


def write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def status(material: Material) -> str:
    """'done', 'unfinished', '' where it was never begun, or the message of what went wrong."""
    try:
        return (material.folder / STATUS).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


# A model that others share, or that was given, is tested on the material's own labels.


def test_labels(plan: Campaign, material: Material, job: Job) -> None:
    """Write label_test.h5 for a material with labels that do not train a model of its own."""
    if material.labels is None:
        return
    path = job.output / TEST
    job.session.enter_stage("label test")
    labels_job = replace(job, deck=material.labels)
    rows = job.session.on_root(common_model.test_rows, plan, material)
    origin = job.session.on_root(_origin, job, labels_job, rows)
    if job.session.on_root(job.up_to_date, path, origin):
        return
    labels = job.session.on_root(read_labels, labels_job)
    labels = labels if rows is None else labels.take(rows)
    if len(labels) == 0:
        return
    model = job.session.on_root(load_model, model_path(job))
    mine = np.array(job.session.local_share(range(len(labels))), dtype=int)
    with job.session.collective_errors():
        part = features(labels.take(mine).frames, model.descriptor, model.numbers)
    parts = job.session.gather(part)
    job.session.only_on_root(_save_test, job, path, origin, model, labels, parts, rows is not None)


def _origin(job: Job, labels_job: Job, rows):
    model = model_path(job)
    parents = hashes(labels_job.files("reference.files")) | {str(model): hdf5.content_of(model)}
    return job.origin(
        "label test",
        parents,
        labels_job.deck.reference.model_dump(exclude={"files"}),
        None if rows is None else rows.tolist(),
    )


def _save_test(job: Job, path: Path, origin, model, labels, parts, left_out: bool) -> None:
    predicted = polarizability.predict_features(model, Features.join(parts))
    found = tensor_scores(labels.polarizability, predicted)
    hdf5.save(path, LabelTest(found["r2"], found["rmse"], len(labels), left_out), TEST_KIND, origin)
    job.console.say(
        f"the model on {len(labels)} labels of this material: R2 {found['r2']['diagonal']:.4f} diagonal, "
        f"{found['r2']['off_diagonal']:.4f} off-diagonal"
    )
