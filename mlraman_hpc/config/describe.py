"""The deck's keys for people: a table, a JSON schema and a commented deck to start from."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlraman_hpc.config.campaign_deck import CampaignKeys, MaterialKeys
from mlraman_hpc.config.deck import Deck, section_type

_EXAMPLES = {
    "title": "my material at 300 K",
    "output": "out/my_material",
    "forces.files": "forces.extxyz",
    "forces.predicted": "mace_forces",
    "reference.files": "outcar/*.OUTCAR.gz",
    "trajectory.files": "XDATCAR",
    "trajectory.frame_interval": 1.0,
    "trajectory.every": 10,
    "series.file": "alpha.dat",
    "series.frame_interval": 10.0,
}


_MATERIALS = "list of materials, or {table: FILE.csv} with a column for each key; 'mlraman docs campaign'"


def json_schema() -> str:
    """Of ordinary decks and of campaigns'."""
    found, material = Deck.model_json_schema(), MaterialKeys.model_json_schema() | {"additionalProperties": True}
    for name in Deck.model_fields.keys() & MaterialKeys.model_fields.keys():  # sections that may be a file's name too
        material["properties"][name] = {"description": MaterialKeys.model_fields[name].description}
    own = CampaignKeys.model_json_schema()["properties"]
    table = {"type": "object", "properties": {"table": {"type": "string"}}, "required": ["table"]}
    found["properties"] |= {name: own[name] for name in _campaigns_own()}
    found["properties"]["materials"] = {
        "anyOf": [{"type": "array", "items": material}, table],
        "description": _MATERIALS,
    }
    return json.dumps(found, indent=2)


def _campaigns_own() -> list[str]:
    """Keys that only a campaign has."""
    return [name for name in CampaignKeys.model_fields if name not in Deck.model_fields]


def key_table() -> str:
    """One line for each key: name, type, default, unit, sentence."""
    ordinary = [_row(name, field) for name, field in _keys(Deck, "")]
    only = [_row(name, CampaignKeys.model_fields[name]) for name in _campaigns_own()]
    only.append(("materials", "list", "(must be given)", _MATERIALS))
    only += [_row(f"materials[].{name}", field) for name, field in _keys(MaterialKeys, "")]
    widths = [max(len(row[column]) for row in ordinary + only) for column in range(3)]
    return "\n".join(
        [
            *_lines(ordinary, widths),
            "",
            "Decks of 'mlraman campaign' have these too; a material may "
            "override any other key except output and walltime:",
            "",
            *_lines(only, widths),
        ]
    )


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    """Name, type, default and sentence."""
    unit, sentence = _unit(field), field.description or ""
    return name, _type(field), _default(field), f"{sentence} ({unit})" if unit else sentence


def _lines(rows: list[tuple[str, str, str, str]], widths: list[int]) -> list[str]:
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, [*widths, 0])).rstrip() for row in rows]


def starter_deck() -> str:
    """A commented deck with every key at its default."""
    lines = [
        "# A deck for mlraman: 'mlraman run THIS_FILE'. Paths are relative to this file, 'output' to the folder",
        "# you start from. Keys at their defaults may be left out; 'mlraman schema' lists them all.",
        "",
    ]
    for name, field in Deck.model_fields.items():
        lines += _starter_section(name, field)
    return "\n".join(lines) + "\n"


def _starter_section(name: str, field: FieldInfo) -> list[str]:
    section = _section(field)
    if section is None:
        return [_starter_line("", name, name, field)]
    off = "# " if name in ("series", "forces") else ""
    head = [f"{off}{name}:".ljust(34) + f"# {_sentence(section)}"]
    return [
        "",
        *head,
        *(_starter_line(f"{off}  ", key, f"{name}.{key}", inner) for key, inner in section.model_fields.items()),
    ]


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
    return section_type(field.annotation)


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
