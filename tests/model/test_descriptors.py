"""The features against featomic's EquivariantPowerSpectrum, which defines them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model import featomic_reference
from mlraman_hpc.model.descriptors import (
    FeatureCalculator,
    Features,
    feature_layout,
    features,
    pack_block,
    reference_features,
    unpack_block,
)
from mlraman_hpc.model.kernels import buffers, tables
from mlraman_hpc.records.model import Descriptor, RadialScaling
from tests.model.structures import CUBE, frames, gas, several

DESCRIPTOR = Descriptor(cutoff=4.2, cutoff_width=0.7, density_width=0.4, max_angular=3, max_radial=3)


def largest_deviation(fast: Features, expected: Features) -> float:
    pairs = [(fast.X0, expected.X0), (fast.X2, expected.X2)]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs if b.size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "descriptor",
    [
        DESCRIPTOR,
        Descriptor(cutoff=5.0, cutoff_width=0.5, density_width=0.3, max_angular=4, max_radial=5),
        Descriptor(cutoff=3.0, cutoff_width=3.0, density_width=0.5, max_angular=6, max_radial=1),
        Descriptor(cutoff=3.5, cutoff_width=0.1, density_width=0.5, max_angular=0, max_radial=0),
        Descriptor(cutoff=3.5, cutoff_width=0.1, density_width=0.5, max_angular=1, max_radial=2),
    ],
)
def test_features_are_featomics(descriptor):
    fast, expected = features(several(), descriptor, [3, 16]), reference_features(several(), descriptor, [3, 16])
    assert largest_deviation(fast, expected) < 1e-10
    assert (fast.composition == expected.composition).all()


def test_more_neighbours_than_the_buffers_take():
    """Several hundred for each atom, among more candidates than their buffer takes."""
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3) * 1.7
    positions = grid + np.random.default_rng(0).normal(scale=0.1, size=grid.shape)
    crowd = frames((positions, [3, 16] * 4, 3.4 * np.eye(3), True))
    wide = Descriptor(cutoff=7.0, cutoff_width=0.5, density_width=0.5, max_angular=2, max_radial=8)
    around = len(positions) / 3.4**3 * 4 / 3 * np.pi * wide.cutoff**3
    assert around > 2 * buffers.NEIGHBOUR_CAPACITY and 2 * around > buffers.CANDIDATE_CAPACITY
    assert largest_deviation(features(crowd, wide, [3, 16]), reference_features(crowd, wide, [3, 16])) < 1e-10


@pytest.mark.parametrize(
    ("width", "scaling"),
    [
        (0.2, None),
        (0.3, None),
        (0.5, None),
        (1.0, None),
        (0.4, RadialScaling(2.0, 3.0)),
        (0.4, RadialScaling(2.5, 7.0)),
    ],
)
def test_radial_functions_are_featomics_everywhere(width, scaling):
    descriptor = Descriptor(
        cutoff=6.0, cutoff_width=0.5, density_width=width, max_angular=5, max_radial=6, radial_scaling=scaling
    )
    r = np.random.default_rng(1).uniform(0.05, 6.0, size=400)
    expected = featomic_reference.radial_functions(descriptor, r).reshape(len(r), -1)
    table = tables.basis_tables(descriptor, 1).radial
    scaled = r / 6.0 * len(table)
    segment = scaled.astype(int)
    x = scaled - segment - 0.5
    fast = np.einsum("kp,kpn->kn", x[:, None] ** np.arange(buffers.POLYNOMIAL_TERMS), table[segment])
    assert np.abs(fast[:, : expected.shape[1]] - expected).max() < 2 * tables.RADIAL_ACCURACY * np.abs(expected).max()
    assert not fast[:, expected.shape[1] :].any()


def test_inner_products_are_those_of_featomics_vector():
    structures = several().take(slice(0, 3))
    fast = features(structures, DESCRIPTOR, [3, 16])
    spectrum = featomic_reference.power_spectrum(structures, DESCRIPTOR, np.array([3, 16]))
    total = np.zeros((3, 3))
    for key, block in spectrum.items():
        if key["o3_lambda"] == 2:
            summed = np.zeros((3, *block.values.shape[1:]))
            np.add.at(summed, block.samples.values[:, 0], block.values)
            total += np.einsum("kmp,jmp->kj", summed, summed)
    products = np.einsum("kmp,jmp->kj", fast.X2, fast.X2)
    np.testing.assert_allclose(products, total, rtol=0, atol=1e-10 * np.abs(total).max())


def test_real_structures_are_featomics(data):
    ase_io = pytest.importorskip("ase.io")
    atoms = ase_io.read(data / "agi" / "labels.extxyz", index="::60")
    structures = frames(*((a.positions, a.numbers, a.cell[:], True) for a in atoms))
    descriptor = Descriptor(cutoff=5.0, cutoff_width=0.5, density_width=0.4, max_angular=4, max_radial=5)
    fast = features(structures, descriptor, [47, 53])
    assert largest_deviation(fast, reference_features(structures, descriptor, [47, 53])) < 1e-10


def test_parts_are_joined_in_order():
    structures = several()
    calculator = pickle.loads(pickle.dumps(FeatureCalculator(DESCRIPTOR, [3, 16])))
    expected = features(structures, DESCRIPTOR, [3, 16])
    joined = Features.join([calculator(structures.take(rows)) for rows in (slice(0, 4), slice(4, 4), slice(4, None))])
    assert (joined.X0 == expected.X0).all()
    assert (joined.X2 == expected.X2).all()
    assert (joined.lowest == expected.lowest).all() and (joined.highest == expected.highest).all()
    assert (joined.take([3, 1]).composition == expected.composition[[3, 1]]).all()


def test_an_element_that_was_not_named_is_an_error():
    with pytest.raises(DataError, match=r"frame 0: contains S, .* only Li"):
        features(frames(gas(0, 4, CUBE)), DESCRIPTOR, [3])


def test_packed_products_keep_the_inner_product():
    rng = np.random.default_rng(0)
    for symmetric in (True, False):
        a, b = rng.normal(size=(2, 3, 4, 4))
        if symmetric:
            a, b = a + np.swapaxes(a, 1, 2), b + np.swapaxes(b, 1, 2)
        packed = pack_block(a, symmetric)
        np.testing.assert_allclose((packed * pack_block(b, symmetric)).sum(-1), (a * b).sum((1, 2)), atol=1e-12)
        weights = rng.normal(size=packed.shape)
        expected = (a * unpack_block(weights, 4, symmetric)).sum((1, 2))
        np.testing.assert_allclose((packed * weights).sum(-1), expected, atol=1e-12)


def test_layout_counts_each_independent_feature_once():
    layout = feature_layout(featomic_reference.clebsch_gordan(2), channels=3)
    assert [(block.l1, block.l2) for block in layout.columns[0]] == [(0, 0), (1, 1), (2, 2)]
    assert [(block.l1, block.l2) for block in layout.columns[2]] == [(0, 2), (1, 1), (2, 2)]
    assert (layout.size(0), layout.size(2)) == (18, 9 + 6 + 6)


def test_a_neighbour_that_leaves_the_sphere_changes_nothing():
    """f_cut(cutoff) = 0"""
    cell = 30 * np.eye(3)
    pair = [features(frames(([[0, 0, 0], [0, 0, r]], [3, 3], cell, True)), DESCRIPTOR, [3]).X0 for r in (4.199999, 4.3)]
    assert np.abs(pair[0] - pair[1]).max() < 1e-9 * np.abs(pair[1]).max()


def test_memory_of_training_is_foretold():
    """Peak of joining the parts of two ranks, taking the training set and solving; measured as NumPy allocates."""
    import tracemalloc

    from mlraman_hpc.model.descriptors import Features, training_bytes
    from mlraman_hpc.model.regression import fit
    from mlraman_hpc.records.frames import Labels
    from tests.model.small_model import DESCRIPTOR

    structures = frames(*(gas(k, 6, CUBE) for k in range(24)))
    calculator = FeatureCalculator(replace(DESCRIPTOR, max_radial=9), [3, 8, 16])
    numbers = np.array([3, 8, 16, 3, 8, 16] * 24)
    structures = replace(structures, numbers=numbers)
    known = calculator(structures)
    labels = Labels(structures, np.random.default_rng(0).normal(size=(24, 3, 3)), ("",) * 24)
    symmetric = replace(labels, polarizability=labels.polarizability + np.swapaxes(labels.polarizability, 1, 2))
    tracemalloc.start()
    joined = Features.join([known.take(slice(0, 12)), known.take(slice(12, 24))])
    fit(joined, symmetric, np.arange(20), np.arange(20, 24), DESCRIPTOR, "auto", 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 < peak / training_bytes(24, 20, calculator.columns) < 1.3
