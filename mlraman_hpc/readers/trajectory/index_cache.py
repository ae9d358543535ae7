"""Places of the frames of a long file, kept beside the results and used again while the file stays as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import FileIndex, Warn
from mlraman_hpc.readers.trajectory.column import Column

VERSION = 2
LEAST_BYTES = 1 << 22  # a shorter file is looked through faster than anyone can notice
_FIELDS = [field.name for field in dataclasses.fields(FileIndex)]
_PARTS = [field.name for field in dataclasses.fields(Column)]


def piece(
    path: str, name: str, settings: list, scratch: Path, warn: Warn, scan: Callable[[Warn], FileIndex]
) -> FileIndex:
    """scan(warn), or what it gave before with the same settings for the same size and time stamp of the file.

    Warnings are kept with it. Errors: DataError where the file is not there.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}. Check the path and its permissions.") from None
    if state.st_size < LEAST_BYTES:
        return scan(warn)
    key = json.dumps([VERSION, os.path.realpath(path), state.st_size, state.st_mtime_ns, settings])
    origin = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:8]
    kept = Path(scratch) / f"{Path(path).name}.{origin}.index.npz"
    found = _load(kept, key)
    if found is None:
        said: list[str] = []
        found = scan(said.append), said
        _save(kept, key, *found)
    for text in found[1]:
        warn(text)
    return found[0]


def _load(kept: Path, key: str) -> tuple[FileIndex, list[str]] | None:
    """None where there is none, or one of another state of the file."""
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(kept) as file:
        if str(file["key"]) != key:
            return None
        found = {name: _unpacked(file, name) for name in _FIELDS}
        found["joints"] = tuple(found["joints"].tolist())
        return FileIndex(**found), file["warnings"].tolist()
    return None


def _unpacked(file, name: str) -> Column | np.ndarray | None:
    if f"{name}.start" not in file:
        return file.get(name)
    parts = {part: file[f"{name}.{part}"] for part in _PARTS}
    return Column(**{**parts, "real": bool(parts["real"])})


def _packed(found: FileIndex) -> dict[str, np.ndarray]:
    arrays = {}
    for name in _FIELDS:
        value = getattr(found, name)
        if isinstance(value, Column):
            arrays |= {f"{name}.{part}": np.asarray(getattr(value, part)) for part in _PARTS}
        elif value is not None:
            arrays[name] = np.asarray(value)
    return arrays


def _save(kept: Path, key: str, found: FileIndex, warnings: list[str]) -> None:
    """Where nothing can be written the file is looked through again the next time."""
    part = kept.with_name(f"{kept.name}.part{os.getpid()}.npz")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(part, key=np.array(key), warnings=np.array(warnings, dtype=str), **_packed(found))
            os.replace(part, kept)
        finally:
            part.unlink(missing_ok=True)
