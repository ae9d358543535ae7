"""`mlraman learning-curve`: R2 and RMSE against N_T -> learning_curve.h5 and learning_curve.png (Fig. 2A, S4).

Where the deck has derivatives of the polarizability the curve is against frames with these, beside all training
tensors; where it has them at one frame alone, against tensors, beside that frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.numbers import percent
from mlraman_hpc.config.model_sections import LearningCurveSection
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import Features
from mlraman_hpc.numerics.regression import extrapolation
from mlraman_hpc.numerics.regression.scores import worst_component
from mlraman_hpc.pipeline.checkpointing import Checkpoint
from mlraman_hpc.pipeline.derivatives import (
    DerivativeSet,
    derivative_descriptor,
    derivative_set,
    fit_to_draw,
    read_derivative_labels,
)
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import label_features, read_labels, split_labels, training_origin, usable_labels
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.pipeline.tuning import chosen_descriptor
from mlraman_hpc.plots import training as figures
from mlraman_hpc.readers.label_costs import mean_cpu_seconds
from mlraman_hpc.records.frames import DerivativeLabels, Labels
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.training import LearningCurve
from mlraman_hpc.storage.checkpoint import CheckpointFile
from mlraman_hpc.storage.provenance import Origin

SECTIONS = ("reference", "descriptor", "model", "learning_curve")
SCORES = "2"  # raised where there are more of them: an older curve is made again
FRAMES = (1, 2, 3, 5, 10, 20, 50)
MORE = (2, 4)  # times the largest size, to which the curve is extrapolated
PARTS = ("diagonal", "off_diagonal", "xx", "yy", "zz", "xy", "yz", "zx")


@dataclass(frozen=True)
class Scored:
    """(r2, rmse and relative error, parts) of one fit; the last is one number for all parts."""

    values: np.ndarray


def learning_curve(job: Job) -> None:
    """Several random training sets of each size, all tested on the deck's test set; descriptors are computed once."""
    job.section("reference")
    run_step(job, LearningCurve, _origin, _compute)


def _origin(job: Job) -> Origin:
    return training_origin(job, "learning-curve", {**_section(job).model_dump(), "scores": SCORES})


def _compute(step: Step) -> Output | None:
    job, checkpoint = step.job, step.checkpoint(SECTIONS, LearningCurve.kind)
    labels = usable_labels(job)
    pool, test = job.session.on_root(_pool, job, len(labels))
    derivatives = job.session.on_root(read_derivative_labels, job)
    by_frames = derivatives is not None and len(derivatives) > 1
    if derivatives is not None:
        train = split_labels(job, len(labels))[0] if by_frames else pool
        pool = np.arange(len(derivatives)) if by_frames else pool
        sizes = job.session.on_root(_sizes, job, len(pool), by_frames)
        _fit_with_derivatives(job, checkpoint, labels, derivatives, sizes, train, test)
    else:
        sizes = job.session.on_root(_sizes, job, len(pool))
        _fit_all(job, checkpoint, labels, sizes, pool, test)
    return job.session.only_on_root(_output, job, checkpoint.file, sizes, len(pool), len(test), by_frames)


def _section(job: Job) -> LearningCurveSection:
    return job.deck.learning_curve or LearningCurveSection()


def _pool(job: Job, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every label that is not tested on may be trained on."""
    _, test = split_labels(job, count)
    if len(test) < 2:
        raise DataError(
            f"{job.deck.location('reference.test')}: a learning curve needs labels to test on, there are {len(test)}"
        )
    return np.setdiff1d(np.arange(count), test), test


def _sizes(job: Job, labels: int, frames: bool = False) -> list[int]:
    wanted = _section(job).sizes
    if wanted is None and frames:
        return sorted({size for size in FRAMES if size < labels} | {labels})
    if wanted is None:
        return np.unique(np.geomspace(min(10, labels), labels, 7).round().astype(int)).tolist()
    usable = sorted({size for size in wanted if size <= labels})
    if len(usable) < len(set(wanted)):
        job.console.warn(
            f"{job.deck.location('learning_curve.sizes')}: only {labels} {'frames' if frames else 'labels'} "
            "can be trained on; sizes beyond that are left out"
        )
    if not usable:
        raise DataError(f"{job.deck.location('learning_curve.sizes')}: only {labels} labels can be trained on")
    return usable


def _fit_all(job: Job, checkpoint: Checkpoint, labels: Labels, sizes: list[int], pool, test) -> None:
    """Every fit that is not in the checkpoint, one for each rank at a time, the largest sizes first.

    Draw d of size n is the first n of the d-th shuffle of the pool.
    """
    session, draws = job.session, _section(job).draws
    work = [(row, number) for row in reversed(range(len(sizes))) for number in range(draws)]
    todo = session.on_root(lambda: [item for item in work if _name(*item) not in checkpoint.file])
    if not todo:
        return
    descriptor = chosen_descriptor(job, labels)
    known = label_features(job, labels, descriptor)
    known = session.on_root(lambda: known)
    session.enter_step("fits")
    with (
        checkpoint.guard(),
        job.console.progress("learning curve", len(work), "fits", len(work) - len(todo)) as advance,
    ):
        for start in range(0, len(todo), session.size):
            with session.collective_errors():
                scores = [
                    _scored(job, labels, known, descriptor, row, number, sizes[row], pool, test)
                    for row, number in todo[start : start + session.size][session.rank : session.rank + 1]
                ]
            for row, number, values in (item for part in session.gather(scores) or [] for item in part):
                checkpoint.file.put(_name(row, number), Scored(values))
                advance(1)
            checkpoint.commit_if_due(start + session.size < len(todo))


def _fit_with_derivatives(
    job: Job, checkpoint: Checkpoint, labels: Labels, derivatives: DerivativeLabels, sizes: list[int], train, test
) -> None:
    """Every fit that is not in the checkpoint, on root, which alone has the rows.

    Draw d of size n is the first n of the d-th shuffle of the frames; of one frame, that of the tensors in `train`.
    """
    session, draws = job.session, _section(job).draws
    work = [(row, number) for row in range(len(sizes)) for number in range(draws)]
    todo = session.on_root(lambda: [item for item in work if _name(*item) not in checkpoint.file])
    if not todo:
        return
    known = label_features(job, labels, derivative_descriptor(job), (derivatives.frames,))
    rows = derivative_set(job, derivatives, labels, single_frames=True)
    session.enter_step("fits")
    with (
        checkpoint.guard(),
        job.console.progress("learning curve", len(work), "fits", len(work) - len(todo)) as advance,
    ):
        for position, (row, number) in enumerate(todo):
            session.only_on_root(
                _fit_frames, job, checkpoint.file, labels, known, rows, row, number, sizes[row], train, test
            )
            advance(1)
            checkpoint.commit_if_due(position + 1 < len(todo))


def _fit_frames(
    job: Job,
    file: CheckpointFile,
    labels: Labels,
    known: Features,
    rows: DerivativeSet,
    row: int,
    number: int,
    size: int,
    train,
    test,
) -> None:
    rng = np.random.default_rng([job.section("reference").seed, number])
    model = fit_to_draw(job, rows, labels, known, train, test, size, rng)
    file.put(_name(row, number), Scored(np.array(_scores_of(model))))


def _name(row: int, number: int) -> str:
    return f"{row}.{number}"


def _scored(
    job: Job, labels: Labels, known: Features, descriptor: Descriptor, row: int, number: int, size: int, pool, test
):
    shuffled = np.random.default_rng([job.section("reference").seed, number]).permutation(pool)
    return row, number, np.array(_fit(job, labels, known, descriptor, shuffled[:size], test))


def _scores(job: Job, checkpoint: CheckpointFile, sizes: list[int]) -> np.ndarray:
    """(sizes, draws, r2, rmse and relative error, parts)"""
    return np.array(
        [
            [checkpoint.get(_name(row, number), Scored).values for number in range(_section(job).draws)]
            for row in range(len(sizes))
        ]
    )


def _fit(job: Job, labels: Labels, known: Features, descriptor: Descriptor, train, test) -> list[list[float]]:
    model, _ = polarizability.fit(known, labels, np.sort(train), test, descriptor, job.deck.model.regularization)
    return _scores_of(model)


def _scores_of(model: Model) -> list[list[float]]:
    scores = [[model.scores[measure][part] for part in PARTS] for measure in ("r2", "rmse")]
    return [*scores, [model.relative_error] * len(PARTS)]


def _with_spread(curve: LearningCurve, part: str, row: int) -> str:
    spread = curve.r2_spread[part][row]
    return f"{curve.r2[part][row]:8.5f}" + (f" +- {spread:.5f}" if np.isfinite(spread) else " " * 11)


def _spread(sizes: list[int], scores: np.ndarray, labels: int) -> np.ndarray:
    """Standard deviation over draws; NaN for one draw, and for all labels, of which there is but one draw."""
    if scores.shape[1] == 1:
        return np.full_like(scores[:, 0], np.nan)
    spread = scores.std(axis=1, ddof=1)
    spread[np.array(sizes) == labels] = np.nan
    return spread


def _output(
    job: Job, checkpoint: CheckpointFile, sizes: list[int], labels: int, tested: int, by_frames: bool
) -> Output:
    scores = _scores(job, checkpoint, sizes)

    def named(values):
        return {part: values[..., k] for k, part in enumerate(PARTS)}

    mean, spread = scores.mean(axis=1), _spread(sizes, scores, labels)
    more = np.array([factor * sizes[-1] for factor in MORE])
    curve = LearningCurve(
        train_size=np.array(sizes),
        r2=named(mean[:, 0]),
        rmse=named(mean[:, 1]),
        r2_spread=named(spread[:, 0]),
        rmse_spread=named(spread[:, 1]),
        r2_draws=named(scores[:, :, 0]),
        rmse_draws=named(scores[:, :, 1]),
        test_size=tested,
        relative_error=mean[:, 2, 0],
        relative_error_draws=scores[:, :, 2, 0],
        frames=True if by_frames else None,
        cost=_cost(job, by_frames),
        expected_size=more,
        expected_error=extrapolation.expected_error(np.array(sizes), scores[:, :, 2, 0], more),
        expected_r2={
            part: extrapolation.expected_r2(np.array(sizes), scores[:, :, 0, k], more)
            for k, part in enumerate(PARTS[:2])
        },
    )
    what = " frames" if curve.frames else "    N_T"
    head = "" if curve.cost is None else "   CPU-h of the labels"
    lines = [f"{what}   R2 diagonal        R2 off-diagonal   worst component     weighted error / fluctuation{head}"]
    for row, size in enumerate(sizes):
        worst = worst_component({part: values[row] for part, values in curve.r2.items()})
        parts = "  ".join(_with_spread(curve, part, row) for part in PARTS[:2])
        lines.append(f"  {size:5d}  {parts}  {worst} {curve.r2[worst][row]:8.5f}  {percent(curve.relative_error[row])}")
        if curve.cost is not None:
            lines[-1] += f"{(size * curve.cost[0] + curve.cost[1]) / 3600:22.3g}"
    lines += expected_lines(curve)
    figure = (figures.learning_curve_figure, curve, job.deck.title)
    warnings = _warnings(sizes, mean, curve.frames)
    return Output(curve, figures={"learning_curve.png": figure}, lines=lines, warnings=warnings)


def _cost(job: Job, by_frames: bool) -> np.ndarray | None:
    """(2,) see `LearningCurve`. A draw costs its size times the mean, since draws are random."""
    section, files = job.section("reference"), job.files("reference.files")
    label, frame, beside = mean_cpu_seconds(files), None, 0.0
    if section.derivatives is not None:
        frame = mean_cpu_seconds(job.files("reference.derivatives.files"))
        if frame is None:
            return None
    if not by_frames:
        return None if label is None else np.array([label, frame or 0.0])
    trained = len(split_labels(job, len(read_labels(job)))[0]) if files else 0
    if trained:
        if label is None:
            return None
        beside = trained * label
    return np.array([frame, beside])


def expected_lines(curve: LearningCurve) -> list[str]:
    """'with 300 labels expect R2 ...': of each size at which the curve is extrapolated."""
    if curve.expected_size is None or curve.expected_error is None or curve.expected_r2 is None:
        return []
    what, lines = "frames" if curve.frames else "labels", []
    for k, size in enumerate(curve.expected_size):
        low, value, high = curve.expected_error[:, k]
        if np.isfinite(value):
            r2 = ", ".join(
                f"{part.replace('_', '-')} {r2[1, k]:.3f} ({r2[0, k]:.3f} to {r2[2, k]:.3f})"
                for part, r2 in curve.expected_r2.items()
            )
            ends = f"{percent(low)} to {percent(high)}"
            lines.append(f"with {size} {what} expect R2 {r2}, weighted error {percent(value)} ({ends})")
    return lines


def _warnings(sizes: list[int], mean: np.ndarray, frames: bool | None) -> list[str]:
    gain = mean[-1, 2, 0] / mean[-2, 2, 0] if len(sizes) > 1 else 1.0
    if not gain < 0.9:
        return []
    what = "frames" if frames else "labels"
    return [
        f"the error still falls with the number of {what} (weighted error {100 * (1 - gain):.0f} % lower "
        f"from {sizes[-2]} to {sizes[-1]} {what}): more {what} would help"
    ]
