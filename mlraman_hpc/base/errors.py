"""What a user can cause. Each carries one message that names the place, what was found and what to do."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the program tells the shell; job scripts are written against these numbers."""

    DONE = 0
    BUG = 1  # of ours
    DECK = 2  # deck, command line, launcher or lock
    DATA = 3  # data, disk or memory
    STOPPED = 75  # early, on request or before the time limit; start again to go on (EX_TEMPFAIL)
    INTERRUPTED = 130  # by SIGINT, as shells report it


class UserError(Exception):
    """Ends the program with one message and `exit_code`, never with a traceback."""

    exit_code = ExitCode.DECK
    shared = False  # raised on every rank alike (set by runtime.session)


class DeckError(UserError):
    """The deck, the command line or the launcher is wrong."""

    exit_code = ExitCode.DECK


class DataError(UserError):
    """A file that the deck names is missing, damaged or does not fit."""

    exit_code = ExitCode.DATA


class StoppedEarly(UserError):
    """The run was asked to stop; starting it again continues."""

    exit_code = ExitCode.STOPPED
