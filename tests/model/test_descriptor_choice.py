"""The choice of a descriptor: its grid, its errors against explicit leave-one-out, and its order of preference."""

from dataclasses import replace

import numpy as np

from mlraman_hpc.model.descriptor_choice import TOLERANCE, candidates, choose, chosen_descriptor, tuning
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.regression import fit, left_out_error, left_out_problem, predict_features
from mlraman_hpc.numerics.regression.scores import weighted_norm
from mlraman_hpc.reports.wording import tuning_sentence
from tests.model.small_model import DESCRIPTOR, NUMBERS, labels_of, training_frames


def test_candidates_differ_in_scaling_alone():
    grid = candidates(DESCRIPTOR)
    assert len(set(grid)) == len(grid) == 4
    assert grid[-1] == DESCRIPTOR == candidates(DESCRIPTOR, molecules=True)[0]
    assert {replace(descriptor, radial_scaling=None) for descriptor in grid} == {DESCRIPTOR}


def test_the_error_is_that_of_leaving_each_structure_out():
    labels = labels_of(training_frames(12))
    known, rows = features(labels.frames, DESCRIPTOR, NUMBERS), np.arange(12)
    mu = 1e-3
    problems = left_out_problem(known, labels)
    errors = []
    for k in rows:
        others = np.delete(rows, k)
        # a ridge parameter is relative to the variance of the features, which the one left out changes a little
        scales = [
            a.scale / b.scale for a, b in zip(problems, left_out_problem(known.take(others), labels.take(others)))
        ]
        parts = [fit(known, labels, others, [k], DESCRIPTOR, mu * scale)[0] for scale in scales]
        model = replace(parts[0], anisotropic=parts[1].anisotropic)
        errors.append(predict_features(model, known.take([k]))[0] - labels.polarizability[k])
    np.testing.assert_allclose(left_out_error(problems, mu), weighted_norm(np.array(errors)), rtol=1e-6)


def test_the_first_that_is_as_good_as_the_best_is_taken():
    assert choose(np.array([1.0 + 0.9 * TOLERANCE, 1.2, 1.0])) == 0
    assert choose(np.array([1.0 + 1.1 * TOLERANCE, 1.2, 1.0])) == 2
    assert choose(np.array([np.nan, 1.0])) == 1
    assert choose(np.full(3, np.nan)) == 0
    assert choose(np.array([1.07, 1.0]), molecules=True) == 0
    assert choose(np.array([1.09, 1.0]), molecules=True) == 1


def test_the_choice_in_words():
    labels = labels_of(training_frames(4))

    def words(*errors):
        choice = tuning(labels, np.array(errors))
        assert chosen_descriptor(choice, DESCRIPTOR) == candidates(DESCRIPTOR)[choice.chosen]
        return tuning_sentence(choice)

    assert "exponent 4; 40 % less leave-one-out error" in words(0.6, 0.7, 0.7, 1.0)
    assert "no radial scaling; with it the leave-one-out error is not clearly" in words(1.2, 1.3, 1.2, 1.0)
    assert "hardly matters" in words(1.0, 1.01, 1.02, 1.0)
    assert "too few" in words(*[np.nan] * 4)
