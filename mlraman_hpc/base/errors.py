"""What a user can cause, as data: where it is, which key of the deck it concerns, and what to do.

Texts are made at the end, for the terminal; nothing reads them back. Errors travel between MPI ranks, so all of them
survive pickle with their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar


class ExitCode(IntEnum):
    """What the program tells the shell; job scripts are written against these numbers."""

    DONE = 0
    BUG = 1  # of ours
    DECK = 2  # deck, command line, launcher or lock
    DATA = 3  # data, disk or memory
    STOPPED = 75  # early, on request or before the time limit; start again to go on (EX_TEMPFAIL)
    INTERRUPTED = 130  # by SIGINT, as shells report it


@dataclass(frozen=True, slots=True)
class Location:
    """Where a mistake was made.

    source  a file, or an option of the command line such as '--set spectrum.smoothing=8'
    line    number of the line in the file, from 1; None for an option or for all of the file
    label   what the line belongs to, such as "material 'AgI'"; may be empty
    """

    source: str
    line: int | None = None
    label: str = ""

    def __str__(self) -> str:
        text = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{text}: {self.label}" if self.label else text


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a deck; `key` is empty where it is about no key in particular."""

    location: Location
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.location}: '{self.key}': {self.text}" if self.key else f"{self.location}: {self.text}"

    @property
    def order(self) -> tuple[bool, str, int]:
        """Sorts mistakes by file and line; those without a line come last."""
        line = self.location.line
        return (line is None, "" if line is None else self.location.source, line or 0)


class KeyLocations(dict[tuple[str, ...], Location]):
    """Location of every key of a deck, {('reference', 'train'): Location}; that of () is the deck itself."""

    def nearest(self, path: tuple[str, ...]) -> Location:
        """Location of the key or, where it is missing, of the innermost section around it."""
        while path not in self:
            path = path[:-1]
        return self[path]

    def mistake(self, path: tuple[str, ...], text: str) -> Mistake:
        """What is wrong with the key at `path`."""
        return Mistake(self.nearest(path), ".".join(path), text)


class UserError(Exception):
    """Ends the program with one message and `exit_code`, never with a traceback."""

    exit_code = ExitCode.DECK
    shared = False  # raised on every rank alike (set by runtime.session.Session)


Error = TypeVar("Error", bound="DeckError")


class DeckError(UserError):
    """The deck, the command line or the launcher is wrong; `mistakes` are those that were found in a deck."""

    exit_code = ExitCode.DECK
    mistakes: tuple[Mistake, ...] = ()

    @classmethod
    def from_mistakes(cls: type[Error], mistakes: Iterable[Mistake]) -> Error:
        """All mistakes in the order of their lines, each once; the message has a line for each."""
        ordered = tuple(sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.order))
        error = cls("\n".join(map(str, ordered)))
        error.mistakes = ordered
        return error

    @classmethod
    def at(cls: type[Error], location: Location, text: str) -> Error:
        """One mistake that is about no key in particular."""
        return cls.from_mistakes([Mistake(location, "", text)])


class DeckKeyError(DeckError):
    """A key of the deck is wrong, raised where the deck's file and line are not known.

    key   the key, such as 'reference.unit'
    text  what is wrong with it and what to do
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(key, text)  # `args`, from which pickle makes it again
        self.key, self.text = key, text

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


class DataError(UserError):
    """A file that the deck names is missing, damaged or does not fit."""

    exit_code = ExitCode.DATA


class FrameError(DataError):
    """A frame that cannot be used: its number in the trajectory, from 0, and why."""

    def __init__(self, frame: int, reason: str) -> None:
        super().__init__(frame, reason)
        self.frame, self.reason = frame, reason

    def __str__(self) -> str:
        return f"frame {self.frame}: {self.reason}"


class StoppedEarly(UserError):
    """The run was asked to stop; starting it again continues (EX_TEMPFAIL)."""

    exit_code = ExitCode.STOPPED


def first_line(error: BaseException) -> str:
    """What another package's error says, without the lines of advice below; its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
