"""YAML text -> values and the line of every key. Scalars follow YAML 1.2; a key that is given twice is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from mlraman_hpc.base.checksums import opened
from mlraman_hpc.base.errors import DeckError, KeyLocations, Location, Mistake


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML 1.2 scalars: `1e-6` is a number, `no` and `on` are words (No is an element), no timestamps.

    What could take the machine's memory or time, or be a number or text that nothing can hold, is a YAMLError.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ComposerError(None, None, _TOO_DEEP, self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _bound(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError, RecursionError):
            tag = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"not a value of the kind '{tag}'", node.start_mark) from None
        if problem := _unusable(value):
            raise ConstructorError(None, None, problem, node.start_mark)
        return value


def _bound(root: yaml.Node) -> None:
    """ComposerError for more values than MOST, or deeper ones than DEEPEST, all anchors written out."""
    count, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth > DEEPEST:
            raise ComposerError(None, None, _TOO_DEEP, node.start_mark)
        if count + len(stack) > MOST:
            text = f"more than {MOST} values, with what anchors (&) and aliases (*) repeat"
            raise ComposerError(None, None, text, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            stack += [(inner, depth + 1) for pair in node.value for inner in pair]
        elif isinstance(node, yaml.SequenceNode):
            stack += [(inner, depth + 1) for inner in node.value]


def _unusable(value: Any) -> str:
    """Why a text or number cannot be meant; empty where it can."""
    if isinstance(value, str) and (sign := re.search("[\\0\\ud800-\\udfff]", value)):
        return f"the text has a character that no file name or title can have ({sign[0]!r})"
    if isinstance(value, (int, float)) and (LARGEST < abs(value) < INFINITE or 0 < abs(value) < 1 / LARGEST):
        return f"numbers lie between {1 / LARGEST:g} and {LARGEST:g} or are 0, found {value:.3g}"
    return ""


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
    _Loader.add_constructor("tag:yaml.org,2002:int", _int)
    _Loader.add_constructor("tag:yaml.org,2002:float", _float)


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    """An integer; what has more digits than anything is infinite, like a number that is too large."""
    digits = str(node.value)
    return int(digits) if len(digits) < 300 else float("-inf" if digits.startswith("-") else "inf")


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))


_resolve_scalars_as_yaml_1_2()


MOST, DEEPEST = 100_000, 60  # values of a deck, sections in sections
LARGEST, INFINITE = 1e30, float("inf")
_TOO_DEEP = f"nested deeper than {DEEPEST} levels, or inside itself"
LONGEST = 1 << 24  # bytes of a deck


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
        if str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/")):  # <(...) of a shell
            return Path(path).read_text(encoding="utf-8")
        with opened(path) as handle, os.fdopen(os.dup(handle), "rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise DeckError.at(Location(str(path)), f"longer than {LONGEST >> 20} MB; is it a deck?")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise DeckError.at(Location(str(path)), "no such deck; 'mlraman init' writes one to start from") from None
    except UnicodeDecodeError as error:
        text = f"not UTF-8 text (byte {error.start}); save the deck as UTF-8"
        raise DeckError.at(Location(str(path)), text) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DeckError.at(Location(str(path)), f"cannot be read: {reason}") from None


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
