"""Keating's valence force field of diamond as an ASE calculator: the force field of this example, in place of your own.

    V = 3 a/(16 d^2) sum_bonds (r^2 - d^2)^2 + 3 b/(8 d^2) sum_angles (r_ij . r_ik + d^2/3)^2

with b = 0.655 a and a such that the Raman line of the harmonic crystal lies at 1332 cm^-1. Keating, Phys. Rev. 145, 637
(1966).
"""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

BOND = 3.567 * np.sqrt(3) / 4  # Angstrom
IMAGES = np.array(list(np.ndindex(3, 3, 3))) - 1


class Keating(Calculator):
    """Atoms with four neighbours each, within 1.3 bond lengths; energy in eV."""

    implemented_properties = ("energy", "forces")

    def __init__(self, a: float = 8.4812):  # eV/Angstrom^2
        super().__init__()
        self.stretch = 3 * a / (16 * BOND**2)
        self.bend = 3 * 0.655 * a / (8 * BOND**2)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vectors = atoms.positions[:, None] + IMAGES @ atoms.cell.array - atoms.positions[:, None, None]
        lengths = np.linalg.norm(vectors, axis=-1)
        bonds = (lengths > 0.1) & (lengths < 1.3 * BOND)
        if (bonds.sum(axis=(1, 2)) != 4).any():
            raise ValueError("an atom does not have four neighbours")
        r = vectors[bonds].reshape(-1, 4, 3)  # each bond twice
        other = np.nonzero(bonds)[1].reshape(-1, 4)
        lengthening = (r**2).sum(axis=-1) - BOND**2
        angles = r @ r.swapaxes(1, 2) + BOND**2 / 3
        angles[:, range(4), range(4)] = 0
        gradient = 2 * self.stretch * lengthening[..., None] * r + 2 * self.bend * angles @ r
        forces = gradient.sum(axis=1)
        np.add.at(forces, other.ravel(), -gradient.reshape(-1, 3))
        energy = 0.5 * self.stretch * (lengthening**2).sum() + 0.5 * self.bend * (angles**2).sum()
        self.results = {"energy": float(energy), "forces": forces}
