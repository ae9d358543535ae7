"""The deck's keys for people: a table, a JSON schema and a commented deck to start from."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlraman_hpc.config.campaign_deck import CampaignKeys, MaterialKeys
from mlraman_hpc.config.deck import Deck, section_type

_EXAMPLES = {
    "title": "my material at 300 K",
    "output": "out/my_material",
    "descriptor.mode": "auto",
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
    """JSON schema of ordinary decks and of campaigns."""
    schema, material = Deck.model_json_schema(), MaterialKeys.model_json_schema() | {"additionalProperties": True}
    for name in Deck.model_fields.keys() & MaterialKeys.model_fields.keys():  # a section, or short for its files
        material["properties"][name] = {"description": MaterialKeys.model_fields[name].description}
    campaign = CampaignKeys.model_json_schema()["properties"]
    table = {"type": "object", "properties": {"table": {"type": "string"}}, "required": ["table"]}
    schema["properties"] |= {name: campaign[name] for name in _campaign_only()}
    schema["properties"]["materials"] = {
        "anyOf": [{"type": "array", "items": material}, table],
        "description": _MATERIALS,
    }
    return json.dumps(schema, indent=2)


def _campaign_only() -> list[str]:
    """Keys that only a campaign has."""
    return [name for name in CampaignKeys.model_fields if name not in Deck.model_fields]


def key_table() -> str:
    """One line for each key: name, type, default, unit, sentence."""
    ordinary = [_row(name, field) for name, field in _keys(Deck, "")]
    campaign = [_row(name, CampaignKeys.model_fields[name]) for name in _campaign_only()]
    campaign.append(("materials", "list", "(must be given)", _MATERIALS))
    campaign += [_row(f"materials[].{name}", field) for name, field in _keys(MaterialKeys, "")]
    widths = [max(len(row[column]) for row in ordinary + campaign) for column in range(3)]
    heading = (
        "Decks of 'mlraman campaign' have these too; a material may override any other key except output and walltime:"
    )
    return "\n".join([*_lines(ordinary, widths), "", heading, "", *_lines(campaign, widths)])


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    """Name, type, default and sentence."""
    return name, _type_name(field.annotation), _default(field), _description(field)


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
    section = section_type(field.annotation)
    if section is None:
        return [_starter_line("", name, name, field)]
    comment = "# " if name in ("series", "forces") else ""
    lines = ["", f"{comment}{name}:".ljust(34) + f"# {_sentence(section)}"]
    for key, inner in section.model_fields.items():
        lines.append(_starter_line(f"{comment}  ", key, f"{name}.{key}", inner))
    return lines


def _starter_line(indent: str, key: str, dotted: str, field: FieldInfo) -> str:
    value = json.dumps(_EXAMPLES[dotted]) if dotted in _EXAMPLES else _default(field)
    return f"{indent}{key}: {value}".ljust(34) + f"# {_description(field)}"


def _keys(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every key below `section` with its dotted name."""
    for name, field in section.model_fields.items():
        inner = section_type(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            many = "[]" if typing.get_origin(field.annotation) is list else ""
            yield from _keys(inner, f"{prefix}{name}{many}.")


def _sentence(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _description(field: FieldInfo) -> str:
    """The sentence of a key, with its unit."""
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f"{field.description} ({unit})" if unit else str(field.description)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(must be given)"
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else json.dumps(value)


def _type_name(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if hint is Any:
        return "number or auto"
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(str(value) for value in inner)
    if typing.get_origin(hint) is typing.Annotated:
        return _type_name(inner[0])
    if typing.get_origin(hint) is list:
        return f"list of {_type_name(inner[0])}"
    if inner:
        return " | ".join(_type_name(member) for member in inner)
    names: dict[Any, str] = {int: "integer", float: "number", str: "text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
