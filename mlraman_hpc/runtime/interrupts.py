"""Being asked to stop: SIGTERM, SIGUSR1 (which Slurm can send before its limit), or the time limit itself.

Where a task has said that it finishes its batch first, the wish is only noted. Elsewhere root's or a rank's own work is
left at once by an exception, and ranks that wait for one another agree at their next meeting (see parallel.Session).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress

from mlraman_hpc.base.errors import StoppedEarly, UserError

_BITS = {signal.SIGTERM: 1, signal.SIGUSR1: 2, signal.SIGALRM: 4}
_NAMES = {1: "SIGTERM", 2: "SIGUSR1", 4: "the time limit"}
REPEAT = 0.5  # s; a launcher and Slurm may both pass on the same signal


class Stop:
    """The wish to stop, as this rank knows it."""

    def __init__(self):
        self.requested = 0
        self._first = 0.0
        self._deferred = self._leaving = False

    def listen(self) -> None:
        for number in _BITS:
            signal.signal(number, self._note)

    def forward_to(self, process: int) -> None:
        """What asks this process to stop, or has asked it already, asks another one from now on."""

        def tell(number, frame=None):
            with suppress(ProcessLookupError):  # it has ended, and so will this one
                os.kill(process, number)

        for number, bit in _BITS.items():
            signal.signal(number, tell)
            if self.requested & bit:
                tell(number)

    def end(self) -> None:
        """The run is over; a signal that comes late must not make a failure of it."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _BITS:
            signal.signal(number, signal.SIG_IGN)

    def limit(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    @property
    def now(self) -> int:
        """What asks for a stop at once; 0 where nothing does, or where batches are finished first."""
        return 0 if self._deferred else self.requested

    @contextmanager
    def deferred(self):
        """Inside, a wish is noted and nothing else; to be entered and left by all ranks alike."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def interruptible(self):
        """Inside, a wish ends the work by StoppedEarly at once."""
        before, self._leaving = self._leaving, True
        try:
            if self.now and not before:
                raise stopped(self.requested)
            yield
        except UserError:
            raise
        except Exception:
            if self.now:  # a library's callback was interrupted, and it made an error of its own of that
                raise stopped(self.requested) from None
            raise
        finally:
            self._leaving = before

    def _note(self, number, frame):
        now = time.monotonic()
        if self.requested and number != signal.SIGALRM and now - self._first > REPEAT:  # the user means it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        first, self.requested = not self.requested, self.requested | _BITS[number]
        self._first = self._first or now
        if first and self._leaving and not self._deferred:
            raise stopped(self.requested)


def stopped(asked: int) -> StoppedEarly:
    name = next(name for bit, name in _NAMES.items() if asked & bit)
    return StoppedEarly(f"stopped by {name}; what was computed is kept, start the same command again to go on")
