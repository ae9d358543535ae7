"""alpha along the trajectory: the model, work units for the ranks, the partial file that they go to.

Root assigns batches of frames, with the byte offsets of just those, to the ranks; each rank reads and predicts its own
and sends rows back; root writes them as they come. Rounds grow until one takes a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError, FrameError, UserError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.base.numbers import percent
from mlraman_hpc.model.cell_variation import cell_warnings, sampled_rows
from mlraman_hpc.model.ensemble_distance import ensemble_distance, looked_at
from mlraman_hpc.model.predictor import Prediction, Predictor, joined
from mlraman_hpc.pipeline.file_watch import FileChanged
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.step import Output, Step
from mlraman_hpc.pipeline.trajectory import (
    even_batches,
    frame_interval,
    selected_frames,
    stored_frames,
    trajectory_index,
)
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.runtime.fault_injection import slow_down
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import AlphaFile
from mlraman_hpc.storage.checkpoint import partial_path

predictors = LazyModule("mlraman_hpc.pipeline.predictors")  # and ASE with it

ROUND_SECONDS = 3.0
UNIT_BYTES, ROUND_BYTES = 1 << 20, 1 << 28  # of results, of a rank and of all together; bounds memory
COMMIT_SECONDS = 1.0  # between results are written, but not yet on the disk for sure
READ_ATOMS = 8192  # of each thread, read and predicted together; bounds the memory of positions
FEATOMIC_TOLERANCE = 1e-8


def model_path(job: Job) -> Path:
    """The model that the deck names, or the one that it trains."""
    return job.files("model.file")[0] if job.deck.model.file else job.output / Model.file_name


def load_model(job: Job) -> Model:
    """The model of the deck. DataError where it is not there yet."""
    return hdf5.load(Model, existing_model(job))


def existing_model(job: Job) -> Path:
    """`model_path`; DataError where there is no such file, DeckKeyError where the deck has `model.predictor`."""
    if job.deck.model.predictor:
        raise DeckKeyError("model.predictor", "this command needs a linear model, of model.file or reference")
    path = model_path(job)
    if not path.exists():
        raise DataError(f"{path}: no model yet; 'mlraman train' makes it from the deck's 'reference'")
    return path


@dataclass(frozen=True)
class WorkUnit:
    """What one rank computes in a round: every frame of its part of the index, sizes[k] of them in batch k."""

    index: TrajectoryIndex
    sizes: np.ndarray


@dataclass
class Selection:
    """The frames that are used, on root.

    chosen    frame numbers; batch k has the rows starts[k] to starts[k + 1] of them
    interval  fs between two of them
    """

    index: TrajectoryIndex
    chosen: range
    starts: np.ndarray
    interval: float

    def frames(self, *rows: int) -> Frames:
        """These rows of the selection, read."""
        return read_frames(self.index, np.array([self.chosen[row] for row in rows]))


@dataclass
class Plan(Selection):
    """Root's view of the work: what to compute, what is done, where it goes.

    todo      batches that are not assigned yet; assigned: those of each rank in this round
    """

    file: AlphaFile
    todo: np.ndarray
    assigned: list[np.ndarray] = field(default_factory=list)
    committed: float = 0.0

    def sizes(self, batches: np.ndarray) -> np.ndarray:
        """Number of frames in each."""
        return self.starts[batches + 1] - self.starts[batches]

    def runs(self, batches: np.ndarray) -> list[tuple[slice, slice]]:
        """Batches that follow one another, and their rows."""
        return [
            (slice(int(run[0]), int(run[-1]) + 1), slice(int(self.starts[run[0]]), int(self.starts[run[-1] + 1])))
            for run in np.split(batches, np.flatnonzero(np.diff(batches) != 1) + 1)
            if len(run)
        ]

    @property
    def frames_done(self) -> int:
        return int(self.starts[-1] - self.sizes(self.todo).sum())

    def work_unit(self, batches: np.ndarray) -> WorkUnit:
        parts = [self.chosen[rows] for _, rows in self.runs(batches)]
        frames = np.concatenate([np.empty(0, int), *(np.arange(part.start, part.stop, part.step) for part in parts)])
        return WorkUnit(self.index.take(frames), self.sizes(batches))


def predict_along_trajectory(step: Step, model: Callable[[Job], Model]) -> Output:
    """alpha along the deck's trajectory, written to the step's file; `model(job)` is called on root.

    All ranks; a partial file of an interrupted run is continued.
    """
    job, session = step.job, step.job.session
    session.enter_step("index")
    plan, known = session.only_on_root(_plan_for_model, step, model) or (None, None)
    session.enter_step("first frame")
    predictor = session.on_root(_predictor, job, plan, known)  # the others find its machine code on disk
    return _predict_and_finish(step, plan, predictor)


def predict_with_other_model(step: Step) -> Output:
    """The same with the deck's `model.predictor`, which each rank loads; all ranks."""
    job, session = step.job, step.job.session
    session.enter_step("index")
    selection = session.only_on_root(_select, job)
    session.enter_step("first frame")
    predictor = predictors.ready(job, selection)
    plan = session.only_on_root(lambda: _plan(step, selection, _sample(selection), (), predictor.members))
    return _predict_and_finish(step, plan, predictor)


def _predict_and_finish(step: Step, plan: Plan | None, predictor: Predictor) -> Output:
    session = step.job.session
    session.enter_step("batches")
    _predict_all(step.job, plan, predictor)
    session.enter_step("write")
    return session.only_on_root(_finish, step, plan)


def _select(job: Job) -> Selection:
    index = trajectory_index(job)
    chosen = selected_frames(job, index)
    interval = frame_interval(job, index)
    return Selection(index, chosen, even_batches(len(chosen), len(index.numbers)), interval)


def _check_motion(job: Job, index: TrajectoryIndex, interval: float) -> None:
    """Warnings where frames are too rare for the motion, and, unless `dynamics` tells it, of a strange temperature."""
    from mlraman_hpc.pipeline.motion import preview  # and what it needs: root alone

    every = job.section("trajectory").every
    motion = preview.preview_motion(index, stored_frames(job, index), interval / every)
    if motion is None:
        return
    texts = preview.folding_warnings(motion, every)
    if not job.deck.dynamics:
        texts = [*preview.temperature_warnings(motion.kinetic, preview.stated_temperature(job), bool(texts)), *texts]
    for text in texts:
        job.console.warn(text)


def _plan_for_model(step: Step, load: Callable[[Job], Model]) -> tuple[Plan, Model]:
    from mlraman_hpc.model.regression import check_applicable  # and featomic with it: root alone needs that

    job, model = step.job, load(step.job)
    selection = _select(job)
    sample = _sample(selection)
    check_applicable(model, selection.index.species, sample, job.deck.model.density_tolerance)
    for text in cell_warnings(model, sample):
        job.console.warn(text)
    model = _with_wider_bars(job, model, selection)
    return _plan(step, selection, sample, model.species, len(model.members)), model


def _with_wider_bars(job: Job, model: Model, selection: Selection) -> Model:
    """For the distance of the selected frames from the training set, which is said."""
    rows = looked_at(len(selection.chosen), len(selection.index.numbers))
    with job.session.stop.deferred():  # the compiler would swallow a stop that is raised inside it
        distance = ensemble_distance(model, (selection.frames(row) for row in rows))
    if distance is None:
        return model
    job.console.say(str(distance))
    if distance.warning:
        job.console.warn(distance.warning)
    return distance.model


def _sample(selection: Selection) -> Frames:
    """Frames at even distances, by which cell and density are judged."""
    return selection.frames(*sampled_rows(len(selection.chosen), len(selection.index.numbers)))


def _plan(step: Step, selection: Selection, sample: Frames, species: tuple[str, ...], members: int) -> Plan:
    starts = selection.starts
    varies = bool(np.ptp(sample.cells, axis=0).any())  # a fixed cell need not be kept for each frame
    file = _open_partial(step, selection, species, members, cells=varies)
    _check_motion(step.job, selection.index, selection.interval)
    whole = file.whole(starts)
    if damaged := np.count_nonzero(file.done & ~whole):
        step.job.console.warn(
            f"{partial_path(step.path)}: {damaged} batches were damaged on the disk; they are computed anew"
        )
    todo = np.flatnonzero(~whole)
    done = len(starts) - 1 - len(todo)
    step.job.console.say(
        f"{len(selection.chosen)} frames of {len(selection.index.numbers)} atoms, {selection.interval:g} fs apart, in "
        f"{len(starts) - 1} batches" + (f"; {done} batches are there already" if done else "")
    )
    return Plan(**vars(selection), file=file, todo=todo)


def _open_partial(
    step: Step, selection: Selection, species: tuple[str, ...], members: int, *, cells: bool
) -> AlphaFile:
    index, chosen, interval = selection.index, selection.chosen, selection.interval
    partial = partial_path(step.path)
    if step.job.force:
        partial.unlink(missing_ok=True)
    file = AlphaFile.resume(partial, step.origin, ("trajectory",))
    if file is not None:
        return file

    def steps(rows: slice) -> np.ndarray:
        steps = index.steps(chosen[rows])
        return np.asarray(chosen[rows]) if steps is None else steps

    return AlphaFile.create(
        partial,
        frames=len(chosen),
        steps=steps,
        times=lambda rows: interval * np.arange(rows.start, rows.stop),
        species=species,
        members=members,
        batches=len(selection.starts) - 1,
        origin=step.origin,
        cells=cells,
    )


def _predictor(job: Job, plan: Plan, model: Model) -> Predictor:
    """Ready to be used, and in agreement with featomic on the first frame."""
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
    except UserError as error:
        if plan is not None:
            with suppress(DataError):  # a full disk may be why they ended
                _commit(plan)
                if isinstance(error, FileChanged):
                    _drop(plan, error)
        raise


def _rounds(job: Job, plan: Plan | None, predictor: Predictor) -> None:
    session = job.session
    total, done = (int(plan.starts[-1]), plan.frames_done) if plan is not None else (0, 0)
    with session.stop.deferred(), job.console.progress("predicting", total, "frames", done) as advance:
        length, more, turn, most = session.threads, True, 0, _most_frames(predictor, session.size)
        while more:
            began = time.monotonic()
            more, unit = session.scatter(None if plan is None else _assign(plan, length, session.size, most))
            with session.collective_errors():
                prediction = predict_unit(unit, predictor, session.threads)
            gathered = session.gather(prediction)
            computed = time.monotonic() - began
            written = session.on_root(_write, job, plan, gathered)
            advance(written)
            del unit, prediction, gathered  # before those of the next round are allocated
            length = _next_length(length, time.monotonic() - began)
            turn += 1
            if turn == 2 and more:  # in the first, ranks still load what was compiled
                _say_expected(job, plan, predictor, written / computed)
            stop = session.stop_requested()
            if stop and more:
                raise stop


def _say_expected(job: Job, plan: Plan | None, predictor: Predictor, rate: float) -> None:
    """Time and memory of what is left, from a round; `rate` in frames/s."""
    used, ranks = job.session.allgather(machine.peak_memory()), job.session.size
    if plan is None:
        return
    left = int(plan.starts[-1]) - plan.frames_done
    frames = min(_most_frames(predictor, ranks), ROUND_SECONDS * rate / ranks, left / ranks)
    unit = 2 * frames * predictor.tensors * 72 / 2**20  # results, and their copy on root
    memory = f"{used[0] + ranks * unit:.0f} MB on the first rank" + (
        f", {max(used[1:]) + unit:.0f} MB on each other" if ranks > 1 else ""
    )
    job.console.say(f"expected: about {duration(left / rate)} for the other {left} frames; memory {memory}")


def _most_frames(predictor: Predictor, ranks: int) -> int:
    """In a work unit."""
    return max(1, int(min(UNIT_BYTES, ROUND_BYTES / ranks) / (72 * predictor.tensors)))


def _assign(plan: Plan, length: int, ranks: int, most: int) -> list[tuple[bool, WorkUnit]]:
    """(more to come, work unit) for each rank; the batches are taken from the front of the list of what is to do."""
    length, plan.assigned = min(length, -(-len(plan.todo) // ranks)), []  # the last round is shared evenly too
    for _ in range(ranks):
        sizes = plan.sizes(plan.todo[:length])
        count = np.count_nonzero(np.cumsum(sizes) - sizes < most)  # one at least
        plan.assigned.append(plan.todo[:count])
        plan.todo = plan.todo[count:]
    return [(len(plan.todo) > 0, plan.work_unit(batches)) for batches in plan.assigned]


def predict_unit(unit: WorkUnit, predictor: Predictor, threads: int) -> Prediction | None:
    """None for an empty work unit. No frame's result depends on which others are computed with it."""
    frames = len(unit.index)
    if not frames:
        return None
    slow_down(len(unit.sizes) / threads)
    if predictor.whole_batches:
        ends = np.cumsum(unit.sizes)
    else:
        size = min(-(-frames // threads), max(1, READ_ATOMS // len(unit.index.numbers)))
        ends = np.append(np.arange(size, frames, size), frames)

    def predict_rows(first: int, end: int) -> Prediction:
        part = read_frames(unit.index, np.arange(first, end))
        return replace(predictor(part), cells=part.cells)

    parts = zip([0, *ends[:-1]], ends)
    if not predictor.concurrent:
        try:
            return joined([predict_rows(*part) for part in parts])
        except FrameError as error:
            raise DataError(f"{unit.index.names[0]}: {error}") from None
    with ThreadPoolExecutor(threads) as pool:  # the compiled loops leave the interpreter to the other threads
        return joined(list(pool.map(lambda part: predict_rows(*part), parts)))


def _write(job: Job, plan: Plan, gathered: list[Prediction | None]) -> int:
    """Write what the ranks have made of their work units; the number of frames."""
    job.look()
    written = 0
    for batches, prediction in zip(plan.assigned, gathered):
        begin = 0
        for run, rows in plan.runs(batches):  # none where there is no prediction
            assert prediction is not None
            part = prediction.rows(slice(begin, begin + rows.stop - rows.start))
            bad = np.flatnonzero(~np.isfinite(part.polarizability).all(axis=(1, 2)))
            if len(bad):
                raise DataError(
                    f"{plan.index.names[0]}: frame {plan.chosen[rows][bad[0]]}: the predicted "
                    "polarizability is not a number"
                )
            plan.file.write(run, rows, part.shares, part.members, part.outliers, part.total, part.cells)
            begin += rows.stop - rows.start
        written += begin
    if not len(plan.todo) or time.monotonic() - plan.committed > COMMIT_SECONDS:
        _commit(plan)
    return written


def _commit(plan: Plan) -> None:
    plan.file.commit()
    plan.committed = time.monotonic()


def _drop(plan: Plan, error: FileChanged) -> None:
    """Batches with frames from a part of a file that has changed do not count; those of the rest may be kept."""
    changed = plan.index.frames_within(plan.chosen, error.path, error.blocks)
    batches = np.unique(np.searchsorted(plan.starts, np.flatnonzero(changed), side="right") - 1)
    plan.file.forget(batches)


def _next_length(length: int, seconds: float) -> int:
    return max(1, round(length * min(4.0, ROUND_SECONDS / max(seconds, 1e-3))))


def _finish(step: Step, plan: Plan) -> Output:
    try:
        output = Output(warnings=step.job.watched.check())
    except FileChanged as error:
        _drop(plan, error)
        raise
    atoms, frames = plan.file.count_outliers()
    if atoms:
        share = atoms / (len(plan.chosen) * len(plan.index.numbers))
        output.warnings.append(
            f"{percent(share)} of the atoms, in {frames} of {len(plan.chosen)} frames, are far outside the "
            "training range: the model extrapolates there"
        )
    for text in output.warnings:  # now, since the file carries the warnings of the log
        step.job.console.warn(text)
    output.warnings.clear()
    plan.file.finish(step.path, step.origin)
    return output
