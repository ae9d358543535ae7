"""Where in its work a run is. Messages of failures say so, and tests make a rank fail there."""

from __future__ import annotations

import os
import signal


class FrameLocation:
    """Stage and step of the run.

    `fault`, from MLRAMAN_TEST_FAIL, is stage:rank:kind[:meeting[:file]]: that rank fails in the stage, 'predict' or
    'predict/batches', at the first meeting of the ranks there or at the one of that number; 0: on its way in. `file` is
    touched just before.
    """

    def __init__(self, fault: str = ""):
        self.stage = self.step = ""
        given = fault.split(":", 4)
        self._stage, rank, self._kind, meeting, self._file = (given + ["-1", "", "1", ""][len(given) - 1 :])[:5]
        self._rank, self._left = int(rank), int(meeting)

    def __str__(self) -> str:
        return f"{self.stage}/{self.step}" if self.step else self.stage

    def enter(self, rank: int, stage: str, step: str = "") -> None:
        self.stage, self.step = stage, step
        if self._left == 0 and self._here(rank):
            self._fail()

    def meet(self, rank: int) -> None:
        if self._here(rank):
            self._left -= 1
            if self._left == 0:
                self._fail()

    def _here(self, rank: int) -> bool:
        return rank == self._rank and self._stage in (self.stage, str(self))

    def _fail(self) -> None:
        self._left = -1
        if self._file:
            os.close(os.open(self._file, os.O_CREAT))
        if self._kind == "exception":
            raise RuntimeError("asked for by MLRAMAN_TEST_FAIL")
        if self._kind == "memory":
            raise MemoryError
        if self._kind == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGSEGV if self._kind == "segfault" else signal.SIGKILL)
