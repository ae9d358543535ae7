"""YAML -> Deck. All mistakes at once, each with its line, key and nearest spelling."""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
import types
import typing
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.config.deck import Deck


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `1e-6` is a number, `no` and `on` are words (No is an element), no timestamps."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag.rsplit(":", 1)[-1] not in ("float", "bool", "timestamp", "int")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor(
    "tag:yaml.org,2002:float", lambda loader, node: float(node.value.replace(".inf", "inf").replace(".nan", "nan"))
)


def read_deck(path: str | Path, changes: list[str] = ()) -> Deck:
    """The deck in file `path` with `changes` ('spectrum.smoothing=8') applied.

    Raises DeckError with every mistake, one on each line.
    """
    text = read_text(path)
    values, places, mistakes = parse(text, str(path))
    for change in changes:
        mistakes += apply(change, values, places)
    if "materials" in values:
        raise DeckError(
            f"{places[('materials',)]}: this is the deck of a campaign; 'mlraman campaign {path}' computes it"
        )
    try:
        deck = Deck.model_validate(values)
    except ValidationError as error:
        mistakes += [describe(problem, places, str(path)) for problem in error.errors()]
    if mistakes:
        raise DeckError("\n".join(in_order(mistakes)))
    deck._places, deck._folder, deck._name = places, str(Path(path).parent), str(path)
    check_tasks(deck)
    return deck


def in_order(mistakes: list[str]) -> list[str]:
    def line(text):
        number = re.search(r":(\d+): ", text)
        return int(number[1]) if number else 10**9

    return sorted(dict.fromkeys(mistakes), key=line)


def read_text(path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeckError(f"{path}: no such deck; 'mlraman init' writes one to start from") from None
    except UnicodeDecodeError as error:
        raise DeckError(f"{path}: not UTF-8 text (byte {error.start}); save the deck as UTF-8") from None
    except OSError as error:
        raise DeckError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, name: str):
    """(values, {path of keys: 'deck.yaml:12'}, mistakes)."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise DeckError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DeckError(f"{name}: not valid YAML: {error}") from None
    if node is None:
        raise DeckError(f"{name}: the deck is empty; 'mlraman init' writes one to start from")
    if not isinstance(node, yaml.MappingNode):
        raise DeckError(f"{name}:1: a deck is a list of 'key: value' lines, found something else")
    places: dict[tuple, str] = {}
    mistakes: list[str] = []
    _collect(node, (), name, places, mistakes)
    if mistakes:
        raise DeckError("\n".join(mistakes))
    return _construct(text, name), places, mistakes


def _construct(text: str, name: str):
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise DeckError(f"{name}:{error.problem_mark.line + 1}: {error.problem}") from None


def scalar(text: str):
    """The value of one cell of a table: a number, a word or a list; anything else is text as it stands."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, dict) else value


def _collect(node, path, name, places, mistakes) -> None:
    """Fill `places` with the line of every key; note duplicate and non-text keys."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            here = (*path, str(key_node.value))
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                mistakes.append(f"{name}:{line}: a key must be a word")
                continue
            if here in places:
                first = places[here].rsplit(":", 1)[-1]
                mistakes.append(f"{name}:{line}: '{'.'.join(here)}': given twice, first on line {first}; keep one")
            places[here] = f"{name}:{line}"
            _collect(value_node, here, name, places, mistakes)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            here = (*path, str(number))
            places[here] = f"{name}:{item.start_mark.line + 1}"
            _collect(item, here, name, places, mistakes)


def apply(change: str, values: dict, places: dict) -> list[str]:
    """Set one key from the command line; its place in messages is the option itself."""
    option = f"--set {change}"
    dotted, equals, text = change.partition("=")
    if not equals or not dotted.strip():
        return [f"{option}: should be KEY=VALUE, such as spectrum.smoothing=8"]
    path = tuple(dotted.strip().split("."))
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return [f"{option}: '{text}' is not a valid value"]
    section = values
    for part in path[:-1]:
        if not isinstance(section.get(part), dict):
            section[part] = {}
        section = section[part]
    section[path[-1]] = value
    for length in range(1, len(path) + 1):
        if length == len(path) or path[:length] not in places:
            places[path[:length]] = option
    return []


def describe(problem: dict, places: dict, name: str) -> str:
    path = tuple(str(part) for part in problem["loc"])
    known = path
    while known and known not in places:
        known = known[:-1]
    where = places.get(known, name)
    return f"{where}: '{'.'.join(path)}': {_explain(problem, path)}"


def _explain(problem: dict, path: tuple) -> str:
    kind, found, limits = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key" + _nearest(path)
    if kind == "missing":
        return "is missing and must be given" + _sentence(path)
    if kind == "value_error":
        return f"{limits['error']}, found {found!r}"
    if found is None:
        return f"is empty; {_lower(problem['msg'])}"
    return f"{_lower(problem['msg'])}, found {found!r}"


def _lower(message: str) -> str:
    message = message.removeprefix("Input ")
    return message[0].lower() + message[1:]


def _nearest(path: tuple) -> str:
    section = _section_at(path[:-1])
    names = list(section.model_fields) if section else []
    elsewhere = [
        f"{name}.{path[-1]}"
        for name, field in Deck.model_fields.items()
        if (inner := model_of(field.annotation)) and path[-1] in inner.model_fields
    ]
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.6)
    if elsewhere or close:
        return f", did you mean '{(elsewhere or close)[0]}'?"
    return f"; known here: {', '.join(names)}" if names else ""


def _sentence(path: tuple) -> str:
    section = _section_at(path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    return f" ({field.description})" if field is not None else ""


def _section_at(path: tuple) -> type[BaseModel] | None:
    section = Deck
    for part in path:
        if part.isdigit():
            continue
        field = section.model_fields.get(part)
        section = model_of(field.annotation) if field else None
        if section is None:
            return None
    return section


def model_of(annotation) -> type[BaseModel] | None:
    """The section inside `Section`, `Section | None` or `list[Section]`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for inner in typing.get_args(annotation) if (found := model_of(inner))), None)


def check_tasks(deck: Deck) -> None:
    """What pydantic cannot see: keys that need or exclude one another."""
    mistakes = []
    if deck.series and (deck.reference or deck.trajectory):
        mistakes.append(f"{deck.location('series')}: takes the place of reference and trajectory; keep one of them")
    if not (deck.series or deck.reference or deck.trajectory or deck.forces):
        mistakes.append(f"{deck._name}: nothing to do: give reference and trajectory, or series")
    if deck.forces and not deck.forces.predicted_files and deck.forces.predicted == deck.forces.reference:
        mistakes.append(f"{deck.location('forces.predicted')}: names the array of reference forces itself")
    if deck.reference and deck.reference.format == "table" and not deck.trajectory:
        mistakes.append(f"{deck.location('reference.format')}: a table needs a trajectory for its structures")
    if deck.reference and deck.reference.format == "table" and not deck.reference.order:
        mistakes.append(
            f"{deck.location('reference.order')}: must be given for a table, such as [xx, yy, zz, xy, yz, zx]"
        )
    if deck.reference and deck.reference.frame_from_name is not None and not deck.trajectory:
        mistakes.append(f"{deck.location('reference.frame_from_name')}: needs a trajectory")
    if deck.reference and deck.reference.frame_from_name is not None and deck.reference.format == "table":
        mistakes.append(f"{deck.location('reference.frame_from_name')}: a table has reference.first and every instead")
    if deck.descriptor.cutoff_width >= deck.descriptor.cutoff:
        mistakes.append(
            f"{deck.location('descriptor.cutoff_width')}: must be smaller than the cutoff "
            f"({deck.descriptor.cutoff:g} Angstrom), found {deck.descriptor.cutoff_width:g}"
        )
    if mistakes:
        raise DeckError("\n".join(mistakes))


def input_files(deck: Deck, dotted: str, patterns: list[str]) -> list[Path]:
    """The files that a deck key names, relative to the deck's folder; globs are sorted by name.

    Raises DataError where a file does not exist or a glob finds nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = os.path.join(deck._folder, os.path.expanduser(pattern))
        if os.path.isfile(path):
            found.append(Path(path))
        elif any(sign in pattern for sign in "*?["):
            matches = sorted(filter(os.path.isfile, glob.glob(path, recursive=True)))
            if not matches:
                raise DataError(f"{deck.location(dotted)}: no file matches {path}")
            found += map(Path, matches)
        else:
            kind = "is a folder, not a file" if os.path.isdir(path) else "no such file"
            raise DataError(f"{deck.location(dotted)}: {path}: {kind}")
    return found


def resolved_yaml(deck: Deck) -> str:
    """The deck with every key and its value, as YAML that gives the same deck again."""
    return _yaml(deck.model_dump_json())


@lru_cache(maxsize=4)  # asked for again with every result
def _yaml(text: str) -> str:
    return yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)
