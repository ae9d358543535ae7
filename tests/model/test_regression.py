from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.model.regression import check_against_featomic, check_applicable, compared_atoms, density_range
from mlraman_hpc.numerics.regression import ridge
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.records.frames import Labels
from tests.model.small_model import DESCRIPTOR, NUMBERS, fit_labels, labels_of, training_frames
from tests.model.structures import CUBE, assert_close, frames, gas, several


def test_prediction_is_featomics(model, predictor):
    assert check_against_featomic(model, predictor, several()) < 1e-9


def test_a_wrong_weight_is_seen_by_the_check(model, predictor):
    wrong = replace(model, anisotropic=model.anisotropic * (1 + 1e-4))
    assert check_against_featomic(wrong, predictor, several()) > 1e-8


def test_some_of_the_atoms_are_enough_for_the_check(model, predictor):
    centres = compared_atoms(several(), 2)
    assert centres.sum() < len(centres)
    for k in range(len(several())):
        atoms = several().frame_of_atom == k
        elements, counts = np.unique(several().numbers[atoms & centres], return_counts=True)
        assert set(elements) == set(several().numbers[atoms]) and counts.max() <= 2
    assert check_against_featomic(model, predictor, several(), 2) < 1e-9
    wrong = replace(model, anisotropic=model.anisotropic * (1 + 1e-4))
    assert check_against_featomic(wrong, predictor, several(), 2) > 1e-8


def test_labels_without_noise_are_learnt(labels):
    exact = labels_of(labels.frames, noise=0)
    model, _ = fit_labels(exact, regularization=1e-10)
    alpha = Predictor(model)(exact.frames.take(model.train)).polarizability
    assert_close(alpha, exact.polarizability[model.train], 1e-5)


def test_composition_alone_is_learnt_exactly():
    """alpha = sum_s N_s b_s 1 is all baseline, whatever the regularization."""
    structures = training_frames()
    composition = features(structures, DESCRIPTOR, NUMBERS).composition
    alpha = (composition @ [0.3, 2.9])[:, None, None] * np.eye(3)
    model, _ = fit_labels(Labels(structures, alpha, ("",) * len(alpha)), regularization=1.0)
    assert_close(model.baseline, np.array([0.3, 2.9]), 1e-9)
    shares = Predictor(model)(structures).shares
    assert_close(shares, (composition * [0.3, 2.9])[..., None, None] * np.eye(3))


def test_one_composition_has_the_smallest_baseline_that_fits():
    structures = frames(*(gas(k, 8, CUBE) for k in range(9)))
    model, _ = fit_labels(labels_of(structures), regularization=1e3)
    assert model.baseline[0] == pytest.approx(model.baseline[1])


def test_members_spread_as_errors_do(model, predictor, labels):
    prediction = predictor(labels.frames)
    assert prediction.members.shape == (len(labels), 6, 3, 3)
    assert len(model.members) == 6
    spread = prediction.members[model.test].std(axis=1, ddof=1)
    error = (prediction.polarizability - labels.polarizability)[model.test]
    assert 0.3 < np.sqrt((spread**2).mean() / (error**2).mean()) < 3


def test_the_same_seed_gives_the_same_committee(labels, model):
    again, _ = fit_labels(labels, regularization=1e-4, committee=6)
    other, _ = fit_labels(labels, regularization=1e-4, committee=6, seed=1)
    assert (again.committee_anisotropic == model.committee_anisotropic).all()
    assert (other.committee_anisotropic != model.committee_anisotropic).any()


def test_regularization_is_chosen_for_each_part(labels):
    model, warnings = fit_labels(labels)
    assert set(model.regularization) == {"isotropic", "anisotropic"}
    assert all(1e-12 < value < 1e2 for value in model.regularization.values())
    assert warnings == ()


def test_the_edge_of_the_grid_is_reported(labels):
    """Isotropic labels leave nothing to learn for lambda = 2."""
    scalar = labels.polarizability[:, :1, :1] * np.eye(3)
    _, warnings = fit_labels(replace(labels, polarizability=scalar))
    assert any("lambda = 2" in text and "upper end of the grid" in text for text in warnings)


def test_a_structure_that_is_there_twice_is_reported(labels):
    twice = labels.take([*range(len(labels)), 3])
    _, warnings = fit_labels(twice, regularization=1e-4)
    assert warnings == (
        "made up, frame 3 and made up, frame 3 are the same structure; of 1 one is trained and the other tested on: "
        "the scores flatter the model",
    )
    assert fit_labels(labels, regularization=1e-4)[1] == ()


def test_applicable_to_what_it_was_trained_on(model, labels):
    check_applicable(model, ("S", "Li"), labels.frames)


def test_frames_in_vacuum_are_refused_where_all_labels_are_crystals(model, labels):
    with pytest.raises(DataError, match=r"frame 3 .* not periodic \(no cell, or pbc F F F\).*trajectory\.cell"):
        check_applicable(model, ("S",), several().take([3, 4]))
    both = replace(model, number_density=density_range(several()))
    check_applicable(both, ("S",), several().take([3, 4]))


def test_unknown_elements_and_other_densities_are_refused(model, labels):
    with pytest.raises(DataError, match="contains Na, but the model was trained on Li, S only"):
        check_applicable(model, ("Li", "Na", "S"), labels.frames)
    thin = replace(labels.frames, cells=labels.frames.cells * 1.3)
    with pytest.raises(DataError, match=r"frame 0: 0\.0\d+ atoms/Angstrom\^3, but the model was trained on 0\.0\d+ to"):
        check_applicable(model, ("Li", "S"), thin)
    check_applicable(model, ("Li", "S"), thin, tolerance=2.0)
    with pytest.raises(DataError, match="frame 0: contains Na, but"):
        Predictor(model)(replace(labels.frames, numbers=np.where(labels.frames.numbers == 3, 11, 16)))


def test_damaged_input_is_one_message(labels, predictor):
    structures = labels.frames
    positions = structures.positions.copy()
    positions[structures.first_atom[2] + 4, 1] = np.nan
    with pytest.raises(DataError, match="frame 2: the position of atom 5 is not a number"):
        predictor(replace(structures, positions=positions))
    cells = structures.cells.copy()
    cells[1, 2] = cells[1, 0] + cells[1, 1]
    with pytest.raises(DataError, match="frame 1: the periodic cell has no volume"):
        predictor(replace(structures, cells=cells))
    alpha = labels.polarizability.copy()
    alpha[5, 0, 0] = np.inf
    with pytest.raises(DataError, match="made up, frame 5: the polarizability is not a number"):
        fit_labels(replace(labels, polarizability=alpha))
    with pytest.raises(DataError, match="at least 4 members"):
        fit_labels(labels, committee=2)
    with pytest.raises(DataError, match="too few"):
        fit_labels(labels.take([0, 1]))


def test_too_few_structures_to_choose_the_regularization():
    structures = frames(gas(0, 6, CUBE, numbers=(3,)), gas(1, 6, CUBE, numbers=(16,)), gas(2, 6, CUBE))
    with pytest.raises(DataError, match="too few to choose"):
        fit_labels(labels_of(structures))


@pytest.mark.filterwarnings("ignore")
def test_a_descriptor_beyond_featomic_is_one_message():
    with pytest.raises(DeckError, match=r"density_width 0\.2"):
        features(several(), replace(DESCRIPTOR, cutoff=8.0, density_width=0.2), NUMBERS)


def test_the_mean_of_the_members_is_that_of_fits_to_halves_of_the_labels(labels):
    model, _ = fit_labels(labels, regularization=1e-4, committee=6)
    halves = ridge.half_samples(len(model.train), 6, 0)
    train = labels.take(model.train)
    weights = []
    for half in halves:
        X = features(train.frames.take(half), DESCRIPTOR, NUMBERS)
        scale = features(train.frames, DESCRIPTOR, NUMBERS)
        _, alpha2 = to_spherical(train.polarizability[half])
        flat = X.X2.reshape(-1, X.X2.shape[-1])
        kernel_scale = (scale.X2**2).sum() / (5 * len(train))
        duals = ridge.solve(flat @ flat.T / kernel_scale, alpha2.ravel(), 1e-4)
        weights.append(duals @ flat / kernel_scale)
    assert_close(model.committee_anisotropic.mean(axis=0), np.mean(weights, axis=0))
