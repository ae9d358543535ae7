"""Force fields: ASE calculators by a short name or as 'module:Class', imported when they are used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlraman_hpc.base.errors import DeckKeyError, first_line

Factory = Callable[[], Any]


@dataclass(frozen=True)
class Known:
    """A calculator that has a short name.

    target   'module:Class'
    package  what pip calls it
    memory   whether forces depend, in the last bits, on the steps before: a neighbour list that is only renewed now
             and then has an order of its own
    """

    target: str
    package: str
    memory: bool = False


KNOWN = {
    "emt": Known("ase.calculators.emt:EMT", "ase", memory=True),
    "lj": Known("ase.calculators.lj:LennardJones", "ase", memory=True),
    "mace": Known("mace.calculators:MACECalculator", "mace-torch"),
    "mace-mp": Known("mace.calculators:mace_mp", "mace-torch"),
    "sevennet": Known("sevenn.calculator:SevenNetCalculator", "sevenn"),
    "chgnet": Known("chgnet.model.dynamics:CHGNetCalculator", "chgnet"),
    "upet": Known("upet.calculator:UPETCalculator", "upet"),
    "metatomic": Known("metatomic.torch.ase_calculator:MetatomicCalculator", "metatomic-torch"),
    "nep": Known("calorine.calculators:CPUNEP", "calorine"),
    "deepmd": Known("deepmd.calculator:DP", "deepmd-kit"),
    "lammps": Known("ase.calculators.lammpslib:LAMMPSlib", "lammps", memory=True),
}


def has_memory(name: str) -> bool:
    """Whether a calculator must be made anew at fixed steps for restarts to give the same bits."""
    return KNOWN[name].memory if name in KNOWN else True


def calculator_class(name: str) -> Any:
    """The class, or function, behind 'md.calculator'. Raises DeckKeyError where it cannot be imported."""
    known = KNOWN.get(name)
    module, colon, attribute = (known.target if known else name).partition(":")
    if not (module and colon and attribute):
        raise DeckKeyError(
            "md.calculator", f"'{name}' is neither module:Class nor one of the short names {', '.join(KNOWN)}"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # packages fail to load in many ways
        needed = f"the package {known.package}" if known else f"the module {module}"
        reason = first_line(error)
        raise DeckKeyError(
            "md.calculator", f"'{name}' needs {needed}, which cannot be imported here: {reason}"
        ) from None


def calculator_factory(name: str, arguments: Mapping[str, Any], folder: str = ".", threads: int = 1) -> Factory:
    """A function that makes the calculator; the first one is made here, so that mistakes show at once.

    Texts among the arguments that name a file below `folder` become its path. PyTorch, where it is used, gets
    `threads`. Raises DeckKeyError where the calculator refuses its arguments.
    """
    function = calculator_class(name)
    values = {key: resolved(value, folder) for key, value in arguments.items()}
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)

    def make() -> Any:
        try:
            return function(**values)
        except Exception as error:
            reason = first_line(error)
            raise DeckKeyError(
                "md.arguments", f"the calculator '{name}' refuses them: {type(error).__name__}: {reason}"
            ) from None

    first = [make()]
    return lambda: first.pop() if first else make()


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
