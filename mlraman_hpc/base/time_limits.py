"""A limit of processor time for work whose length a text of the user decides: regular expressions, globs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TookTooLong(Exception):
    """The work was ended; not an OSError, which libraries catch."""


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """TookTooLong is raised in the block when it has used so much time.

    In the main thread; elsewhere there is no limit. Python's regular expressions look for signals while they work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, _end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _end(number: int, frame: object) -> None:
    raise TookTooLong
