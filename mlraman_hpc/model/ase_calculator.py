"""A model as an ASE calculator: alpha on the fly in an ASE run, or in i-PI through its ASE driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.outputs import Properties


class _Properties(Properties):
    """ASE's properties of a structure, and the polarizability, which ASE has no entry for."""

    def __init__(self, known: Mapping[str, Any], alpha: np.ndarray):
        super().__init__(known)
        self._alpha = alpha

    def __len__(self) -> int:
        return super().__len__() + 1

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield "polarizability"

    def __getitem__(self, name: str) -> Any:
        return self._alpha if name == "polarizability" else super().__getitem__(name)


class PolarizabilityCalculator(Calculator):
    """`results["polarizability"]` is alpha (3, 3) Angstrom^3 of the whole cell.

    model  has `predict(atoms, compare=...)`, whose `value[0]` is the tensor: what `mlraman_hpc.load_model` gives
    base   another calculator that gives energy, forces and stress, where the run needs them

    The first structure is compared with featomic, which takes a hundred times as long as the prediction; elements,
    density and outliers are looked at in every one.
    """

    def __init__(self, model: Any, base: Calculator | None = None, **options: Any):
        super().__init__(**options)
        self.model, self.base, self._compared = model, base, False
        more = [] if base is None else [name for name in base.implemented_properties if name != "polarizability"]
        self.implemented_properties = ["polarizability", *more]

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("polarizability",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        wanted = [name for name in properties if name != "polarizability"]
        if self.base is not None and wanted:
            self.base.calculate(self.atoms, wanted, system_changes)
            self.results.update(self.base.results)
        if system_changes or "polarizability" not in self.results:
            self.results["polarizability"] = self.model.predict(self.atoms, compare=not self._compared).value[0]
            self._compared = True

    def export_properties(self) -> Properties:
        """All results as one mapping: what `atoms.get_properties` gives, and what i-PI takes its extras from."""
        known = {name: value for name, value in self.results.items() if name != "polarizability"}
        return _Properties(known, self.results["polarizability"])
