"""The deck's keys for people and editors: a table and a JSON schema."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mlraman_hpc.config.campaign_deck import CampaignKeys, MaterialKeys
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.keys import section_type

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


_CAMPAIGN_HEADING = (
    "Decks of 'mlraman campaign' have these too; a material may override any other key except output and walltime:"
)
Row = tuple[str, str, str, str]


def key_table() -> str:
    """One line for each key: name, type, default, unit, sentence."""
    ordinary, campaign = key_rows()
    widths = [max(len(row[column]) for row in ordinary + campaign) for column in range(3)]
    return "\n".join([*_lines(ordinary, widths), "", _CAMPAIGN_HEADING, "", *_lines(campaign, widths)])


def key_rows() -> tuple[list[Row], list[Row]]:
    """Name, type, default and sentence of every key, and of those that campaign decks have besides."""
    ordinary = [_row(name, field) for name, field in _keys(Deck, "")]
    campaign = [_row(name, CampaignKeys.model_fields[name]) for name in _campaign_only()]
    campaign.append(("materials", "list", "(must be given)", _MATERIALS))
    campaign += [_row(f"materials[].{name}", field) for name, field in _keys(MaterialKeys, "")]
    return ordinary, campaign


def key_pages() -> str:
    """The same as Markdown: a table for each section."""
    ordinary, campaign = key_rows()
    parts = []
    for heading, rows in [*_sections(ordinary), ("Campaign decks", campaign)]:
        lines = [
            f"| `{name}` | {_cell(sentence)} | `{default}` | {_cell(kind)} |" for name, kind, default, sentence in rows
        ]
        table = ["| key | what it is | default | values |", "|---|---|---|---|", *lines]
        parts.append(
            "\n".join([f"## {heading}", "", *([_CAMPAIGN_HEADING, ""] if rows is campaign else []), *table, ""])
        )
    return "\n".join(parts)


def _sections(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """By the first word of the name; keys without a section come first."""
    groups: dict[str, list[Row]] = {"Without a section": []}
    for row in rows:
        section, dot, _ = row[0].partition(".")
        groups.setdefault(section if dot else "Without a section", []).append(row)
    return list(groups.items())


def _cell(text: str) -> str:
    return text.replace("|", "·").replace("<", "&lt;")


def _row(name: str, field: FieldInfo) -> Row:
    """Name, type, default and sentence."""
    return name, _type_name(field.annotation), _default(field), description(field)


def _lines(rows: list[Row], widths: list[int]) -> list[str]:
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, [*widths, 0])).rstrip() for row in rows]


def _keys(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every key below `section` with its dotted name."""
    for name, field in section.model_fields.items():
        inner = section_type(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            many = "[]" if typing.get_origin(field.annotation) is list else ""
            yield from _keys(inner, f"{prefix}{name}{many}.")


def description(field: FieldInfo) -> str:
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
    if typing.get_origin(hint) is dict:
        return "mapping"
    if typing.get_origin(hint) is list:
        return f"list of {_type_name(inner[0])}"
    if inner:
        return " | ".join(_type_name(member) for member in inner)
    names: dict[Any, str] = {int: "integer", float: "number", str: "text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
