"""Work that several groups of ranks take from one list, each item once.

An item is taken by creating a file of its number, which only one process can. That needs no rank that answers requests,
and holds on shared file systems.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mlraman_hpc.base.errors import DataError

_STOP = "stop"


class WorkQueue:
    """Items 0 to count - 1, in this order; made by one process, used by many."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count, self._next = folder, count, 0

    @classmethod
    def create(cls, output: Path, count: int) -> WorkQueue:
        """A new queue of `count` items, in a folder of its own in `output` while it lasts."""
        try:
            return cls(Path(tempfile.mkdtemp(prefix=".claims.", dir=output)), count)
        except OSError as error:
            raise DataError(f"{output}: cannot be written: {error.strerror}; check free space and quota") from None

    def take(self) -> int | None:
        """The next item that no process has taken; None at the end, or after a stop."""
        while self._next < self.count and not (self.folder / _STOP).exists():
            number, self._next = self._next, self._next + 1
            if self._create(str(number)):
                return number
        return None

    def stop(self) -> None:
        """No item is taken from now on."""
        self._create(_STOP)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def remove_stale(output: Path) -> None:
        """Queues of dead jobs; only for a job that has locked the folder."""
        for folder in output.glob(".claims.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _create(self, name: str) -> bool:
        try:
            os.close(os.open(self.folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        except OSError as error:
            with suppress(OSError):
                if (self.folder / name).exists():
                    return False
            raise DataError(f"{self.folder}: cannot be written: {error.strerror}; check free space and quota") from None
        return True
