"""Scores of selection against closed forms, and that a candidate's score does not depend on its company."""

import numpy as np
import pytest

from mlraman_hpc.numerics.selection import ExpectedVariance, FarthestPoints, decay_time


def test_farthest_points_on_a_line():
    points = np.array([[0.0], [1.0], [4.0], [9.0], [10.0]])
    scorer, chosen = FarthestPoints(points, np.array([5.0])), []
    for _ in range(4):
        chosen.append(int(np.argmax(scorer.scores)))
        scorer.add(points[chosen[-1]])
    assert chosen == [0, 4, 2, 1]  # 0 and 10 are equally far from the centre; 4 is 4 from 0; then 1 and 9 are 1 away


@pytest.mark.parametrize("rows", [1, 5])
def test_expected_variance_is_that_of_the_inverse(rows):
    rng = np.random.default_rng(rows)
    spectrum, ridge = np.array([1.0, 0.5, 0.1, 0.01]), 0.03
    candidates = rng.normal(size=(7, rows, 4)) * np.sqrt(spectrum)
    scorer = ExpectedVariance(candidates, spectrum, ridge)
    precision = ridge * spectrum.sum() * np.eye(4)
    assert scorer.prior == pytest.approx(scorer.variance)
    for k in (3, 0):
        expected = [
            np.trace(np.linalg.inv(precision) @ np.diag(spectrum))
            - np.trace(np.linalg.inv(precision + x.T @ x) @ np.diag(spectrum))
            for x in candidates
        ]
        np.testing.assert_allclose(scorer.scores, expected, rtol=1e-9)
        scorer.add(candidates[k])
        precision += candidates[k].T @ candidates[k]
        assert scorer.variance == pytest.approx(np.trace(np.linalg.inv(precision) @ np.diag(spectrum)))


def test_scores_have_the_same_bits_in_any_company():
    rng = np.random.default_rng(0)
    candidates, spectrum = rng.normal(size=(40, 5, 30)), np.linspace(1, 0.01, 30)
    chosen = rng.normal(size=(3, 5, 30))
    whole, part = ExpectedVariance(candidates, spectrum, 0.01), ExpectedVariance(candidates[7:8], spectrum, 0.01)
    flat = candidates.reshape(40, -1)
    far, near = FarthestPoints(flat, np.zeros(150)), FarthestPoints(flat[7:8], np.zeros(150))
    for rows in chosen:
        for scorer in (whole, part):
            scorer.add(rows)
        for points in (far, near):
            points.add(rows.ravel())
    assert whole.scores[7] == part.scores[0] and far.scores[7] == near.scores[0]


def test_decay_time_of_an_exponential_and_of_what_revives():
    lags = np.array([0, 1, 2, 4, 8, 16, 32.0])
    assert decay_time(lags, np.exp(-lags / 8)) == pytest.approx(8)
    assert decay_time(lags, np.array([1, 0.1, 0.9, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(
        2 + 2 * (0.9 - 1 / np.e) / 0.9
    )
    assert decay_time(lags, np.full(7, 0.1)) == 0 and decay_time(lags, np.ones(7)) == 32
