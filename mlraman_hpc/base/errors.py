"""What a user can cause. Each carries one message that names the place, what was found and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Ends the program with one message and `exit_code`, never with a traceback."""

    exit_code = 2
    shared = False  # raised on every rank alike (set by parallel.Session)


class DeckError(UserError):
    """The deck, the command line or the launcher is wrong."""

    exit_code = 2


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

    exit_code = 3


class StoppedEarly(UserError):
    """The run was asked to stop; starting it again continues (EX_TEMPFAIL)."""

    exit_code = 75
