"""`mlraman check`: will it run, how long, how much memory?

Only unpacked copies of .gz files and the indices of long trajectories are written.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.labelling.preparation import check_labelling
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.cell_variation import cell_warnings, sampled_rows
from mlraman_hpc.model.descriptor_choice import candidates
from mlraman_hpc.model.descriptors import FeatureCalculator, training_bytes
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.pipeline.derivatives import read_derivative_labels, trial_labels
from mlraman_hpc.pipeline.forces import force_frames
from mlraman_hpc.pipeline.inspection import stage_times
from mlraman_hpc.pipeline.inspection.label_checks import SOME_FRAMES, exchanged_elements, neighbouring_frames
from mlraman_hpc.pipeline.inspection.stage_times import Stage
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.labels import (
    TRIAL_LABELS,
    compiled_calculator,
    descriptor_of,
    elements_of,
    far_from_median,
    no_test_text,
    read_labels,
    split_labels,
    trial_model,
)
from mlraman_hpc.pipeline.molecular_dynamics import plan_report
from mlraman_hpc.pipeline.motion import charge_transport, jumps
from mlraman_hpc.pipeline.motion.preview import (
    folding_warnings,
    preview_motion,
    stated_temperature,
    temperature_warnings,
)
from mlraman_hpc.pipeline.motion.settings import check_size, drift_frame, element_masses
from mlraman_hpc.pipeline.motion.species_motion import check_step
from mlraman_hpc.pipeline.prediction import load_model, model_path
from mlraman_hpc.pipeline.predictors import settings_of, try_on
from mlraman_hpc.pipeline.spectra import raman_options, read_series
from mlraman_hpc.pipeline.trajectory import (
    batches,
    frame_interval,
    selected_frames,
    stored_frames,
    stored_interval,
    trajectory_index,
)
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.other_model import Resources
from mlraman_hpc.readers.measured import read_measured
from mlraman_hpc.readers.text import composition
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime.console import duration

TRIAL_SECONDS = 1.0
FIGURES = 4  # of a spectrum


def check(job: Job) -> None:
    """Look at deck and data; raises the same errors as the run itself would."""
    job.session.on_root(_check, job)


def _check(job: Job) -> None:
    job.console.say(f"{job.deck.source}: the deck is valid")
    stages: list[Stage] = []
    inspect(job, job.console.say, TRIAL_SECONDS, stages)
    if stages:
        job.console.say("stages:")
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for line in [*stage_times.table(stages, job.session.size, base), stage_times.proposal(stages, base)]:
            job.console.say(line)


def inspect(
    job: Job, add: Callable[[str], None], trial_seconds: float = TRIAL_SECONDS, stages: list[Stage] | None = None
) -> float:
    """Look at everything, on one rank alone; the time (s) on one rank of all stages but spectra and report.

    `add(line)` is called with what the files hold, a line for series, labels and trajectory each; `stages` takes what
    each command of the chain needs.
    """
    stages_found: list[Stage] = [] if stages is None else stages
    with job.located():
        _inspect(job, add, trial_seconds, stages_found)
    return sum(stage.seconds for stage in stages_found if stage.name not in ("spectrum", "report"))


def _inspect(job: Job, add: Callable[[str], None], trial_seconds: float, stages: list[Stage]) -> None:
    if job.deck.forces:
        force_frames(job)
    if job.deck.comparison:
        _comparison(job)
    if job.deck.md:
        stages.append(Stage("md", plan_report(job, add)))
    if job.deck.series:
        series = read_series(job)
        add(f"series: {len(series.value)} tensors, {_span(len(series.value), series.frame_interval)}")
        _spectrum(job, len(series.value), series.frame_interval, stages)
        return
    labels = _labels(job, add) if job.deck.reference else None
    if _has_trajectory(job):
        _trajectory(job, labels, add, trial_seconds, stages)
    elif labels is None and job.deck.labelling:
        add(check_labelling(job))
    elif labels is not None and len(labels):
        compiled_calculator(job, labels.frames, descriptor_of(job), elements_of(labels))
        _training(job, labels, stages)


def _comparison(job: Job) -> None:
    """Errors: DataError for files that cannot be read."""
    section = job.section("comparison")
    if section.experiment is not None:
        read_measured(job.files("comparison.experiment.file")[0])
    if section.series is not None:
        read_series(job, "comparison.series")


def _spectrum(job: Job, frames: int, interval: float, stages: list[Stage]) -> None:
    """The time of the spectrum. Errors: those that its settings give with so many frames."""
    spectrum_plan(frames, interval, raman_options(job))
    figures = FIGURES * stage_times.FIGURE_SECONDS if job.deck.figures else 0.0
    stages.append(Stage("spectrum", stage_times.spectrum_seconds(frames) + figures, shared=False))
    stages.append(Stage("report", stage_times.REPORT_SECONDS, shared=False))


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
    add(f"composition of the labels: {_composition(labels.frames)}")
    if (text := far_from_median(labels)) is not None:
        job.console.warn(text)
    return labels


def _trajectory(
    job: Job, labels: Labels | None, add: Callable[[str], None], trial_seconds: float, stages: list[Stage]
) -> None:
    index = trajectory_index(job)
    chosen = selected_frames(job, index)
    interval = frame_interval(job, index)
    add(
        f"trajectory: {len(index)} frames of {_range(index.atoms)} atoms ({', '.join(index.species)}); "
        f"{len(chosen)} are used, {_span(len(chosen), interval)}"
    )
    add(f"composition of the trajectory: {composition(index.numbers)}")
    _motion(job, index, interval, add)
    jumps.preview(job, index, chosen)
    charge_transport.preview(job, index, chosen)
    if labels is not None and len(labels):
        _labels_and_trajectory(job, index, labels)
    if labels is None and job.deck.labelling and not model_path(job).exists():
        add(check_labelling(job))
    else:
        _alpha(job, index, chosen, labels, trial_seconds, stages)
    if any(stage.name == "predict" for stage in stages):
        _spectrum(job, len(chosen), interval, stages)
    if job.deck.dynamics:
        _dynamics(job, index, trial_seconds, stages)


def _alpha(
    job: Job, index: TrajectoryIndex, chosen: range, labels: Labels | None, trial_seconds: float, stages: list[Stage]
) -> None:
    """Training and prediction, where the deck has them. Errors: those of a model that does not fit the trajectory."""
    if job.deck.model.predictor:
        stages.append(Stage("predict", _other_model(job, index, chosen, trial_seconds)))
        return
    if labels is None and job.deck.dynamics and not model_path(job).exists():  # dynamics stands alone
        return
    model = _trial_model(job, labels) if labels is not None else load_model(job)
    sample = read_frames(index, [chosen[row] for row in sampled_rows(len(chosen), len(index.numbers))])
    polarizability.check_applicable(model, index.species, sample, job.deck.model.density_tolerance)
    for text in cell_warnings(model, sample):
        job.console.warn(text)
    prediction = _prediction(job, index, chosen, model, labels, trial_seconds)  # compiles what training needs, too
    if labels is not None and len(labels):
        _training(job, labels, stages)
    stages.append(prediction)
    if job.deck.convergence:
        stages.append(Stage("converge", prediction.seconds + 4 * stage_times.SPECTRUM_SECONDS, root=prediction.root))


def _motion(job: Job, index: TrajectoryIndex, interval: float, add: Callable[[str], None]) -> None:
    """Kinetic temperature and what the frames are too rare for. Errors: those of `dynamics`, where the deck has it."""
    every, rows = job.section("trajectory").every, stored_frames(job, index)
    masses = element_masses(job, index)
    if job.deck.dynamics:
        check_size(index, len(rows))
        drift = drift_frame(job, list(index.species))
        mobile = ", ".join(job.deck.dynamics.mobile) or "none named"
        add(f"motion: mobile elements {mobile}; drift of the {'host lattice' if drift == 'host' else 'whole'} removed")
    if job.section("trajectory").runs:
        rows = rows[index.table["file"][rows] == 0]  # the others begin anew
    motion = preview_motion(index, rows, interval / every, masses)
    if motion is None:
        return
    stated = stated_temperature(job)
    beside = f", the deck says {stated:g} K" if stated else ""
    source = "positions" if motion.of_velocities is None else f"velocities in {motion.unit}"
    add(f"kinetic temperature: {motion.kinetic:.0f} K ({source} of {motion.frames} frames){beside}")
    if motion.frozen:
        named = ", ".join(f"{count} {element}" for element, count in motion.frozen.items())
        job.console.warn(f"frozen: {named} do not move in these frames; they count as no degrees of freedom")
    folded = folding_warnings(motion, every)
    for text in [*temperature_warnings(motion.kinetic, stated, bool(folded)), *folded]:
        job.console.warn(text)
    if job.deck.dynamics:
        check_step(job, motion.largest_step)


def _labels_and_trajectory(job: Job, index: TrajectoryIndex, labels: Labels) -> None:
    """Warnings where labels and trajectory do not fit together."""
    rows = np.unique(np.linspace(0, len(index) - 1, SOME_FRAMES).astype(int))
    texts = [exchanged_elements(labels.frames, read_frames(index, rows))]
    if job.section("reference").format == "table":
        texts.append(neighbouring_frames(job, index, labels))
    for text in texts:
        if text is not None:
            job.console.warn(text)


def _dynamics(job: Job, index: TrajectoryIndex, trial_seconds: float, stages: list[Stage]) -> None:
    section, rows, atoms = job.section("dynamics"), stored_frames(job, index), len(index.numbers)
    reading = _reading(index, range(rows[0], rows[-1] + 1), trial_seconds) * len(rows)
    analysing = stage_times.motion_seconds(
        atoms, len(rows), stored_interval(job, index), section.smoothing, section.blocks
    )
    size = 2 * 24 * atoms * len(rows) / stage_times.MB
    stages.append(Stage("dynamics", reading + analysing, memory=size, divided=True))


def _trial_model(job: Job, labels: Labels) -> Model:
    return trial_model(job, trial_labels(job, labels))


def _training(job: Job, labels: Labels, stages: list[Stage]) -> None:
    """Training and learning curve: descriptors of all labels, from a few, and fits; when everything is compiled."""
    few = labels.take(slice(0, TRIAL_LABELS)).frames
    began = time.perf_counter()
    FeatureCalculator(descriptor_of(job), elements_of(labels))(few)
    once = (time.perf_counter() - began) * len(labels) / len(few)
    if job.deck.descriptor.mode == "auto":
        once *= 1 + len(candidates(descriptor_of(job)))
    trial, (train, test) = stage_times.fit_trial(), split_labels(job, len(labels))
    if not len(test):
        job.console.warn(no_test_text(job))
    fit = stage_times.fit_seconds(trial, len(train)) * (1 + 0.2 * job.deck.model.committee)
    columns = FeatureCalculator(descriptor_of(job), elements_of(labels)).columns
    stages.append(Stage("train", once + fit, root=training_bytes(len(labels), len(train), columns) / 2**20))
    if (curve := job.deck.learning_curve) is not None:
        most = len(labels) - len(test)
        sizes = curve.sizes or np.geomspace(min(10, most), most, 7).round()
        fits = sum(stage_times.fit_seconds(trial, int(size)) for size in sizes if size <= most)
        memory = stage_times.fit_memory(most)
        stages.append(Stage("learning-curve", once + curve.draws * fits, memory=memory))


def _reading(index: TrajectoryIndex, chosen: range, trial_seconds: float) -> float:
    """Seconds to read a frame, from a trial."""
    began, done = time.perf_counter(), 0
    while done < len(chosen) and time.perf_counter() - began < trial_seconds / 3:
        read_frames(index, chosen[done : done + 32])
        done = min(done + 32, len(chosen))
    return (time.perf_counter() - began) / done


def _prediction(
    job: Job, index: TrajectoryIndex, chosen: range, model: Model, labels: Labels | None, trial_seconds: float
) -> Stage:
    """Time from a trial; memory from this process and the sizes of the arrays."""
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
    return Stage("predict", seconds * ranks, root=root)


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


def _composition(frames: Frames) -> str:
    """Of all frames where it is the same, else the elements."""
    first, same = frames.numbers[: frames.first_atom[1]], frames.atoms_per_frame[0]
    alike = (frames.atoms_per_frame == same).all() and (
        np.sort(frames.numbers.reshape(-1, same), axis=1) == np.sort(first)
    ).all()
    return composition(first) if alike else f"{', '.join(symbols(np.unique(frames.numbers)))}, not all alike"


def _range(numbers: np.ndarray) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _span(frames: int, interval: float) -> str:
    return f"{interval:g} fs apart: {frames * interval / 1000:.4g} ps, spectrum up to {nyquist(interval):.0f} cm^-1"
