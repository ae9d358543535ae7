"""What materials are ranked by, and which are not ranked with the others."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from mlraman_hpc.campaign.report import correlation_text
from mlraman_hpc.campaign.rows import Row, mark_extrapolated, mark_unlike
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.records.campaign import Ranking
from tests.numerics.synthetic import Oscillator, Relaxator, isotropic


def test_the_most_frequent_convention_is_that_of_the_ranking():
    rows = [Row(name, "", "done", convention=text) for name, text in zip("abcd", ("x 1; y 2", "x 3; y 2") * 2)]
    rows.append(Row("e", "", "done", convention="x 3; y 4"))
    rows.append(Row("f", "", "dynamics only"))
    mark_unlike(rows)
    assert [row.unlike for row in rows] == ["", "x 3 (the others: x 1)"] * 2 + [
        "x 3 (the others: x 1), y 4 (the others: y 2)",
        "",
    ]


def test_a_model_that_extrapolates_ranks_nothing():
    rows = [Row(name, "", "done", extrapolated=share) for name, share in zip("abc", (0.66, 0.14, np.nan))]
    mark_extrapolated(rows)
    assert [row.unlike for row in rows] == ["66 % of the atoms are outside the range of the model's labels", "", ""]


def ranking(**columns) -> Ranking:
    values = {item.name: None for item in fields(Ranking)} | columns
    return Ranking(**values)


def test_a_correlation_that_is_not_there_is_no_number():
    some = ranking(correlated=5, correlation=np.nan, correlation_interval=np.full(2, np.nan))
    assert "nan" not in correlation_text(some) and "the same for all" in correlation_text(some)
    assert "Too few" in correlation_text(replace(some, correlated=3))


def spectrum(terms, seed=0, mean=50.0, **options):
    """One channel beside a constant: (area, process) each, 4000 frames 20 fs apart."""
    rng = np.random.default_rng(seed)
    series = sum(np.sqrt(area) * process.series(1, 4000, 20.0, rng)[0] for area, process in terms)
    return raman_spectrum(isotropic(mean + series), 20.0, RamanOptions(**options))


HARD = (3.0, Oscillator(120.0, 12.0))


@pytest.mark.slow
def test_it_is_the_variance_that_relaxes_whatever_the_convention():
    terms = [(1.0, Relaxator(12.0)), HARD]
    usual = spectrum(terms)
    usual = replace(usual, atoms=32)
    peak = usual.central_peak
    cut, level = 50.0, 2 / np.pi * 12 / (12**2 + 100**2)
    expected = 2 / np.pi * np.arctan(cut / 12) - cut * level
    assert abs(peak.relaxing_below - expected) < 4 * peak.full_relaxing_error < 1.0
    assert usual.relative(peak.relaxing_below) == pytest.approx(32 * peak.relaxing_below / usual.mean_polarizability**2)
    assert usual.mean_polarizability == pytest.approx(50, abs=0.5)
    for options in ({"temperature": 300.0}, {"laser_wavelength": None}):
        other = spectrum(terms, **options).central_peak
        assert other.relaxing_below == peak.relaxing_below and other.weight != peak.weight
    smoothed = spectrum(terms, smoothing=12.0).central_peak
    assert abs(smoothed.relaxing_below - peak.relaxing_below) < peak.full_relaxing_error


@pytest.mark.slow
def test_a_soft_crystal_does_not_outrank_what_relaxes():
    soft = spectrum([(3.0, Oscillator(30.0, 4.0)), HARD]).central_peak
    relaxing = spectrum([(0.3, Relaxator(15.0)), HARD]).central_peak
    assert soft.weight > relaxing.weight  # so it was ranked
    assert soft.relaxing_below < 0.1 * relaxing.relaxing_below
