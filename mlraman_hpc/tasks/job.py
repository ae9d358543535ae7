"""What every task gets: the deck, the ranks, the console and the output folder."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlraman_hpc.console import Console
from mlraman_hpc.errors import DataError, DeckError
from mlraman_hpc.parallel import Session
from mlraman_hpc.schema import store
from mlraman_hpc.schema.deck import Deck
from mlraman_hpc.schema.deck_reader import input_files, resolved_yaml
from mlraman_hpc.schema.store import Origin


@dataclass(frozen=True)
class Job:
    deck: Deck
    session: Session
    console: Console
    force: bool = False

    @property
    def output(self) -> Path:
        return Path(self.deck.output)

    @property
    def scratch(self) -> Path:
        return self.output / "cache"

    def files(self, dotted: str) -> list[Path]:
        """Input files named by a deck key such as 'trajectory.files'."""
        value = self.deck
        for part in dotted.split("."):
            value = getattr(value, part)
        return input_files(self.deck, dotted, [value] if isinstance(value, str) else value)

    @contextmanager
    def deck_lines(self):
        """A DeckError of another room, 'section.key: text', gets the deck's file and line."""
        try:
            yield
        except DeckError as error:
            found = re.match(r"(\w+\.\w+): ", str(error))
            if found is None:
                raise
            raise DeckError(f"{self.deck.place(found[1])}: {str(error)[found.end():]}") from None

    def section(self, name: str):
        """A deck section that this command needs."""
        section = getattr(self.deck, name)
        if section is None:
            raise DeckError(f"{self.deck._name}: this command needs the section '{name}'")
        return section

    def origin(self, task: str, parents: dict[str, str], *settings, history: tuple[dict, ...] = ()) -> Origin:
        """Where a result of `task` comes from; its key covers the parents and the deck's `settings`."""
        return Origin(task, resolved_yaml(self.deck), store.hash_of(task, parents, *settings), parents, history)

    def up_to_date(self, path: Path, origin: Origin) -> bool:
        """True where `path` was made by the same task from the same parents and settings."""
        found = store.read_origin(path)
        return found is not None and found.key == origin.key and not self.force

    def prepare_output(self) -> None:
        """The output folder exists, can be written to, and holds the resolved deck."""
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.deck.place('output')}: {self.output}: cannot be made: {error.strerror}") from None
        with store.replacing(self.output / "resolved_deck.yaml") as temporary:
            temporary.write_text(resolved_yaml(self.deck), encoding="utf-8")


def hashes(files: list[Path]) -> dict[str, str]:
    """{name: hash} of input files, for the parents of a result."""
    try:
        return {str(path): store.hash_of_file(path) for path in files}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
