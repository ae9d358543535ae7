"""YAML text -> values and the line of every key. Scalars follow YAML 1.2; a key that is given twice is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlraman_hpc.base.errors import DeckError, KeyLocations, Location, Mistake


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML 1.2 scalars: `1e-6` is a number, `no` and `on` are words (No is an element), no timestamps."""


def _resolve_scalars_as_yaml_1_2() -> None:
    replaced = {f"tag:yaml.org,2002:{name}" for name in ("float", "bool", "timestamp", "int")}
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in replaced]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    for name, pattern, first in (
        ("int", "[-+]?[0-9]+", "-+0123456789"),
        ("float", number, "-+.0123456789"),
        ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ):
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{pattern})$"), list(first))
    _Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
    _Loader.add_constructor("tag:yaml.org,2002:float", _float)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))


_resolve_scalars_as_yaml_1_2()


@dataclass
class YamlSource:
    """A deck as it was written.

    values     nested dicts and lists
    locations  of every key and list item; that of () is the file
    mistakes   of options of the command line that could not be applied
    """

    values: dict[str, Any]
    locations: KeyLocations
    mistakes: list[Mistake]

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.locations[()].source

    def change(self, assignment: str) -> None:
        """Set one key from the command line, KEY=VALUE; its location is the option itself."""
        option = Location(f"--set {assignment}")
        dotted, equals, text = assignment.partition("=")
        path = tuple(dotted.strip().split("."))
        if not equals or not dotted.strip():
            self.mistakes.append(Mistake(option, "", "should be KEY=VALUE, such as spectrum.smoothing=8"))
            return
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            self.mistakes.append(Mistake(option, "", f"'{text}' is not a valid value"))
            return
        put(self.values, path, value)
        for length in range(1, len(path)):
            self.locations.setdefault(path[:length], option)
        self.locations[path] = option


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set `value` at `path` of nested dicts, making the sections on the path."""
    for name in path[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[path[-1]] = value


def read(path: str | Path, changes: Sequence[str] = ()) -> YamlSource:
    """The deck in file `path` with `changes` ('spectrum.smoothing=8') applied.

    Raises DeckError where the file cannot be read or is not YAML; the mistakes of `changes` are in the result.
    """
    source = parse(_text(path), str(path))
    for change in changes:
        source.change(change)
    return source


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeckError.at(Location(str(path)), "no such deck; 'mlraman init' writes one to start from") from None
    except UnicodeDecodeError as error:
        text = f"not UTF-8 text (byte {error.start}); save the deck as UTF-8"
        raise DeckError.at(Location(str(path)), text) from None
    except OSError as error:
        raise DeckError.at(Location(str(path)), f"cannot be read: {error.strerror}") from None


def parse(text: str, name: str) -> YamlSource:
    """The deck in `text`, which is the content of file `name`. Raises DeckError where it is not one."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = Location(name, mark.line + 1 if mark else None)
        raise DeckError.at(location, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DeckError.at(Location(name), f"not valid YAML: {error}") from None
    if node is None:
        raise DeckError.at(Location(name), "the deck is empty; 'mlraman init' writes one to start from")
    if not isinstance(node, yaml.MappingNode):
        raise DeckError.at(Location(name, 1), "a deck is a list of 'key: value' lines, found something else")
    locations = KeyLocations({(): Location(name)})
    if mistakes := _locate(node, (), locations):
        raise DeckError.from_mistakes(mistakes)
    return YamlSource(_values(text, name), locations, [])


def _values(text: str, name: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = yaml.load(text, Loader=_Loader)
        return values
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DeckError.at(Location(name, line), str(error.problem)) from None


def _locate(node: yaml.Node, path: tuple[str, ...], locations: KeyLocations) -> list[Mistake]:
    """Add the location of every key and item below `node`; returns keys that are doubled or no words."""
    mistakes: list[Mistake] = []
    name = locations[()].source
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            location = Location(name, key_node.start_mark.line + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                mistakes.append(Mistake(location, "", "a key must be a word"))
                continue
            key_path = (*path, str(key_node.value))
            if key_path in locations:
                text = f"given twice, first on line {locations[key_path].line}; keep one"
                mistakes.append(Mistake(location, ".".join(key_path), text))
            locations[key_path] = location
            mistakes += _locate(value_node, key_path, locations)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            item_path = (*path, str(number))
            locations[item_path] = Location(name, item.start_mark.line + 1)
            mistakes += _locate(item, item_path, locations)
    return mistakes


def scalar(text: str) -> Any:
    """The value of one cell of a table: a number, a word or a list; anything else is text as it stands."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, dict) else value
