"""status.json in the folder of results: what a job does and how far it is, for `mlraman status` and for dashboards."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from mlraman_hpc.base.checksums import opened
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.fences import check_fences

FILE_NAME = "status.json"
LONGEST = 1 << 20  # bytes of the file
INTERVAL = 2.0  # s between two versions of the file


class State(str, Enum):
    """Of a job, as in the file."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # early, on request; the same command goes on
    FAILED = "failed"

    def __str__(self) -> str:
        return str(self.value)


class StatusFile:
    """The file of one job, on root. A disk that is full ends the reports, not the run.

    command, title, started, updated, host, pid, ranks
    state     running, done, stopped, failed
    stage     what is computed now; stages: seconds of what is finished
    progress  what, done, total, unit, seconds_left of the stage's loop, or null
    warnings  number so far; message: why a run has failed
    """

    def __init__(self, folder: Path, command: str, title: str, ranks: int) -> None:
        self._path = Path(folder) / FILE_NAME
        self._written = -INTERVAL
        self._content: dict[str, Any] = {
            "command": command,
            "title": title,
            "state": State.RUNNING.value,
            "stage": None,
            "progress": None,
            "stages": {},
            "warnings": 0,
            "message": None,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "ranks": ranks,
            "started": _now(),
        }
        self._write()

    def stage(self, name: str) -> None:
        """`name` begins."""
        self._content.update(stage=name, progress=None)
        self._write()

    def finished(self, name: str, seconds: float) -> None:
        """`name` has ended after so many seconds."""
        self._content["stages"][name] = round(seconds, 3)

    def progress(self, what: str, done: int, total: int, unit: str, seconds_left: float | None) -> None:
        """How far a loop is; written now and then."""
        left = None if seconds_left is None else round(seconds_left, 1)
        self._content["progress"] = {"what": what, "done": done, "total": total, "unit": unit, "seconds_left": left}
        if time.monotonic() - self._written >= INTERVAL:
            self._write()

    def warned(self, count: int) -> None:
        self._content["warnings"] = count

    def end(self, state: State, message: str | None = None) -> None:
        """The last version."""
        self._content.update(state=state.value, message=message, progress=None)
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        temporary = self._path.with_name(f".{FILE_NAME}.{os.getpid()}")
        with suppress(OSError, DataError):
            check_fences(self._path)
            temporary.write_text(json.dumps(self._content | {"updated": _now()}, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, self._path)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_status(folder: Path) -> dict[str, Any] | None:
    """The content of the folder's file, or None where there is none."""
    try:
        with opened(Path(folder) / FILE_NAME) as handle:
            content = json.loads(os.read(handle, LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "state" in content else None
