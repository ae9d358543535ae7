"""Folders of calculations with ready input, and the job array that runs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.labelling.codes import CODES, Code, Recipe
from mlraman_hpc.labelling.inputs import RUN_FILE, SUBMIT, Run, Templates, array_script, input_hash
from mlraman_hpc.labelling.manifest import Calculation, Kind, Manifest, Status, write_manifest
from mlraman_hpc.labelling.rounds import frame_of, manifest_path, required_manifest, section_of
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.trajectory import trajectory_index
from mlraman_hpc.records.frames import Frames

FOLDER = "calculations"  # below the output folder
LISTING, AGAIN, ARRAY = "folders.txt", "again.txt", "array.sh"
HEADER = "header"  # the parameter that goes to the script of the job array


@dataclass(frozen=True)
class Recipes:
    """How the deck's code computes each kind, with the user's parameters and template."""

    code: Code
    templates: dict[Kind, Templates]
    field: float
    command: str

    def recipe(self, kind: Kind) -> Recipe:
        return self.code.recipes[kind]

    def runs(self, item: Calculation, frame: Frames) -> list[Run]:
        return self.templates[item.kind].runs(item.name, frame, item.kind, self.field, self.command)


def code_of(job: Job) -> Code:
    """Errors: DeckKeyError where the deck names none."""
    section = section_of(job)
    if section.code is None:
        raise DeckKeyError(
            "labelling.code", f"is missing; give the program that computes the labels, {', '.join(CODES)}"
        )
    return CODES[section.code]


def recipes_of(job: Job, kinds: set[Kind]) -> Recipes:
    """Templates that are read and parameters that fit to them. Errors: DeckKeyError."""
    section, code = section_of(job), code_of(job)
    own = template_path(job)
    parameters = _with_paths(section.parameters, Path(job.deck.folder))
    templates = {}
    for kind in kinds:
        if kind not in code.recipes:
            raise DeckKeyError("labelling.kind", f"{kind.value} cannot be computed by {code.name} yet")
        file = own if own is None or own.is_dir() or kind is Kind(section.kind) else None
        templates[kind] = Templates(code, code.recipes[kind], file, parameters)
    _check_parameters(code, templates, own, section.parameters)
    return Recipes(code, templates, section.field, section.command or _array_command(code, section.scheduler))


def _array_command(code: Code, scheduler: str) -> str:
    """Where the deck has none: by the launcher that a batch system has."""
    return f"{'srun' if scheduler == 'slurm' else 'mpirun'} {code.command}"


def _with_paths(value: Any, folder: Path) -> Any:
    """Texts that name something that exists, seen from the deck, as absolute paths; all else as it is."""
    if isinstance(value, dict):
        return {key: _with_paths(item, folder) for key, item in value.items()}
    if isinstance(value, str) and "/" in value and "\n" not in value:
        path = folder / Path(value).expanduser()
        return str(path.absolute()) if path.exists() else value
    return value


def _check_parameters(code: Code, templates: dict[Kind, Templates], own: Path | None, given: dict[str, Any]) -> None:
    """Every parameter is a placeholder of some template of the code, be it of another kind of calculation."""
    known = {HEADER, *code.defaults}
    for kind, recipe in code.recipes.items():
        known |= (templates.get(kind) or Templates(code, recipe, own if own and own.is_dir() else None, given)).used
    for name in given:
        if name not in known:
            raise DeckKeyError(
                f"labelling.parameters.{name}",
                f"no placeholder of this name; the templates have {', '.join(sorted(known))}",
            )


def check_labelling(job: Job) -> str:
    """What would be computed, in a sentence. Errors: DeckKeyError for placeholders without a value, as in `prepare`."""
    section = section_of(job)
    kinds = {Kind(section.kind)} | ({Kind.POLARIZABILITY} if section.test else set())
    for templates in recipes_of(job, kinds).templates.values():
        templates.check()
    how = "in this allocation" if section.command else "as job arrays"
    return (
        f"labelling: at most {section.most} frames ({section.kind}, {section.rule}) in rounds of {section.frames}, and "
        f"{section.test} for testing, by {section.code} {how}: 'mlraman label'"
    )


def template_path(job: Job) -> Path | None:
    """File or folder of the user's own templates. Errors: DataError where it is not there."""
    section = section_of(job)
    if section.template is None:
        return None
    path = Path(job.deck.folder) / section.template
    if not path.exists():
        raise job.deck.data_error("labelling.template", f"{path}: no such file or folder")
    return path


def calculations_folder(job: Job) -> Path:
    return job.output / FOLDER


def prepare_calculations(job: Job, dry_run: bool = False) -> Manifest:
    """Input for every calculation that has no result; on root. `dry_run`: say what would be written, and show one."""
    manifest = required_manifest(job)
    if job.force and not dry_run:
        manifest = retry_failed(job, manifest)
    waiting = manifest.open
    if not waiting:
        job.console.say("every calculation has a result; 'mlraman select' chooses more frames")
        return manifest
    recipes = recipes_of(job, {item.kind for item in waiting})
    index = trajectory_index(job)
    changed, written = [], 0
    for item in waiting:
        frame = frame_of(index, item, manifest_path(job))
        if not frame.periodic.all() and recipes.code.name != "cp2k":
            raise DataError(
                f"{manifest_path(job)}: frame {item.frame} is not periodic, which {recipes.code.name} needs"
            )
        runs = recipes.runs(item, frame)
        digest = input_hash(runs)
        if dry_run:
            _show(job, item, runs, len(waiting))
            return manifest
        new = item.input != digest
        if new and item.status is Status.PREPARED:
            _refuse_results(job, item, recipes.recipe(item.kind))
        written += new
        write_runs(calculations_folder(job) / item.name, runs)
        changed.append(
            replace(item, status=Status.PREPARED, code=recipes.code.name, input=digest, folder=f"{FOLDER}/{item.name}")
        )
    manifest = manifest.updated(changed)
    write_listing(job, LISTING, changed)
    write_array(job, len(changed))
    write_manifest(manifest_path(job), manifest)
    job.console.say(
        f"{len(changed)} calculations by {recipes.code.name} are ready in {calculations_folder(job)}"
        + (f", {written} of them new or changed" if written < len(changed) else "")
    )
    return manifest


def retry_failed(job: Job, manifest: Manifest) -> Manifest:
    """With calculations that failed or did not converge as if they had not been started; on root."""
    failed = [item for item in manifest.calculations if item.status in (Status.FAILED, Status.UNCONVERGED)]
    for item in failed:
        _remove_results(calculations_folder(job), run_folders(job, item), CODES[item.code].recipes[item.kind])
    manifest = manifest.updated(replace(item, status=Status.PREPARED, reason="") for item in failed)
    write_manifest(manifest_path(job), manifest)
    if failed:
        job.console.say(f"{len(failed)} calculations that failed are tried again")
    return manifest


def _remove_results(folder: Path, runs: list[Path], recipe: Recipe) -> None:
    """Output that did not end well; what ended well stays."""
    for run in runs:
        last = folder / run / recipe.steps[-1].output
        text = last.read_bytes() if last.is_file() else b""
        step = recipe.steps[-1]
        if step.end in text and not any(mark in text for mark in step.unconverged):
            continue
        for step in recipe.steps:
            (folder / run / step.output).unlink(missing_ok=True)
        (folder / run / RUN_FILE).unlink(missing_ok=True)


def _refuse_results(job: Job, item: Calculation, recipe: Recipe) -> None:
    """Output of other input is never mixed with new one."""
    folder = job.output / item.folder
    there = [path for path in (folder, *sorted(folder.glob("*/"))) if (path / recipe.steps[-1].output).exists()]
    if there and not job.force:
        raise DataError(
            f"{there[0]}: has output of another input than the deck makes now; 'mlraman collect' takes it, and "
            "'mlraman prepare --force' removes it"
        )
    for path in there:
        for step in recipe.steps:
            (path / step.output).unlink(missing_ok=True)
        (path / RUN_FILE).unlink(missing_ok=True)


def write_runs(folder: Path, runs: list[Run]) -> None:
    """Files that are the same already stay as they are."""
    for run in runs:
        for name, text in run.files.items():
            path = folder / run.name / name
            if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
                with atomic_write(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")


def run_folders(job: Job, item: Calculation) -> list[Path]:
    """Folders of a calculation's runs, in order, relative to that of all calculations."""
    folder = job.output / item.folder
    if not CODES[item.code].recipes[item.kind].in_fields:
        return [Path(folder.name)]
    return [Path(folder.name) / path.name for path in sorted(folder.iterdir()) if path.is_dir()]


def write_listing(job: Job, name: str, items: list[Calculation]) -> None:
    """A line for each calculation: the folders of its runs. An empty list removes the file."""
    path = calculations_folder(job) / name
    if not items:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in listed_runs(job, items)), encoding="utf-8")


def listed_runs(job: Job, items: list[Calculation]) -> list[str]:
    """For each calculation the folders of its runs, relative to that of all calculations, as words."""
    return [" ".join(map(str, run_folders(job, item))) for item in items]


def write_array(job: Job, count: int) -> None:
    """array.sh beside the folders."""
    section, folder = section_of(job), calculations_folder(job)
    header = str(section.parameters.get(HEADER, ""))
    with atomic_write(folder / ARRAY) as temporary:
        temporary.write_text(
            array_script(section.scheduler, folder.absolute(), count, header, LISTING), encoding="utf-8"
        )


def submit_hint(job: Job) -> str:
    """'sbatch out/calculations/array.sh'"""
    return SUBMIT[section_of(job).scheduler].format(script=calculations_folder(job) / ARRAY)


def _show(job: Job, item: Calculation, runs: list[Run], count: int) -> None:
    say, folder = job.console.say, calculations_folder(job) / item.name
    say(f"{count} calculations of {len(runs)} run{'s' if len(runs) > 1 else ''} each; the first, not written:")
    run = runs[min(1, len(runs) - 1)]
    for name, text in run.files.items():
        say(f"==> {folder / run.name / name} <==\n{text}")


def show_templates(job: Job) -> None:
    """The templates as they are, to begin one's own from; on root."""
    kind = Kind(section_of(job).kind)
    job.console.say(recipes_of(job, {kind}).templates[kind].text())
