"""Labels that do not fit the others: what is found, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlraman_hpc.numerics.regression import outliers
from mlraman_hpc.numerics.regression.outliers import LIMIT, from_medians, scale_of, search


def test_both_parts_are_beyond_the_limit_equally_rarely():
    assert pytest.approx(np.sqrt(stats.chi2.isf(2 * stats.norm.sf(LIMIT), 5)), rel=1e-4) == outliers._AS_FIVE
    assert pytest.approx(stats.chi2.median(5), rel=1e-6) == outliers._MEDIAN_CHI**2


def test_deviations_of_normal_residuals_are_those_of_a_normal_distribution():
    rng = np.random.default_rng(0)
    isotropic, anisotropic = 3 + 2 * rng.normal(size=100_000), 0.5 * rng.normal(size=(100_000, 5))
    scale = scale_of(isotropic, anisotropic)
    assert scale.isotropic == pytest.approx(2, rel=0.02) and scale.anisotropic == pytest.approx(0.5, rel=0.02)
    silent = np.zeros_like(anisotropic)
    assert (scale.deviations(isotropic, silent) > 2).mean() == pytest.approx(2 * stats.norm.sf(2), rel=0.05)
    assert (scale.deviations(isotropic, anisotropic) > LIMIT).sum() <= 1


def test_errors_that_are_small_beside_the_labels_are_no_outliers():
    residuals = np.r_[np.full(20, 1e-6), 1e-4], np.zeros((21, 5))
    labels = scale_of(np.linspace(-1, 1, 21), np.ones((21, 5)))
    assert scale_of(*residuals).deviations(*residuals)[-1] > LIMIT
    assert scale_of(*residuals, labels).deviations(*residuals)[-1] < 0.1


def line(count: int = 40):
    """A line through the origin, whose fit outliers bend: (x, y, residuals(kept))."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=count)
    y = 2 * x + 0.1 * rng.normal(size=count)

    def residuals(kept):
        result = np.empty(count)
        for k in range(count):
            rows = kept.copy()
            rows[k] = False
            result[k] = y[k] - x[k] * (x[rows] @ y[rows]) / (x[rows] @ x[rows])
        return result, np.full((count, 5), np.nan)

    return x, y, residuals


def test_a_small_outlier_behind_a_large_one_is_found():
    _, y, residuals = line()
    y[[7, 21]] += [100.0, 1.5]
    labels = scale_of(y, np.full((len(y), 5), np.nan))
    isotropic, anisotropic = residuals(np.ones(len(y), dtype=bool))
    at_once = scale_of(isotropic, anisotropic, labels).deviations(isotropic, anisotropic)
    assert np.flatnonzero(at_once > LIMIT).tolist() == [7]
    deviations, outside, scale = search(len(y), residuals, labels)
    assert np.flatnonzero(outside).tolist() == [7, 21]
    assert deviations[7] > deviations[21] > LIMIT and scale.isotropic == pytest.approx(0.1, rel=0.4)


def test_many_are_no_outliers():
    """Where a third does not fit, nothing is left out to look for more."""
    calls = []

    def residuals(kept):
        calls.append(kept)
        return np.r_[np.linspace(-1, 1, 28), np.full(12, 100.0)], np.full((40, 5), np.nan)

    _, outside, _ = search(40, residuals, scale_of(np.zeros(40), np.zeros((40, 5))))
    assert outside.sum() == 12 and len(calls) == 1


def test_distance_from_the_median_of_the_same_composition():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1, 2], [20, 20, 3])
    isotropic = np.array([100.0, 900.0, 5.0])[group] + rng.normal(size=43)
    anisotropic = rng.normal(size=(43, 5))
    isotropic[11] += 12
    anisotropic[30] += [0, 0, 12, 0, 0]
    deviations = from_medians(isotropic, anisotropic, group)
    assert np.flatnonzero(np.nan_to_num(deviations) > LIMIT).tolist() == [11, 30]
    assert np.isnan(deviations[40:]).all()  # three of a kind have no median that means anything
