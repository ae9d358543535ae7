import pickle
import subprocess
import sys
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.model import regression as polarizability
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.kernels import buffers as loops
from mlraman_hpc.model.kernels import object_cache as machine_code
from mlraman_hpc.model.regression import Predictor, check_against_featomic, check_applicable, fit, predict_features
from mlraman_hpc.numerics.tensors import from_components, from_spherical
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor
from tests.model.structures import CUBE, SKEW, frames, gas, several

DESCRIPTOR = Descriptor(cutoff=4.0, cutoff_width=0.8, density_width=0.5, max_angular=3, max_radial=2)
NUMBERS = [3, 16]


def training_frames(count=24) -> Frames:
    """Cells of different shape and composition."""
    return frames(*(gas(100 + k, 8 + k % 4, SKEW if k % 2 else CUBE) for k in range(count)))


def labels_of(structures: Frames, noise=0.05) -> Labels:
    """Labels that are linear in the features, with a baseline for each species, and noise."""
    rng = np.random.default_rng(7)
    known = features(structures, DESCRIPTOR, NUMBERS)
    isotropic = np.sqrt(3) * known.composition @ [0.3, 2.9] + known.X0 @ rng.normal(size=known.X0.shape[1])
    alpha = from_spherical(isotropic, known.X2 @ rng.normal(size=known.X2.shape[2]))
    alpha += from_components(rng.normal(size=(len(alpha), 6))) * noise
    return Labels(structures, alpha, tuple(f"made up, frame {k}" for k in range(len(alpha))))


def fitted(labels: Labels, **options):
    rows = np.arange(len(labels))
    known = features(labels.frames, DESCRIPTOR, NUMBERS)
    return fit(known, labels, rows[: 2 * len(rows) // 3], rows[2 * len(rows) // 3 :], DESCRIPTOR, **options)


@pytest.fixture(scope="module")
def labels():
    return labels_of(training_frames())


@pytest.fixture(scope="module")
def model(labels):
    return fitted(labels, regularization=1e-4, committee=6)[0]


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model)


def moved(structures: Frames, **changes) -> Frames:
    return replace(structures, **changes)


def test_prediction_is_the_descriptor_times_the_weights(model, predictor):
    expected = predict_features(model, features(several(), DESCRIPTOR, NUMBERS))
    assert np.allclose(predictor(several()).polarizability, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_prediction_is_featomics(model, predictor):
    assert check_against_featomic(model, predictor, several()) < 1e-9


def test_a_wrong_weight_is_seen_by_the_check(model, predictor):
    wrong = replace(model, anisotropic=model.anisotropic * (1 + 1e-4))
    assert check_against_featomic(wrong, predictor, several()) > 1e-8


def test_some_of_the_atoms_are_enough_for_the_check(model, predictor, monkeypatch):
    monkeypatch.setattr(polarizability, "CHECKED", 2)
    chosen = polarizability._some_of_each(several())
    assert chosen.sum() < len(chosen)
    for k in range(len(several())):
        here = several().frame_of_atom == k
        kinds, counts = np.unique(several().numbers[here & chosen], return_counts=True)
        assert set(kinds) == set(several().numbers[here]) and counts.max() <= 2
    assert check_against_featomic(model, predictor, several()) < 1e-9
    wrong = replace(model, anisotropic=model.anisotropic * (1 + 1e-4))
    assert check_against_featomic(wrong, predictor, several()) > 1e-8


@pytest.mark.parametrize("summed_from", [0, np.inf])
def test_alpha_is_the_sum_of_its_atoms(predictor, summed_from):
    """Those that are left out of the sum are still neighbours of the others, whichever way the model is applied."""
    part = copy(predictor)
    part._summed_from = summed_from
    chosen = np.random.default_rng(3).random(len(several().numbers)) < 0.4
    whole, one, rest = part(several()), part(several(), chosen), part(several(), ~chosen)
    assert np.allclose(one.shares + rest.shares, whole.shares, rtol=0, atol=1e-12 * np.abs(whole.shares).max())
    assert (one.outliers + rest.outliers == whole.outliers).all()
    assert not np.allclose(one.shares, whole.shares)


def test_bits_do_not_depend_on_the_batch(predictor):
    whole = predictor(several())
    order = np.random.default_rng(0).permutation(len(several()))
    shuffled = predictor(several().take(order))
    alone = [predictor(several().take([k])) for k in range(len(several()))]
    for k, single in enumerate(alone):
        assert (single.shares[0] == whole.shares[k]).all()
        assert (single.members[0] == whole.members[k]).all()
    assert (shuffled.shares == whole.shares[order]).all()
    assert (shuffled.outliers == whole.outliers[order]).all()


def test_bits_do_not_depend_on_the_lane(predictor):
    """More atoms than are contracted side by side, in another order of frames."""
    many = training_frames()
    assert (np.bincount(many.numbers) > 2 * loops.LANES).sum() == 2
    order = np.random.default_rng(1).permutation(len(many))
    whole, shuffled = predictor(many), predictor(many.take(order))
    assert (shuffled.shares == whole.shares[order]).all()
    assert (shuffled.members == whole.members[order]).all()


@pytest.mark.parametrize("improper", [False, True])
def test_a_rotated_structure_has_the_rotated_tensor(predictor, improper):
    R = Rotation.random(random_state=4).as_matrix() * (-1 if improper else 1)
    structures = several().take([0, 1, 2, 3, 4, 5, 6])
    turned = moved(structures, positions=structures.positions @ R.T, cells=structures.cells @ R.T)
    before, after = predictor(structures), predictor(turned)
    scale = np.abs(before.shares).max()
    assert np.allclose(after.shares, R @ before.shares @ R.T, rtol=0, atol=1e-10 * scale)
    assert np.allclose(after.members, R @ before.members @ R.T, rtol=0, atol=1e-10 * scale)


def test_translation_images_and_order_of_atoms_do_not_matter(predictor):
    positions, kinds, cell, _ = gas(0, 12, SKEW)
    rng = np.random.default_rng(1)
    images = positions + rng.integers(-3, 4, size=positions.shape) @ cell + [0.3, -11.0, 5.0]
    order = rng.permutation(12)
    found = predictor(frames((positions, kinds, cell, True), (images[order], kinds[order], cell, True)))
    assert np.allclose(found.shares[0], found.shares[1], rtol=0, atol=1e-10 * np.abs(found.shares).max())


def test_a_supercell_has_its_multiple(predictor):
    positions, kinds, cell, _ = gas(2, 4, SKEW)
    shifts = np.array([[a, b, c] for a in range(2) for b in range(3) for c in range(2)]) @ cell
    many = (positions[None] + shifts[:, None]).reshape(-1, 3)
    found = predictor(
        frames((positions, kinds, cell, True), (many, np.tile(kinds, 12), cell * [[2], [3], [2]], True))
    ).polarizability
    assert np.allclose(found[1], 12 * found[0], rtol=1e-10)


def test_a_cell_of_many_chunks_of_atoms_is_the_sum_of_its_shares(model, predictor):
    large = frames(gas(9, 90, 13 * np.eye(3)))
    found = predictor(large)
    assert np.allclose(found.shares.sum(axis=1), predict_features(model, features(large, DESCRIPTOR, NUMBERS)))
    assert np.allclose(found.polarizability, np.swapaxes(found.polarizability, 1, 2))


def test_labels_without_noise_are_learnt(labels):
    exact = labels_of(labels.frames, noise=0)
    model, _ = fitted(exact, regularization=1e-10)
    found = Predictor(model)(exact.frames.take(model.train)).polarizability
    assert np.allclose(found, exact.polarizability[model.train], atol=1e-5 * np.abs(exact.polarizability).max())


def test_composition_alone_is_learnt_exactly():
    """alpha = sum_s N_s b_s 1 is all baseline, whatever the regularization."""
    structures = training_frames()
    composition = features(structures, DESCRIPTOR, NUMBERS).composition
    alpha = (composition @ [0.3, 2.9])[:, None, None] * np.eye(3)
    model, _ = fitted(Labels(structures, alpha, ("",) * len(alpha)), regularization=1.0)
    assert np.allclose(model.baseline, [0.3, 2.9])
    shares = Predictor(model)(structures).shares
    assert np.allclose(shares, (composition * [0.3, 2.9])[..., None, None] * np.eye(3), atol=1e-9)


def test_one_composition_has_the_smallest_baseline_that_fits():
    structures = frames(*(gas(k, 8, CUBE) for k in range(9)))
    model, _ = fitted(labels_of(structures), regularization=1e3)
    assert model.baseline[0] == pytest.approx(model.baseline[1])


def summing_from(predictor, atoms):
    changed = copy(predictor)
    changed._summed_from = atoms
    return changed


def test_summing_the_descriptor_first_gives_the_same(predictor):
    structures = frames(*(gas(k, 5 + 4 * k, 1.4 * SKEW if k % 2 else 1.4 * CUBE) for k in range(6)))
    directly, summed = summing_from(predictor, np.inf)(structures), summing_from(predictor, 0)(structures)
    scale = np.abs(directly.members).max()
    assert np.abs(summed.shares - directly.shares).max() < 1e-12 * scale
    assert np.abs(summed.members - directly.members).max() < 1e-12 * scale
    assert (summed.outliers == directly.outliers).all()
    assert directly.outliers.any()


def test_each_frame_goes_its_own_way(predictor):
    structures = frames(*(gas(k, 5 + 6 * k, 1.5 * CUBE) for k in range(6)))
    mixed = summing_from(predictor, 20)
    together = mixed(structures)
    for k in range(6):
        alone = mixed(structures.take([k]))
        assert (alone.members[0] == together.members[k]).all()
        assert alone.outliers[0] == together.outliers[k]


def test_a_committee_is_summed_first_in_large_frames_only(predictor, labels):
    assert 10 < predictor._summed_from < 1000
    assert Predictor(fitted(labels, regularization=1e-4)[0])._summed_from == np.inf


def test_members_spread_around_the_model(model, predictor, labels):
    found = predictor(labels.frames)
    assert found.members.shape == (len(labels), 6, 3, 3)
    assert len(model.members) == 6
    assert np.allclose(found.members.mean(axis=1), found.polarizability, atol=1e-9 * np.abs(found.members).max())
    spread = found.members[model.test].std(axis=1, ddof=1)
    error = (found.polarizability - labels.polarizability)[model.test]
    assert 0.3 < np.sqrt((spread**2).mean() / (error**2).mean()) < 3


def test_without_a_committee_there_are_no_members(labels):
    model, _ = fitted(labels, regularization=1e-4)
    assert len(model.members) == 0
    assert Predictor(model)(labels.frames.take([0])).members is None


def test_the_same_seed_gives_the_same_committee(labels, model):
    again, _ = fitted(labels, regularization=1e-4, committee=6)
    other, _ = fitted(labels, regularization=1e-4, committee=6, seed=1)
    assert (again.committee_anisotropic == model.committee_anisotropic).all()
    assert (other.committee_anisotropic != model.committee_anisotropic).any()


def test_regularization_is_chosen_for_each_part(labels):
    model, warnings = fitted(labels)
    assert set(model.regularization) == {"isotropic", "anisotropic"}
    assert all(1e-12 < value < 1e2 for value in model.regularization.values())
    assert warnings == ()


def test_the_edge_of_the_grid_is_reported(labels):
    """Isotropic labels leave nothing to learn for lambda = 2."""
    scalar = labels.polarizability[:, :1, :1] * np.eye(3)
    _, warnings = fitted(replace(labels, polarizability=scalar))
    assert any("lambda = 2" in text and "upper end of the grid" in text for text in warnings)


def test_a_structure_that_is_there_twice_is_reported(labels):
    twice = labels.take([*range(len(labels)), 3])
    _, warnings = fitted(twice, regularization=1e-4)
    assert warnings == (
        "made up, frame 3 and made up, frame 3 are the same structure; of 1 one is trained and the other tested on: "
        "the scores flatter the model",
    )
    assert fitted(labels, regularization=1e-4)[1] == ()


def test_atoms_far_outside_the_training_range_are_counted(model, predictor, labels):
    assert predictor(labels.frames.take(model.train)).outliers.sum() == 0
    positions, kinds, cell, _ = gas(0, 12, CUBE)
    squeezed = positions.copy()
    squeezed[1] = squeezed[0] + [0.0, 0.0, 0.4]
    assert predictor(frames((squeezed, kinds, cell, True))).outliers[0] >= 1


def test_applicable_to_what_it_was_trained_on(model, labels):
    check_applicable(model, ("S", "Li"), labels.frames)
    check_applicable(model, ("S",), several().take([3, 4]))


def test_unknown_elements_and_other_densities_are_refused(model, labels):
    with pytest.raises(DataError, match="contains Na, but the model was trained on Li, S only"):
        check_applicable(model, ("Li", "Na", "S"), labels.frames)
    thin = moved(labels.frames, cells=labels.frames.cells * 1.3)
    with pytest.raises(DataError, match=r"frame 0: 0\.0\d+ atoms/Angstrom\^3, but the model was trained on 0\.0\d+ to"):
        check_applicable(model, ("Li", "S"), thin)
    check_applicable(model, ("Li", "S"), thin, tolerance=2.0)
    with pytest.raises(DataError, match="frame 0: contains Na, but"):
        Predictor(model)(moved(labels.frames, numbers=np.where(labels.frames.numbers == 3, 11, 16)))


def test_damaged_input_is_one_message(labels, predictor):
    structures = labels.frames
    positions = structures.positions.copy()
    positions[structures.first_atom[2] + 4, 1] = np.nan
    with pytest.raises(DataError, match="frame 2: the position of atom 5 is not a number"):
        predictor(moved(structures, positions=positions))
    cells = structures.cells.copy()
    cells[1, 2] = cells[1, 0] + cells[1, 1]
    with pytest.raises(DataError, match="frame 1: the periodic cell has no volume"):
        predictor(moved(structures, cells=cells))
    alpha = labels.polarizability.copy()
    alpha[5, 0, 0] = np.inf
    with pytest.raises(DataError, match="made up, frame 5: the polarizability is not a number"):
        fitted(replace(labels, polarizability=alpha))
    with pytest.raises(DataError, match="at least 4 members"):
        fitted(labels, committee=2)
    with pytest.raises(DataError, match="too few"):
        fitted(labels.take([0, 1]))


def test_too_few_structures_to_choose_the_regularization():
    structures = frames(gas(0, 6, CUBE, numbers=(3,)), gas(1, 6, CUBE, numbers=(16,)), gas(2, 6, CUBE))
    with pytest.raises(DataError, match="too few to choose"):
        fitted(labels_of(structures))


@pytest.mark.filterwarnings("ignore")
def test_a_descriptor_beyond_featomic_is_one_message():
    with pytest.raises(DeckError, match=r"density_width 0\.2"):
        features(several(), replace(DESCRIPTOR, cutoff=8.0, density_width=0.2), NUMBERS)


def test_other_kinds_of_arrays_give_the_same_and_are_not_compiled_anew(predictor):
    structures = several()
    expected, known = predictor(structures), features(structures, DESCRIPTOR, NUMBERS)
    loaded = machine_code._function.cache_info().misses
    other = moved(
        structures,
        positions=np.asfortranarray(structures.positions),
        cells=np.asfortranarray(structures.cells),
        first_atom=structures.first_atom.astype(np.int32),
        numbers=structures.numbers.astype(np.uint8),
    )
    for array in (other.positions, other.cells, other.first_atom):
        array.setflags(write=False)
    assert (predictor(other).shares == expected.shares).all()
    assert (features(other, DESCRIPTOR, NUMBERS).X2 == known.X2).all()
    assert machine_code._function.cache_info().misses == loaded


def test_prediction_loads_no_compiler(predictor, tmp_path):
    """What ranks get and do, in a process of its own."""
    predictor(several())  # compiled and kept
    (tmp_path / "given").write_bytes(pickle.dumps((predictor, several())))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pickle, sys; predictor, frames = pickle.load(open(sys.argv[1], 'rb'));"
            "print(predictor(frames).polarizability.tobytes().hex(), *sys.modules)",
            str(tmp_path / "given"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    numbers, *modules = done.stdout.split()
    assert numbers == predictor(several()).polarizability.tobytes().hex()
    assert not {"numba", "featomic", "scipy"} & set(modules)


def test_no_frames_no_predictions(predictor):
    found = predictor(several().take([]))
    assert found.shares.shape == (0, 2, 3, 3)
    assert found.members.shape == (0, 6, 3, 3)
