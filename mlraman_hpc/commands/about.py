"""`mlraman info`, `schema`, `init`, `docs`, `examples` and `status`: what the program says of itself and of its runs."""

from __future__ import annotations

import difflib
import os
import platform
import shutil
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.config import describe, starter
from mlraman_hpc.reports import result_files, terminal_text
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage.provenance import package_versions


def info(session: Session, options) -> None:
    """Versions, MPI library and launcher, ranks by host, threads."""
    placed = session.allgather((os.uname().nodename, session.threads, len(os.sched_getaffinity(0))))
    if not session.is_root:
        return
    print(f"mlraman_hpc {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("packages: " + ", ".join(f"{name} {version}" for name, version in package_versions().items()))
    print(f"launcher: {session.launcher}; MPI library: {session.library}")
    for host in sorted({name for name, _, _ in placed}):
        ranks = [(threads, cpus) for name, threads, cpus in placed if name == host]
        (threads, cpus), started = ranks[0], session.started[host]
        print(
            f"{host}: {started} rank{'s' if started > 1 else ''} of {threads} "
            f"thread{'s' if threads > 1 else ''}; {cpus} core{'s' if cpus > 1 else ''} can be used"
            + (f"; {len(ranks)} at work, the others wait for a core" if len(ranks) < started else "")
        )


def schema(session: Session, options) -> None:
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
    if session.is_root:
        text = topics[options.topic]() if options.topic else "\n".join(_titles(topics))
        terminal_text.show(text)


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
        print(f"{name:<14} {_first_words(folder)} ({len(files)} files, {megabytes:.1f} MB)")
    print("'mlraman examples NAME' copies one into a folder of that name")


def _first_words(folder: Path) -> str:
    """What the example is: its deck's first comment or title."""
    deck = folder / "deck.yaml"
    if not deck.is_file():
        return ", ".join(sorted(path.name for path in folder.iterdir()))
    return deck.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").split(". ")[0].rstrip(".:")


def _copy_example(folder: Path, target: Path) -> None:
    if target.exists():
        raise DataError(f"{target}: is there already; name another folder with --to")
    try:
        shutil.copytree(folder, target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    deck = target / "deck.yaml"
    print(f"copied to {target}" + (f"; 'mlraman check {deck}' looks at it" if deck.is_file() else ""))


def _check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raises DeckError, the same on every rank, for a name that is not known."""
    if name in known:
        return
    similar = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean '{similar[0]}'? " if similar else ""
    error = DeckError(f"no {what} '{name}'; {hint}there are: {', '.join(known)}")
    error.shared = True
    raise error
