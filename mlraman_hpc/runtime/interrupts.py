"""Requests to stop: SIGTERM, SIGUSR1 (which Slurm can send before its limit), Ctrl-C, or the time limit itself.

Inside `deferred()`, where a command finishes its batch first, a request is only noted. Inside `interruptible()`, which
is root's or a rank's own work, it raises StoppedEarly at once. Elsewhere ranks agree at their next collective (see
session.Session).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlraman_hpc.base.errors import StoppedEarly, UserError

# so that ranks combine them by a bitwise or
_BITS = {signal.SIGTERM: 1, signal.SIGUSR1: 2, signal.SIGALRM: 4, signal.SIGINT: 8}
_NAMES = {8: "Ctrl-C", 1: "SIGTERM", 2: "SIGUSR1", 4: "the time limit"}
LONGEST_SECONDS = 1e9  # of the system's timer; decades
REPEAT_SECONDS = 0.5  # launcher and Slurm may both forward one signal; a later one is a second request


class Stop:
    """The requests to stop that this process has received; `requested` has a bit for each kind, 0 for none."""

    def __init__(self) -> None:
        self.requested = 0
        self._first_request = 0.0
        self._deferred = self._interruptible = False

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in _BITS:
            signal.signal(number, self.request)

    def uninstall(self) -> None:
        """Ignore the signals from now on: the run is over, and a late one must not make a failure of it."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _BITS:
            signal.signal(number, signal.SIG_IGN)

    def limit(self, seconds: float) -> None:
        """Request a stop when this much time has passed."""
        signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST_SECONDS))

    @property
    def pending(self) -> int:
        """Requests that hold at once; 0 inside `deferred()`."""
        return 0 if self._deferred else self.requested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, requests are noted and nothing else. All ranks enter and leave it alike."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, a request raises StoppedEarly at once, and so does one that is pending."""
        before, self._interruptible = self._interruptible, True
        try:
            if self.pending and not before:
                raise stopped(self.requested)
            yield
        except UserError:
            raise
        except Exception:
            if self.pending:  # a library's callback was interrupted, and it made an error of its own of that
                raise stopped(self.requested) from None
            raise
        finally:
            self._interruptible = before

    def request(self, number: int, frame: FrameType | None = None) -> None:
        """The signal handler. A second signal that is not a repetition ends the process as if there were no handler."""
        now = time.monotonic()
        if self.requested and number != signal.SIGALRM and now - self._first_request > REPEAT_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        first, self.requested = not self.requested, self.requested | _BITS[signal.Signals(number)]
        self._first_request = self._first_request or now
        if first and self._interruptible and not self._deferred:
            raise stopped(self.requested)


def stopped(requested: int) -> StoppedEarly:
    """The exception for these requests; it names the first kind."""
    name = next(name for bit, name in _NAMES.items() if requested & bit)
    return StoppedEarly(f"stopped by {name}; what was computed is kept, start the same command again to go on")
