"""Checkpoints of a step: finished records go to NAME.partial.h5, and a stop is heeded between two of them.

Whatever ends the run, the next one continues with the records that are there, on any number of ranks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.fault_injection import slow_down
from mlraman_hpc.storage.checkpoint import CheckpointFile, partial_path
from mlraman_hpc.storage.provenance import Origin

SECONDS = 5.0  # between two writes, or
COST = 50.0  # times what the last one took, if that is longer


class Checkpoint:
    """`file` holds the finished records, on root; all ranks call the methods."""

    def __init__(self, job: Job, path: Path, origin: Origin, sections: tuple[str, ...], what: str) -> None:
        """Of the result `path`; `sections` of the deck are named where they differ, `what` is being computed."""
        self._job, self._wait = job, 0.0
        self.file = job.session.only_on_root(self._open, partial_path(path), origin, sections, what)
        self._written = time.monotonic()

    def _open(self, path: Path, origin: Origin, sections: tuple[str, ...], what: str) -> CheckpointFile:
        if self._job.force:
            path.unlink(missing_ok=True)
        file = CheckpointFile.resume(path, origin, sections, what)
        if len(file):
            self._job.console.say(f"continuing with what an interrupted run left in {path}")
        return file

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Inside, a stop waits for `commit_if_due`; records that are finished are written however the block ends."""
        with self._job.session.stop.deferred():
            try:
                yield
                self._job.session.only_on_root(self._commit)
            except UserError:
                with suppress(UserError):  # the first problem is the one to report
                    self._commit()
                raise

    def commit_if_due(self, more: bool = True) -> None:
        """Between two records: to the disk now and then. Raises StoppedEarly where that is asked and there is more."""
        slow_down()
        self._job.session.only_on_root(self._commit_if_due)
        stop = self._job.session.stop_requested()
        if stop and more:
            raise stop

    def _commit_if_due(self) -> None:
        self._job.look()
        if time.monotonic() - self._written >= max(SECONDS, self._wait):
            self._commit()

    def _commit(self) -> None:
        if self.file is None:
            return
        began = time.monotonic()
        self.file.commit()
        self._written = time.monotonic()
        self._wait = COST * (self._written - began)

    def finish(self) -> None:
        """The result is complete."""
        self._job.session.only_on_root(lambda: self.file.remove())
