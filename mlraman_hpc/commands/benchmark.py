"""`mlraman benchmark`: frames per second by stage and by number of ranks, memory, and what that means for a job.

Uses the deck's own trajectory and model; where there is no model yet, one of a few labels, which is as fast. Nothing is
written. Numbers are of this machine at this moment: quote their ratios.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.model.predictor import Predictor, joined
from mlraman_hpc.pipeline.derivatives import trial_labels
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import read_labels, trial_model
from mlraman_hpc.pipeline.prediction import READ_ATOMS, WorkUnit, load_model, model_path, predict_unit
from mlraman_hpc.pipeline.trajectory import selected_frames, trajectory_index
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.storage.alpha_file import AlphaFile

STAGE_SECONDS = 2.0
SAMPLE_ATOMS = 1 << 16
ESTIMATES = (10**4, 10**5, 10**6, 10**7)


@dataclass(frozen=True)
class Sample:
    """The first frames of the selection, the same on every rank."""

    index: TrajectoryIndex
    starts: np.ndarray
    atoms: int
    frames_in_all: int
    index_seconds: float

    @property
    def batches(self) -> list[np.ndarray]:
        return [np.arange(start, stop) for start, stop in zip(self.starts[:-1], self.starts[1:])]


def benchmark(job: Job) -> None:
    """Print the table."""
    session = job.session
    job.section("trajectory")
    if job.deck.model.predictor:
        raise job.deck.error(
            "model.predictor", "the benchmark is of the linear model's stages; 'mlraman check' times another model"
        )
    model = session.on_root(_model, job)
    sample = session.on_root(_sample, job)
    predictor = session.on_root(_ready, sample, model)
    predictor(read_frames(sample.index, sample.batches[0]))  # files in the page cache before the clock
    session.enter_step("stages")
    stages = session.on_root(_stages, job, sample, predictor, model)
    gathering = _gather_seconds(job, sample, predictor)
    session.enter_step("ranks")
    threads, rates = _by_threads(job, sample, predictor), _by_ranks(job, sample, predictor)
    memory = session.allgather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    session.on_root(
        _report, job, sample, {**stages, "gather": gathering, "write": stages["write"]}, threads, rates, memory
    )


def _model(job: Job) -> Model:
    """The model that is there, or a trial model of the deck's labels."""
    if not model_path(job).exists() and job.deck.reference:
        return trial_model(job, trial_labels(job, read_labels(job)))
    return load_model(job)


def _ready(sample: Sample, model) -> Predictor:
    """Compiled on one rank, so that the others find the machine code."""
    predictor = Predictor(model)
    predictor(read_frames(sample.index, sample.batches[0]))
    return predictor


def _sample(job: Job) -> Sample:
    began = time.perf_counter()
    index = trajectory_index(job)
    seconds = time.perf_counter() - began
    chosen = selected_frames(job, index)
    few = chosen[: max(2, int(np.searchsorted(np.cumsum(index.atoms[chosen]), SAMPLE_ATOMS)))]
    part = index.take(few)
    size = max(1, READ_ATOMS // len(index.numbers))
    starts = np.append(np.arange(0, len(part), size), len(part))
    return Sample(part, starts, int(part.atoms.sum()), len(chosen), seconds)


def _stages(job: Job, sample: Sample, predictor: Predictor, model: Model) -> dict[str, float]:
    """Seconds a frame of each stage on one rank."""
    loaded = [read_frames(sample.index, rows) for rows in sample.batches]
    results = [predictor(frames) for frames in loaded]
    parts = predictor.neighbours_only(), predictor.without_contraction(), predictor
    times = [_seconds_a_frame(lambda k, part=part: part(loaded[k]), loaded) for part in parts]
    neighbours, expansion, contraction = np.diff([0.0, *np.maximum.accumulate(times)])
    return {
        "read": _seconds_a_frame(lambda k: read_frames(sample.index, sample.batches[k]), loaded),
        "neighbours": neighbours,
        "expansion": expansion,
        "contraction": contraction,
        "write": _write_seconds(job, sample, model, results),
    }


def _gather_seconds(job: Job, sample: Sample, predictor: Predictor) -> float:
    """Seconds a frame until root has the sample's rows from every rank, of which there are as many samples."""
    session = job.session
    rows = joined([predictor(read_frames(sample.index, rows)) for rows in sample.batches])
    session.barrier()
    began = time.perf_counter()
    session.gather(rows)
    return session.on_root(lambda: (time.perf_counter() - began) / (len(sample.index) * session.size))


def _seconds_a_frame(work: Callable[[int], object], loaded: list[Frames]) -> float:
    began, done, turn = time.perf_counter(), 0, 0
    while (spent := time.perf_counter() - began) < STAGE_SECONDS or turn == 0:
        work(turn % len(loaded))
        done += len(loaded[turn % len(loaded)])
        turn += 1
    return spent / done


def _write_seconds(job: Job, sample: Sample, model: Model, results: list) -> float:
    """One commit of the sample to a file in the output folder's file system, which is removed again."""
    frames = len(sample.index)
    where = next(folder for folder in (job.output, *job.output.resolve().parents) if folder.exists())
    with tempfile.TemporaryDirectory(dir=where, prefix=".mlraman-benchmark-") as folder:
        file = AlphaFile.create(
            Path(folder) / "alpha.partial.h5",
            frames=frames,
            steps=np.arange(frames).__getitem__,
            times=np.arange(float(frames)).__getitem__,
            species=model.species,
            members=len(model.members),
            batches=len(results),
            origin=job.origin("benchmark", {}),
        )
        prediction = joined(results)
        began = time.perf_counter()
        file.write(slice(0, len(results)), slice(0, frames), prediction.shares, prediction.members, prediction.outliers)
        file.commit()
        seconds = time.perf_counter() - began
        file.close()
    return seconds / frames


def _up_to(most: int) -> list[int]:
    """1, 2, 4, ... and `most`"""
    return [2**power for power in range(20) if 2**power < most] + [most]


def _by_threads(job: Job, sample: Sample, predictor: Predictor) -> dict[int, float]:
    """Frames per second of the first rank alone with 1, 2, 4, ... threads."""
    return {count: job.session.on_root(_rate, sample, predictor, count, 0, 1) for count in _up_to(job.session.threads)}


def _by_ranks(job: Job, sample: Sample, predictor: Predictor) -> dict[int, float]:
    """Frames per second of the first 1, 2, 4, ... ranks with all their threads."""
    session, rates = job.session, {}
    for count in _up_to(session.size):
        session.barrier()
        mine = _rate(sample, predictor, session.threads, session.rank, count) if session.rank < count else 0.0
        rates[count] = sum(session.allgather(mine))
    return rates


def _rate(sample: Sample, predictor: Predictor, threads: int, first: int, step: int) -> float:
    """Frames per second, read and predicted as `mlraman predict` does."""
    frames, turn, began = 0, first, time.perf_counter()
    while (seconds := time.perf_counter() - began) < STAGE_SECONDS:
        numbers = [k % len(sample.batches) for k in range(turn, turn + threads * step, step)]
        chosen = np.concatenate([sample.batches[k] for k in numbers])
        sizes = np.array([len(sample.batches[k]) for k in numbers])
        predict_unit(WorkUnit(sample.index.take(chosen), sizes), predictor, threads)
        frames, turn = frames + len(chosen), turn + threads * step
    return frames / seconds


def _report(job: Job, sample: Sample, stages: dict, threads: dict, rates: dict, memory: list[float]) -> None:
    say = job.console.say
    atoms = sample.atoms / len(sample.index)
    total = sum(stages.values())
    say(
        f"{len(sample.index)} frames of {atoms:.4g} atoms; the index of the trajectory took "
        f"{duration(sample.index_seconds)}"
    )
    say("stage        ms a frame   share   frames/s   atom-frames/s")
    for name, seconds in [*stages.items(), ("together", total)]:
        share, rate = 100 * seconds / total, 1 / max(seconds, 1e-12)
        say(f"{name:<12} {1e3 * seconds:10.4f}  {share:5.1f} % {rate:10.4g} {rate * atoms:15.4g}")
    for title, table in (("threads", threads), ("ranks", rates)):
        if title == "threads" and len(table) == 1:
            continue
        say(f"{title:<7}   frames/s   atom-frames/s   speed-up")
        for count, rate in table.items():
            say(f"{count:7d} {rate:10.4g} {rate * atoms:15.4g} {rate / table[1]:10.2f}")
    say(f"memory: at most {max(memory):.0f} MB a rank")
    best = rates[max(rates)]
    say(f"frames    on {max(rates)} rank{'s' if max(rates) > 1 else ''}")
    for frames in sorted({*ESTIMATES, sample.frames_in_all}):
        say(f"{frames:<9d} {duration(frames / best)}")
