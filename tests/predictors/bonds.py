"""An ASE calculator that tests copy beside a deck: alpha from bonds, with faults on request."""

import numpy as np
from ase.calculators.calculator import Calculator


class Bonds(Calculator):
    """alpha = scale (30 + sum of w(r) r r^T over bonds below 4.5 Angstrom).

    fault  of frames whose first atom lies below z = `below`: nan, shape, missing, raise, or of all: memory, oblique
    """

    implemented_properties = ("polarizability",)

    def __init__(self, scale=1.0, fault="", below=-1e9, **options):
        super().__init__(**options)
        self.scale, self.fault, self.below, self.calls = scale, fault, below, 0

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
        bonds = atoms.positions[:, None] - atoms.positions[None]
        bonds = bonds[:, :, None] + images @ atoms.cell.array
        lengths = np.linalg.norm(bonds, axis=-1)
        weights = np.where((lengths > 0.1) & (lengths < 4.5), np.exp(-lengths / 2), 0)
        alpha = self.scale * (np.einsum("ijk,ijka,ijkb->ab", weights, bonds, bonds) + 30 * np.eye(3))
        self.results = {"polarizability": alpha, "energy": 0.0}
        if self.fault == "memory":
            self.results["polarizability"] = alpha * (1 + 0.01 * self.calls)
        if self.fault == "oblique":  # components in a wrong order
            self.results["polarizability"] = alpha[:, [1, 2, 0]][[1, 2, 0]]
        if atoms.positions[0, 2] < self.below:
            self._break(alpha)

    def _break(self, alpha):
        if self.fault == "raise":
            raise RuntimeError("no neighbours\nand so on")
        if self.fault == "missing":
            del self.results["polarizability"]
        else:
            bad = {
                "nan": alpha * np.nan,
                "shape": alpha[0],
                "words": "alpha",
                "asymmetric": alpha + np.eye(3)[[1, 0, 2]],
            }
            bad["asymmetric"][0, 1] += 1.0
            self.results["polarizability"] = bad[self.fault]
