"""Modules that are loaded by who uses them: most ranks of a run use few of those that its code names."""

from __future__ import annotations

import importlib
from types import ModuleType


class LazyModule(ModuleType):
    """Stands for a module of this name until something of it is used."""

    def __getattr__(self, name: str):
        if name.startswith("__"):  # the import system looks for some
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)
