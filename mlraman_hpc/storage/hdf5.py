"""record <-> HDF5. One writer and one reader for every record: its dataclass is the file's schema.

Each file carries `kind` and `format_version`, the resolved deck, its parents by hash, a growing history with package
versions, the hash of its own content, and checksums of every byte, which are verified whenever it is opened. It is
written under a temporary name and moved.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mlraman_hpc import records
from mlraman_hpc.base import checksums
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.records.fields import Record
from mlraman_hpc.storage import upgrades
from mlraman_hpc.storage.provenance import Origin
from mlraman_hpc.storage.verified import open_verified

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")

R = TypeVar("R", bound=Record)


def path_of(record_type: type[Record], where: Path) -> Path:
    """`where` is the file itself or the folder of results that it lies in."""
    where = Path(where)
    return where if where.suffix == ".h5" and not where.is_dir() else where / record_type.file_name


def save(record: Record, where: Path, origin: Origin) -> str:
    """Write `record` to a file or into a folder; the hash of its content.

    The file is built in memory: HDF5 that meets a full disk may end in a segmentation fault.
    """
    path = path_of(type(record), where)
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        write_fields(file, record)
        content = seal(file, type(record), origin)
        file.flush()
        image = file.id.get_file_image()
    with atomic_write(path) as temporary:
        temporary.write_bytes(image)
        checksums.append(temporary)
    return content


def seal(file: h5py.File, record_type: type[Record], origin: Origin, content: str | None = None) -> str:
    """Write a finished file's attributes; the hash of its content, computed unless it is passed.

    The file must get its checksums when it is closed (`base.checksums.append`).
    """
    content = content or content_hash(file)
    file.attrs.update(
        program="mlraman_hpc",
        kind=record_type.kind,
        format_version=record_type.version,
        task=origin.task,
        deck=origin.deck,
        key=origin.key,
        content=content,
        parents=json.dumps(origin.parents),
        history=json.dumps([*origin.history, origin.entry()]),
        **{checksums.MARK: "of every byte, behind the HDF5 data"},
    )
    return content


def content_hash(file: h5py.File) -> str:
    digest = hashlib.sha256()

    def add(name):
        handle = h5py.h5o.open(file.id, name.encode())  # h5py's own objects of groups take longer than the hash
        if isinstance(handle, h5py.h5d.DatasetID):
            item = h5py.Dataset(handle)
            digest.update(f"{name} {item.dtype} {item.shape}".encode())
            for chunk in _chunks(item):
                digest.update(chunk)

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
    """A record's fields into a group, each to its path, with its unit."""
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
        return str.__str__(value)  # of an enumeration, its text
    if isinstance(value, (tuple, list)) and (not value or isinstance(value[0], str)):
        return np.array(value, dtype=h5py.string_dtype())
    return value


def load(record_type: type[R], where: Path) -> R:
    """The record in a file or folder. DataError for a file that is missing, damaged, of another kind or too new."""
    with opened(record_type, where) as file:
        return read_fields(file, record_type, path_of(record_type, where))


def load_any(path: Path) -> Record:
    """The record in a file of any kind that the program writes. Errors: as `load`."""
    for module in pkgutil.iter_modules(records.__path__):
        importlib.import_module(f"{records.__name__}.{module.name}")
    kinds = {record_type.kind: record_type for record_type in Record.__subclasses__()}
    with open_verified(path) as file:
        kind = str(file.attrs.get("kind", "unknown"))
    if kind not in kinds:
        raise DataError(f"{path}: holds '{kind}'; results of this program are {', '.join(sorted(kinds))}")
    return load(kinds[kind], path)


@contextmanager
def opened(record_type: type[Record], where: Path) -> Iterator[h5py.File]:
    """The HDF5 file of a record, checked to be of its kind; an older version is upgraded in memory."""
    path = path_of(record_type, where)
    with open_verified(path) as file:
        kind, version = file.attrs.get("kind", "unknown"), file.attrs.get("format_version", 0)
        if kind != record_type.kind:
            raise DataError(f"{path}: holds '{kind}', but '{record_type.kind}' is needed here")
        if version > record_type.version:
            raise DataError(
                f"{path}: written by a newer mlraman_hpc (format {version}, "
                f"this one reads up to {record_type.version}); update the program"
            )
        if version == record_type.version:
            yield file
        else:
            with upgrades.upgraded(file, record_type) as newer:
                yield newer


def read_fields(group: h5py.Group, record_type, path):
    """The record in a group of the file `path`; DataError where a field is missing."""
    hints = _hints(record_type)
    paths = {field.name: field.metadata.get("path", field.name) for field in dataclasses.fields(record_type)}
    values = {}
    for field in dataclasses.fields(record_type):
        inside = paths[field.name]
        if inside in group:
            values[field.name] = _read(group[inside], hints[field.name], path)
            if isinstance(values[field.name], dict):  # another field may lie in the same group
                for other in paths.values():
                    values[field.name].pop(other.removeprefix(f"{inside}/"), None)
        elif _optional(hints[field.name]):
            values[field.name] = None
        else:
            raise DataError(f"{path}: '{inside}' is missing; the file is damaged or from another program")
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
    """Where the file comes from; None if there is no readable, undamaged file of ours."""
    try:
        with open_verified(path) as file:
            at = file.attrs
            history = tuple(json.loads(at["history"]))
            return Origin(at["task"], at["deck"], at["key"], json.loads(at["parents"]), history)
    except (DataError, OSError, KeyError, ValueError, TypeError, RecursionError, RuntimeError):
        return None


def history_of(path: Path) -> tuple[dict, ...]:
    """The entries of the steps that led to the file."""
    origin = read_origin(path)
    return origin.history if origin else ()


def content_of(path: Path) -> str:
    """The hash of the file's content, as sealed in it. DataError where there is none."""
    with open_verified(path) as file:
        if "content" not in file.attrs:
            raise DataError(f"{path}: not a finished file of mlraman_hpc")
        return str(file.attrs["content"])
