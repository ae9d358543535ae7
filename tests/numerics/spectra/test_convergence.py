"""Expected distances between spectra of parts of a series: closed-form limits, Gaussian series of known spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.errorbars import calibrate, expected_distance
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from tests.numerics.synthetic import Oscillator, isotropic

INTERVAL = 10.0
OPTIONS = RamanOptions(laser_wavelength=None, most_modes=0)


def test_long_series_differ_by_what_the_part_lacks():
    """The smoothing time is 1.3 ps: of a nanosecond, tapers at the ends apart, nothing else is left."""
    whole = spectrum_plan(100_000, INTERVAL, OPTIONS)
    for share in (0.25, 0.5, 0.75):
        expected = expected_distance(spectrum_plan(int(100_000 * share), INTERVAL, OPTIONS), whole)
        assert expected == pytest.approx(np.sqrt(1 / share - 1), rel=0.03)
    assert expected_distance(whole, whole) == 0


def test_without_smoothing_all_parts_vary_alike():
    """Periodograms vary by as much as they are large, whatever their length: sqrt(2 - 2 p)."""
    raw = replace(OPTIONS, smoothing=0.0)
    expected = expected_distance(spectrum_plan(500, INTERVAL, raw), spectrum_plan(20_000, INTERVAL, raw))
    assert expected == pytest.approx(np.sqrt(2 - 2 / 40), rel=0.02)


def test_distances_of_gaussian_series():
    """Ten picoseconds, two bands wider than the smoothing; 40 fixed series, within a tenth."""
    frames, parts = 1000, (64, 125, 250, 500)
    rng = np.random.default_rng(0)
    series = sum(mode.series(40, frames, INTERVAL, rng) for mode in (Oscillator(100.0, 60.0), Oscillator(400.0, 40.0)))
    whole, bare = spectrum_plan(frames, INTERVAL, OPTIONS), replace(OPTIONS, blocks=0)
    distances, errors = [], []
    for x in series:
        final = raman_spectrum(isotropic(x), INTERVAL, OPTIONS)
        spectra = [raman_spectrum(isotropic(x[:count]), INTERVAL, bare) for count in parts]
        scale = np.linalg.norm(final.intensity["total"])
        errors.append(np.linalg.norm(final.error_statistical["total"]) / calibrate(whole).student / scale)
        distances.append(
            [
                np.linalg.norm(
                    np.interp(final.wavenumber, one.wavenumber, one.intensity["total"]) - final.intensity["total"]
                )
                / scale
                for one in spectra
            ]
        )
    found = np.sqrt(np.mean(np.square(distances), axis=0))
    expected = [
        np.sqrt(np.mean(np.square(errors))) * expected_distance(spectrum_plan(count, INTERVAL, OPTIONS), whole)
        for count in parts
    ]
    np.testing.assert_allclose(expected, found, rtol=0.1)
