"""Before a file of a folder is replaced, whoever holds the folder is asked whether it is still his.

A job that was suspended, or could not reach the file system, may wake up when another has taken the folder over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 2.0
_checks: dict[Path, Callable[[], None]] = {}
_looked = [0.0]


@contextmanager
def fenced(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """In the block `check` is called before a file of the folder is replaced; it raises where the folder is lost."""
    folder = Path(folder).absolute()
    _checks[folder] = check
    try:
        yield
    finally:
        _checks.pop(folder, None)


def check_fences(path: Path | str) -> None:
    """Raises what the checks of the folders above `path` raise."""
    above = Path(path).absolute().parents
    for folder, check in list(_checks.items()):
        if folder in above:
            check()


def look() -> None:
    """All checks, now and then: for loops that compute for a long time before they write."""
    if _checks and time.monotonic() - _looked[0] >= LOOK_SECONDS:
        _looked[0] = time.monotonic()
        for check in list(_checks.values()):
            check()
