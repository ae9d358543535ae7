"""Predicted against reference forces: sums that add up over frames, and the errors that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SOFT = 0.1  # deviation of the slope from one that is worth a word
_FOREIGN = {"Hartree/bohr": 51.42206747, "Ry/bohr": 25.71103374, "kcal/mol/Angstrom": 0.04336410}  # in eV/Angstrom
_ALIKE = 0.08  # relative deviation of the slope from the ratio of two units
_CORRELATED = 0.9


@dataclass(frozen=True)
class ForceSums:
    """Sums over the 3 n components of the forces on n atoms; f reference, p predicted, eV/Angstrom.

    largest  length of the largest error of an atom's force, and the frame where it occurs
    """

    atoms: int
    squared_error: float
    absolute_error: float
    reference: float
    squared_reference: float
    squared_predicted: float
    product: float
    largest: tuple[float, int]

    def __add__(self, other: ForceSums) -> ForceSums:
        return ForceSums(
            self.atoms + other.atoms,
            self.squared_error + other.squared_error,
            self.absolute_error + other.absolute_error,
            self.reference + other.reference,
            self.squared_reference + other.squared_reference,
            self.squared_predicted + other.squared_predicted,
            self.product + other.product,
            max(self.largest, other.largest, key=lambda found: (found[0], -found[1])),
        )

    @property
    def rmse(self) -> float:
        """sqrt(mean (p - f)^2) over atoms and components."""
        return float(np.sqrt(self.squared_error / (3 * self.atoms)))

    @property
    def mae(self) -> float:
        return self.absolute_error / (3 * self.atoms)

    @property
    def rms_reference(self) -> float:
        return float(np.sqrt(self.squared_reference / (3 * self.atoms)))

    @property
    def relative_rmse(self) -> float:
        return float(np.divide(self.rmse, self.rms_reference)) if self.rms_reference > 0 else np.nan

    @property
    def r2(self) -> float:
        """1 - sum (p - f)^2 / sum (f - mean f)^2; NaN where all reference forces are equal."""
        spread = self.squared_reference - self.reference**2 / (3 * self.atoms)
        return 1 - self.squared_error / spread if spread > 1e-12 * self.squared_reference else np.nan

    @property
    def slope(self) -> float:
        """sum p f / sum f^2: below one, the force field is softer than the reference."""
        return self.product / self.squared_reference if self.squared_reference > 0 else np.nan

    @property
    def correlation(self) -> float:
        both = np.sqrt(self.squared_reference * self.squared_predicted)
        return float(self.product / both) if both > 0 else np.nan


def force_sums(reference: np.ndarray, predicted: np.ndarray, frame: np.ndarray) -> ForceSums:
    """Sums over atoms; reference and predicted (atoms, 3), frame (atoms,)."""
    error = predicted - reference
    length = np.linalg.norm(error, axis=1)
    worst = int(np.argmax(length))
    return ForceSums(
        len(error),
        float(np.sum(error**2)),
        float(np.sum(np.abs(error))),
        float(np.sum(reference)),
        float(np.sum(reference**2)),
        float(np.sum(predicted**2)),
        float(np.sum(reference * predicted)),
        (float(length[worst]), int(frame[worst])),
    )


def force_warnings(total: ForceSums) -> list[str]:
    """The same array twice, other units, a force field that is too soft or too stiff."""
    if total.squared_error == 0:
        return ["predicted and reference forces are equal to the last digit: are they the same array?"]
    if not total.correlation > _CORRELATED:
        return []
    for unit, factor in _FOREIGN.items():
        for ratio, which in ((1 / factor, "predicted"), (factor, "reference")):
            if abs(total.slope / ratio - 1) < _ALIKE:
                return [
                    f"predicted forces are {total.slope:.3g} times the reference, as if the {which} ones were in "
                    f"{unit}; both must be in eV/Angstrom"
                ]
    if abs(total.slope - 1) < SOFT:
        return []
    weak = total.slope < 1
    percent, shift = 100 * abs(total.slope - 1), 100 * abs(np.sqrt(total.slope) - 1)
    return [
        f"predicted forces are on average {percent:.0f} % {'weaker' if weak else 'stronger'} than the reference: "
        f"vibrations of such a force field lie about {shift:.0f} % too {'low' if weak else 'high'}"
    ]
