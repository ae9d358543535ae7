"""Who computes what: groups of ranks take items from a common list, each item once.

A claim is a file that only one can create. That needs no rank that waits for questions, and holds on shared file
systems.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mlraman_hpc.base.errors import DataError

_STOP = "stop"


class Claims:
    """Items 0 to count - 1, in this order; made by one process, used by many."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count, self._next = folder, count, 0

    @classmethod
    def begin(cls, output: Path, count: int) -> Claims:
        """A new list of `count` items, kept in the folder `output` while it lasts."""
        try:
            return cls(Path(tempfile.mkdtemp(prefix=".claims.", dir=output)), count)
        except OSError as error:
            raise DataError(f"{output}: cannot be written: {error.strerror}; check free space and quota") from None

    def take(self) -> int | None:
        """The next item that nobody has; None at the end, or where somebody has stopped."""
        while self._next < self.count and not (self.folder / _STOP).exists():
            number, self._next = self._next, self._next + 1
            if self._create(str(number)):
                return number
        return None

    def stop(self) -> None:
        """Nobody takes anything from now on."""
        self._create(_STOP)

    def end(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def sweep(output: Path) -> None:
        """Lists of dead jobs; only for who has the folder alone."""
        for debris in output.glob(".claims.*"):
            shutil.rmtree(debris, ignore_errors=True)

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
