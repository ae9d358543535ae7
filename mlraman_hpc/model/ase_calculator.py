"""A model as an ASE calculator: alpha on the fly in an ASE run, or in i-PI through its ASE driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ase
from ase.calculators.calculator import Calculator, all_changes


class PolarizabilityCalculator(Calculator):
    """`results["polarizability"]` is alpha (3, 3) Angstrom^3 of the whole cell.

    model  has `predict(atoms)`, whose `value[0]` is the tensor: what `mlraman_hpc.load_model` gives
    base   another calculator that gives energy, forces and stress, where the run needs them
    """

    def __init__(self, model: Any, base: Calculator | None = None, **options: Any):
        super().__init__(**options)
        self.model, self.base = model, base
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
        self.results["polarizability"] = self.model.predict(self.atoms).value[0]
