"""What every command gets: the deck, the ranks, the console and the output folder, which no other job uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlraman_hpc import __version__
from mlraman_hpc.base import fences
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, DeckError, DeckKeyError, StoppedEarly
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.deck_reader import input_files, resolved_yaml
from mlraman_hpc.pipeline.file_watch import FileWatch
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.launcher import idle_tasks
from mlraman_hpc.runtime.resources import seconds_left
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.runtime.status_file import State, StatusFile
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.folder_lock import lock_folder
from mlraman_hpc.storage.provenance import Origin
from mlraman_hpc.storage.verified import REMEDY, damage

HEADER_PACKAGES = ("numpy", "h5py", "featomic", "numba", "mpi4py")  # the rest is in `mlraman info`


@dataclass(frozen=True)
class Job:
    """One run of one deck.

    session  the ranks; console: the log; force: compute what is up to date again
    watched  input files that must not change while they are read, on root
    """

    deck: Deck
    session: Session
    console: Console
    force: bool = False
    watched: FileWatch = field(default_factory=FileWatch)

    @property
    def output(self) -> Path:
        return Path(self.deck.output)

    @property
    def scratch(self) -> Path:
        return self.output / "cache"

    def files(self, dotted: str) -> list[Path]:
        """Input files named by a deck key such as 'trajectory.files'; none where it is null."""
        value = self.deck
        for part in dotted.split("."):
            value = getattr(value, part)
        return input_files(self.deck, dotted, [value] if isinstance(value, str) else value or [])

    @contextmanager
    def located(self) -> Iterator[None]:
        """A DeckKeyError of the block gets the deck's file and line."""
        try:
            yield
        except DeckKeyError as error:
            located = self.deck.error(error.key, error.text)
            located.shared = error.shared
            raise located from None

    def section(self, name: str) -> Any:
        """A deck section that this command needs."""
        section = getattr(self.deck, name)
        if section is None:
            raise DeckError(f"{self.deck.source}: this command needs the section '{name}'")
        return section

    def origin(self, task: str, parents: dict[str, str], *settings, history: tuple[dict, ...] = ()) -> Origin:
        """Where a result of `task` comes from; its key covers the parents' content and the deck's `settings`."""
        key = provenance.hash_of(task, list(parents.values()), *settings)
        warnings = self.console.warnings
        return Origin(task, resolved_yaml(self.deck), key, parents, history, warnings, frozenset(warnings))

    def up_to_date(self, path: Path, origin: Origin) -> bool:
        """True where `path` was made by the same task from the same parents and settings."""
        if self.force or not path.exists():
            return False
        if (problem := damage(path)) is not None:
            self.console.warn(f"{problem.removesuffix(REMEDY)}It is made anew")
            return False
        before = hdf5.read_origin(path)
        return before is not None and before.key == origin.key

    def look(self) -> None:
        """On root, between pieces of work: the folder is still this job's, and input files are what they were."""
        fences.look()
        self.watched.look()

    def draw(self, name: str, figure: Callable, *arguments) -> None:
        """A figure of the output folder; where the deck wants none, an older one is removed."""
        path = self.output / name
        if self.deck.figures:
            figure(path, *arguments)
        else:
            for suffix in (".png", ".pdf"):
                path.with_suffix(suffix).unlink(missing_ok=True)

    @contextmanager
    def stage(self, name: str):
        """A step of the run, for the summary's times."""
        self.session.enter_stage(name)
        with self.console.stage(name):
            yield

    @contextmanager
    def folder(self):
        """The output folder exists, is locked for this job, and gets the resolved deck. For all ranks; root works."""
        with ExitStack() as stack:
            self.session.enter_stage("folder")
            self.session.only_on_root(self._enter, stack)
            yield

    def _enter(self, stack: ExitStack) -> None:
        with self.session.stop.deferred():  # half a lock would be left behind
            stack.enter_context(self._locked_folder())

    @contextmanager
    def _locked_folder(self):
        """The resolved deck is never written beside results of another deck."""
        from mlraman_hpc.pipeline.freshness import of_other_decks  # which imports this module

        try:
            created = not self.output.exists()
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.deck.location('output')}: {self.output}: cannot be made: {error.strerror}"
            ) from None
        with lock_folder(self.output, self.console.say):
            older = of_other_decks(self)
            if not older:
                self._write_deck()
            yield
            if older and not of_other_decks(self):
                self._write_deck()
            elif older:
                self.console.warn(
                    f"{self.output}/resolved_deck.yaml stays as it is: {older[0].text} ({older[0].key}); "
                    "'mlraman run' makes all results those of one deck"
                )
        if created:
            with suppress(OSError):  # nothing was written into it
                os.rmdir(self.output)

    @contextmanager
    def status(self, command: str) -> Iterator[None]:
        """status.json in the output folder tells what the block does, and how it ended."""
        if not self.session.is_root:
            yield
            return
        status = self.console.status = StatusFile(self.output, command, self.deck.title, self.session.size)
        try:
            yield
        except BaseException as error:
            status.end(State.STOPPED if isinstance(error, StoppedEarly) else State.FAILED, str(error))
            raise
        status.end(State.DONE)

    def _write_deck(self) -> None:
        with atomic_write(self.output / "resolved_deck.yaml") as temporary:
            temporary.write_text(resolved_yaml(self.deck), encoding="utf-8")

    def header(self, command: str) -> None:
        """What runs, where, on how many cores."""
        session, say = self.session, self.console.say
        if not session.is_root:
            return
        packages = provenance.package_versions()
        say(
            f"mlraman {__version__} ("
            + ", ".join(f"{name} {packages[name]}" for name in HEADER_PACKAGES if name in packages)
            + f"): {command} {self.deck.source}"
        )
        if self.deck.title:
            say(self.deck.title)
        hosts = sorted(session.cores_by_host)
        where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts ({hosts[0]}, ...)"
        ranks = f"{_plural(session.size, 'rank')} of {_plural(session.threads, 'thread')}"
        cores = _plural(sum(session.cores_by_host.values()), "core")
        say(f"{ranks} on {where}, {cores}; MPI: {session.library}")
        if idle := idle_tasks():
            self.console.warn(
                f"Slurm gives this job {idle + 1} tasks, but this is one process: {_plural(idle, 'task')} idle. Put "
                "srun or mpirun in front of mlraman, or ask for one task"
            )
        if session.oversubscribed:
            self.console.warn(f"{ranks} share {cores}; one rank for each core is fastest")

    def limit_time(self) -> None:
        """The run stops by itself before the deck's or Slurm's limit."""
        seconds = seconds_left(self.deck.walltime, self.console.detail)
        if seconds is not None:
            self.session.stop.limit(seconds)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("s" if count != 1 else "")


def hashes(files: list[Path], folder: Path | None = None) -> dict[str, str]:
    """{name: hash} of input files, for the parents of a result; `folder`: see file_content."""
    try:
        return {str(path): provenance.hash_of_file(path, folder) for path in files}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
