"""`mlraman learning-curve`: R2 and RMSE against N_T -> learning_curve.h5 and learning_curve.png (Fig. 2A, S4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.commands.train import descriptor_of, draw, label_features, read_labels, training_origin
from mlraman_hpc.config.deck import LearningCurveSection
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import Features
from mlraman_hpc.pipeline.checkpointing import Kept, drop
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.plots import training as figures
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.training import LearningCurve
from mlraman_hpc.storage import hdf5

KIND = "learning curve"
SECTIONS = ("reference", "descriptor", "model", "learning_curve")
PARTS = ("diagonal", "off_diagonal", "xx", "yy", "zz", "xy", "yz", "zx")


@dataclass(frozen=True)
class Scored:
    """(r2 and rmse, parts) of one fit."""

    values: np.ndarray


def learning_curve(job: Job) -> None:
    """Several random training sets of each size, all tested on the deck's test set; descriptors are computed once."""
    job.section("reference")
    path = job.output / "learning_curve.h5"
    origin = job.session.on_root(training_origin, job, "learning-curve", _section(job).model_dump())
    if job.session.on_root(job.up_to_date, path, origin):
        job.session.only_on_root(drop, path, origin)
        job.console.say(f"{path} is up to date")
        return
    kept = Kept(job, path, origin, SECTIONS, KIND)
    labels = job.session.on_root(read_labels, job)
    pool, test = job.session.on_root(_pool, job, len(labels))
    sizes = job.session.on_root(_sizes, job, len(pool))
    _fit_all(job, kept, labels, sizes, pool, test)
    job.session.enter_step("write")
    scores = job.session.only_on_root(_scores, job, kept.pieces, sizes)
    job.session.on_root(_finish, job, path, origin, sizes, scores, len(pool), len(test))
    job.session.only_on_root(kept.end)


def _section(job: Job) -> LearningCurveSection:
    return job.deck.learning_curve or LearningCurveSection()


def _pool(job: Job, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every label that is not tested on may be trained on."""
    _, test = draw(job, count)
    if len(test) < 2:
        raise DataError(
            f"{job.deck.location('reference.test')}: a learning curve needs labels to test on, there are {len(test)}"
        )
    return np.setdiff1d(np.arange(count), test), test


def _sizes(job: Job, there: int) -> list[int]:
    given = _section(job).sizes
    if given is None:
        return np.unique(np.geomspace(min(10, there), there, 7).round().astype(int)).tolist()
    usable = sorted({size for size in given if size <= there})
    if len(usable) < len(set(given)):
        job.console.warn(
            f"{job.deck.location('learning_curve.sizes')}: only {there} labels can be trained on; sizes "
            "beyond that are left out"
        )
    if not usable:
        raise DataError(f"{job.deck.location('learning_curve.sizes')}: only {there} labels can be trained on")
    return usable


def _fit_all(job: Job, kept: Kept, labels: Labels, sizes: list[int], pool, test) -> None:
    """Every fit that is not kept already, one for each rank at a time, the largest sizes first.

    Draw d of size n is the first n of the d-th shuffle of the pool.
    """
    session, draws = job.session, _section(job).draws
    work = [(row, number) for row in reversed(range(len(sizes))) for number in range(draws)]
    todo = session.on_root(lambda: [item for item in work if _name(*item) not in kept.pieces])
    if not todo:
        return
    known = label_features(job, labels)
    known = session.on_root(lambda: known)
    session.enter_step("fits")
    with kept.going(), job.console.progress("learning curve", len(work), "fits", len(work) - len(todo)) as advance:
        for start in range(0, len(todo), session.size):
            with session.collective_errors():
                found = [
                    _scored(job, labels, known, row, number, sizes[row], pool, test)
                    for row, number in todo[start : start + session.size][session.rank : session.rank + 1]
                ]
            for row, number, values in (item for part in session.gather(found) or [] for item in part):
                kept.pieces.put(_name(row, number), Scored(values))
                advance(1)
            kept.pause(start + session.size < len(todo))


def _name(row: int, number: int) -> str:
    return f"{row}.{number}"


def _scored(job: Job, labels: Labels, known: Features, row: int, number: int, size: int, pool, test):
    shuffled = np.random.default_rng([job.deck.reference.seed, number]).permutation(pool)
    return row, number, np.array(_fit(job, labels, known, shuffled[:size], test))


def _scores(job: Job, pieces, sizes: list[int]) -> np.ndarray:
    """(sizes, draws, r2 and rmse, parts)"""
    return np.array(
        [
            [pieces.get(_name(row, number), Scored).values for number in range(_section(job).draws)]
            for row in range(len(sizes))
        ]
    )


def _fit(job: Job, labels: Labels, known: Features, train, test) -> list[list[float]]:
    model, _ = polarizability.fit(
        known, labels, np.sort(train), test, descriptor_of(job), job.deck.model.regularization
    )
    return [[model.scores[measure][part] for part in PARTS] for measure in ("r2", "rmse")]


def _with_spread(curve: LearningCurve, part: str, row: int) -> str:
    spread = curve.r2_spread[part][row]
    return f"{curve.r2[part][row]:8.5f}" + (f" +- {spread:.5f}" if np.isfinite(spread) else " " * 11)


def _spread(sizes: list[int], scores: np.ndarray, there: int) -> np.ndarray:
    """Standard deviation over draws; NaN for one draw, and for the whole pool, of which there is but one draw."""
    if scores.shape[1] == 1:
        return np.full_like(scores[:, 0], np.nan)
    spread = scores.std(axis=1, ddof=1)
    spread[np.array(sizes) == there] = np.nan
    return spread


def _finish(job: Job, path, origin, sizes: list[int], scores: np.ndarray, there: int, tested: int) -> None:
    def named(values):
        return {part: values[..., k] for k, part in enumerate(PARTS)}

    mean, spread = scores.mean(axis=1), _spread(sizes, scores, there)
    curve = LearningCurve(
        train_size=np.array(sizes),
        r2=named(mean[:, 0]),
        rmse=named(mean[:, 1]),
        r2_spread=named(spread[:, 0]),
        rmse_spread=named(spread[:, 1]),
        r2_draws=named(scores[:, :, 0]),
        rmse_draws=named(scores[:, :, 1]),
        test_size=tested,
    )
    job.draw("learning_curve.png", figures.learning_curve_figure, curve, job.deck.title)
    hdf5.save(path, curve, KIND, origin)  # last: what is up to date has its figure
    job.console.say("    N_T   R2 diagonal        R2 off-diagonal")
    for row, size in enumerate(sizes):
        job.console.say(f"  {size:5d}  " + "  ".join(_with_spread(curve, part, row) for part in PARTS[:2]))
    gain = mean[-1, 1, :2] / mean[-2, 1, :2] if len(sizes) > 1 else np.ones(2)
    if gain.min() < 0.9:
        job.console.warn(
            f"the error still falls with the number of labels (RMSE {100 * (1 - gain.min()):.0f} % lower "
            f"from {sizes[-2]} to {sizes[-1]} labels): more labels would help"
        )
    job.console.say(f"wrote {path} and {path.with_suffix('.png').name}")
