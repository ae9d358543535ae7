"""Content of files that may be .gz: in memory, or as an unpacked copy that is verified before it is used again.

An archive that grows beyond all proportion is none of a calculation's output: it would fill the memory or the disk.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlraman_hpc.base.checksums import opened
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.file_content import FileContent, file_content
from mlraman_hpc.readers.text import Warn

MOST_RATIO, SMALL = 200, 1 << 28  # bytes that one byte of an archive may become, if they are more than SMALL
MOST_IN_MEMORY = 1 << 31  # bytes of a file that is read as a whole


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where it is .gz. Errors: DataError for damaged archives and unreadable files."""
    try:
        if path.suffix == ".gz":
            return b"".join(_pieces(path, MOST_IN_MEMORY))
        with opened(path) as handle, os.fdopen(os.dup(handle), "rb") as file:
            if os.fstat(handle).st_size > MOST_IN_MEMORY:
                raise _too_large(path, MOST_IN_MEMORY)
            return file.read()
    except EOFError as error:
        raise DataError(f"{path}: damaged archive ({error}). Copy the file again.") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}. Check the path and its permissions.") from None


def _too_large(path: Path, limit: int) -> DataError:
    return DataError(f"{path}: more than {limit / 2**30:g} GiB, which is no output of one calculation.")


def _pieces(path: Path, limit: int | None = None) -> Iterator[bytes]:
    """What an archive holds; EOFError where it ends early, DataError where it is damaged or grows out of proportion."""
    size, total = path.stat().st_size, 0
    try:
        with gzip.open(path, "rb") as source:
            while piece := source.read1(1 << 20):  # read() would lose what precedes a cut
                total += len(piece)
                if limit is not None and total > limit:
                    raise _too_large(path, limit)
                if total > max(SMALL, MOST_RATIO * size):
                    raise DataError(
                        f"{path}: {size} bytes unpack to more than {total // 2**20} MiB: no archive of numbers does. "
                        "Unpack it yourself if it is meant."
                    )
                yield piece
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}). Copy the file again.") from None


def unpacked_copy(path: Path, scratch: Path, warn: Warn) -> Path:
    """The file itself, or for .gz an unpacked copy in `scratch`.

    The copy of an archive of the same content is used again where its bytes are those that were unpacked.
    """
    if path.suffix != ".gz":
        return path
    try:
        origin = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        copy = scratch / f"{path.stem}.{origin}.{file_content(path, scratch).digest[:16]}"
        return copy if _is_whole(copy) else _unpack(path, copy, warn)
    except OSError as error:
        raise DataError(f"{path}: cannot be unpacked into {scratch} ({error.strerror or error}).") from None


def _note(copy: Path) -> Path:
    """The file that says what the copy must be."""
    return copy.with_name(f"{copy.name}.sum")


def _described(content: FileContent) -> dict[str, object]:
    return {"size": content.size, "digest": content.digest}


def _is_whole(copy: Path) -> bool:
    with suppress(OSError, ValueError, RecursionError):
        with opened(_note(copy)) as handle:
            note = json.loads(os.read(handle, 1 << 12))
        return copy.stat().st_size == note["size"] and note == _described(file_content(copy))
    return False


def _unpack(path: Path, copy: Path, warn: Warn) -> Path:
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f"{copy.name}.part{os.getpid()}")
    try:
        if not _inflate(path, partial):
            warn(f"{path}: the archive ends early; what could be unpacked is used.")
            copy = copy.with_name(copy.name + ".cut")
        note = json.dumps(_described(file_content(partial)))
        os.replace(partial, copy)
        partial.write_text(note)
        os.replace(partial, _note(copy))
    finally:
        partial.unlink(missing_ok=True)
    return copy


def _inflate(path: Path, target: Path) -> bool:
    """Whether the archive was read to its end; what is there is on the disk then."""
    whole = True
    with open(target, "wb") as file:
        try:
            for piece in _pieces(path):
                file.write(piece)
        except EOFError:
            whole = False
        file.flush()
        os.fsync(file.fileno())
    return whole
