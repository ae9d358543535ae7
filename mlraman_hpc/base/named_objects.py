"""Objects of other packages by name, 'module:Class', and the files among the arguments that they get."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlraman_hpc.base.errors import DeckKeyError, first_line

PIP_NAMES = {"torch": "torch", "mace": "mace-torch", "metatomic": "metatomic-torch", "calorine": "calorine"}


def named_object(
    name: str, key: str, package: str | None = None, folder: str | None = None, needs: str | None = None
) -> Any:
    """What 'module:Name' names, imported. Raises DeckKeyError of the deck's `key` where it cannot be.

    package  what pip calls the package that is needed, where that is known
    folder   where modules are sought last
    needs    a module that the named one imports no earlier than it computes
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise DeckKeyError(key, f"'{name}' is not of the form module:Class")
    try:
        with _sought_in(folder):
            if needs:
                importlib.import_module(needs)
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # packages fail to load in many ways
        needed = f"the package {package}" if package else f"the module {module}"
        text = f"'{name}' needs {needed}, which cannot be imported here: {first_line(error)}"
        raise DeckKeyError(key, text + _advice(error, module, package, folder)) from None


def _advice(error: Exception, module: str, package: str | None, folder: str | None) -> str:
    """How to get a module that is missing: the one that was named, or one that it imports."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    missing = str(error.name or module).split(".")[0]
    package = package or PIP_NAMES.get(missing)
    if package:
        return f"; 'pip install {package}'"
    if missing == module.split(".")[0]:
        places = "beside the deck or through PYTHONPATH" if folder else "through PYTHONPATH"
        return f"; one of your own is found {places}"
    return f"; {module} imports {missing}, which is to be installed"


@contextmanager
def _sought_in(folder: str | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    path = str(Path(folder).resolve())
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path.remove(path)


def module_file(name: str, folder: str) -> list[Path]:
    """The source file in `folder` of the module of 'module:Name'; none where there is no such file."""
    path = Path(folder) / (name.partition(":")[0].replace(".", "/") + ".py")
    return [path] if ":" in name and path.is_file() else []


def resolved(value: Any, folder: str) -> Any:
    """A text that names a file below `folder` as its path; lists and mappings item by item; the rest as it is."""
    if isinstance(value, str):
        path = Path(folder) / value
        return str(path) if path.is_file() else value
    if isinstance(value, list):
        return [resolved(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: resolved(item, folder) for key, item in value.items()}
    return value


def named_files(arguments: Mapping[str, Any], folder: str) -> list[Path]:
    """The files among the arguments, such as that of a model: results depend on their content."""
    flat: list[Any] = list(arguments.values())
    files = []
    while flat:
        value = flat.pop(0)
        if isinstance(value, (list, dict)):
            flat += value if isinstance(value, list) else list(value.values())
        elif isinstance(value, str) and (Path(folder) / value).is_file():
            files.append(Path(folder) / value)
    return files
