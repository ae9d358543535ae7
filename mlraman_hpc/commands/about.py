"""`mlraman info`, `schema`, `init`, `docs`, `examples`, `status`: what the program says of itself and of its runs."""

from __future__ import annotations

import difflib
import itertools
import platform
import re
import shutil
import time
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.config import describe, starter
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.reports import result_files, terminal_text
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.runtime.status_file import FILE_NAME, State, read_status
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.folder_lock import LOCK, PATIENCE
from mlraman_hpc.storage.provenance import package_versions


def info(session: Session, options) -> None:
    """Versions, MPI library and launcher, ranks by host, threads."""
    if not session.is_root:
        return
    print(f"mlraman_hpc {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("packages: " + ", ".join(f"{name} {version}" for name, version in package_versions().items()))
    print(f"launcher: {session.launcher}; MPI library: {session.library}")
    for host, ranks in sorted(session.ranks_by_host.items()):
        cores, threads = session.cores_by_host[host], session.threads
        print(
            f"{host}: {ranks} rank{'s' if ranks > 1 else ''} of {threads} thread{'s' if threads > 1 else ''}; "
            f"{cores} core{'s' if cores > 1 else ''} can be used"
        )


SELFTEST = (  # keys of the shipped example that make it take a second
    "figures=false",
    "reference.train=40",
    "reference.test=20",
    "descriptor={cutoff: 4.5, max_angular: 2, max_radial: 2}",
    "model={committee: 4}",
    "learning_curve=null",
    "convergence=null",
    "trajectory.last=400",
    "dynamics={mobile: [Ag]}",
    "spectrum={blocks: 4, smoothing: 8.0}",
)


def selftest_deck() -> str:
    """The deck that `mlraman info --selftest` runs with the keys SELFTEST."""
    return str(_example_folders()["agi"] / "deck.yaml")


def selftest_result(folder: str, seconds: float) -> None:
    """Whether the run in `folder` gave what it must. Raises RuntimeError where it did not."""
    model, spectrum = (hdf5.load(record, Path(folder) / record.file_name) for record in (Model, RamanSpectrum))
    r2, peak = model.scores["r2"]["diagonal"], spectrum.central_peak
    good = (
        r2 > 0.7 and spectrum.frames == 400 and np.isfinite(spectrum.intensity["total"]).all() and 0 < peak.weight < 1
    )
    result = f"R2 {r2:.3f} on labels not trained on, {peak.weight:.3f} of the intensity below {peak.cutoff:g} cm^-1"
    if not good:
        raise RuntimeError(f"the self-test gave a wrong result: {result}")
    print(f"self-test passed in {seconds:.1f} s: loops compiled or loaded, compared with featomic; {result}")


def schema(session: Session, options) -> None:
    """Every deck key, as a table or as a JSON schema."""
    if session.is_root:
        print(describe.json_schema() if options.json else describe.key_table())


def init(session: Session, options) -> None:
    """A deck to start from, of one kind or with every key."""
    if options.kind is not None:
        _check_name("kind of deck", options.kind, starter.KINDS)
    if session.is_root:
        print(starter.starter_deck(options.kind), end="")


def docs(session: Session, options) -> None:
    """The list of topics, or the text of one."""
    topics = _topics()
    if options.topic is not None:
        _check_name("topic", options.topic, topics)
    if session.is_root and options.topic:
        terminal_text.show(topics[options.topic]())
    elif session.is_root:
        print("\n".join(_titles(topics)))


def _topics() -> dict:
    """{name: function that gives the text}"""
    folder = resources.files("mlraman_hpc") / "docs"
    files = {entry.name.removesuffix(".md"): entry for entry in folder.iterdir() if entry.name.endswith(".md")}
    changes = _checkout() / "CHANGELOG.md"  # an installed package has it among the others
    if "changelog" not in files and changes.is_file():
        files["changelog"] = changes
    texts = {name: lambda entry=entry: entry.read_text(encoding="utf-8") for name, entry in files.items()}
    return dict(sorted((texts | {"outputs": result_files.description}).items()))


def _titles(topics: dict) -> Iterable[str]:
    for name, text in topics.items():
        yield f"{name:<12} {text().lstrip('# ').splitlines()[0]}"


def examples(session: Session, options) -> None:
    """The list of shipped examples, or a copy of one in a new folder."""
    folders = _example_folders()
    if options.name is not None:
        _check_name("example", options.name, folders)
    if options.name is None:
        session.on_root(_list_examples, folders)
    else:
        session.on_root(_copy_example, folders[options.name], Path(options.to or options.name))


def _checkout() -> Path:
    """The folder around the package, which is the repository where the package is not installed."""
    return Path(__file__).resolve().parents[2]


def _example_folders() -> dict[str, Path]:
    installed = Path(str(resources.files("mlraman_hpc"))) / "examples"
    root = _checkout()
    folders = installed.iterdir() if installed.is_dir() else [*(root / "input_examples").iterdir(), root / "jobscripts"]
    return {folder.name: folder for folder in sorted(folders) if folder.is_dir()}


def _list_examples(folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        files = [path for path in folder.rglob("*") if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        size = f"{len(files)} file{'s' if len(files) > 1 else ''}, {megabytes:.1f} MB"
        print(f"{name:<14} {_first_words(folder)} ({size})")
    print("'mlraman examples NAME' copies one into a folder of that name")


def _first_words(folder: Path) -> str:
    """What the example is: the first sentence of its deck, or its files."""
    deck = folder / "deck.yaml"
    if not deck.is_file():
        return ", ".join(sorted(path.name for path in folder.iterdir()))
    lines = itertools.takewhile(lambda line: line.startswith("#"), deck.read_text(encoding="utf-8").splitlines())
    text = re.sub(r"mpirun.*", "", " ".join(line.lstrip("# ") for line in lines))
    return text.split(". ")[0].strip().rstrip(".:")


def _copy_example(folder: Path, target: Path) -> None:
    if target.exists():
        raise DataError(f"{target}: is there already; name another folder with --to")
    try:
        shutil.copytree(folder, target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    deck = target / "deck.yaml"
    print(f"copied to {target}" + (f"; 'mlraman check {deck}' looks at it" if deck.is_file() else ""))


def status(session: Session, options) -> None:
    """A line for each folder of results, and for the folders in it."""
    session.on_root(_print_status, [Path(name) for name in options.folders or ["."]])


def _print_status(folders: list[Path]) -> None:
    below = [path for folder in folders for path in [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]]
    jobs = {folder: content for folder in below if (content := read_status(folder)) is not None}
    if not jobs:
        names = ", ".join(map(str, folders))
        raise DataError(f"{names}: no {FILE_NAME}; name a deck's 'output' folder, or one that holds some")
    for folder, content in jobs.items():
        print(f"{folder}: {_status_line(folder, content)}")


def _status_line(folder: Path, content: dict) -> str:
    parts = [f"{content['command']} {_state(folder, content)}"]
    if content["state"] == State.RUNNING and content["stage"]:
        parts[0] += f", {content['stage']}"
    if progress := content["progress"]:
        done, total, left = (progress[name] for name in ("done", "total", "seconds_left"))
        parts[0] += f": {done} of {total} {progress['unit']} ({100 * done // max(total, 1)} %)"
        parts += [f"{duration(left)} left"] if left is not None else []
    if content["stages"]:
        parts.append("so far " + ", ".join(f"{name} {duration(taken)}" for name, taken in content["stages"].items()))
    if content["warnings"]:
        parts.append(f"{content['warnings']} warning" + ("s" if content["warnings"] > 1 else ""))
    if content["message"]:
        parts.append(content["message"].splitlines()[0])
    return "; ".join([*parts, f"updated {content['updated']}"])


def _state(folder: Path, content: dict) -> str:
    """What the file says, unless the lock of a running job is gone or has not been touched for long."""
    if content["state"] != State.RUNNING:
        return content["state"]
    try:
        silent = time.time() - (folder / LOCK).stat().st_mtime
    except OSError:
        return "ended without a word (killed?); the same command goes on"
    return "running" if silent < PATIENCE else f"silent for {duration(silent)} (killed?)"


def _check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raises DeckError, the same on every rank, for a name that is not known."""
    if name in known:
        return
    similar = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean '{similar[0]}'? " if similar else ""
    error = DeckError(f"no {what} '{name}'; {hint}there are: {', '.join(known)}")
    error.shared = True
    raise error
