"""Input files of calculations, from templates that ship or are the user's own (Jinja2), and scripts that run them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.labelling.codes import Code, Recipe, Step
from mlraman_hpc.labelling.manifest import Kind
from mlraman_hpc.readers.derivatives.field_forces import DIRECTIONS
from mlraman_hpc.records.frames import Frames

SHIPPED = Path(__file__).parent / "templates"
SCRIPT = "run.sh"
RUN_FILE = "process.json"  # in the folder of a run: exit code, attempts, and CPU time where we have started it
VOLT_PER_ANGSTROM = 51.422067  # hartree/(e bohr)
FIXED = {  # what a template may use without the deck's doing, beside the parameters
    "title": "name of the calculation",
    "atoms": "(symbol, (x, y, z)) of every atom, Angstrom, elements together",
    "fractional": "the same with coordinates along the lattice vectors",
    "cell": "three lattice vectors, Angstrom",
    "species": "elements, in the order of the atoms",
    "counts": "atoms of each of these elements",
    "numbers": "atomic number of each of these elements",
    "periodic": "XYZ, or the periodic directions",
    "bohr": "Angstrom in a bohr",
    "field_name": "0, +x, ... of thirteen",
    "field": "vector, hartree/(e bohr)",
    "field_volt_per_angstrom": "vector",
    "intensity": "its length, hartree/(e bohr); 0: no field",
    "direction": "its direction",
    "first_folder": "folder of the run without field, whose wave functions are a start; '' in this run itself",
    "kind": "polarizability or derivatives",
    "read": "read(file): its text",
    "of": "of(value, symbol): value[symbol] of a parameter that differs between elements, or value",
    "zip": "Python's",
    "enumerate": "Python's",
}


@dataclass(frozen=True)
class Run:
    """One run of a calculation: name ('' where it is the only one) and {file name: text}."""

    name: str
    files: dict[str, str]


class Templates:
    """The templates of a recipe: shipped, or the user's: one file in place of the first, or a folder of the same names.

    Errors: DeckKeyError naming labelling.template or labelling.parameters, here and in `runs`.
    """

    def __init__(self, code: Code, recipe: Recipe, own: Path | None, parameters: Mapping[str, Any]) -> None:
        self._environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
        )
        self._sources = {name: _source(name, number, own) for number, name in enumerate(recipe.templates)}
        self._recipe = recipe
        self._values = {**code.defaults, **parameters}
        used: set[str] = set()
        for path in self._sources.values():
            with _template_errors(path):
                used |= jinja2.meta.find_undeclared_variables(self._environment.parse(path.read_text(encoding="utf-8")))
        self.used = used - set(FIXED)

    def check(self) -> None:
        """Errors: DeckKeyError naming placeholders without a value."""
        missing = self.used - set(self._values)
        if missing:
            raise DeckKeyError("labelling.parameters", f"the templates also need {_listed(missing)}: give them here")

    def text(self) -> str:
        """All templates, for the user to begin from."""
        return "".join(f"==> {path} <==\n{path.read_text(encoding='utf-8')}\n" for path in self._sources.values())

    def runs(self, name: str, frame: Frames, kind: Kind, strength: float, command: str) -> list[Run]:
        """Every run of a calculation of one frame."""
        self.check()
        fields = DIRECTIONS if self._recipe.in_fields else {"": (0, 0, 0)}
        runs = []
        for number, (direction, vector) in enumerate(fields.items()):
            folder = f"{number:02d}_{direction}" if direction else ""
            first = f"../00_{next(iter(fields))}" if number else ""
            values = {
                **_structure(frame),
                **_field(direction, vector, strength),
                "title": name,
                "first_folder": first,
                "kind": kind.value,
            }
            rendered = ((key, self._rendered(path, values)) for key, path in self._sources.items())
            files = {self._recipe.templates[key]: text for key, text in rendered if text.strip()}
            files[SCRIPT] = run_script(self._recipe.steps, command)
            runs.append(Run(folder, files))
        return runs

    def _rendered(self, path: Path, values: Mapping[str, Any]) -> str:
        with _template_errors(path):
            template = self._environment.from_string(path.read_text(encoding="utf-8"))
            return template.render(**self._values, **values, of=_of, read=_read, zip=zip, enumerate=enumerate)


class _template_errors:
    """What Jinja2 says becomes a mistake in the deck."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, jinja2.TemplateSyntaxError):
            raise DeckKeyError("labelling.template", f"{self._path}, line {error.lineno}: {error.message}") from None
        if isinstance(error, (jinja2.TemplateError, TypeError, ValueError, LookupError)):
            raise DeckKeyError("labelling.template", f"{self._path}: {error}") from None
        if isinstance(error, OSError):
            raise DeckKeyError("labelling.template", f"{self._path}: cannot be read: {error.strerror}") from None


def _source(name: str, number: int, own: Path | None) -> Path:
    if own is not None and own.is_dir() and (own / name).is_file():
        return own / name
    if own is not None and not own.is_dir() and number == 0:
        return own
    return SHIPPED / name


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _of(value: Any, symbol: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    if symbol not in value:
        raise LookupError(f"a parameter has no value for {symbol}, only for {', '.join(map(str, value))}")
    return value[symbol]


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def atom_order(numbers: np.ndarray) -> np.ndarray:
    """(atoms,) the order in which input has the atoms: elements together, as they first come, else as they are."""
    first = {number: position for position, number in reversed(list(enumerate(numbers.tolist())))}
    return np.argsort([first[number] for number in numbers.tolist()], kind="stable")


def _structure(frame: Frames) -> dict[str, Any]:
    order = atom_order(frame.numbers)
    names, positions = symbols(frame.numbers[order]), frame.positions[order]
    kinds = [(symbol, len(list(group))) for symbol, group in groupby(names)]
    fractional = positions @ np.linalg.inv(frame.cells[0]) if frame.periodic.all() else positions
    atoms = frame.numbers[order].tolist()
    return {
        "atoms": [(symbol, tuple(map(float, row))) for symbol, row in zip(names, positions)],
        "fractional": [(symbol, tuple(map(float, row))) for symbol, row in zip(names, fractional)],
        "cell": [tuple(map(float, row)) for row in frame.cells[0]],
        "species": [symbol for symbol, _ in kinds],
        "counts": [count for _, count in kinds],
        "numbers": list(dict.fromkeys(atoms)),
        "periodic": "".join(axis for axis, there in zip("XYZ", frame.periodic[0]) if there) or "NONE",
        "bohr": ANGSTROM_PER_BOHR,
    }


def _field(name: str, vector: tuple[int, int, int], strength: float) -> dict[str, Any]:
    length = sqrt(sum(x * x for x in vector))
    return {
        "field_name": name or "0",
        "field": tuple(strength * x for x in vector),
        "field_volt_per_angstrom": tuple(strength * VOLT_PER_ANGSTROM * x for x in vector),
        "intensity": strength * length,
        "direction": tuple(x / length for x in vector) if length else (0.0, 0.0, 1.0),
    }


def step_command(command: str, step: Step, slot: int = 0) -> str:
    """The shell command of one step; {slot} is the number, from 0, of one of the calculations that run at a time."""
    for name, value in (
        ("{program}", step.program),
        ("{input}", step.input),
        ("{output}", step.output),
        ("{slot}", str(slot)),
    ):
        command = command.replace(name, value)
    return command


def printed_to(command: str, step: Step) -> str:
    """File for what a step prints: its output, unless the program or the command writes that itself."""
    if step.log:
        return step.log
    return f"{Path(step.output).stem}.log" if "{output}" in command else step.output


def run_script(steps: tuple[Step, ...], command: str) -> str:
    """run.sh of a run's folder: steps that have ended are not repeated, the others begin anew."""
    lines = [
        "#!/bin/bash",
        "# The steps of one run; one that has ended is not repeated.",
        'cd "$(dirname "$0")" || exit',
    ]
    for step in steps:
        ended = f"grep -qs '{step.end.decode()}' {step.output}"
        lines += [
            f"if ! {ended}; then",
            f"  rm -f {step.output} {RUN_FILE}",
            f"  {step_command(command, step)} > {printed_to(command, step)} 2>&1",
            f"  code=$?; {ended} || {{ echo '{{\"attempts\": 1, \"exit_code\": '$code'}}' > {RUN_FILE}; exit 1; }}",
            "fi",
        ]
    return "\n".join(lines) + "\n"


def input_hash(runs: list[Run]) -> str:
    """Of all input files, the script that runs them not counted: who changes the command has not changed the input."""
    digest = hashlib.sha256()
    for run in runs:
        for name, text in run.files.items():
            if name != SCRIPT:
                digest.update(f"{run.name}/{name}\n{text}".encode())
    return digest.hexdigest()[:24]


_ARRAYS = {  # script of a job array, with index and folder of submission
    "slurm": (
        "#SBATCH --job-name=labels\n#SBATCH --array=1-{count}\n#SBATCH --output=array-%a.log",
        "SLURM_ARRAY_TASK_ID",
    ),
    "pbs": ("#PBS -N labels\n#PBS -J 1-{count}\n#PBS -j oe", "PBS_ARRAY_INDEX"),
    "lsf": ('#BSUB -J "labels[1-{count}]"\n#BSUB -o array-%I.log', "LSB_JOBINDEX"),
}
SUBMIT = {"slurm": "sbatch {script}", "pbs": "qsub {script}", "lsf": "bsub < {script}"}


def array_script(scheduler: str, folder: Path, count: int, header: str, listing: str) -> str:
    """A job array with a task for each line of the listing, whose words are the folders of a calculation's runs."""
    directives, index = _ARRAYS[scheduler]
    if scheduler == "pbs" and count == 1:  # PBS refuses an array of one
        directives = directives.replace("#PBS -J 1-{count}\n", "")
    return (
        "#!/bin/bash\n"
        + directives.format(count=count)
        + (f"\n{header.strip()}" if header.strip() else "")
        + f"""
# One task for each line of {listing}; another list, such as again.txt, may be given in LISTING.
cd "{folder}" || exit 1
runs=$(sed -n "${{{index}:-1}}p" "${{LISTING:-{listing}}}")
for run in $runs; do
  bash "$run/{SCRIPT}" || echo "$run: failed with code $?" >&2
done
"""
    )
