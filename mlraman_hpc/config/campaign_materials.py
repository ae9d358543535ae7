"""The section `materials` of a campaign, a list or a CSV table with a row each -> drafts of materials.

A column of the table is a deck key ('trajectory.files'), a short key ('temperature') or a variable of a pattern.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlraman_hpc.base.errors import DeckError, KeyLocations, Location, Mistake
from mlraman_hpc.config import yaml_source
from mlraman_hpc.config.campaign_deck import COMMON_FOLDER
from mlraman_hpc.config.paths import expanded
from mlraman_hpc.config.yaml_source import YamlSource

_SHORT_KEYS = {"temperature": "spectrum.temperature", "mobile": "dynamics.mobile", "arrhenius": "dynamics.arrhenius"}
_FILE_KEYS = {"trajectory": "files", "reference": "files", "model": "file", "series": "file", "forces": "files"}
_NAME = re.compile(r"[\w(][\w.,+()=-]*")
_RESERVED_NAMES = (COMMON_FOLDER, "cache")
_FORM = "should be a list, or 'table: FILE.csv'"


@dataclass
class MaterialDraft:
    """A material as it is written.

    name       of the material, and of its folder of results
    values     nested dicts of its own keys
    locations  of its own keys; that of () is the material itself
    variables  {name: text} of patterns such as 'runs/{name}/XDATCAR'
    """

    name: str
    values: dict[str, Any]
    locations: KeyLocations
    variables: dict[str, str]


@dataclass
class _Row:
    """One item of the list or row of the table; keys may be dotted, locations[()] is the item or row."""

    values: dict[str, Any]
    locations: KeyLocations
    variables: dict[str, str]


def read_materials(source: YamlSource) -> tuple[list[MaterialDraft], list[Mistake]]:
    """Drafts of all materials that have a name, and what is wrong with the others."""
    if source.values.get("materials") is None:
        if "materials" in source.values:
            return [], [source.locations.mistake(("materials",), "is empty")]
        text = "a campaign needs the section 'materials'; 'mlraman docs campaign' shows one"
        return [], [Mistake(source.locations[()], "", text)]
    rows, mistakes = _rows(source)
    drafts: list[MaterialDraft] = []
    names: set[str] = set()
    for row in rows:
        try:
            draft = _draft(row)
        except DeckError as error:
            mistakes += error.mistakes
            continue
        if draft.name in names:
            text = f"material '{draft.name}' is there already; each needs a name of its own"
            mistakes.append(Mistake(row.locations[()], "", text))
        drafts.append(draft)
        names.add(draft.name)
    if not drafts and not mistakes:
        mistakes.append(source.locations.mistake(("materials",), "is empty"))
    return drafts, mistakes


def _rows(source: YamlSource) -> tuple[list[_Row], list[Mistake]]:
    section = source.values["materials"]
    if isinstance(section, list):
        return _rows_of_list(section, source.locations)
    if not isinstance(section, dict):
        return [], [source.locations.mistake(("materials",), _FORM)]
    unknown = [("materials", str(key)) for key in section if key != "table"]
    if unknown or not isinstance(section.get("table"), str):
        location = source.locations.nearest(unknown[0] if unknown else ("materials",))
        return [], [Mistake(location, "materials", f"{_FORM} and nothing else")]
    try:
        return list(_rows_of_table(source, section["table"])), []
    except DeckError as error:
        return [], list(error.mistakes)


def _rows_of_list(items: list[Any], locations: KeyLocations) -> tuple[list[_Row], list[Mistake]]:
    rows, mistakes = [], []
    for number, item in enumerate(items):
        start = ("materials", str(number))
        if isinstance(item, dict):
            inner = {path[2:]: location for path, location in locations.items() if path[:2] == start}
            inner.setdefault((), locations.nearest(start))
            rows.append(_Row(item, KeyLocations(inner), dict(_flat(item))))
        else:
            text = f"a material is a list of 'key: value' with at least 'name', found {item!r}"
            mistakes.append(Mistake(locations.nearest(start), "", text))
    return rows, mistakes


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """('trajectory.every', '2') of nested values, without lists."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield f"{prefix}{key}", str(value)


def _rows_of_table(source: YamlSource, table: str) -> Iterator[_Row]:
    """A row for each material; empty cells are left out. Raises DeckError for a table that cannot be read."""
    try:
        path = os.path.join(os.path.dirname(source.name), expanded(table))
    except ValueError as error:
        raise DeckError.at(source.locations.nearest(("materials", "table")), str(error)) from None
    try:
        lines = _csv_lines(path)
    except FileNotFoundError:
        raise DeckError.at(source.locations.nearest(("materials", "table")), f"{path}: no such table") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DeckError.at(Location(path), f"cannot be read as a CSV table: {reason}") from None
    if not lines:
        raise DeckError.at(Location(path), "the table is empty; its first line names the columns")
    columns = [name.strip() for name in lines[0][1]]
    _check_columns(columns, Location(path, lines[0][0]))
    for number, cells in lines[1:]:
        location = Location(path, number)
        if len(cells) != len(columns):
            raise DeckError.at(location, f"{len(cells)} cells, but {len(columns)} columns")
        texts = {name: cell.strip() for name, cell in zip(columns, cells) if cell.strip()}
        values = {name: text if name == "name" else yaml_source.scalar(text) for name, text in texts.items()}
        yield _Row(values, KeyLocations({(): location} | {(name,): location for name in values}), texts)


def _csv_lines(path: str) -> list[tuple[int, list[str]]]:
    """(line, cells), without comments and empty lines. The first line tells what separates the cells."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = file.readlines()
    head = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(lines, skipinitialspace=True, delimiter=delimiter)
    rows = [
        (reader.line_num, row)
        for row in reader
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#")
    ]
    return [(number, [_decimal_point(cell) for cell in row]) for number, row in rows] if delimiter != "," else rows


def _decimal_point(cell: str) -> str:
    """'0,5' of a spreadsheet in a language with decimal commas, which separates cells by semicolons or tabs."""
    return cell.replace(",", ".") if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", cell) else cell


def _check_columns(columns: list[str], location: Location) -> None:
    reason = ""
    if doubled := [name for name in columns if columns.count(name) > 1]:
        reason = f"'{doubled[0]}' is there twice"
    elif "" in columns:
        reason = "a column has no name"
    elif "name" not in columns:
        reason = "there is no 'name'"
    if reason:
        raise DeckError.at(location, f"the first line names the columns, and {reason}")


def _draft(row: _Row) -> MaterialDraft:
    """The material of one row, with short keys and dotted keys written out. Raises DeckError without a valid name."""
    location = row.locations[()]
    name = str(row.values.get("name", "") or "")
    if not name:
        raise DeckError.at(location, "the material has no 'name'")
    if not _NAME.fullmatch(name) or name in _RESERVED_NAMES:
        raise DeckError.at(
            location,
            f"'{name}' cannot be the name of a folder of results; use letters, digits and . _ - + "
            f"= ( ), and none of {', '.join(_RESERVED_NAMES)}",
        )
    label = f"material '{name}'"
    values: dict[str, Any] = {}
    locations = KeyLocations({(): Location(location.source, location.line, label)})
    for key, value in row.values.items():
        if key == "name":
            continue
        path = tuple(_SHORT_KEYS.get(str(key), str(key)).split("."))
        for row_path, row_location in row.locations.items():
            if row_path[:1] == (str(key),):
                locations[path + row_path[1:]] = Location(row_location.source, row_location.line, label)
        _merge_at(values, path, long_form(path, value))
    return MaterialDraft(name, values, locations, row.variables | {"name": name})


def long_form(path: tuple[str, ...], value: Any) -> Any:
    """`trajectory: XDATCAR` means `trajectory: {files: XDATCAR}`."""
    inner = _FILE_KEYS.get(path[0]) if len(path) == 1 else None
    return {inner: value} if inner and isinstance(value, (str, list)) else value


def _merge_at(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set `value` at `path`; a section is merged with what is there."""
    before: Any = values
    for name in path:
        before = before.get(name) if isinstance(before, dict) else None
    both = isinstance(before, dict) and isinstance(value, dict)
    yaml_source.put(values, path, merged(before, value) if both else value)


def merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`common` overridden by `own`, section by section; an empty section of `own` leaves it out."""
    result = dict(common)
    for name, value in own.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            result[name] = merged(before, value)
        elif isinstance(before, dict) and value is None:
            del result[name]
        else:
            result[name] = value
    return result
