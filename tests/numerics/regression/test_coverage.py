"""Distance of an ensemble from the training set by the leverage of its rows."""

import numpy as np
import pytest

from mlraman_hpc.numerics.regression.coverage import DIRECTIONS, RIDGE, distance, training_coverage

AXES = np.random.default_rng(0).normal(size=(12, 40)) * np.geomspace(1, 0.05, 12)[:, None]


def rows(count, seed, shift=0.0, width=1.0):
    rng = np.random.default_rng(seed)
    return 5 + (width * rng.normal(size=(count, 12)) + shift * np.eye(12)[0]) @ AXES


def rms(coverage, values):
    return np.sqrt(np.mean(distance(coverage, values, np.ones((len(values), 1))) ** 2))


def test_frames_of_the_training_ensemble_are_at_distance_one_and_others_farther():
    coverage = training_coverage(rows(60, 1), np.ones((60, 1)))
    assert rms(coverage, rows(400, 2)) == pytest.approx(1, abs=0.12)
    assert rms(coverage, rows(400, 3, shift=5.0)) > 1.5
    assert rms(coverage, rows(400, 4, width=3.0)) > 2


def test_what_is_left_out_is_the_closed_form_of_leaving_out():
    values, few = rows(20, 5), 20
    coverage = training_coverage(values, np.ones((few, 1)))
    centred = values - values.mean(axis=0)
    expected = []
    for k in range(few):
        others = np.delete(centred, k, axis=0)
        matrix = others @ others.T / coverage.scale
        cross = others @ centred[k] / coverage.scale
        own = centred[k] @ centred[k] / coverage.scale
        expected.append((own - cross @ np.linalg.solve(matrix + RIDGE * np.eye(few - 1), cross)) / RIDGE)
    np.testing.assert_allclose(coverage.left_out, np.mean(expected), rtol=1e-8)


def test_directions_are_enough():
    """More rows than directions: the distance hardly changes."""
    values = rows(DIRECTIONS + 60, 6)
    coverage = training_coverage(values, np.ones((len(values), 1)))
    assert len(coverage.directions) <= 12
    np.testing.assert_allclose(coverage.directions @ coverage.directions.T, np.eye(len(coverage.directions)), atol=1e-8)


def test_composition_is_no_distance():
    """Structures of two sizes: what the number of atoms explains is taken off."""
    composition = np.repeat([[4.0], [8.0]], 20, axis=0)
    values = composition * (5 + 0.01 * np.random.default_rng(7).normal(size=(40, 40)))
    coverage = training_coverage(values, composition)
    more = np.array([[16.0]])
    same = distance(coverage, more * (5 + 0.01 * np.random.default_rng(8).normal(size=(1, 40))), more)
    assert same[0] < 4


def test_too_few_or_equal_rows_have_no_coverage():
    assert training_coverage(rows(7, 1), np.ones((7, 1))) is None
    assert training_coverage(np.ones((9, 40)), np.ones((9, 1))) is None
