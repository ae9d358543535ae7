"""lambda-SOAP as featomic defines it: radial functions, Clebsch-Gordan coefficients and the full descriptor.

The only import of featomic, which takes 0.4 s with the parts of SciPy that it loads; so this module is imported lazily,
where tables are made or a prediction is checked. Everything else in this package computes the same numbers faster.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from math import pi

import featomic
import numpy as np
from featomic.clebsch_gordan import EquivariantPowerSpectrum, calculate_cg_coefficients
from metatensor import Labels, TensorMap

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.model.kernels.inputs import periodic_cells
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.model import Descriptor


class _System(featomic.systems.SystemBase):
    """One configuration as featomic's native code takes it; it searches the neighbours itself."""

    def __init__(self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray):
        super().__init__()
        self._numbers, self._positions, self._cell = numbers.astype(np.int32), positions, cell

    def size(self):
        return len(self._numbers)

    def types(self):
        return self._numbers

    def positions(self):
        return self._positions

    def cell(self):
        return self._cell


def _expansion(descriptor: Descriptor, smoothing: dict) -> featomic.SphericalExpansion:
    # Without a spline accuracy featomic evaluates the radial integrals exactly, at about the same speed.
    basis = {
        "type": "TensorProduct",
        "max_angular": descriptor.max_angular,
        "radial": {"type": "Gto", "max_radial": descriptor.max_radial},
        "spline_accuracy": None,
    }
    density: dict = {"type": "Gaussian", "width": descriptor.density_width}
    if descriptor.radial_scaling is not None:
        density["scaling"] = {"type": "Willatt2018", **asdict(descriptor.radial_scaling)}
    return featomic.SphericalExpansion(
        cutoff={"radius": descriptor.cutoff, "smoothing": smoothing}, density=density, basis=basis
    )


def spherical_expansion(descriptor: Descriptor) -> featomic.SphericalExpansion:
    """featomic's calculator of the density coefficients rho^i_{q l m} for this descriptor."""
    return _expansion(descriptor, {"type": "ShiftedCosine", "width": descriptor.cutoff_width})


def systems(frames: Frames, cutoff: float) -> list[_System]:
    """featomic's view of each frame; directions that are not periodic get a vacuum wider than the cutoff."""
    cells = periodic_cells(frames, cutoff)
    bounds = zip(frames.first_atom[:-1], frames.first_atom[1:])
    return [
        _System(frames.numbers[a:b], np.ascontiguousarray(frames.positions[a:b]), cell)
        for (a, b), cell in zip(bounds, cells)
    ]


def radial_functions(descriptor: Descriptor, distances: np.ndarray) -> np.ndarray:
    """R_{nl}(r), what one neighbour at distance r adds: rho_{n l m} = f_cut(r) R_{nl}(r) Y_{lm}(r/|r|).

    Computed for two-atom systems with the neighbour on the z axis, without smoothing. distances (K,) Angstrom, between
    0.05 (closer, featomic complains) and the cutoff -> (K, max_angular + 1, max_radial + 1).
    """
    pairs = [
        _System(np.array([1, 2]), np.array([[0, 0, 0], [0, 0, r]], dtype=float), np.zeros((3, 3))) for r in distances
    ]
    try:
        result = _expansion(descriptor, {"type": "Step"}).compute(pairs)
    except featomic.FeatomicError as error:
        raise DeckKeyError(
            "descriptor",
            f"featomic cannot compute the radial functions for cutoff {descriptor.cutoff:g}, "
            f"density_width {descriptor.density_width:g} and max_radial {descriptor.max_radial}: make the "
            f"width larger or the others smaller ({error})",
        ) from None
    values = np.empty((len(distances), descriptor.max_angular + 1, descriptor.max_radial + 1))
    for l in range(descriptor.max_angular + 1):
        block = result.block({"o3_lambda": l, "center_type": 1, "neighbor_type": 2})
        values[:, l] = block.values[:, l] / np.sqrt((2 * l + 1) / (4 * pi))
    return values


def central_atom(descriptor: Descriptor) -> np.ndarray:
    """rho_{n 0 0} of an atom alone, its own density: (max_radial + 1,)."""
    atom = _System(np.array([1]), np.zeros((1, 3)), np.zeros((3, 3)))
    result = spherical_expansion(descriptor).compute([atom])
    return np.array(result.block({"o3_lambda": 0, "center_type": 1, "neighbor_type": 1}).values[0, 0])


@lru_cache(maxsize=4)  # campaigns need the same ones again and again
def clebsch_gordan(max_angular: int) -> dict[tuple[int, int, int], np.ndarray]:
    """Real Clebsch-Gordan coefficients {(l1, l2, lambda): (2 l1 + 1, 2 l2 + 1, 2 lambda + 1)}, m = -l ... l.

    For all l1 <= l2 <= max_angular and lambda = 0, 2 with l1 + l2 even: the parts of a symmetric tensor.
    """
    table = calculate_cg_coefficients(max(max_angular, 2), "python-dense", "numpy", np.float64, "cpu")
    return {
        (l1, l2, order): table.block({"l1": l1, "l2": l2, "lambda": order}).values[0, ..., 0]
        for l1 in range(max_angular + 1)
        for l2 in range(l1, max_angular + 1, 2)
        for order in (0, 2)
        if l2 - l1 <= order <= l1 + l2
    }


def power_spectrum(
    frames: Frames, descriptor: Descriptor, species: np.ndarray, centres: np.ndarray | None = None
) -> TensorMap:
    """featomic's EquivariantPowerSpectrum for lambda = 0, 2 and sigma = 1, of all atoms or of `centres` (atoms,)."""
    calculator = _power_calculator(descriptor, tuple(int(z) for z in species))
    orders = [[0, 1], [2, 1]] if descriptor.max_angular else [[0, 1]]
    keys = Labels(["o3_lambda", "o3_sigma"], np.array(orders))
    samples = None
    if centres is not None:
        frame = frames.frame_of_atom
        rows = np.column_stack([frame, np.arange(len(frame)) - frames.first_atom[frame]])[centres]
        samples = Labels(["system", "atom"], rows)
    return calculator.compute(
        systems(frames, descriptor.cutoff), selected_keys=keys, selected_samples=samples, neighbors_to_properties=True
    )


@lru_cache(maxsize=4)
def _power_calculator(descriptor: Descriptor, species: tuple[int, ...]) -> EquivariantPowerSpectrum:
    return EquivariantPowerSpectrum(spherical_expansion(descriptor), neighbor_types=list(species))
