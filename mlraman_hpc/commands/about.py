"""`mlraman info`, `schema`, `init` and `docs`: what the program says of itself."""

from __future__ import annotations

import os
import platform
from importlib import resources

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.config import describe, starter
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
    if session.is_root:
        print(starter.starter_deck(options.kind), end="")


def docs(session: Session, options) -> None:
    """The list of topics, or the text of one."""
    folder = resources.files("mlraman_hpc") / "docs"
    topics = {entry.name.removesuffix(".md"): entry for entry in folder.iterdir() if entry.name.endswith(".md")}
    if options.topic is not None and options.topic not in topics:
        error = DeckError(f"no topic '{options.topic}'; there are: {', '.join(sorted(topics))}")
        error.shared = True
        raise error
    if session.is_root:
        print(topics[options.topic].read_text(encoding="utf-8") if options.topic else _topic_list(topics))


def _topic_list(topics: dict) -> str:
    lines = []
    for name, entry in sorted(topics.items()):
        title = entry.read_text(encoding="utf-8").lstrip("# ").splitlines()[0]
        lines.append(f"{name:<12} {title}")
    return "\n".join(lines)
