"""A task in pieces: what is finished is kept in NAME.partial.h5, and a stop is heeded between two pieces.

Whatever ends the run, the next one goes on with the pieces that are there, on any number of ranks.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from pathlib import Path

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.fault_injection import slow_down
from mlraman_hpc.storage import checkpoint as partial
from mlraman_hpc.storage.provenance import Origin

SECONDS = 5.0  # between two writes, or
COST = 50.0  # times what the last one took, if that is longer


class Kept:
    """The finished pieces; root has them, all ranks call `pause` and `going`."""

    def __init__(self, job: Job, path: Path, origin: Origin, sections: tuple[str, ...], what: str):
        self._job, self._wait = job, 0.0
        self.pieces = job.session.only_on_root(self._open, path, origin, sections, what)
        self._written = time.monotonic()

    def _open(self, path: Path, origin: Origin, sections: tuple[str, ...], what: str) -> partial.Pieces:
        place = place_of(path)
        if self._job.force:
            place.unlink(missing_ok=True)
        found = partial.Pieces.resume(place, origin, sections, what)
        if len(found):
            self._job.console.say(f"going on with what an interrupted run left in {place}")
        return found

    @contextmanager
    def going(self):
        """Inside, pieces are finished before a stop is heeded; those that are finished are kept whatever happens."""
        with self._job.session.stop.deferred():
            try:
                yield
                self._job.session.only_on_root(self._write)
            except UserError:
                with suppress(UserError):  # the first problem is the one to report
                    self._write()
                raise

    def pause(self, more: bool = True) -> None:
        """Between two pieces, on all ranks: to the disk now and then. Raises StoppedEarly where that is asked."""
        slow_down()
        self._job.session.only_on_root(self._write_if_due)
        stop = self._job.session.stop_requested()
        if stop and more:
            raise stop

    def _write_if_due(self) -> None:
        if time.monotonic() - self._written >= max(SECONDS, self._wait):
            self._write()

    def _write(self) -> None:
        if self.pieces is None:
            return
        began = time.monotonic()
        self.pieces.commit()
        self._written = time.monotonic()
        self._wait = COST * (self._written - began)

    def end(self) -> None:
        """The result is complete; on root."""
        self.pieces.drop()


def place_of(path: Path) -> Path:
    """Where the pieces of the result `path` are kept."""
    return path.with_name(f"{path.stem}.partial.h5")


def drop(path: Path, origin: Origin) -> None:
    """Pieces of a result that is there already; on root."""
    partial.drop(place_of(path), origin.key)
