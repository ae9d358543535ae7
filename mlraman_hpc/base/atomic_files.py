"""Files appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from mlraman_hpc.base.errors import DataError


@contextmanager
def atomic_write(path: Path):
    """A temporary name in the same folder, moved to `path` if the block succeeds, removed if not."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix + ".tmp", dir=path.parent)
        os.close(handle)
        os.chmod(name, 0o666 & ~_umask())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}; check the deck's 'output', free space and quota"
        ) from None
    try:
        yield Path(name)
        _to_disk(name)
        os.replace(name, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}; check free space and quota") from None
    finally:
        with suppress(OSError):
            os.unlink(name)


def _to_disk(name: str) -> None:
    """A crash of the machine must not leave an empty file under the final name."""
    handle = os.open(name, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
