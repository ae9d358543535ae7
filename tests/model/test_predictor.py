import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.kernels import buffers, object_cache
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.model.regression import predict_features
from tests.helpers import ROOT
from tests.model.small_model import DESCRIPTOR, NUMBERS, fit_labels, training_frames
from tests.model.structures import CUBE, SKEW, assert_close, frames, gas, several


def test_prediction_is_the_descriptor_times_the_weights(model, predictor):
    expected = predict_features(model, features(several(), DESCRIPTOR, NUMBERS))
    assert_close(predictor(several()).polarizability, expected, 1e-11)


@pytest.mark.parametrize("summed_from", [0, np.inf])
def test_alpha_is_the_sum_of_its_atoms(predictor, summed_from):
    """Atoms that are no centres are still neighbours of the others, in whichever order the model is applied."""
    predict = predictor.summing_from(summed_from)
    centres = np.random.default_rng(3).random(len(several().numbers)) < 0.4
    everything, some, others = predict(several()), predict(several(), centres), predict(several(), ~centres)
    assert_close(some.shares + others.shares, everything.shares, 1e-12)
    assert (some.outliers + others.outliers == everything.outliers).all()
    assert np.abs(some.shares - everything.shares).max() > 1e-3 * np.abs(everything.shares).max()


def test_bits_do_not_depend_on_the_batch(predictor):
    together = predictor(several())
    order = np.random.default_rng(0).permutation(len(several()))
    shuffled = predictor(several().take(order))
    alone = [predictor(several().take([k])) for k in range(len(several()))]
    for k, single in enumerate(alone):
        assert (single.shares[0] == together.shares[k]).all()
        assert (single.members[0] == together.members[k]).all()
    assert (shuffled.shares == together.shares[order]).all()
    assert (shuffled.outliers == together.outliers[order]).all()


def test_bits_do_not_depend_on_the_lane(predictor):
    """More atoms than are contracted together, in another order of frames."""
    many = training_frames()
    assert (np.bincount(many.numbers) > 2 * buffers.BATCH_ATOMS).sum() == 2
    order = np.random.default_rng(1).permutation(len(many))
    expected, shuffled = predictor(many), predictor(many.take(order))
    assert (shuffled.shares == expected.shares[order]).all()
    assert (shuffled.members == expected.members[order]).all()


@pytest.mark.parametrize("improper", [False, True])
def test_a_rotated_structure_has_the_rotated_tensor(predictor, improper):
    R = Rotation.random(random_state=4).as_matrix() * (-1 if improper else 1)
    structures = several().take([0, 1, 2, 3, 4, 5, 6])
    turned = replace(structures, positions=structures.positions @ R.T, cells=structures.cells @ R.T)
    before, after = predictor(structures), predictor(turned)
    assert_close(after.shares, R @ before.shares @ R.T)
    assert_close(after.members, R @ before.members @ R.T)


def test_translation_images_and_order_of_atoms_do_not_matter(predictor):
    positions, kinds, cell, _ = gas(0, 12, SKEW)
    rng = np.random.default_rng(1)
    images = positions + rng.integers(-3, 4, size=positions.shape) @ cell + [0.3, -11.0, 5.0]
    order = rng.permutation(12)
    shares = predictor(frames((positions, kinds, cell, True), (images[order], kinds[order], cell, True))).shares
    assert_close(shares[0], shares[1])


def test_a_supercell_has_its_multiple(predictor):
    positions, kinds, cell, _ = gas(2, 4, SKEW)
    shifts = np.array([[a, b, c] for a in range(2) for b in range(3) for c in range(2)]) @ cell
    many = (positions[None] + shifts[:, None]).reshape(-1, 3)
    alpha = predictor(
        frames((positions, kinds, cell, True), (many, np.tile(kinds, 12), cell * [[2], [3], [2]], True))
    ).polarizability
    assert_close(alpha[1], 12 * alpha[0])


def test_a_cell_of_many_batches_of_atoms(model, predictor):
    large = frames(gas(9, 90, 13 * np.eye(3)))
    alpha = predictor(large).polarizability
    assert_close(alpha, predict_features(model, features(large, DESCRIPTOR, NUMBERS)))
    assert_close(alpha, np.swapaxes(alpha, 1, 2), 1e-14)


def test_summing_the_descriptor_first_gives_the_same(predictor):
    structures = frames(*(gas(k, 5 + 4 * k, 1.4 * SKEW if k % 2 else 1.4 * CUBE) for k in range(6)))
    directly, summed = predictor.summing_from(np.inf)(structures), predictor.summing_from(0)(structures)
    scale = np.abs(directly.members).max()
    np.testing.assert_allclose(summed.shares, directly.shares, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(summed.members, directly.members, rtol=0, atol=1e-12 * scale)
    assert (summed.outliers == directly.outliers).all()
    assert directly.outliers.any()


def test_small_and_large_frames_together(predictor):
    structures = frames(*(gas(k, 5 + 6 * k, 1.5 * CUBE) for k in range(6)))
    mixed = predictor.summing_from(20)
    together = mixed(structures)
    for k in range(6):
        alone = mixed(structures.take([k]))
        assert (alone.members[0] == together.members[k]).all()
        assert alone.outliers[0] == together.outliers[k]


def test_a_committee_is_summed_first_in_large_frames_only(predictor, labels):
    assert 10 < predictor.summed_from < 1000
    assert Predictor(fit_labels(labels, regularization=1e-4)[0]).summed_from == np.inf


def test_without_a_committee_there_are_no_members(labels):
    model, _ = fit_labels(labels, regularization=1e-4)
    assert len(model.members) == 0
    assert Predictor(model)(labels.frames.take([0])).members is None


def test_atoms_far_outside_the_training_range_are_counted(model, predictor, labels):
    assert predictor(labels.frames.take(model.train)).outliers.sum() == 0
    positions, kinds, cell, _ = gas(0, 12, CUBE)
    squeezed = positions.copy()
    squeezed[1] = squeezed[0] + [0.0, 0.0, 0.4]
    assert predictor(frames((squeezed, kinds, cell, True))).outliers[0] >= 1


def test_other_kinds_of_arrays_give_the_same_and_are_not_compiled_anew(predictor):
    structures = several()
    expected, X2 = predictor(structures).shares, features(structures, DESCRIPTOR, NUMBERS).X2
    loaded = object_cache.load_function.cache_info().misses
    other = replace(
        structures,
        positions=np.asfortranarray(structures.positions),
        cells=np.asfortranarray(structures.cells),
        first_atom=structures.first_atom.astype(np.int32),
        numbers=structures.numbers.astype(np.uint8),
    )
    for array in (other.positions, other.cells, other.first_atom):
        array.setflags(write=False)
    assert (predictor(other).shares == expected).all()
    assert (features(other, DESCRIPTOR, NUMBERS).X2 == X2).all()
    assert object_cache.load_function.cache_info().misses == loaded


def test_prediction_loads_no_compiler(predictor, tmp_path):
    """What ranks receive and do, in a process of its own."""
    predictor(several())  # compiled and cached
    (tmp_path / "pickled").write_bytes(pickle.dumps((predictor, several())))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pickle, sys; predictor, frames = pickle.load(open(sys.argv[1], 'rb'));"
            "print(predictor(frames).polarizability.tobytes().hex(), *sys.modules)",
            str(tmp_path / "pickled"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # another installed copy has a cache of its own
    )
    numbers, *modules = done.stdout.split()
    assert numbers == predictor(several()).polarizability.tobytes().hex()
    assert not {"numba", "featomic", "scipy"} & set(modules)


def test_no_frames_no_predictions(predictor):
    prediction = predictor(several().take([]))
    assert prediction.shares.shape == (0, 2, 3, 3)
    assert prediction.members.shape == (0, 6, 3, 3)
