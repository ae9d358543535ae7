"""`mlraman check`: will it run, how long, how much memory?

Only unpacked copies of .gz files and the places of the frames of long ones are written.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.commands.forces import force_frames
from mlraman_hpc.commands.predict import load_model, model_path
from mlraman_hpc.commands.spectrum import read_series
from mlraman_hpc.commands.train import descriptor_of, draw, read_labels
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.pipeline import jumps
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.molecular_dynamics import plan_report
from mlraman_hpc.pipeline.trajectory import batches, frame_interval, selected_frames, trajectory_index
from mlraman_hpc.readers.trajectory.index import read_frames
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime.console import duration

TRIAL_LABELS, TRIAL_SECONDS = 8, 1.0
ANALYSIS = 2.0  # of the time that reading takes, for dynamics


def check(job: Job) -> None:
    """Look at deck and data; raises the same errors as the run itself would."""
    job.session.on_root(inspect, job)


def inspect(job: Job, trial_seconds: float = TRIAL_SECONDS) -> float:
    """Look at everything, on one rank alone; returns the time (s) that all steps would take on one rank."""
    say = job.console.say
    say(f"{job.deck.source}: the deck is valid")
    if job.deck.forces:
        force_frames(job)
    dynamics = plan_report(job) if job.deck.md else 0.0
    if job.deck.md and not (job.deck.series or job.deck.reference) and not _is_there(job):
        return dynamics
    if job.deck.series:
        series = read_series(job)
        say(f"series: {len(series.value)} tensors, {_span(len(series.value), series.frame_interval)}")
        return 0.0
    labels = _labels(job) if job.deck.reference else None
    model = load_model(model_path(job)) if labels is None and model_path(job).exists() else None
    return dynamics + (_trajectory(job, labels, model, trial_seconds) if _is_there(job) else 0.0)


def _is_there(job: Job) -> bool:
    """Whether there is a trajectory to look at; that of the deck's own molecular dynamics may be to come."""
    if not job.deck.trajectory:
        return False
    if not job.deck.md:
        return True
    try:
        job.files("trajectory.files")
    except DataError:
        return False
    return True


def _labels(job: Job) -> Labels:
    labels = read_labels(job)
    train, test = draw(job, len(labels))
    atoms = labels.frames.atoms_per_frame
    mean = np.trace(labels.polarizability, axis1=1, axis2=2).mean() / 3
    job.console.say(
        f"reference: {len(labels)} labels of {_range(atoms)} atoms, {len(train)} to train on and "
        f"{len(test)} to test on; mean polarizability {mean:.4g} Angstrom^3"
    )
    return labels


def _trajectory(job: Job, labels: Labels | None, model: Model | None, trial_seconds: float) -> float:
    index = trajectory_index(job)
    chosen = selected_frames(job, index)
    interval = frame_interval(job, index)
    job.console.say(
        f"trajectory: {len(index)} frames of {_range(index.atoms)} atoms ({', '.join(index.species)}); "
        f"{len(chosen)} are used, {_span(len(chosen), interval)}"
    )
    jumps.preview(job, index, chosen)
    reading = _reading(index, chosen, trial_seconds) * len(index) if job.deck.dynamics else 0.0
    trial = model or (_trial_model(job, labels) if labels is not None else None)
    training = _training(job, labels) if labels is not None else 0.0
    if trial is None and job.deck.dynamics:  # stands alone
        return (1 + ANALYSIS) * reading
    if trial is None:
        raise DataError(f"{model_path(job)}: no model yet; 'mlraman train' makes it from the deck's 'reference'")
    polarizability.check_applicable(
        trial, index.species, read_frames(index, chosen[:1]), job.deck.model.density_tolerance
    )
    predicting = _estimate(job, index, chosen, trial, labels, trial_seconds)
    return training + predicting + (1 + ANALYSIS) * reading


def _training(job: Job, labels: Labels) -> float:
    """Seconds for the descriptors of all labels, from a few; call it when everything is compiled."""
    numbers = sorted(set(labels.frames.numbers.tolist()))
    few = labels.take(slice(0, TRIAL_LABELS)).frames
    began = time.perf_counter()
    features(few, descriptor_of(job), numbers)
    return (time.perf_counter() - began) * len(labels) / len(few)


def _reading(index, chosen: np.ndarray, trial_seconds: float) -> float:
    """Seconds to read a frame, from a trial."""
    began, done = time.perf_counter(), 0
    while done < len(chosen) and time.perf_counter() - began < trial_seconds / 3:
        read_frames(index, chosen[done : done + 32])
        done = min(done + 32, len(chosen))
    return (time.perf_counter() - began) / done


def working_model(job: Job) -> Model:
    """The model that is there, or a trial model of the deck's labels."""
    path = model_path(job)
    if path.exists():
        return load_model(path)
    if not job.deck.reference:
        raise DataError(f"{path}: no model yet; 'mlraman train' makes it from the deck's 'reference'")
    return _trial_model(job, read_labels(job))


def _trial_model(job: Job, labels: Labels) -> Model:
    """A model of a few labels: as fast as the real one, and with all its elements and densities."""
    few = labels.take(slice(0, TRIAL_LABELS))
    numbers = sorted(set(labels.frames.numbers.tolist()))
    known = features(few.frames, descriptor_of(job), numbers)
    rows = np.arange(len(few))
    model, _ = polarizability.fit(known, few, rows, rows[:0], descriptor_of(job), 1.0, job.deck.model.committee)
    density = labels.frames.atoms_per_frame / labels.frames.volumes
    if np.isfinite(density).any():
        model.number_density[:] = np.nanmin(density), np.nanmax(density)
    return model


def _estimate(job: Job, index, chosen: np.ndarray, model: Model, labels: Labels | None, trial_seconds: float) -> float:
    """Time (s) on one rank from a trial, which is returned; memory from this process and the sizes of the arrays."""
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


def _range(numbers: np.ndarray) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _span(frames: int, interval: float) -> str:
    return f"{interval:g} fs apart: {frames * interval / 1000:.4g} ps, spectrum up to {nyquist(interval):.0f} cm^-1"
