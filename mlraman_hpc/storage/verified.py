"""HDF5 files of ours are verified before HDF5 interprets a byte of them: damaged ones can make it loop or crash.

Files have checksums of every byte at their end (base.checksums). Those of 0.5.0 and before have only the hash of their
content; it is computed again in a process of its own, with limits of time and memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlraman_hpc.base import checksums
from mlraman_hpc.base.checksums import Damaged
from mlraman_hpc.base.errors import DataError, first_line
from mlraman_hpc.base.lazy_module import LazyModule

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")

START_SECONDS, BYTES_PER_SECOND = 60.0, 20e6  # for the process that reads an older file
REMEDY = "Restore it from a copy, or remove it and make it again"
_Identity = tuple[int, ...]
_verified: dict[_Identity, None] = {}  # files that were found whole, while nothing about them changes


def identity(status: os.stat_result) -> _Identity:
    """Changes with whatever is done to a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def open_verified(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file, whose every byte is what was written. DataError where it is missing, damaged or not ours."""
    state = verify(path)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable HDF5 file ({first_line(error)})") from None
    with file:
        if state != identity(os.stat(path)):
            raise DataError(f"{path}: was replaced while it was opened; start the same command again")
        yield file


def verify(path: Path) -> _Identity:
    """Its identity, once its bytes are known to be those that were written. DataError where they are not."""
    try:
        with checksums.opened(path) as handle:
            state = identity(os.fstat(handle))
            if state not in _verified:
                if checksums.check(handle) is None:
                    _check_content(path)
                _verified[state] = None
            return state
    except Damaged as error:
        raise DataError(f"{path}: damaged: {error}. {REMEDY}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def damage(path: Path) -> str | None:
    """What is wrong with a file of ours; None where it is whole."""
    try:
        verify(path)
    except DataError as error:
        return str(error)
    return None


def _check_content(path: Path) -> None:
    """Of a file without checksums; Damaged, DataError."""
    limit = START_SECONDS + os.path.getsize(path) / BYTES_PER_SECOND
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    command = [
        sys.executable,
        "-m",
        "mlraman_hpc.storage.content_check",
        str(Path(path).absolute()),
        f"{limit + 1:.0f}",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env=environment, stdin=subprocess.DEVNULL
        )
        answer = json.loads(done.stdout or "{}")
    except subprocess.TimeoutExpired:
        raise Damaged(f"HDF5 cannot read it within {limit:.0f} s") from None
    except ValueError:
        answer = {}
    if "problem" in answer:
        raise DataError(f"{path}: not a readable HDF5 file ({answer['problem']})")
    if done.returncode or "content" not in answer:
        raise Damaged("HDF5 cannot read it")
    if answer["marked"]:
        raise Damaged("its checksums are missing: it was changed or cut short since it was written")
    if not answer["sealed"]:
        raise DataError(f"{path}: not a finished file of mlraman_hpc")
    if answer["content"] != answer["sealed"]:
        raise Damaged("its content is not what was written")
