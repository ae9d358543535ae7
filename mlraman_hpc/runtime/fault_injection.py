"""Failures and delays that tests ask for: all environment variables MLRAMAN_TEST_* that the program reads.

MLRAMAN_TEST_FAIL   stage:rank:kind[:collective[:file]]: this rank fails in this stage, see Fault
MLRAMAN_TEST_NO_LOCKS  1: as on a file system without locks of the operating system
MLRAMAN_TEST_SLOW   s; every work unit takes this much longer, so that a test can interrupt the run
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass


@dataclass
class Fault:
    """One rank fails in one stage.

    stage       'predict', or with a step 'predict/batches'
    rank        which rank of the session; -1: none, there is no fault
    kind        'exception', 'memory', 'exit', 'segfault' or 'kill'
    collective  at which collective of that stage, counted from 1; 0: when the stage is entered
    file        created just before; empty: none
    """

    stage: str = ""
    rank: int = -1
    kind: str = ""
    collective: int = 1
    file: str = ""

    @classmethod
    def parse(cls, text: str) -> Fault:
        """From the value of MLRAMAN_TEST_FAIL; empty: no fault."""
        if not text:
            return cls()
        stage, rank, kind, *rest = text.split(":", 4)
        return cls(stage, int(rank), kind, int(rest[0]) if rest else 1, rest[1] if len(rest) > 1 else "")

    @classmethod
    def from_environment(cls) -> Fault:
        return cls.parse(os.environ.get("MLRAMAN_TEST_FAIL", ""))

    def at_entry(self, rank: int, *stages: str) -> None:
        """Fail if this is the entry of the stage; `stages` are the names that it has, without and with the step."""
        if self.collective == 0 and self._concerns(rank, stages):
            self._fail()

    def at_collective(self, rank: int, *stages: str) -> None:
        """Fail if this is the chosen collective of the stage."""
        if self._concerns(rank, stages):
            self.collective -= 1
            if self.collective == 0:
                self._fail()

    def _concerns(self, rank: int, stages: tuple[str, ...]) -> bool:
        return rank == self.rank and self.stage in stages

    def _fail(self) -> None:
        self.rank = -1  # once
        if self.file:
            os.close(os.open(self.file, os.O_CREAT))
        if self.kind == "exception":
            raise RuntimeError("asked for by MLRAMAN_TEST_FAIL")
        if self.kind == "memory":
            raise MemoryError
        if self.kind == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGSEGV if self.kind == "segfault" else signal.SIGKILL)


def file_locks() -> bool:
    """Whether locks of the operating system are used."""
    return not os.environ.get("MLRAMAN_TEST_NO_LOCKS")


def slow_down(units: float = 1.0) -> None:
    """Sleep MLRAMAN_TEST_SLOW seconds for each work unit."""
    time.sleep(units * float(os.environ.get("MLRAMAN_TEST_SLOW", 0)))
