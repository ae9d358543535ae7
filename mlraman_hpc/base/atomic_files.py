"""Files appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.fences import check_fences

MARK = "mlraman-"  # in the names of temporary files: nobody else's are swept


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, which becomes `path` if the block succeeds and is removed if not.

    The folder is made where it is missing. Raises DataError where the file cannot be written, or where its folder
    belongs to another job by now.
    """
    path = Path(path)
    check_fences(path)
    try:
        temporary = _temporary(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}; check the deck's 'output', free space and quota"
        ) from None
    try:
        yield temporary
        _synchronise(temporary)
        check_fences(path)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}; check free space and quota") from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _temporary(path: Path) -> Path:
    """A new file beside `path`, with the permissions that an ordinary new file has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        prefix=f".{path.stem[:100]}.{MARK}", suffix=path.suffix + ".tmp", dir=path.parent
    )
    os.close(descriptor)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _synchronise(path: Path) -> None:
    """A crash of the machine must not leave an empty file under the final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
