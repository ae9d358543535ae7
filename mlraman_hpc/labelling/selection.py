"""Which frames to label next. The test set is drawn first, at random; two selected frames are never close in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mlraman_hpc.labelling.candidates import Points, Space
from mlraman_hpc.numerics import Booleans, Integers
from mlraman_hpc.numerics.selection import ExpectedVariance, FarthestPoints
from mlraman_hpc.runtime.session import Session

RIDGE = 1e-4  # of the linear model, relative to the mean variance of a row; 1e-1 to 1e-6 differ little
Scorer = FarthestPoints | ExpectedVariance


@dataclass(frozen=True)
class Expected:
    """sqrt of the mean variance of a prediction along the trajectory, over that without any label, for each lambda."""

    before: dict[int, float]
    after: dict[int, float]

    @property
    def text(self) -> str:
        parts = (
            f"lambda = {order}: {100 * self.before[order]:.1f} -> {100 * self.after[order]:.1f} %" for order in (0, 2)
        )
        return "expected error of the model, of that without labels, from the labels before to these: " + ", ".join(
            parts
        )


def draw_order(candidates: Integers, seed: int) -> Integers:
    """The candidates in the order in which they are drawn at random: for the test set, then for all rounds."""
    return np.random.default_rng(seed).permutation(candidates)


def spaced(order: Iterable[int], taken: Iterable[int], gap: int, count: int) -> list[int]:
    """The first `count` frames in this order that are `gap` or more from one another and from those taken.

    Fewer where there are no more. A frame is never taken twice.
    """
    near = max(1, gap)
    used = sorted(taken)
    chosen: list[int] = []
    for frame in order:
        if len(chosen) == count:
            break
        position = int(np.searchsorted(used, frame))
        if all(abs(frame - used[k]) >= near for k in (position - 1, position) if 0 <= k < len(used)):
            used.insert(position, int(frame))
            chosen.append(int(frame))
    return chosen


def chosen_by_score(
    session: Session, rule: str, points: Points, space: Space, known: Points, taken: list[int], gap: int, count: int
) -> list[int]:
    """Frames by 'spread' or 'informative', one after another; for all ranks, and the same on each.

    points  this rank's candidates; known: frames that are labelled for training
    taken   frames that are labelled or kept for testing, of which none may be near
    """
    scorers = _scorers(rule, points, space)
    for row in range(len(known)):
        _add(scorers, rule, known, row)
    allowed = np.ones(len(points), dtype=bool)
    for frame in taken:
        _exclude(allowed, points, frame, gap)
    chosen: list[int] = []
    while len(chosen) < count:
        best = session.allgather(_best(_scores(scorers), points, allowed))
        candidates = [item for item in best if item is not None]
        if not candidates:
            break
        _, negative, point = max(candidates, key=lambda item: item[:2])
        frame = -negative
        _add(scorers, rule, point, 0)
        _exclude(allowed, points, frame, gap)
        chosen.append(frame)
    return chosen


def _scorers(rule: str, points: Points, space: Space) -> list[Scorer]:
    if rule == "spread":
        width = len(space.spectrum[0]) + 5 * len(space.spectrum[2])
        return [FarthestPoints(points.joined, np.zeros(width))]
    return [
        ExpectedVariance(points.isotropic[:, None], space.spectrum[0], RIDGE),
        ExpectedVariance(points.anisotropic, space.spectrum[2], RIDGE),
    ]


def _scores(scorers: list[Scorer]) -> np.ndarray:
    if isinstance(scorers[0], FarthestPoints):
        return scorers[0].scores
    expected = [item for item in scorers if isinstance(item, ExpectedVariance)]
    return np.sum([item.scores / (item.variance or 1.0) for item in expected], axis=0)  # 0 where all frames are equal


def _add(scorers: list[Scorer], rule: str, points: Points, row: int) -> None:
    if rule == "spread":
        scorers[0].add(points.joined[row])
    else:
        scorers[0].add(points.isotropic[row][None])
        scorers[1].add(points.anisotropic[row])


def _best(scores: np.ndarray, points: Points, allowed: Booleans) -> tuple[float, int, Points] | None:
    """(score, -frame, point): the larger tuple is better, and of equal scores the earlier frame."""
    if not allowed.any():
        return None
    row = int(np.argmax(np.where(allowed, scores, -np.inf)))
    return float(scores[row]), -int(points.frame[row]), points.take(np.array([row]))


def _exclude(allowed: Booleans, points: Points, frame: int, gap: int) -> None:
    allowed &= np.abs(points.frame - frame) >= max(1, gap)


def expected_error(space: Space, known: Points, new: Points) -> Expected:
    """Of a linear model with the ridge `RIDGE`: a forecast to compare selections by, not an error bar."""
    before: dict[int, float] = {}
    after: dict[int, float] = {}
    for order in (0, 2):
        none = np.zeros((0, 1 if order == 0 else 5, len(space.spectrum[order])))
        model = ExpectedVariance(none, space.spectrum[order], RIDGE)
        for points, result in ((known, before), (new, after)):
            for row in range(len(points)):
                model.add(points.isotropic[row][None] if order == 0 else points.anisotropic[row])
            result[order] = float(np.sqrt(max(model.variance, 0.0) / model.prior)) if model.prior else 0.0
    return Expected(before, after)
