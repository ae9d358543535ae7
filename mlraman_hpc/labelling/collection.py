"""What became of the calculations: results that are read, failures that are named, labels that are kept apart."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.labelling.codes import CODES, NOT_CONVERGED, Recipe
from mlraman_hpc.labelling.cost import core_seconds, cost
from mlraman_hpc.labelling.inputs import RUN_FILE, atom_order
from mlraman_hpc.labelling.manifest import Calculation, Kind, Manifest, Status, write_manifest
from mlraman_hpc.labelling.outliers import outliers
from mlraman_hpc.labelling.preparation import AGAIN, calculations_folder, run_folders, write_listing
from mlraman_hpc.labelling.rounds import frame_of, manifest_path, required_manifest
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.base import Request
from mlraman_hpc.readers.tensors.formats import format_of
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.unpacking import read_bytes
from mlraman_hpc.records.frames import DerivativeLabels, Frames, Labels
from mlraman_hpc.storage.labels_extxyz import derivatives_extended_xyz, extended_xyz

LABELS, DERIVATIVES = "labels.extxyz", "derivatives.extxyz"
SAME_POSITION = 2e-4  # Angstrom; ph.x prints four decimals of the lattice parameter
STILL_WRITTEN = 600.0  # s since the last change of an output that may still be running
LEAST_GAP = 0.05  # eV


@dataclass(frozen=True)
class Collected:
    """One calculation with what was read of it: `tensor` (3, 3) Angstrom^3 or `derivatives`, None where nothing was."""

    item: Calculation
    frame: Frames
    tensor: np.ndarray | None = None
    derivatives: DerivativeLabels | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunState:
    """What the output of a run tells before its numbers are read."""

    started: bool
    ended: bool
    running: bool
    unconverged: str = ""


def run_state(recipe: Recipe, folder: Path) -> RunState:
    """From the texts that the programs print, and from the time of the last one where it did not end."""
    started, latest = False, 0.0
    for step in recipe.steps:
        path = folder / step.output
        if not path.is_file():
            return RunState(started, False, _may_run(folder, latest))
        started, latest = True, path.stat().st_mtime
        text = read_bytes(path)
        mark_found = next((mark for mark in step.unconverged if mark in text), None)
        if mark_found is not None:
            return RunState(True, step.end in text, False, f"{NOT_CONVERGED}: '{mark_found.decode()}' in {path}")
        if step.end not in text:
            return RunState(True, False, _may_run(folder, latest))
    return RunState(True, True, False)


def _may_run(folder: Path, latest: float) -> bool:
    """Whether an output without an end may still be written: by somebody else, for we know our own."""
    return not (folder / RUN_FILE).exists() and time.time() - latest < STILL_WRITTEN


def collect_calculations(job: Job) -> Manifest:
    """Every calculation that was prepared, finished or not, looked at anew; on root. Writes labels and manifest."""
    manifest = required_manifest(job)
    prepared = [item for item in manifest.calculations if item.folder]
    if not prepared:
        raise DataError(f"{manifest_path(job)}: no calculation is prepared yet; 'mlraman prepare' does it")
    index = trajectory_index(job)
    collected = [_collected(job, item, frame_of(index, item, manifest_path(job))) for item in prepared]
    collected = _without_outliers(collected)
    for result in collected:
        for text in result.warnings:
            job.console.warn(text)
    _write_labels(job, collected)
    manifest = manifest.updated(result.item for result in collected)
    again = [item for item in manifest.calculations if item.status in (Status.FAILED, Status.UNCONVERGED)]
    write_listing(job, AGAIN, again)
    write_manifest(manifest_path(job), manifest)
    _report(job, manifest, again)
    return manifest


def _collected(job: Job, item: Calculation, frame: Frames) -> Collected:
    recipe = CODES[item.code].recipes[item.kind]
    folders = [calculations_folder(job) / name for name in run_folders(job, item)]
    states = [run_state(recipe, folder) for folder in folders]
    attempts, seconds = _effort(recipe, folders)
    item = replace(item, attempts=attempts, cpu_seconds=seconds, reason="")
    bad = next((state for state in states if state.unconverged), None)
    if bad is not None:
        return Collected(replace(item, status=Status.UNCONVERGED, reason=bad.unconverged), frame)
    open_runs = [(folder, state) for folder, state in zip(folders, states) if not state.ended]
    if open_runs:
        return Collected(_unfinished(item, open_runs), frame)
    return _read(item, frame, recipe, [folder / name for folder in folders for name in recipe.results])


def _unfinished(item: Calculation, runs: list[tuple[Path, RunState]]) -> Calculation:
    """Still to come where nothing failed: not started, or written to by somebody."""
    failed = [folder for folder, state in runs if state.started and not state.running]
    failed += [folder for folder, state in runs if not state.started and (folder / RUN_FILE).exists()]
    ended = [folder for folder in failed if _exit_code(folder) is not None or not (folder / RUN_FILE).exists()]
    if not ended:
        return replace(item, status=Status.PREPARED)
    code = _exit_code(ended[0])
    how = f"; its command ended with code {code}" if code is not None else ""
    return replace(item, status=Status.FAILED, reason=f"{ended[0]}: the calculation did not finish{how}")


def run_record(folder: Path) -> dict[str, object]:
    """What is known of the process that computed a run; empty where we did not start it."""
    try:
        values = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _exit_code(folder: Path) -> int | None:
    value = run_record(folder).get("exit_code")
    return value if isinstance(value, int) else None


def _effort(recipe: Recipe, folders: list[Path]) -> tuple[int, float | None]:
    """Attempts of the run that was tried most often, and CPU time of all; None where none is known."""
    records = [run_record(folder) for folder in folders]
    attempts = max((int(str(record.get("attempts", 0))) for record in records), default=0)
    measured = [None if record.get("cpu_seconds") is None else float(str(record["cpu_seconds"])) for record in records]
    seconds = [cost(own, core_seconds(recipe, folder)) for own, folder in zip(measured, folders)]
    known = [value for value in seconds if value is not None]
    return attempts, sum(known) if known else None


def _read(item: Calculation, frame: Frames, recipe: Recipe, results: list[Path]) -> Collected:
    """The numbers, with the structure compared. A result that cannot be read has failed, and says why."""
    warnings: list[str] = []
    try:
        if item.kind is Kind.POLARIZABILITY:
            status, reason = _doubt(results, recipe)
            if reason:
                return Collected(replace(item, status=status, reason=reason), frame)
            labels = read_labels(results, recipe.format, None, None, warnings.append)
            _check_structure(labels.frames, frame, results[0])
            return Collected(
                replace(item, status=Status.FINISHED), frame, tensor=labels.polarizability[0], warnings=tuple(warnings)
            )
        derivatives = read_derivatives(results, recipe.format, None, None, warnings.append)
        if len(derivatives) != 1:
            raise DataError(f"{results[0]}: the runs are of {len(derivatives)} structures, where one is expected")
        _check_structure(derivatives.frames, frame, results[0])
    except DataError as error:
        return Collected(replace(item, status=Status.FAILED, reason=str(error)), frame, warnings=tuple(warnings))
    return Collected(replace(item, status=Status.FINISHED), frame, derivatives=derivatives, warnings=tuple(warnings))


def _doubt(results: list[Path], recipe: Recipe) -> tuple[Status, str]:
    """Whether the outputs say of themselves that their tensor means nothing; the reason is '' where they do not."""
    reader = format_of(results, recipe.format)
    read = [calculation for path in results for calculation in reader.read(path, Request("reference"), lambda _: None)]
    fault = next((calculation.unconverged for calculation in read if calculation.unconverged is not None), None)
    if fault is not None:
        return Status.UNCONVERGED, str(fault)
    gaps = [calculation.gap for calculation in read if calculation.gap is not None]
    if gaps and min(gaps) < LEAST_GAP:
        return Status.METALLIC, f"the gap between occupied and empty levels is {min(gaps):.3g} eV: alpha diverges there"
    return Status.FINISHED, ""


def _check_structure(computed: Frames, frame: Frames, path: Path) -> None:
    """Errors: DataError where the result is of another structure; atoms may be moved by lattice vectors."""
    order = atom_order(frame.numbers)
    if not np.array_equal(computed.numbers, frame.numbers[order]):
        raise DataError(f"{path}: has other atoms than the frame, or another order; is it in the right folder?")
    difference = computed.positions - frame.positions[order]
    if frame.periodic.all():
        fractional = difference @ np.linalg.inv(frame.cells[0])
        difference = (fractional - np.round(fractional)) @ frame.cells[0]
        cell = np.abs(computed.cells[0] - frame.cells[0]).max()
        if cell > SAME_POSITION * np.abs(frame.cells[0]).max():
            raise DataError(f"{path}: the cell differs from the frame's by {cell:.2g} Angstrom")
    if np.abs(difference).max() > SAME_POSITION * max(1.0, np.abs(frame.cells[0]).max()):
        raise DataError(
            f"{path}: an atom is {np.abs(difference).max():.2g} Angstrom away from where the frame has it; is the "
            "output in the right folder?"
        )


def _without_outliers(collected: list[Collected]) -> list[Collected]:
    """Tensors far from their fellows are kept apart."""
    rows = [k for k, item in enumerate(collected) if item.tensor is not None]
    if not rows:
        return collected
    tensors = np.array([collected[k].tensor for k in rows])
    far, deviations = outliers(tensors)
    result = list(collected)
    for k, is_far, deviation in zip(rows, far, deviations):
        if is_far:
            mean = float(np.trace(tensors[rows.index(k)])) / 3
            reason = (
                f"mean polarizability {mean:.4g} Angstrom^3, {deviation:.1f} robust standard deviations from the "
                "median of all: a small gap, or a wrong solution"
            )
            result[k] = replace(collected[k], item=replace(collected[k].item, status=Status.OUTLIER, reason=reason))
    return result


def _write_labels(job: Job, collected: list[Collected]) -> None:
    """Labels that may be trained or tested on, in the order of the trajectory, with provenance on each comment line."""
    good = sorted(
        (result for result in collected if result.item.status is Status.FINISHED), key=lambda result: result.item.frame
    )
    tensors = [result for result in good if result.tensor is not None]
    with_derivatives = [result for result in good if result.derivatives is not None]
    for name, there in ((LABELS, tensors), (DERIVATIVES, with_derivatives)):
        if not there:
            (job.output / name).unlink(missing_ok=True)
    if tensors:
        frames = Frames.join([result.frame for result in tensors])
        labels = Labels(frames, np.array([result.tensor for result in tensors]), tuple("" for _ in tensors))
        text = extended_xyz(labels, [_provenance(result.item) for result in tensors])
        _write(job.output / LABELS, text)
    if with_derivatives:
        text = "".join(
            derivatives_extended_xyz(result.derivatives, [_provenance(result.item)])
            for result in with_derivatives
            if result.derivatives is not None
        )
        _write(job.output / DERIVATIVES, text)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _provenance(item: Calculation) -> str:
    seconds = "" if item.cpu_seconds is None else f" cpu_s={item.cpu_seconds:.1f}"
    return (
        f"frame={item.frame} purpose={item.purpose.value} round={item.round} rule={item.rule} code={item.code} "
        f"input={item.input} structure={item.structure}{seconds}"
    )


def _report(job: Job, manifest: Manifest, again: list[Calculation]) -> None:
    say = job.console.say
    counts = ", ".join(f"{number} {name}" for name, number in manifest.count().items())
    say(f"{len(manifest.calculations)} calculations: {counts}")
    for item in manifest.calculations:
        if item.status.is_kept_apart:
            job.console.warn(f"frame {item.frame} ({item.purpose.value}): {item.status.value}: {item.reason}")
    if again:
        say(f"{len(again)} to be computed again are in {calculations_folder(job) / AGAIN}")
