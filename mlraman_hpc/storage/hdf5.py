"""record <-> HDF5. One writer and one reader for every record: its dataclass is the file's schema.

Each file carries `kind` and `format_version`, the resolved deck, its parents by hash, a growing history with package
versions, and the hash of its own content. It is written under a temporary name and moved.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.storage.provenance import Origin

h5py = LazyModule("h5py")
FORMAT_VERSION = 1


def save(path: Path, record, kind: str, origin: Origin) -> str:
    """Write `record` and return the hash of its content.

    The file is built in memory: HDF5 that meets a full disk may end in a segmentation fault.
    """
    with h5py.File(Path(path).name, "w", driver="core", backing_store=False) as file:
        write_fields(file, record)
        content = seal(file, kind, origin)
        file.flush()
        image = file.id.get_file_image()
    with atomic_write(path) as temporary:
        temporary.write_bytes(image)
    return content


def seal(file: h5py.File, kind: str, origin: Origin, content: str | None = None) -> str:
    """Write a finished file's attributes; returns the hash of its content, or what is given for it."""
    content = content or content_hash(file)
    file.attrs.update(
        program="mlraman_hpc",
        kind=kind,
        format_version=FORMAT_VERSION,
        task=origin.task,
        deck=origin.deck,
        key=origin.key,
        content=content,
        parents=json.dumps(origin.parents),
        history=json.dumps([*origin.history, origin.entry()]),
    )
    return content


def content_hash(file: h5py.File) -> str:
    digest = hashlib.sha256()

    def add(name):
        found = h5py.h5o.open(file.id, name.encode())  # h5py's own objects of groups would take longer than the hash
        if isinstance(found, h5py.h5d.DatasetID):
            item = h5py.Dataset(found)
            digest.update(f"{name} {item.dtype} {item.shape}".encode())
            for part in _chunks(item):
                digest.update(part)

    file.visit(add)
    return digest.hexdigest()[:24]


def _chunks(dataset: h5py.Dataset):
    if h5py.check_string_dtype(dataset.dtype):
        yield repr(dataset.asstr()[()] if dataset.shape == () else list(dataset.asstr()[:])).encode()
    elif dataset.shape == ():
        yield np.asarray(dataset[()]).tobytes()
    else:
        rows = max(1, (1 << 20) // max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))))
        for start in range(0, len(dataset), rows):
            yield np.ascontiguousarray(dataset[start : start + rows])


def write_fields(group: h5py.Group, record) -> None:
    """A record's fields into a group, each to its place, with its unit."""
    for field in dataclasses.fields(record):
        _write(
            group, field.metadata.get("path", field.name), getattr(record, field.name), field.metadata.get("unit", "1")
        )


def _write(group: h5py.Group, path: str, value, unit: str) -> None:
    if value is None:
        return
    if dataclasses.is_dataclass(value):
        write_fields(group.require_group(path), value)
    elif isinstance(value, dict):
        inner = group.require_group(path)
        for name, item in value.items():
            _write(inner, name, item, unit)
    else:
        group.create_dataset(path, data=_encoded(value)).attrs["unit"] = unit


def _encoded(value):
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)) and (not value or isinstance(value[0], str)):
        return np.array(value, dtype=h5py.string_dtype())
    return value


def load(path: Path, record_type, kind: str):
    """The record in `path`. Raises DataError for a file that is missing, damaged, of another kind or too new."""
    with opened(path, kind) as file:
        return read_fields(file, record_type, path)


@contextmanager
def opened(path: Path, kind: str):
    """The HDF5 file, checked to be of this kind and of a version that we know."""
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({str(error).splitlines()[0]})") from None
    with file:
        found = file.attrs.get("kind", "unknown")
        if found != kind:
            raise DataError(f"{path}: holds '{found}', but '{kind}' is needed here")
        if file.attrs["format_version"] > FORMAT_VERSION:
            raise DataError(
                f"{path}: written by a newer mlraman_hpc (format {file.attrs['format_version']}, "
                f"this one reads up to {FORMAT_VERSION}); update the program"
            )
        yield file


def read_fields(group: h5py.Group, record_type, path):
    """The record in a group of the file `path`; DataError where a field is missing."""
    hints = _hints(record_type)
    places = {field.name: field.metadata.get("path", field.name) for field in dataclasses.fields(record_type)}
    values = {}
    for field in dataclasses.fields(record_type):
        where = places[field.name]
        if where in group:
            values[field.name] = _read(group[where], hints[field.name], path)
            if isinstance(values[field.name], dict):  # another field may lie in the same group
                for place in places.values():
                    values[field.name].pop(place.removeprefix(f"{where}/"), None)
        elif _optional(hints[field.name]):
            values[field.name] = None
        else:
            raise DataError(f"{path}: '{where}' is missing; the file is damaged or from another program")
    return record_type(**values)


@functools.cache
def _hints(record_type) -> dict:
    return typing.get_type_hints(record_type)


def _optional(hint) -> bool:
    return type(None) in typing.get_args(hint)


def _read(item, hint, path):
    inner = [h for h in typing.get_args(hint) if h is not type(None)] if isinstance(hint, types.UnionType) else [hint]
    hint = inner[0]
    if dataclasses.is_dataclass(hint):
        return read_fields(item, hint, path)
    if isinstance(item, h5py.Group):
        return {name: _read(value, None, path) for name, value in item.items()}
    if h5py.check_string_dtype(item.dtype):
        return str(item.asstr()[()]) if item.shape == () else tuple(item.asstr()[:])
    if hint in (int, float, bool):
        return hint(item[()])
    value = item[()]
    return value.item() if np.ndim(value) == 0 and hint is not np.ndarray else value


def read_origin(path: Path) -> Origin | None:
    """Where the file comes from; None if there is no readable file of ours."""
    try:
        with h5py.File(path, "r") as file:
            at = file.attrs
            history = tuple(json.loads(at["history"]))
            return Origin(at["task"], at["deck"], at["key"], json.loads(at["parents"]), history)
    except (OSError, KeyError):
        return None


def content_of(path: Path) -> str:
    """The hash of the file's content, as sealed in it."""
    with h5py.File(path, "r") as file:
        return str(file.attrs["content"])
