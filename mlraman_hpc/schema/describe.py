"""The deck's keys for people: a table, a JSON schema and a commented deck to start from."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlraman_hpc.schema.deck import Deck
from mlraman_hpc.schema.deck_reader import model_of

_EXAMPLES = {
    "title": "my material at 300 K", "output": "out/my_material",
    "forces.files": "forces.extxyz", "forces.predicted": "mace_forces",
    "reference.files": "outcar/*.OUTCAR.gz", "trajectory.files": "XDATCAR", "trajectory.frame_interval": 1.0,
    "trajectory.every": 10, "series.file": "alpha.dat", "series.frame_interval": 10.0,
}


def json_schema() -> str:
    return json.dumps(Deck.model_json_schema(), indent=2)


def key_table() -> str:
    """One line for each key: name, type, default, unit, sentence."""
    rows = [(name, _type(field), _default(field), _unit(field), field.description or "")
            for name, field in _keys(Deck, "")]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for name, kind, default, unit, sentence in rows:
        text = f"{sentence} ({unit})" if unit else sentence
        lines.append(f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {default:<{widths[2]}}  {text}".rstrip())
    return "\n".join(lines)


def starter_deck() -> str:
    """A commented deck with every key at its default."""
    lines = ["# A deck for mlraman: 'mlraman run THIS_FILE'. Paths are relative to this file, 'output' to the folder",
             "# you start from. Keys at their defaults may be left out; 'mlraman schema' lists them all.", ""]
    for name, field in Deck.model_fields.items():
        lines += _starter_section(name, field)
    return "\n".join(lines) + "\n"


def _starter_section(name: str, field: FieldInfo) -> list[str]:
    section = _section(field)
    if section is None:
        return [_starter_line("", name, name, field)]
    off = "# " if name in ("series", "forces") else ""
    head = [f"{off}{name}:".ljust(34) + f"# {_sentence(section)}"]
    return ["", *head, *(_starter_line(f"{off}  ", key, f"{name}.{key}", inner)
                         for key, inner in section.model_fields.items())]


def _starter_line(indent: str, key: str, dotted: str, field: FieldInfo) -> str:
    value = json.dumps(_EXAMPLES[dotted]) if dotted in _EXAMPLES else _default(field)
    unit = _unit(field)
    return f"{indent}{key}: {value}".ljust(34) + f"# {field.description}" + (f" ({unit})" if unit else "")


def _keys(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        inner = _section(field)
        if inner is None:
            yield prefix + name, field
        else:
            many = "[]" if typing.get_origin(field.annotation) is list else ""
            yield from _keys(inner, f"{prefix}{name}{many}.")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    return model_of(field.annotation)


def _sentence(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _unit(field: FieldInfo) -> str:
    return (field.json_schema_extra or {}).get("unit", "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(must be given)"
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else json.dumps(value)


def _type(field: FieldInfo) -> str:
    return _type_name(field.annotation)


def _type_name(hint) -> str:
    if hint is type(None):
        return "null"
    if hint is typing.Any:
        return "number or auto"
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(str(value) for value in inner)
    if typing.get_origin(hint) is typing.Annotated:
        return _type_name(inner[0])
    if typing.get_origin(hint) is list:
        return f"list of {_type_name(inner[0])}"
    if inner:
        return " | ".join(_type_name(part) for part in inner)
    return {int: "integer", float: "number", str: "text"}.get(hint, getattr(hint, "__name__", str(hint)))
