"""Radial scaling in a model: featomic's tensors, its file, and what it is for."""

from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.model.descriptors import features, reference_features
from mlraman_hpc.model.kernels.tables import RADIAL_ACCURACY, basis_tables
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.model.regression import check_against_featomic, fit
from mlraman_hpc.records.model import Descriptor, Model, RadialScaling
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin
from tests.model.small_model import DESCRIPTOR, NUMBERS, labels_of, training_frames
from tests.model.structures import several

SCALED = replace(DESCRIPTOR, radial_scaling=RadialScaling(2.0, 3.0))


@pytest.fixture(scope="module")
def scaled() -> Model:
    labels = labels_of(training_frames())
    rows = np.arange(len(labels))
    return fit(features(labels.frames, SCALED, NUMBERS), labels, rows[:16], rows[16:], SCALED, committee=4)[0]


@pytest.mark.parametrize("scaling", [RadialScaling(2.0, 3.0), RadialScaling(1.5, 4.7, 0.6), RadialScaling(2.5, 7.0)])
def test_features_are_featomics(scaling):
    """Quadratic in the radial functions, which have RADIAL_ACCURACY."""
    descriptor = replace(DESCRIPTOR, cutoff=6.0, radial_scaling=scaling)
    fast, exact = (make(several(), descriptor, NUMBERS) for make in (features, reference_features))
    for values, expected in ((fast.X0, exact.X0), (fast.X2, exact.X2)):
        np.testing.assert_allclose(values, expected, rtol=0, atol=4 * RADIAL_ACCURACY * np.abs(expected).max())


def test_tensors_are_featomics(scaled):
    assert check_against_featomic(scaled, Predictor(scaled), several()) < 1e-9


def test_another_scaling_is_seen_by_the_check(scaled):
    wrong = replace(scaled, descriptor=replace(SCALED, radial_scaling=RadialScaling(2.0, 3.001)))
    assert check_against_featomic(wrong, Predictor(scaled), several()) > 1e-8


def test_the_models_file_keeps_the_scaling(scaled, tmp_path):
    hdf5.save(scaled, tmp_path, Origin("train", "", "key", {}))
    assert hdf5.load(Model, tmp_path).descriptor == SCALED


def test_tables_of_one_descriptor_are_not_those_of_another():
    plain, scaled = basis_tables(DESCRIPTOR, 2), basis_tables(SCALED, 2)
    assert not np.array_equal(plain.radial, scaled.radial)
    np.testing.assert_array_equal(plain.central, scaled.central)  # the atom itself is at distance zero
    assert basis_tables(replace(SCALED), 2) is scaled


def test_weight_at_the_scale_is_a_half():
    np.testing.assert_allclose(RadialScaling(2.5, 5.0)(np.array([0.0, 2.5, 5.0])), [1, 0.5, 1 / 33], rtol=1e-12)


def test_keys_of_a_deck():
    assert Descriptor.from_keys({"radial_scaling": {"scale": 2.0, "exponent": 3.0}}).radial_scaling == RadialScaling(
        2.0, 3.0, 1.0
    )
    assert Descriptor.from_keys({"cutoff": 4.0, "radial_scaling": None}) == Descriptor(cutoff=4.0)
