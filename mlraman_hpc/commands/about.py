"""`mlraman info`, `schema`, `init` and `docs`: what the program says of itself."""

from __future__ import annotations

import platform
from importlib import resources

from mlraman_hpc import __version__
from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.config import describe
from mlraman_hpc.runtime.session import Session
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


def schema(session: Session, options) -> None:
    if session.is_root:
        print(describe.json_schema() if options.json else describe.key_table())


def init(session: Session, options) -> None:
    if session.is_root:
        print(describe.starter_deck(), end="")


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
