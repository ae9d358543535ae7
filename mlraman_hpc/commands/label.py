"""`mlraman label`: select, prepare, run, collect, train, predict, spectrum, until more labels cannot matter.

Every part is where it was left when the command is started again: rounds in labels.json, calculations in their folders.
"""

from __future__ import annotations

import importlib
from dataclasses import replace

from mlraman_hpc.base.errors import DataError, StoppedEarly
from mlraman_hpc.labelling.collection import collect_calculations
from mlraman_hpc.labelling.evaluation import enough_to_train, job_of_labels, record_round, rows_of, train_on_labels
from mlraman_hpc.labelling.manifest import Kind, Manifest, Purpose, Status, read_manifest
from mlraman_hpc.labelling.preparation import code_of, prepare_calculations, retry_failed, submit_hint
from mlraman_hpc.labelling.rounds import (
    NoFramesLeft,
    manifest_path,
    replace_tests,
    required_manifest,
    section_of,
    select_round,
    tests_to_replace,
)
from mlraman_hpc.labelling.runner import Work, run_calculations
from mlraman_hpc.labelling.stopping import Verdict
from mlraman_hpc.pipeline.job import Job


def label(job: Job) -> None:
    """Rounds until a verdict ends them. Without labelling.command: StoppedEarly while calculations are to be run.

    With --force, calculations that failed are tried again first.
    """
    with job.located():
        verdict = resumed(job)
        job = replace(job, force=False)
        while verdict is Verdict.GO_ON:
            verdict = next_round(job)
        if verdict is None:
            _wait_for_array(job)


def resumed(job: Job) -> Verdict | None:
    """The verdict on what is there already, GO_ON where calculations are open; None: see `next_round`."""
    code_of(job)
    manifest: Manifest | None = job.session.on_root(_known, job)
    if manifest is None or not manifest.rounds or manifest.open:
        return Verdict.GO_ON
    return _judged(replace(job, force=False), manifest)


def _known(job: Job) -> Manifest | None:
    """What was done before."""
    manifest = read_manifest(manifest_path(job))
    return retry_failed(job, manifest) if manifest is not None and job.force else manifest


def next_round(job: Job) -> Verdict | None:
    """Select, or go on with what is open, compute, collect, judge; None where calculations are left to a job array."""
    verdict = begun_round(job)
    if verdict is Verdict.GO_ON:
        _calculate(job)
        verdict = ended_round(job)
    return verdict


def begun_round(job: Job) -> Verdict:
    """Select, or go on with what is open, and prepare: GO_ON. The last verdict where no frame is left to select."""
    with job.stage("select"):
        try:
            manifest = select_round(job)
        except NoFramesLeft:
            return _evaluate(job, job.session.on_root(required_manifest, job), Verdict.NO_FRAMES)
    _prepare(job, manifest)
    return Verdict.GO_ON


def work_of(job: Job) -> Work | None:
    """What is open and to be run by the deck's command; None where there is neither."""
    section, manifest = section_of(job), job.session.on_root(required_manifest, job)
    if not (section.command and manifest.open):
        return None
    return Work(job, code_of(job), manifest.open, section.command, section.parallel, section.retries)


def ended_round(job: Job) -> Verdict | None:
    """Collect what has run, and judge; None where calculations are left to a job array."""
    manifest = _collected(job)
    if manifest.open:
        return None
    _check_any_label(job, manifest)
    return _judged(job, manifest)


def _prepare(job: Job, manifest: Manifest) -> None:
    if manifest.open:
        with job.stage("prepare"):
            job.session.on_root(prepare_calculations, job)


def _calculate(job: Job) -> None:
    work = work_of(job)
    if work is not None:
        with job.stage("calculate"):
            run_calculations(job.session, job.console, [work])


def _collected(job: Job) -> Manifest:
    with job.stage("collect"):
        return job.session.on_root(collect_calculations, job)


def _judged(job: Job, manifest: Manifest) -> Verdict | None:
    """The verdict. Test frames that gave no label are replaced by the next of the draw, and computed, before."""
    while tests_to_replace(job, manifest):
        with job.stage("select"):
            manifest = replace_tests(job)
        if not manifest.open:  # the trajectory has no more frames
            break
        _prepare(job, manifest)
        _calculate(job)
        manifest = _collected(job)
        if manifest.open:
            return None
    return _evaluate(job, manifest)


def _wait_for_array(job: Job) -> None:
    count, hint = job.session.on_root(lambda: (len(required_manifest(job).open), submit_hint(job)))
    stop = StoppedEarly(f"{count} calculations are to be run ({hint}); start the same command again when they have")
    stop.shared = True
    raise stop


def _check_any_label(job: Job, manifest: Manifest) -> None:
    """Rounds that give no label at all would go on for ever."""
    own = [item for item in manifest.of(Purpose.TRAIN) if item.round == manifest.rounds]
    if own and not any(item.status is Status.FINISHED for item in own):
        error = DataError(
            f"{manifest_path(job)}: none of the {len(own)} calculations of round {manifest.rounds} gave a label; the "
            f"first: {own[0].status.value}: {own[0].reason}. Repair the input and start again with --force"
        )
        error.shared = True
        raise error


def _evaluate(job: Job, manifest: Manifest, end: Verdict = Verdict.GO_ON) -> Verdict:
    """A model and a spectrum of all labels so far, and whether they are enough; `end`: why there can be no more."""
    section = section_of(job)
    count = sum(item.status is Status.FINISHED for item in manifest.of(Purpose.TRAIN))
    if count >= section.most:
        end = Verdict.MOST_LABELS
    if not enough_to_train(manifest, Kind(section.kind)):
        if end.ends:
            error = DataError(
                f"{manifest_path(job)}: {count} labels are too few for a model with error bars; {end.value}"
            )
            error.shared = True
            raise error
        return end
    labelled = job_of_labels(job)
    with job.stage("train"):
        train_on_labels(labelled, rows_of(manifest))
    for name in ("predict", "spectrum"):
        with job.stage(name):
            getattr(importlib.import_module(f"mlraman_hpc.commands.{name}"), name)(labelled)
    with job.stage("compare"):
        verdict: Verdict = job.session.on_root(record_round, labelled, manifest, end)
    return verdict
