"""`mlraman predict`: alpha along the trajectory -> alpha.h5.

Root deals batches of frames, with the byte offsets of just those, to the ranks; each rank reads and predicts its own
and sends rows back; root writes them as they come. Rounds grow until one takes a few seconds.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, UserError
from mlraman_hpc.model.predictor import Prediction, Predictor, joined
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import even_batches, frame_interval, selected_frames, trajectory_index
from mlraman_hpc.readers.trajectory.index import read_frames
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.runtime.fault_injection import slow_down
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.alpha_file import AlphaFile
from mlraman_hpc.storage.checkpoint import drop
from mlraman_hpc.storage.provenance import Origin

ROUND_SECONDS = 3.0
HAND_BYTES, ALL_HANDS = 1 << 20, 1 << 28  # of results, for a rank and for all together; bounds memory
COMMIT_SECONDS = 1.0  # between results are written, but not yet on the disk for sure
READ_ATOMS = 8192  # of each thread, read and predicted together; bounds the memory of positions
FEATOMIC_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Hand:
    """What one rank computes in a round: every frame of its part of the index."""

    index: object
    batches: int


@dataclass
class Plan:
    """Root's view of the work: what to compute, what is done, where it goes."""

    index: object
    chosen: range
    starts: np.ndarray
    file: AlphaFile
    path: Path
    origin: Origin
    todo: np.ndarray
    read: dict[str, tuple[int, str]]
    dealt: list[np.ndarray] = field(default_factory=list)  # batches of each rank in this round
    committed: float = 0.0

    def sizes(self, batches_: np.ndarray) -> np.ndarray:
        """Number of frames in each."""
        return self.starts[batches_ + 1] - self.starts[batches_]

    def runs(self, batches_: np.ndarray) -> list[tuple[slice, slice]]:
        """Batches that follow one another, and their rows."""
        return [
            (slice(int(run[0]), int(run[-1]) + 1), slice(int(self.starts[run[0]]), int(self.starts[run[-1] + 1])))
            for run in np.split(batches_, np.flatnonzero(np.diff(batches_) != 1) + 1)
            if len(run)
        ]

    @property
    def frames_done(self) -> int:
        return int(self.starts[-1] - self.sizes(self.todo).sum())

    def hand(self, batches_: np.ndarray) -> Hand:
        parts = [self.chosen[rows] for _, rows in self.runs(batches_)]
        frames = np.concatenate([np.empty(0, int), *(np.arange(part.start, part.stop, part.step) for part in parts)])
        return Hand(self.index.take(frames), len(batches_))


def model_path(job: Job) -> Path:
    return job.files("model.file")[0] if job.deck.model.file else job.output / "model.h5"


def predict(job: Job) -> None:
    """Predict every selected frame; goes on where an earlier run stopped."""
    job.section("trajectory")
    model = job.session.only_on_root(_load, job)
    predict_with(job, model, job.session.on_root(_origin, job), job.output / "alpha.h5")


def predict_with(job: Job, model: Model, origin: Origin, path: Path) -> None:
    """alpha of `model` along the deck's trajectory, written to `path` unless it is there with the same origin.

    Root alone needs the model.
    """
    session = job.session
    session.enter_step("index")
    plan = session.only_on_root(_plan, job, model, origin, path)
    if session.on_root(lambda: plan is None):
        job.console.say(f"{path} is up to date")
        return
    session.enter_step("first frame")
    predictor = session.on_root(_predictor, job, plan, model)  # the others find its machine code on disk
    session.enter_step("batches")
    _predict_all(job, plan, predictor)
    session.enter_step("write")
    session.on_root(_finish, job, plan)


def _load(job: Job) -> Model:
    path = model_path(job)
    if not path.exists():
        raise DataError(f"{path}: no model yet; 'mlraman train' makes it from the deck's 'reference'")
    return load_model(path)


def load_model(path: Path) -> Model:
    return hdf5.load(path, Model, "model")


def _origin(job: Job) -> Origin:
    model = model_path(job)
    parents = hashes(job.files("trajectory.files")) | {str(model): hdf5.content_of(model)}
    return job.origin(
        "predict", parents, job.deck.trajectory.model_dump(exclude={"files"}), history=hdf5.read_origin(model).history
    )


def _plan(job: Job, model: Model, origin: Origin, path: Path) -> Plan | None:
    """None where `path` is up to date."""
    from mlraman_hpc.model.regression import check_applicable  # and featomic with it: root alone needs that

    partial = path.with_name(f"{path.stem}.partial.h5")
    if job.up_to_date(path, origin):
        drop(partial, origin.key)
        return None
    index = trajectory_index(job)
    read = {path: provenance.hash_of_ends(path) for path in index.paths}
    chosen = selected_frames(job, index)
    interval = frame_interval(job, index)
    check_applicable(model, index.species, read_frames(index, chosen[:1]), job.deck.model.density_tolerance)
    atoms = len(index.numbers)
    starts = even_batches(len(chosen), atoms)
    file = _open_partial(job, partial, model, index, chosen, interval, len(starts) - 1, origin)
    todo = np.flatnonzero(~file.done)
    there = len(starts) - 1 - len(todo)
    job.console.say(
        f"{len(chosen)} frames of {atoms} atoms, {interval:g} fs apart, in "
        f"{len(starts) - 1} batches" + (f"; {there} batches are there already" if there else "")
    )
    return Plan(index, chosen, starts, file, path, origin, todo, read)


def _open_partial(job: Job, partial: Path, model, index, chosen, interval, count, origin) -> AlphaFile:
    if job.force:
        partial.unlink(missing_ok=True)
    found = AlphaFile.resume(partial, origin, ("trajectory",))
    if found is not None:
        return found

    def steps(rows: slice) -> np.ndarray:
        part = chosen[rows]
        return np.arange(part.start, part.stop, part.step) if index.steps is None else index.steps[part]

    return AlphaFile.create(
        partial,
        frames=len(chosen),
        steps=steps,
        times=lambda rows: interval * np.arange(rows.start, rows.stop),
        species=model.species,
        members=len(model.members),
        batches=count,
        origin=origin,
    )


def _predictor(job: Job, plan: Plan, model: Model) -> Predictor:
    """Ready to be used, and found to agree with featomic on the first frame."""
    from mlraman_hpc.model.regression import check_against_featomic

    predictor = Predictor(model)
    frames = read_frames(plan.index, plan.chosen[:1])
    with job.session.stop.deferred():  # the compiler would swallow a stop that is raised inside it
        predictor(frames)
    deviation = check_against_featomic(model, predictor, frames)
    job.console.detail(f"first frame against featomic: relative deviation {deviation:.1e}")
    if not deviation <= FEATOMIC_TOLERANCE:
        raise DataError(
            f"{plan.index.names[0]}: frame {plan.chosen[0]}: the fast prediction differs from featomic's "
            f"by {deviation:.1e} (relative); nothing was written. Please report this"
        )
    return predictor


def _predict_all(job: Job, plan: Plan | None, predictor: Predictor) -> None:
    """What was written counts, however the rounds end."""
    try:
        _rounds(job, plan, predictor)
    except UserError:
        if plan is not None:
            with suppress(DataError):  # a full disk may be why they ended
                _commit(plan)
        raise


def _rounds(job: Job, plan: Plan | None, predictor: Predictor) -> None:
    session = job.session
    total, done = (int(plan.starts[-1]), plan.frames_done) if session.is_root else (0, 0)
    with session.stop.deferred(), job.console.progress("predicting", total, "frames", done) as advance:
        length, more, turn, most = session.threads, True, 0, _most_frames(predictor, session.size)
        while more:
            began = time.monotonic()
            more, hand = session.scatter(_hands(plan, length, session.size, most) if session.is_root else None)
            with session.collective_errors():
                found = predict_hand(hand, predictor, session.threads)
            gathered = session.gather(found)
            computed = time.monotonic() - began
            written = session.on_root(_write, plan, gathered)
            advance(written)
            del hand, found, gathered  # room for those of the next round
            length = _next_length(length, time.monotonic() - began)
            turn += 1
            if turn == 2 and more:  # in the first, ranks still load what was compiled
                _say_expected(job, plan, predictor, written / computed)
            stop = session.stop_requested()
            if stop and more:
                raise stop


def _say_expected(job: Job, plan: Plan | None, predictor: Predictor, rate: float) -> None:
    """Time and memory of what is left, from a round; `rate` in frames/s."""
    held, ranks = job.session.allgather(machine.peak_memory()), job.session.size
    if plan is None:
        return
    left = int(plan.starts[-1]) - plan.frames_done
    frames = min(_most_frames(predictor, ranks), ROUND_SECONDS * rate / ranks, left / ranks)
    hand = 2 * frames * predictor.tensors * 72 / 2**20  # results, and their way to root
    memory = f"{held[0] + ranks * hand:.0f} MB on the first rank" + (
        f", {max(held[1:]) + hand:.0f} MB on each other" if ranks > 1 else ""
    )
    job.console.say(f"expected: about {duration(left / rate)} for the other {left} frames; memory {memory}")


def _most_frames(predictor: Predictor, ranks: int) -> int:
    """In a hand."""
    return max(1, int(min(HAND_BYTES, ALL_HANDS / ranks) / (72 * predictor.tensors)))


def _hands(plan: Plan, length: int, ranks: int, most: int) -> list:
    """(more to come, hand) for each rank; the batches are taken from the front of the list of what is to do."""
    length, plan.dealt = min(length, -(-len(plan.todo) // ranks)), []  # the last round is shared evenly too
    for _ in range(ranks):
        sizes = plan.sizes(plan.todo[:length])
        count = np.count_nonzero(np.cumsum(sizes) - sizes < most)  # one at least
        plan.dealt.append(plan.todo[:count])
        plan.todo = plan.todo[count:]
    return [(len(plan.todo) > 0, plan.hand(batches_)) for batches_ in plan.dealt]


def predict_hand(hand: Hand, predictor: Predictor, threads: int) -> Prediction | None:
    """None for an empty hand. No frame's result depends on which others are computed with it."""
    frames = len(hand.index)
    if not frames:
        return None
    slow_down(hand.batches / threads)
    size = min(-(-frames // threads), max(1, READ_ATOMS // len(hand.index.numbers)))

    def some(first: int) -> Prediction:
        return predictor(read_frames(hand.index, np.arange(first, min(first + size, frames))))

    with ThreadPoolExecutor(threads) as pool:  # the compiled loops leave the interpreter to the other threads
        return joined(list(pool.map(some, range(0, frames, size))))


def _write(plan: Plan, gathered: list[Prediction | None]) -> int:
    """Write what the ranks have found of what was dealt to them; returns the number of frames."""
    written = 0
    for batches_, found in zip(plan.dealt, gathered):
        begin = 0
        for run, rows in plan.runs(batches_):
            part = found.rows(slice(begin, begin + rows.stop - rows.start))
            bad = np.flatnonzero(~np.isfinite(part.shares).all(axis=(1, 2, 3)))
            if len(bad):
                raise DataError(
                    f"{plan.index.names[0]}: frame {plan.chosen[rows][bad[0]]}: the predicted "
                    "polarizability is not a number"
                )
            plan.file.write(run, rows, part.shares, part.members, part.outliers)
            begin += rows.stop - rows.start
        written += begin
    if not len(plan.todo) or time.monotonic() - plan.committed > COMMIT_SECONDS:
        _commit(plan)
    return written


def _commit(plan: Plan) -> None:
    plan.file.commit()
    plan.committed = time.monotonic()


def _next_length(length: int, seconds: float) -> int:
    return max(1, round(length * min(4.0, ROUND_SECONDS / max(seconds, 1e-3))))


def _check_unchanged(job: Job, plan: Plan) -> None:
    """A trajectory that was written to meanwhile must not give a mixture of two; one that has only grown is fine."""
    for path, (size, before) in plan.read.items():
        try:
            now, grown = provenance.hash_of_ends(path, size)[1], os.path.getsize(path) > size
        except (DataError, OSError):  # all frames have been read before it went
            continue
        if now != before:
            raise DataError(
                f"{path}: has changed while its frames were read, so the prediction may mix two versions "
                "of it; start again with --force"
            )
        if grown:
            job.console.warn(f"{path} has grown meanwhile; the frames that were there at the start are used")


def _finish(job: Job, plan: Plan) -> None:
    _check_unchanged(job, plan)
    atoms, frames = plan.file.count_outliers()
    plan.file.finish(plan.path, plan.origin)
    if atoms:
        share = 100 * atoms / (len(plan.chosen) * len(plan.index.numbers))
        job.console.warn(
            f"{share:.2g} % of the atoms, in {frames} of {len(plan.chosen)} frames, are far outside the "
            "training range: the model extrapolates there"
        )
    job.console.say(f"wrote {plan.path}")
