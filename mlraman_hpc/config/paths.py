"""Paths in decks: `~` and environment variables are expanded everywhere alike, and relative ones made absolute."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel

from mlraman_hpc.base.errors import DeckKeyError

PATH_KEYS = (
    "file",
    "files",
    "predicted_files",
    "lattice_sites",
    "structure",
    "template",
)  # of input files, in every section
_LEFT_OVER = re.compile(r"\$\w+|\$\{[^}]*\}|^~[^/]*")


def expanded(path: str) -> str:
    """`path` with `~`, `$NAME` and `${NAME}` replaced. Raises ValueError where one of them is not known."""
    result = os.path.expanduser(os.path.expandvars(path))
    if unknown := _LEFT_OVER.search(result):
        what = "no such user" if unknown[0].startswith("~") else "this variable is not set in the environment"
        raise ValueError(f"'{unknown[0]}' in '{path}': {what}")
    return result


def expand_paths(deck: BaseModel) -> list[DeckKeyError]:
    """Expand `output` and the input files of a deck in place; returns the keys whose paths cannot be expanded."""
    errors = []
    for section, name, dotted in list(_paths(deck, "")):
        try:
            _change(section, name, expanded)
        except ValueError as error:
            errors.append(DeckKeyError(dotted, str(error)))
    return errors


def make_absolute(deck: BaseModel, folder: str) -> None:
    """Paths of input files relative to `folder`, `output` to the current one: the deck means the same anywhere."""
    for section, name, dotted in list(_paths(deck, "")):
        _change(section, name, partial(_absolute, os.getcwd() if dotted == "output" else folder))
    predictor = getattr(getattr(deck, "model", None), "predictor", None)
    for holder in (getattr(deck, "md", None), predictor):
        if holder and "arguments" in holder.model_fields_set:
            holder.arguments = _absolute_files(holder.arguments, folder)
    if (labelling := getattr(deck, "labelling", None)) and labelling.parameters:
        labelling.parameters = _absolute_files(labelling.parameters, folder)


def _absolute_files(value: Any, folder: str) -> Any:
    """Texts inside that name a file below `folder` as absolute paths; the rest as it is."""
    if isinstance(value, dict):
        return {key: _absolute_files(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute_files(item, folder) for item in value]
    is_file = isinstance(value, str) and os.path.isfile(os.path.join(folder, value))
    return _absolute(folder, value) if is_file else value


def _paths(section: BaseModel, prefix: str) -> Iterator[tuple[BaseModel, str, str]]:
    """(section, name, dotted name) of every key that holds paths and is not empty."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if value and (name in PATH_KEYS or prefix + name == "output"):
            yield section, name, prefix + name
        for number, inner in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(inner, BaseModel):
                yield from _paths(inner, f"{prefix}{name}." + (f"{number}." if isinstance(value, list) else ""))


def _absolute(folder: str, path: str) -> str:
    return os.path.abspath(os.path.join(folder, path))


def _change(section: BaseModel, name: str, function: Callable[[str], str]) -> None:
    """Apply `function` to the path or paths, without marking a key as set that was not."""
    value, were_set = getattr(section, name), set(section.model_fields_set)
    setattr(section, name, function(value) if isinstance(value, str) else [function(path) for path in value])
    section.__pydantic_fields_set__ = were_set
