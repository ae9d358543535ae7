"""How a record says where it lies on disk: file name, kind and version on the class, path and unit on each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, ClassVar


class Record:
    """A frozen dataclass that is the content of one HDF5 file.

    class RamanSpectrum(Record, file_name="raman.h5", kind="raman spectrum"): ...

    file_name  in a folder of results
    kind       what the file says that it holds
    version    of the file's format; raised, with an entry in `storage.upgrades`, when older files need a change
    """

    file_name: ClassVar[str]
    kind: ClassVar[str]
    version: ClassVar[int]

    def __init_subclass__(cls, *, file_name: str, kind: str, version: int = 1) -> None:
        cls.file_name, cls.kind, cls.version = file_name, kind, version


def stored(path: str, unit: str, **kwargs: Any) -> Any:
    """A dataclass field that lies at `path` in the HDF5 file, in `unit` ('1' for a number without unit)."""
    return field(metadata={"path": path, "unit": unit}, **kwargs)


def fields_from(record_type: type, source: object) -> dict[str, Any]:
    """The record's fields that the result of a computation has under the same names."""
    return {item.name: getattr(source, item.name) for item in fields(record_type) if hasattr(source, item.name)}


def columns_from(record_type: type, sources: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """The same of several results: {field: {name of the result: value}}."""
    rows = {name: fields_from(record_type, source) for name, source in sources.items()}
    return {
        field_name: {name: row[field_name] for name, row in rows.items()} for field_name in next(iter(rows.values()))
    }
