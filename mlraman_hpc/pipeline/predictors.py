"""The deck's `model.predictor`: where results made with it come from; the model, tried on two frames, on every rank."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mlraman_hpc.base.errors import DataError, FrameError
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.prediction import Selection
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.checks import check
from mlraman_hpc.predictors.other_model import OtherModel, Resources, Settings
from mlraman_hpc.records.frames import Frames

LEAST_MEMBERS = 4  # of an ensemble, as of model.committee


def settings_of(job: Job) -> Settings:
    """The deck's section, with the paths of files."""
    section = job.deck.model.predictor
    return Settings(
        section.calculator,
        tuple(str(path) for path in job.files("model.predictor.files")),
        tuple(section.arguments),
        section.output,
        section.quantity,
        section.unit,
        job.deck.folder,
    )


def predictor_origin(job: Job) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """Parents, settings that the results depend on, and what their history says of the model; for root."""
    settings = settings_of(job)
    making.check_name(settings)
    section = job.deck.model.predictor.model_dump(exclude={"files"})
    return hashes(making.files_of(settings)), section, {"predictor": making.provenance_of(settings)}


def ready(job: Job, selection: Selection | None) -> OtherModel:
    """The model on every rank, tried on root's first and last frame."""
    session = job.session
    model = session.only_on_root(_tried, job, selection)
    hosts = session.allgather(session.host)
    resources = Resources(session.threads, hosts[: session.rank].count(session.host))
    with session.collective_errors():
        model = model or making.make(settings_of(job), resources)
    model.sign = session.on_root(lambda: model.sign)
    _say_devices(job, hosts, session.allgather((model.device, model.gpu)))
    return model


def _say_devices(job: Job, hosts: list[str], devices: list[tuple[str, str]]) -> None:
    """Which GPUs the ranks use, where any uses one; a warning where there are more or fewer ranks than GPUs."""
    ranks_of_gpu = Counter((host, gpu) for host, (_, gpu) in zip(hosts, devices) if gpu)
    if not ranks_of_gpu:
        return
    first = ", ".join(sorted({device for host, (device, _) in zip(hosts, devices) if host == hosts[0]}))
    used, where = len(ranks_of_gpu), len(set(hosts))
    job.console.say(f"ranks: {len(hosts)}, hosts: {where}, GPUs used: {used}; the ranks of {hosts[0]} run on {first}")
    (host, _), most = ranks_of_gpu.most_common(1)[0]
    if most > 1:
        job.console.warn(f"{most} ranks of {host} share one GPU: start one rank for each GPU, which is as fast")
    if idle := len(hosts) - sum(ranks_of_gpu.values()):
        job.console.warn(f"{idle} of {len(hosts)} ranks see no GPU and compute on the CPU, which the others wait for")


def _tried(job: Job, selection: Selection) -> OtherModel:
    model = making.make(settings_of(job), Resources(job.session.threads))
    frames = selection.frames(0, -1)
    try_on(job, model, frames, selection.index.names[0])
    return model


def try_on(job: Job, model: OtherModel, frames: Frames, name: str) -> None:
    """Log what the first of these frames says of the model, and raise where it cannot be used. `name` of the file."""
    members = f", an ensemble of {model.members}: their spread is the model error, as it is" if model.members else ""
    job.console.say(f"polarizabilities of {model.name}{members}")
    if 0 < model.members < LEAST_MEMBERS:
        job.console.warn(
            f"an ensemble of {model.members} models: its spread, and the spectrum's model error with it, is itself "
            f"uncertain by half or more; take {LEAST_MEMBERS} at least"
        )
    try:
        findings = check(model, frames)
    except FrameError as error:
        raise DataError(f"{name}: {error}") from None
    for line in findings.lines:
        job.console.say(line)
    for text in findings.warnings:
        job.console.warn(text)
