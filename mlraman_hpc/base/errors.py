"""What a user can cause. Each carries one message that names the place, what was found and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Ends the program with one message and `exit_code`, never with a traceback."""

    exit_code = 2
    shared = False  # raised on every rank alike (set by parallel.Session)


class DeckError(UserError):
    """The deck, the command line or the launcher is wrong."""

    exit_code = 2


class DataError(UserError):
    """A file that the deck names is missing, damaged or does not fit."""

    exit_code = 3


class StoppedEarly(UserError):
    """The run was asked to stop; starting it again continues (EX_TEMPFAIL)."""

    exit_code = 75
