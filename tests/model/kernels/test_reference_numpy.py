"""The kernels against plain NumPy and against featomic, on small systems."""

from functools import cached_property

import numpy as np
import pytest

from mlraman_hpc.model import featomic_reference
from mlraman_hpc.model.descriptors import feature_layout
from mlraman_hpc.model.kernels import interface, reference_numpy, tables
from mlraman_hpc.model.kernels.inputs import KernelFrames, kernel_frames, mask_non_centres, species_of_atoms
from mlraman_hpc.records.model import Descriptor
from tests.model.structures import assert_close, several

SPECIES = np.array([3, 16])
DESCRIPTORS = [
    Descriptor(cutoff=4.2, cutoff_width=0.7, density_width=0.4, max_angular=3, max_radial=3),
    Descriptor(cutoff=3.5, cutoff_width=3.5, density_width=0.5, max_angular=5, max_radial=1),
    Descriptor(cutoff=3.5, cutoff_width=0.1, density_width=0.5, max_angular=0, max_radial=0),
]


class Case:
    """Random weights of three members for a descriptor."""

    def __init__(self, descriptor: Descriptor):
        self.descriptor = descriptor
        self.coefficients = featomic_reference.clebsch_gordan(descriptor.max_angular)
        self.basis = tables.basis_tables(descriptor, len(SPECIES))
        self.channels = len(SPECIES) * (descriptor.max_radial + 1)
        self.layout = feature_layout(self.coefficients, self.channels)
        rng = np.random.default_rng(0)
        self.weights = {
            order: self.layout.unpack(rng.normal(size=(3, len(SPECIES), self.layout.size(order))), order)
            for order in (0, 2)
        }
        size = (len(SPECIES), (descriptor.max_angular + 1) * self.channels)
        self.limits = np.stack([np.full(size, -np.inf), np.full(size, np.inf)])

    def frames(self, centres: np.ndarray | None = None) -> KernelFrames:
        frames = several()
        species = mask_non_centres(species_of_atoms(frames, SPECIES), centres)
        return kernel_frames(frames, species, self.descriptor.cutoff)

    def predict(self, frames: KernelFrames) -> np.ndarray:
        """By NumPy, (frames, members, species, 6)."""
        return reference_numpy.predict(frames, self.basis, self.coefficients, self.weights)

    @cached_property
    def expected(self) -> np.ndarray:
        return self.predict(self.frames())


@pytest.fixture(scope="module", params=DESCRIPTORS, ids=lambda d: f"l{d.max_angular}n{d.max_radial}")
def case(request) -> Case:
    return Case(request.param)


def test_density_expansion_is_featomics(case):
    frames, structures = case.frames(), several()
    systems = featomic_reference.systems(structures, case.descriptor.cutoff)
    blocks = featomic_reference.spherical_expansion(case.descriptor).compute(systems)
    scale = max(np.abs(block.values).max() for block in blocks.blocks())
    expansions = {}
    for key, block in blocks.items():
        l, a = int(key["o3_lambda"]), int(np.flatnonzero(key["neighbor_type"] == SPECIES)[0])
        for (frame, i), values in zip(block.samples.values, block.values):
            if (frame, i) not in expansions:
                expansions[frame, i] = reference_numpy.density_expansion(frames, frame, i, case.basis)
            rho = expansions[frame, i][l * l : (l + 1) ** 2, a]
            np.testing.assert_allclose(rho, values, rtol=0, atol=1e-9 * scale)
    assert len(expansions) == len(structures.numbers)


def test_contraction_of_atoms_is_numpys(case):
    frames = case.frames()
    weights = tables.term_weights(case.coefficients, case.weights)
    tensors, _ = interface.predict_from_atoms(
        frames, case.basis, tables.term_couplings(case.coefficients), weights, case.limits
    )
    assert_close(tensors, case.expected)


def test_contraction_of_sums_is_numpys(case):
    frames = case.frames()
    couplings = tables.block_couplings(case.coefficients, case.channels)
    weights = tables.block_weights(case.weights)
    tensors, _ = interface.predict_from_sums(frames, case.basis, couplings, weights, case.limits)
    assert_close(tensors, case.expected)


def test_atoms_that_are_only_neighbours_add_nothing_of_their_own(case):
    centres = np.random.default_rng(1).random(len(several().numbers)) < 0.5
    frames = case.frames(centres)
    expected = case.predict(frames)
    weights = tables.term_weights(case.coefficients, case.weights)
    tensors, _ = interface.predict_from_atoms(
        frames, case.basis, tables.term_couplings(case.coefficients), weights, case.limits
    )
    assert_close(tensors, expected)
    assert_close(expected + case.predict(case.frames(~centres)), case.expected)


def test_summed_features_and_extremes_are_numpys(case):
    frames = case.frames()
    couplings = tables.block_couplings(case.coefficients, case.channels)
    pairs = [tuple(pair) for pair in couplings.angular]
    for k, (squares, lowest, highest) in enumerate(interface.summed_features(frames, case.basis, couplings)):
        X = reference_numpy.summed_features(frames, k, case.basis, case.coefficients)
        for (l1, l2, order), expected in X.items():
            block = squares[:, 0 if order == 0 else slice(1, 6), pairs.index((l1, l2))].reshape(expected.shape)
            if l1 == l2:  # one half has the sum of both
                block, expected = (values + np.swapaxes(values, -1, -2) for values in (block, expected))
            scale = max(np.abs(values).max() for values in X.values())
            np.testing.assert_allclose(block, expected, rtol=0, atol=1e-10 * scale)
        low, high = extremes(frames.frame(k), case)
        scale = np.abs(high[np.isfinite(high)]).max()
        np.testing.assert_allclose(lowest, low, rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(highest, high, rtol=0, atol=1e-10 * scale)


def invariants(frames: KernelFrames, i: int, case: Case) -> np.ndarray:
    """p_{l q} = sum_m rho_{q l m}^2 of an atom of the only frame."""
    squares = reference_numpy.density_expansion(frames, 0, i, case.basis).reshape(-1, case.channels) ** 2
    return np.concatenate([squares[l * l : (l + 1) ** 2].sum(axis=0) for l in range(case.basis.sizes[0])])


def extremes(frames: KernelFrames, case: Case) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.full(case.limits[0].shape, np.inf), np.full(case.limits[0].shape, -np.inf)
    for i, s in enumerate(frames.species):
        values = invariants(frames, i, case)
        low[s], high[s] = np.minimum(low[s], values), np.maximum(high[s], values)
    return low, high


def test_outliers_are_those_of_numpy(case):
    frames = case.frames()
    single = [frames.frame(k) for k in range(len(frames.cells))]
    values = [[invariants(frame, i, case) for i in range(len(frame.positions))] for frame in single]
    upper = np.median(np.concatenate(values), axis=0) * 1.37  # no atom sits on the limit itself
    limits = np.stack([np.full(case.limits[0].shape, -1.0), np.tile(upper, (len(SPECIES), 1))])
    expected = [sum((atom > upper).any() for atom in atoms) for atoms in values]
    weights = tables.term_weights(case.coefficients, case.weights)
    couplings = tables.block_couplings(case.coefficients, case.channels)
    _, from_atoms = interface.predict_from_atoms(
        frames, case.basis, tables.term_couplings(case.coefficients), weights, limits
    )
    _, from_sums = interface.predict_from_sums(
        frames, case.basis, couplings, tables.block_weights(case.weights), limits
    )
    np.testing.assert_array_equal(from_atoms, expected)
    np.testing.assert_array_equal(from_sums, expected)
