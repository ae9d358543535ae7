"""Force fields: ASE calculators by a short name or as 'module:Class', imported when they are used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlraman_hpc.base.errors import DeckKeyError, first_line
from mlraman_hpc.base.named_objects import named_object, resolved

Factory = Callable[[], Any]


@dataclass(frozen=True)
class Known:
    """A calculator that has a short name.

    target   'module:Class'
    package  what pip calls it
    memory   whether forces depend, in the last bits, on the steps before: a neighbour list that is only renewed now
             and then has an order of its own
    needs    a module that the target imports no earlier than it computes
    """

    target: str
    package: str
    memory: bool = False
    needs: str | None = None


KNOWN = {
    "emt": Known("ase.calculators.emt:EMT", "ase", memory=True),
    "lj": Known("ase.calculators.lj:LennardJones", "ase", memory=True),
    "mace": Known("mace.calculators:MACECalculator", "mace-torch"),
    "mace-mp": Known("mace.calculators:mace_mp", "mace-torch"),
    "sevennet": Known("sevenn.calculator:SevenNetCalculator", "sevenn"),
    "chgnet": Known("chgnet.model.dynamics:CHGNetCalculator", "chgnet"),
    "upet": Known("upet.calculator:UPETCalculator", "upet"),
    "metatomic": Known("metatomic_ase:MetatomicCalculator", "metatomic-ase"),
    "nep": Known("calorine.calculators:CPUNEP", "calorine"),
    "deepmd": Known("deepmd.calculator:DP", "deepmd-kit"),
    "lammps": Known("ase.calculators.lammpslib:LAMMPSlib", "lammps", memory=True, needs="lammps"),
}


def has_memory(name: str) -> bool:
    """Whether a calculator must be made anew at fixed steps for restarts to give the same bits."""
    return KNOWN[name].memory if name in KNOWN else True


def calculator_class(name: str, folder: str | None = None) -> Any:
    """The class, or function, behind 'md.calculator', sought in `folder` too; DeckKeyError where there is none."""
    known = KNOWN.get(name)
    if known is None and ":" not in name:
        raise DeckKeyError(
            "md.calculator", f"'{name}' is neither module:Class nor one of the short names {', '.join(KNOWN)}"
        )
    if known is None:
        return named_object(name, "md.calculator", None, folder)
    return named_object(known.target, "md.calculator", known.package, folder, known.needs)


def calculator_factory(name: str, arguments: Mapping[str, Any], folder: str = ".", threads: int = 1) -> Factory:
    """A function that makes the calculator; the first one is made here, so that mistakes show at once.

    Texts among the arguments that name a file below `folder` become its path. PyTorch, where it is used, gets
    `threads`. Raises DeckKeyError where the calculator refuses its arguments.
    """
    function = calculator_class(name, folder)
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
