"""Modules that are loaded on first use: most ranks of a run use few of those that the package names."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A module of this name that is imported when one of its attributes is read."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # looked up by the import system, which must not load the module
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)
