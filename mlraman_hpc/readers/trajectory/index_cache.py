"""The index of a long file, written beside the results and used again while the file stays as it is.

One file: the table of frames (rows of FRAME), which is memory-mapped, then a JSON object with everything else, a CRC-32
of the table among it, then the length and the CRC-32 of that object in FOOTER digits. The object names the content of
the trajectory's file, so that a file which is copied anew keeps its index, and an edited one does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlraman_hpc.base.checksums import opened
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.file_content import file_content
from mlraman_hpc.readers.text import Warn
from mlraman_hpc.readers.trajectory.base import FileIndex
from mlraman_hpc.readers.trajectory.frame_table import FRAME, FrameTable, TableNotWritten, mapped_rows

VERSION = 5
LEAST_BYTES = 1 << 22  # a shorter file is scanned in some milliseconds
FOOTER = 26

Scan = Callable[[FrameTable, Warn], FileIndex]


def cached_index(path: str, name: str, settings: list, scratch: Path, warn: Warn, scan: Scan) -> FileIndex:
    """scan(table, warn), or what it returned before with the same settings for the same content.

    Warnings are stored with it. Errors: DataError where the file is not there.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}. Check the path and its permissions.") from None
    if state.st_size < LEAST_BYTES:
        return scan(FrameTable(), warn)
    key = json.dumps([VERSION, file_content(path, scratch).digest, settings])
    origin = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:8]
    cache = Path(scratch) / f"{Path(path).name}.{origin}.index"
    cached = _load(cache, key)
    if cached is None:
        cached = _scan_and_save(cache, key, scan)
    index, warnings = cached
    for text in warnings:
        warn(text)
    return index


def _load(cache: Path, key: str) -> tuple[FileIndex, list[str]] | None:
    """None without a cache, or where it is of another state of the file."""
    with (
        contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError),
        opened(cache) as handle,
        os.fdopen(os.dup(handle), "rb") as file,
    ):
        file.seek(-FOOTER, os.SEEK_END)
        length, checksum = (int(word) for word in file.read(FOOTER).split())
        file.seek(-FOOTER - length, os.SEEK_END)
        text = file.read(length)
        contents = json.loads(text)
        if (
            zlib.crc32(text) != checksum
            or contents["key"] != key
            or file.tell() != contents["frames"] * FRAME.itemsize + length
            or _checksum(file, contents["frames"] * FRAME.itemsize) != contents["checksum"]
        ):
            return None
        masses = contents["masses"]
        return (
            FileIndex(
                mapped_rows(cache, contents["frames"]),
                np.array(contents["numbers"]),
                None if masses is None else np.array(masses),
                contents["has_steps"],
                contents["has_times"],
                tuple(contents["restarts"]),
            ),
            contents["warnings"],
        )
    return None


def _scan_and_save(cache: Path, key: str, scan: Scan) -> tuple[FileIndex, list[str]]:
    """Where nothing can be written, the table stays in memory and the file is scanned again the next time."""
    partial = cache.with_name(f"{cache.name}.part{os.getpid()}")
    try:
        warnings: list[str] = []
        index = _scan_into(partial, scan, warnings)
        with contextlib.suppress(OSError):
            _save(partial, key, index, warnings)
            os.replace(partial, cache)
    except TableNotWritten:
        warnings = []
        index = scan(FrameTable(), warnings.append)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return index, warnings


def _scan_into(path: Path, scan: Scan, warnings: list[str]) -> FileIndex:
    with contextlib.closing(FrameTable(path)) as table:
        return scan(table, warnings.append)


def _save(path: Path, key: str, index: FileIndex, warnings: list[str]) -> None:
    contents = {
        "key": key,
        "frames": len(index),
        "numbers": index.numbers.tolist(),
        "masses": None if index.masses is None else index.masses.tolist(),
        "has_steps": index.has_steps,
        "has_times": index.has_times,
        "restarts": list(index.restarts),
        "warnings": warnings,
    }
    with open(path, "rb") as file:
        contents["checksum"] = _checksum(file, len(index) * FRAME.itemsize)
    text = json.dumps(contents).encode()
    with open(path, "ab") as file:
        file.write(text + f"{len(text):015d} {zlib.crc32(text):010d}".encode())
        file.flush()
        os.fsync(file.fileno())


def _checksum(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first `size` bytes."""
    file.seek(0)
    checksum = 0
    while size > 0 and (data := file.read(min(size, 1 << 14))):
        checksum, size = zlib.crc32(data, checksum), size - len(data)
    return checksum
