"""`mlraman check`: will it run, how long, how much memory?

Only unpacked copies of .gz files and the indices of long trajectories are written.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.labelling.preparation import check_labelling
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptor_choice import candidates
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.pipeline.derivatives import read_derivative_labels, trial_labels
from mlraman_hpc.pipeline.forces import force_frames
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import (
    TRIAL_LABELS,
    descriptor_of,
    elements_of,
    far_from_median,
    read_labels,
    split_labels,
    trial_model,
)
from mlraman_hpc.pipeline.molecular_dynamics import plan_report
from mlraman_hpc.pipeline.motion import charge_transport, jumps
from mlraman_hpc.pipeline.prediction import load_model, model_path
from mlraman_hpc.pipeline.predictors import settings_of, try_on
from mlraman_hpc.pipeline.spectra import read_series
from mlraman_hpc.pipeline.trajectory import batches, frame_interval, selected_frames, trajectory_index
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.other_model import Resources
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime.console import duration

TRIAL_SECONDS = 1.0
ANALYSIS = 2.0  # of the time that reading takes, for dynamics


def check(job: Job) -> None:
    """Look at deck and data; raises the same errors as the run itself would."""
    job.session.on_root(_check, job)


def _check(job: Job) -> None:
    job.console.say(f"{job.deck.source}: the deck is valid")
    inspect(job, job.console.say)


def inspect(job: Job, add: Callable[[str], None], trial_seconds: float = TRIAL_SECONDS) -> float:
    """Look at everything, on one rank alone; the time (s) that all steps would take on one rank.

    `add(line)` is called with what the files hold, a line for series, labels and trajectory each.
    """
    with job.located():
        return _inspect(job, add, trial_seconds)


def _inspect(job: Job, add: Callable[[str], None], trial_seconds: float) -> float:
    if job.deck.forces:
        force_frames(job)
    dynamics = plan_report(job, add) if job.deck.md else 0.0
    if job.deck.series:
        series = read_series(job)
        add(f"series: {len(series.value)} tensors, {_span(len(series.value), series.frame_interval)}")
        return 0.0
    labels = _labels(job, add) if job.deck.reference else None
    return dynamics + (_trajectory(job, labels, add, trial_seconds) if _has_trajectory(job) else 0.0)


def _has_trajectory(job: Job) -> bool:
    """Whether there is a trajectory to look at; that of the deck's own molecular dynamics may be to come."""
    if not job.deck.md or not job.deck.trajectory:
        return bool(job.deck.trajectory)
    try:
        return bool(job.files("trajectory.files"))
    except DataError:
        return False


def _labels(job: Job, add: Callable[[str], None]) -> Labels:
    labels, derivatives = read_labels(job), read_derivative_labels(job)
    if derivatives is not None:
        atoms = _range(derivatives.frames.atoms_per_frame)
        add(f"reference: {len(derivatives)} frames of {atoms} atoms with derivatives of the polarizability")
    train, test = split_labels(job, len(labels))
    if not len(labels):
        return labels
    traces = np.trace(labels.polarizability, axis1=1, axis2=2) / 3
    mean = traces.mean()
    epsilon = (1 + 4 * np.pi * traces / labels.frames.volumes).mean()
    add(
        f"reference: {len(labels)} labels of {_range(labels.frames.atoms_per_frame)} atoms, {len(train)} to train on "
        f"and {len(test)} to test on; mean polarizability {mean:.4g} Angstrom^3"
        + (f", mean epsilon {epsilon:.3g}" if np.isfinite(epsilon) else "")
    )
    if (text := far_from_median(labels)) is not None:
        job.console.warn(text)
    return labels


def _trajectory(job: Job, labels: Labels | None, add: Callable[[str], None], trial_seconds: float) -> float:
    index = trajectory_index(job)
    chosen = selected_frames(job, index)
    interval = frame_interval(job, index)
    add(
        f"trajectory: {len(index)} frames of {_range(index.atoms)} atoms ({', '.join(index.species)}); "
        f"{len(chosen)} are used, {_span(len(chosen), interval)}"
    )
    jumps.preview(job, index, chosen)
    charge_transport.preview(job, index, chosen)
    reading = _reading(index, chosen, trial_seconds) * len(index) if job.deck.dynamics else 0.0
    if job.deck.model.predictor:
        other = _other_model(job, index, chosen, trial_seconds)
        return other + ((1 + ANALYSIS) * reading if job.deck.dynamics else 0.0)
    if labels is None and job.deck.labelling and not model_path(job).exists():
        add(check_labelling(job))
        return (1 + ANALYSIS) * reading
    if labels is None and job.deck.dynamics and not model_path(job).exists():  # stands alone
        return (1 + ANALYSIS) * reading
    model = _trial_model(job, labels) if labels is not None else load_model(job)
    training = _training(job, labels) if labels is not None and len(labels) else 0.0
    polarizability.check_applicable(
        model, index.species, read_frames(index, chosen[:1]), job.deck.model.density_tolerance
    )
    return training + _prediction(job, index, chosen, model, labels, trial_seconds) + (1 + ANALYSIS) * reading


def _trial_model(job: Job, labels: Labels) -> Model:
    return trial_model(job, trial_labels(job, labels))


def _training(job: Job, labels: Labels) -> float:
    """Seconds for the descriptors of all labels, from a few; call it when everything is compiled."""
    few = labels.take(slice(0, TRIAL_LABELS)).frames
    began = time.perf_counter()
    FeatureCalculator(descriptor_of(job), elements_of(labels))(few)
    once = (time.perf_counter() - began) * len(labels) / len(few)
    return once * (1 + len(candidates(descriptor_of(job)))) if job.deck.descriptor.mode == "auto" else once


def _reading(index: TrajectoryIndex, chosen: range, trial_seconds: float) -> float:
    """Seconds to read a frame, from a trial."""
    began, done = time.perf_counter(), 0
    while done < len(chosen) and time.perf_counter() - began < trial_seconds / 3:
        read_frames(index, chosen[done : done + 32])
        done = min(done + 32, len(chosen))
    return (time.perf_counter() - began) / done


def _prediction(
    job: Job, index: TrajectoryIndex, chosen: range, model: Model, labels: Labels | None, trial_seconds: float
) -> float:
    """Seconds on one rank, from a trial; memory from this process and the sizes of the arrays."""
    starts, predictor = batches(index.atoms[chosen]), polarizability.Predictor(model)
    predictor(read_frames(index, chosen[:1]))  # compile before the clock starts
    began, done, batch = time.perf_counter(), 0, 0
    while batch < len(starts) - 1 and time.perf_counter() - began < trial_seconds:
        rows = chosen[starts[batch] : starts[batch + 1]]
        predictor(read_frames(index, rows))
        done, batch = done + len(rows), batch + 1
    rate = done / (time.perf_counter() - began)
    ranks, members = job.session.size, job.deck.model.committee
    seconds = len(chosen) / rate / ranks
    job.console.say(
        f"prediction: about {rate:.3g} frames/s on one rank; {duration(seconds)} on {ranks} "
        f"rank{'s' if ranks > 1 else ''}"
    )
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    root = len(chosen) * (9 * (1 + len(index.species) + members) + 8) * 8 / 2**20
    if labels is not None:
        columns = model.isotropic.size + 5 * model.anisotropic.size
        root += 2 * len(labels) * columns * 8 / 2**20
    job.console.say(f"memory: about {here:.0f} MB on each rank, and {root:.0f} MB more on the first")
    return seconds * ranks


def _other_model(job: Job, index: TrajectoryIndex, chosen: range, trial_seconds: float) -> float:
    """Seconds on one rank with the model of another program, tried on two frames and timed on some."""
    model = making.make(settings_of(job), Resources(job.session.threads))
    try_on(job, model, read_frames(index, chosen[:: len(chosen) - 1]), index.names[0])
    began, done = time.perf_counter(), 0
    while done == 0 or (done < len(chosen) and time.perf_counter() - began < trial_seconds):
        model(read_frames(index, chosen[done : done + 1]))
        done += 1
    rate, ranks = done / (time.perf_counter() - began), job.session.size
    job.console.say(
        f"prediction: about {rate:.3g} frames/s on one rank; {duration(len(chosen) / rate / ranks)} on {ranks} "
        f"rank{'s' if ranks > 1 else ''}"
    )
    return len(chosen) / rate


def _range(numbers: np.ndarray) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _span(frames: int, interval: float) -> str:
    return f"{interval:g} fs apart: {frames * interval / 1000:.4g} ps, spectrum up to {nyquist(interval):.0f} cm^-1"
