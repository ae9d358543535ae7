"""Calculators that fail on purpose, and one that is a harmonic crystal."""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlraman_hpc.base.units import LIGHT_CM_PER_FS


class Springs(Calculator):
    """Every atom on a spring to where it was first: E = sum k x^2/2, k in eV/Angstrom^2. No memory but the sites."""

    implemented_properties = ("energy", "forces")

    def __init__(self, k: float = 5.0, sites=None):
        super().__init__()
        self.k, self.sites = k, None if sites is None else np.array(sites)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.sites is None:
            self.sites = atoms.get_positions()
        x = atoms.positions - self.sites
        self.results = {"energy": 0.5 * self.k * float(np.sum(x * x)), "forces": -self.k * x}


class Failing(Springs):
    """Fails once in a process, at this call of all that are made: raises, gives NaN or pushes the atoms away."""

    made = 0

    def __init__(self, kind: str, calls: int, **more):
        super().__init__(**more)
        self.kind, self.calls = kind, calls

    def calculate(self, *arguments, **names):
        super().calculate(*arguments, **names)
        Failing.made += 1
        if Failing.made == self.calls and self.kind == "raise":
            raise ValueError("asked for by a test")
        if Failing.made == self.calls:
            self.results["forces"] = self.results["forces"] * (np.nan if self.kind == "nan" else -1e4)


def wavenumber(k: float, mass: float) -> float:
    """cm^-1 of a spring (eV/Angstrom^2) and a mass (u)."""
    from ase import units

    return float(np.sqrt(k / mass) * units.fs / (2 * np.pi * LIGHT_CM_PER_FS))


__all__ = ["Failing", "Springs", "wavenumber"]
