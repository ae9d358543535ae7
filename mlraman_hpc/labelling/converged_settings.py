"""Whether the settings of the calculations are converged, before hundreds of them are spent: `--converge`.

A few frames are computed with each value of each parameter that the deck names in labelling.converge, the others as
they are. What counts is how much the mean of alpha changes, and how much its fluctuations, of which spectra are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.labelling.codes import CODES
from mlraman_hpc.labelling.collection import run_state
from mlraman_hpc.labelling.inputs import array_script
from mlraman_hpc.labelling.manifest import Calculation, Kind, Purpose
from mlraman_hpc.labelling.preparation import ARRAY, HEADER, LISTING, recipes_of, write_runs
from mlraman_hpc.labelling.rounds import frame_of, manifest_path, required_manifest, section_of
from mlraman_hpc.numerics import Floats
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.records.frames import Frames

FOLDER, FILE_NAME = "settings", "settings.json"
SUPERCELL = "supercell"  # beside the code's parameters: repetitions along the lattice vectors
FRAMES = {Kind.POLARIZABILITY: 3, Kind.DERIVATIVES: 1}


@dataclass(frozen=True)
class Trial:
    """A calculation with one parameter changed: number of the value in the deck's list, and where it lies."""

    parameter: str
    number: int
    frame: int
    cells: int
    folder: str
    runs: tuple[str, ...]


def prepare_trials(job: Job) -> None:
    """Folders for every frame and value, and a job array; on root."""
    section = section_of(job)
    if not section.converge:
        raise DeckKeyError(
            "labelling.converge",
            "is empty; give the values to try, such as {cutoff: [200, 300, 400], supercell: [[1, 1, 1], [2, 1, 1]]}",
        )
    kind, index, folder = Kind(section.kind), trajectory_index(job), job.output / FOLDER
    trials, lines = [], []
    for parameter, number, value in _values(section.converge):
        job_of_value = _with_parameter(job, parameter, value)
        recipes = recipes_of(job_of_value, {kind})
        for item in _frames(job, kind):
            frame = frame_of(index, item, manifest_path(job))
            repeats = value if parameter == SUPERCELL else [1, 1, 1]
            runs = recipes.runs(item, _repeated(frame, repeats))
            name = f"{parameter}_{number}/frame_{item.frame:06d}"
            write_runs(folder / name, runs)
            paths = tuple(str(Path(name) / run.name) for run in runs)
            trials.append(Trial(parameter, number, item.frame, int(np.prod(repeats)), name, paths))
            lines.append(" ".join(paths))
    with atomic_write(folder / LISTING) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    header = str(section.parameters.get(HEADER, ""))
    with atomic_write(folder / ARRAY) as temporary:
        text = array_script(section.scheduler, folder.absolute(), len(lines), header, LISTING)
        temporary.write_text(text, encoding="utf-8")
    values = {"code": section.code, "kind": section.kind, "converge": section.converge}
    with atomic_write(folder / FILE_NAME) as temporary:
        temporary.write_text(json.dumps({**values, "trials": [asdict(trial) for trial in trials]}, indent=1) + "\n")
    job.console.say(
        f"{len(trials)} calculations are ready in {folder}, with {ARRAY}; then 'mlraman collect --converge'"
    )


def _values(converge: dict[str, list[Any]]) -> Iterator[tuple[str, int, Any]]:
    for parameter, values in converge.items():
        for number, value in enumerate(values):
            whole = isinstance(value, list) and len(value) == 3 and all(isinstance(n, int) and n > 0 for n in value)
            if parameter == SUPERCELL and not whole:
                raise DeckKeyError(f"labelling.converge.{SUPERCELL}", f"should be three repetitions, found {value!r}")
            yield parameter, number, value


def _with_parameter(job: Job, parameter: str, value: Any) -> Job:
    section = section_of(job)
    parameters = section.parameters if parameter == SUPERCELL else section.parameters | {parameter: value}
    section = section.model_copy(update={"parameters": parameters})
    return replace(job, deck=job.deck.model_copy(update={"labelling": section}))


def _frames(job: Job, kind: Kind) -> list[Calculation]:
    """The first test frames, which are random; training frames where there are no others."""
    manifest = required_manifest(job)
    chosen = (manifest.of(Purpose.TEST) + manifest.of(Purpose.TRAIN))[: FRAMES[kind]]
    return [replace(item, kind=kind) for item in chosen]


def _repeated(frame: Frames, repeats: list[int]) -> Frames:
    shifts = np.array(list(np.ndindex(*repeats))) @ frame.cells[0]
    positions = (frame.positions[None] + shifts[:, None]).reshape(-1, 3)
    return replace(
        frame,
        positions=positions,
        numbers=np.tile(frame.numbers, len(shifts)),
        first_atom=np.array([0, len(positions)]),
        cells=frame.cells * np.array(repeats)[None, :, None],
        velocities=None,
        masses=None,
    )


def report_trials(job: Job) -> None:
    """A table for each parameter: changes against its last value; on root."""
    path = job.output / FOLDER / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        trials = [Trial(**{**trial, "runs": tuple(trial["runs"])}) for trial in values["trials"]]
        kind, converge = Kind(values["kind"]), values["converge"]
        recipe = CODES[values["code"]].recipes[kind]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; 'mlraman prepare --converge' makes the calculations") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error}); 'mlraman prepare --converge' writes it again") from None
    known: dict[tuple[str, int, int], Floats] = {}
    elements: Any = None
    for trial in trials:
        folders = [job.output / FOLDER / run for run in trial.runs]
        states = [run_state(recipe, folder) for folder in folders]
        if any(state.unconverged or not state.ended for state in states):
            job.console.warn(f"{job.output / FOLDER / trial.folder}: not finished, or not converged; left out")
            continue
        results = [folder / name for folder in folders for name in recipe.results]
        if kind is Kind.POLARIZABILITY:
            tensors = read_labels(results, recipe.format, None, None, job.console.warn).polarizability
            known[trial.parameter, trial.number, trial.frame] = tensors[0] / trial.cells
        elif trial.cells == 1:
            labels = read_derivatives(results, recipe.format, None, None, job.console.warn)
            known[trial.parameter, trial.number, trial.frame], elements = labels.derivatives, labels.frames.numbers
    for parameter, listed in converge.items():
        table = _tensor_table if kind is Kind.POLARIZABILITY else _derivative_table
        for line in table(parameter, listed, known, elements):
            job.console.say(line)


Known = dict[tuple[str, int, int], Floats]


def _tensor_table(parameter: str, listed: list[Any], known: Known, elements: Any) -> list[str]:
    """Mean of alpha over frames and axes, its change, and the change of the fluctuations over their own size."""
    lines = [f"{parameter}:", "  value                     mean alpha (Angstrom^3)  changes by   fluctuations by"]
    frames = sorted({frame for name, number, frame in known if (name, number) == (parameter, len(listed) - 1)})
    for number, value in enumerate(listed):
        common = [frame for frame in frames if (parameter, number, frame) in known]
        if not common:
            lines.append(f"  {value!s:<26}-")
            continue
        own, last = (np.array([known[parameter, k, frame] for frame in common]) for k in (number, len(listed) - 1))
        mean = float(np.trace(own.mean(axis=0))) / 3
        change = float(np.trace((own - last).mean(axis=0))) / 3 / mean
        spread = _fluctuation(last)
        moved = _fluctuation(own - last) / spread if spread > 0 else float("nan")
        lines.append(f"  {value!s:<26}{mean:12.4f}{'':12} {100 * change:8.2f} %    {100 * moved:8.2f} %")
    return lines


def _fluctuation(tensors: Floats) -> float:
    """Root mean square about the mean over frames; NaN of a single one."""
    if len(tensors) < 2:
        return float("nan")
    return float(np.sqrt(((tensors - tensors.mean(axis=0)) ** 2).sum(axis=(1, 2)).mean()))


def _derivative_table(parameter: str, listed: list[Any], known: Known, elements: Any) -> list[str]:
    """Change of the derivatives by element, over their root mean square."""
    lines = [f"{parameter}: change of the derivatives by element, over their root mean square"]
    last = {
        frame: values
        for (name, number, frame), values in known.items()
        if (name, number) == (parameter, len(listed) - 1)
    }
    for number, value in enumerate(listed):
        parts = []
        for z in np.unique(elements) if elements is not None else ():
            pairs = [
                (known[parameter, number, frame][elements == z], values[elements == z])
                for frame, values in last.items()
                if (parameter, number, frame) in known
            ]
            if pairs:
                own, final = (np.concatenate(values) for values in zip(*pairs))
                moved = np.sqrt(np.mean((own - final) ** 2) / np.mean(final**2))
                parts.append(f"{ELEMENTS[z]} {100 * moved:.1f} %")
        lines.append(f"  {value!s:<26}{', '.join(parts) or '-'}")
    return lines
