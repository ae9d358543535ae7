"""Derivatives of the polarizability as labels: those that the deck names, their rows over ranks, a model of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlraman_hpc.model import derivatives as regression
from mlraman_hpc.model.derivatives import Columns, Fitted, FrameRows
from mlraman_hpc.model.descriptor_choice import candidates
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import TRIAL_LABELS, compiled_calculator, descriptor_of, elements_of
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.records.frames import DerivativeLabels, Labels
from mlraman_hpc.records.model import Descriptor, Model


def read_derivative_labels(job: Job) -> DerivativeLabels | None:
    """All frames with derivatives that the deck names; None without the section."""
    section = job.section("reference").derivatives
    if section is None:
        return None
    with job.located():
        files = job.files("reference.derivatives.files")
        labels = read_derivatives(files, section.format, section.unit, section.order, job.console.warn)
    sizes = ", ".join(f"{name} {value:.3g}" for name, value in labels.rms_by_element().items())
    net = float(np.sqrt(np.mean(labels.net**2)))
    job.console.say(
        f"derivatives: {len(labels)} frames, {18 * len(labels.frames.numbers)} numbers; root mean square by element "
        f"{sizes} Angstrom^2, of the sums over atoms, which were taken off, {net:.2g}"
    )
    return labels


def derivative_descriptor(job: Job) -> Descriptor:
    """The deck's; where it is to be chosen, the first candidate: leave-one-out chooses by tensors alone."""
    descriptor = descriptor_of(job)
    return descriptor if job.deck.descriptor.mode == "fixed" else candidates(descriptor)[0]


def trial_labels(job: Job, labels: Labels) -> Labels:
    """What a trial model is made of: the labels, or, where the deck has derivatives alone, their frames, shaken."""
    if len(labels):
        return labels
    derivatives = read_derivative_labels(job)
    assert derivatives is not None
    frames = derivatives.frames.take(np.arange(max(TRIAL_LABELS, len(derivatives))) % len(derivatives))
    shift = np.random.default_rng(0).normal(0, 0.01, frames.positions.shape)
    shaken = replace(frames, positions=frames.positions + shift)
    return Labels(shaken, np.zeros((len(shaken), 3, 3)), tuple("" for _ in range(len(shaken))))


@dataclass(frozen=True)
class DerivativeSet:
    """What a fit needs of the frames with derivatives; complete on root, with no rows elsewhere.

    rows    of each frame, in order, or of units of several frames (see `regression.added`)
    ranges  features of the frames themselves
    """

    labels: DerivativeLabels
    columns: Columns
    rows: list[FrameRows]
    ranges: Features

    def take(self, frames: np.ndarray) -> DerivativeSet:
        """These frames alone, in this order."""
        rows = [self.rows[k] for k in frames]
        return DerivativeSet(self.labels.take(frames), self.columns, rows, self.ranges.take(frames))


def derivative_set(
    job: Job, derivatives: DerivativeLabels, labels: Labels, single_frames: bool = False
) -> DerivativeSet:
    """Rows of all frames, each frame made by one rank; for all ranks.

    single_frames  whether frames will be chosen one by one: rows in groups of atoms, and never of several frames
    """
    job.session.enter_step("derivatives")
    numbers = elements_of(labels, derivatives.frames)
    calculator = job.session.on_root(compiled_calculator, job, derivatives.frames, derivative_descriptor(job), numbers)
    grouped = single_frames or len(derivatives) < regression.FEW_FRAMES
    columns = Columns({})
    if regression.needs_projection(calculator):
        samples = _by_frame(job, len(derivatives), "sample", lambda k: regression.sample(calculator, derivatives, k))
        columns = job.session.on_root(regression.columns_of, samples)
    rows = _by_frame(
        job,
        len(derivatives),
        "derivatives",
        lambda k: regression.frame_rows(calculator, derivatives, k, columns, grouped),
        None if single_frames else regression.added,
    )
    ranges = job.session.on_root(_ranges, calculator, derivatives)
    return DerivativeSet(derivatives, columns, rows, ranges)


def _by_frame(job: Job, count: int, what: str, make, add=None) -> list:
    """[make(0), make(1), ...] on root, or add(results, make(k), k) for k in turn; empty elsewhere.

    One frame for each rank at a time, which bounds the memory.
    """
    session, results = job.session, []
    with job.console.progress(what, count, "frames") as advance:
        for start in range(0, count, session.size):
            with session.collective_errors():
                own = [make(k) for k in range(start, min(start + session.size, count))[session.rank : session.rank + 1]]
            parts = session.gather(own)
            for k, item in enumerate((item for part in parts or [] for item in part), start):
                results = [*results, item] if add is None else add(results, item, k)
            advance(min(session.size, count - start))
    return results


def _ranges(calculator: FeatureCalculator, derivatives: DerivativeLabels) -> Features:
    return calculator(derivatives.frames)


def fit(
    job: Job,
    derivatives: DerivativeSet,
    labels: Labels,
    features: Features,
    train: np.ndarray,
    test: np.ndarray,
    committee: int = 0,
) -> Fitted:
    """The model of derivatives and of the tensors in `train`, on root."""
    return regression.fit_with_derivatives(
        derivatives.rows,
        derivatives.columns,
        derivatives.labels,
        derivatives.ranges,
        features,
        labels,
        train,
        test,
        derivative_descriptor(job),
        job.deck.model.regularization,
        committee,
        job.section("reference").seed,
    )


def fit_to_draw(
    job: Job,
    derivatives: DerivativeSet,
    labels: Labels,
    features: Features,
    train: np.ndarray,
    test: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> Model:
    """The model of `size` random frames with derivatives beside all tensors in `train`, on root.

    Where there is one such frame, of it and `size` random tensors of `train`. Of generators that begin alike, the
    larger draw holds the smaller one. `derivatives` must have been made with `single_frames`.
    """
    frames = np.arange(len(derivatives.rows))
    if len(frames) > 1:
        frames = np.sort(rng.permutation(frames)[:size])
    else:
        train = np.sort(rng.permutation(train)[:size])
    return fit(job, derivatives.take(frames), labels, features, train, test).model
