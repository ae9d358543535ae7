"""What would wait for ever otherwise: an MPI start that hangs, and a rank that has died unnoticed by the launcher."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlraman_hpc.runtime.console import error_lines, write_stderr
from mlraman_hpc.runtime.resources import Process

START_SECONDS = 600.0  # a large job waits in MPI_Init for the last rank to be loaded from a slow file system
CHECK_SECONDS = 2.0  # between two looks at a rank that is waited for; the launcher has so long to end the job itself


@contextmanager
def watched(rank: str) -> Iterator[None]:
    """The block must end within MLRAMAN_START_PATIENCE seconds, or this process is killed with a message on `rank`.

    A process of its own watches, since MPI_Init lets no thread and no signal handler of Python's run.
    """
    seconds = float(os.environ.get("MLRAMAN_START_PATIENCE") or START_SECONDS)
    reader, writer = os.pipe()
    parent, watcher = os.getpid(), os.fork()
    if watcher == 0:
        os.close(writer)
        _watch(reader, parent, seconds, rank)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        with suppress(ChildProcessError):
            os.waitpid(watcher, 0)


def _watch(reader: int, parent: int, seconds: float, rank: str) -> None:
    """Until the other end of the pipe is closed or the time is over; never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if not select.select([reader], [], [], seconds)[0]:
            text = (
                f"{rank}: MPI did not start within {seconds:g} s, so this process ends: another rank may have died at "
                "its start, or launcher and MPI library do not get on; see 'mlraman docs cluster'"
            )
            write_stderr(error_lines(text))
            os.kill(parent, signal.SIGKILL)
    finally:
        os._exit(0)


class NeighbourWatch:
    """Whether another rank of this host is alive, looked at now and then while this one waits in a collective.

    Not every launcher ends a job when a rank is killed; the others would wait for ever.
    """

    def __init__(self, neighbour: Process):
        self.neighbour = neighbour
        self._missed, self._checked = False, time.monotonic()

    def has_died(self, waited: float) -> bool:
        """True if the neighbour was missing at two looks; `waited`: s that this rank has waited in the collective."""
        now = time.monotonic()
        if min(waited, now - self._checked) < CHECK_SECONDS:
            return False
        self._checked, missed_before = now, self._missed
        self._missed = not self.neighbour.is_alive
        return self._missed and missed_before
