"""Means of records and errors from the scatter between runs."""

from dataclasses import dataclass

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.run_average import average_of_runs
from mlraman_hpc.numerics.spectra.errorbars import student_factor


@dataclass(frozen=True)
class Inner:
    weight: float
    weight_error: float
    verdict: str = "fine"


@dataclass(frozen=True)
class Result:
    wavenumber: np.ndarray
    intensity: dict[str, np.ndarray]
    error_statistical: dict[str, np.ndarray] | None
    frames: int
    temperature: float
    inner: Inner
    warnings: tuple[str, ...] = ()


def run(seed: int, points: int = 5) -> Result:
    values = {"total": np.random.default_rng(seed).standard_normal(points)}
    inner = Inner(float(seed), 9.0)
    return Result(
        np.arange(points) * 1.0, values, {"total": np.full(points, 7.0)}, 10, 300.0 + seed, inner, (f"w{seed}",)
    )


def test_means_and_standard_errors():
    runs = [run(seed) for seed in range(4)]
    mean = average_of_runs(runs)
    all_values = np.array([each.intensity["total"] for each in runs])
    np.testing.assert_allclose(mean.intensity["total"], all_values.mean(axis=0), rtol=1e-12)
    factor = student_factor(3) / 2
    np.testing.assert_allclose(mean.error_statistical["total"], all_values.std(axis=0, ddof=1) * factor, rtol=1e-12)
    np.testing.assert_allclose([mean.inner.weight, mean.inner.weight_error], [1.5, np.std(range(4), ddof=1) * factor])
    assert mean.frames == 40 and mean.temperature == 301.5 and mean.warnings == ("w0", "w1", "w2", "w3")


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_bars_of_few_runs_hold_the_truth_as_often_as_bars_should(runs):
    mean = average_of_runs([run(seed, points=20000) for seed in range(runs)])
    covered = np.abs(mean.intensity["total"]) < mean.error_statistical["total"]
    assert covered.mean() == pytest.approx(0.6827, abs=0.015)


def test_runs_of_other_lengths_are_refused():
    with pytest.raises(DataError, match="differ in length"):
        average_of_runs([run(0), run(1, points=6)])


def test_what_a_run_lacks_is_left_out():
    from dataclasses import replace

    assert average_of_runs([run(0), replace(run(1), error_statistical=None)]).error_statistical is None
