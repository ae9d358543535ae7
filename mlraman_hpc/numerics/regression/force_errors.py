"""Predicted against reference forces: sums that add up over frames, the errors that follow, and the parity plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.numerics import Floats, Integers

SOFT = 0.1  # deviation of the slope from one that is worth a word
SOFT_ELEMENT = 0.85  # slope of an element's forces below which bands move visibly
_FOREIGN = {"Hartree/bohr": 51.42206747, "Ry/bohr": 25.71103374, "kcal/mol/Angstrom": 0.04336410}  # in eV/Angstrom
_ALIKE = 0.08  # relative deviation of the slope from the ratio of two units
_CORRELATED = 0.9
SQUARES = 160  # at most along either side of the parity plot
FINEST = -20  # power of two


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
            max(self.largest, other.largest, key=lambda error: (error[0], -error[1])),
        )

    @property
    def rmse(self) -> float:
        """sqrt(mean (p - f)^2) over atoms and components."""
        return float(np.sqrt(self.squared_error / (3 * self.atoms)))

    @property
    def mae(self) -> float:
        """mean |p - f| over atoms and components."""
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
        deviations = self.squared_reference - self.reference**2 / (3 * self.atoms)
        return 1 - self.squared_error / deviations if deviations > 1e-12 * self.squared_reference else np.nan

    @property
    def slope(self) -> float:
        """sum p f / sum f^2: below one, the force field is softer than the reference."""
        return self.product / self.squared_reference if self.squared_reference > 0 else np.nan

    @property
    def correlation(self) -> float:
        """sum p f / sqrt(sum f^2 sum p^2)"""
        norms = np.sqrt(self.squared_reference * self.squared_predicted)
        return float(self.product / norms) if norms > 0 else np.nan


def force_sums(reference: Floats, predicted: Floats, frame: Integers) -> ForceSums:
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


def soft_elements(sums: dict[str, ForceSums]) -> list[str]:
    """A sentence for each element whose forces are weaker than the reference by more than SOFT_ELEMENT allows."""
    return [
        f"{element}: predicted forces have the slope {values.slope:.2f}; bands of so soft a force field lie about "
        f"{100 * (1 - np.sqrt(values.slope)):.0f} % too low"
        for element, values in sums.items()
        if values.correlation > _CORRELATED and 0 < values.slope < SOFT_ELEMENT
    ]


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


@dataclass(frozen=True)
class Density:
    """Counts of pairs (x, y) in squares of side 2^power, which are cut at multiples of their side.

    Squares grow by doubling, so that coarse counts are sums of fine ones: any order of adding gives the same counts.

    first   (2,) number of the first square along x and y; square k covers k 2^power to (k + 1) 2^power
    counts  (squares along x, squares along y)
    """

    power: int
    first: Integers
    counts: Integers

    def __add__(self, other: Density) -> Density:
        power = max(self.power, other.power)
        terms = [self._coarsened(power), other._coarsened(power)]
        while _span(*_ends(terms)) > SQUARES:
            power += 1
            terms = [term._coarsened(power) for term in terms]
        first, last = _ends(terms)
        counts = np.zeros(last - first, dtype=np.int64)
        for term in terms:
            (x, y), (width, height) = term.first - first, term.counts.shape
            counts[x : x + width, y : y + height] += term.counts
        return Density(power, first, counts)

    def _coarsened(self, power: int) -> Density:
        if power == self.power:
            return self
        x, y = np.nonzero(self.counts)
        squares = np.stack([x, y], axis=1) + self.first >> power - self.power
        return _counted(squares, self.counts[x, y], power)

    def edges(self) -> tuple[Floats, Floats]:
        """Edges of the squares along x and y."""
        (x, y), (width, height), side = self.first, self.counts.shape, 2.0**self.power
        return (x + np.arange(width + 1)) * side, (y + np.arange(height + 1)) * side


def _ends(terms: list[Density]) -> tuple[Integers, Integers]:
    first = np.min([term.first for term in terms], axis=0)
    return first, np.max([term.first + term.counts.shape for term in terms], axis=0)


def _span(first: Integers, last: Integers) -> int:
    return int(np.max(last - first))


def _counted(squares: Integers, weights: Integers, power: int) -> Density:
    first, last = squares.min(axis=0), squares.max(axis=0) + 1
    counts = np.zeros(last - first, dtype=np.int64)
    np.add.at(counts, tuple((squares - first).T), weights)
    return Density(power, first, counts)


def density(x: Floats, y: Floats) -> Density:
    """Counts of the pairs (x_k, y_k), finite numbers, in the smallest squares of which `SQUARES` a side are enough."""
    pairs = np.stack([x, y], axis=1)
    widest = max(float(np.max(pairs.max(axis=0) - pairs.min(axis=0))), 2.0**FINEST)
    power = max(FINEST, int(np.ceil(np.log2(widest / SQUARES))))
    squares = np.floor(pairs / 2.0**power).astype(np.int64)
    while _span(squares.min(axis=0), squares.max(axis=0) + 1) > SQUARES:
        power, squares = power + 1, squares >> 1
    return _counted(squares, np.ones(len(pairs), dtype=np.int64), power)
