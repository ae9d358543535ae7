from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.errorbars import (
    calibrate,
    calibrate_blocks,
    expected_distance,
    jackknife,
    student_factor,
)
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from tests.numerics.synthetic import Oscillator, Relaxator, anisotropic, gaussian_mean, isotropic

INTERVAL = 10.0
OPTIONS = RamanOptions(laser_wavelength=None, most_modes=0)


def test_student_factor():
    assert student_factor(1e9) == pytest.approx(1.0, rel=1e-6)
    assert student_factor(7) == pytest.approx(1.0767, abs=1e-3)


def test_jackknife_of_a_mean_is_the_standard_error():
    x = np.random.default_rng(0).normal(size=9)
    without = (x.sum() - x) / 8
    assert jackknife(without) == pytest.approx(x.std(ddof=1) / 3, rel=1e-12)


def test_separate_blocks_need_no_correction_but_students():
    weights = np.kron(np.eye(6), np.ones(20))
    calibration = calibrate_blocks(np.ones(120), weights, np.eye(120))
    assert calibration.degrees_of_freedom == pytest.approx(5)
    assert calibration.factor == pytest.approx(student_factor(5))


def test_blocks_that_share_more_get_larger_factors():
    factors = [calibrate(spectrum_plan(frames, 10.0, RamanOptions())).factor for frames in (1000, 4000, 100000)]
    assert factors[0] > factors[1] > factors[2] > 1.0767
    assert factors[2] < 1.2


@pytest.mark.slow
def test_error_bars_cover_the_truth():
    """68.27 % bars of 300 independent series hold the closed form in 60 to 76 % of them."""
    rng, count, frames = np.random.default_rng(1), 300, 2500
    modes = {"isotropic": Oscillator(300.0, 20.0), "anisotropic": Relaxator(15.0)}
    at = {"isotropic": np.array([290.0, 300.0, 310.0, 360.0]), "anisotropic": np.array([15.0, 60.0])}
    fine = np.arange(0, 1667, 0.2)
    truth = {name: gaussian_mean(fine, fine * mode.density(fine, 10.0), at[name], 4.0) for name, mode in modes.items()}
    x, y = (mode.series(count, frames, 10.0, rng) for mode in modes.values())
    held = {name: [] for name in modes}
    options = RamanOptions(laser_wavelength=None, most_modes=0)
    for a, b in zip(x, y):
        result = raman_spectrum(isotropic(a) + np.sqrt(45 / 7) * anisotropic(b), 10.0, options)
        for name in modes:
            value = np.interp(at[name], result.wavenumber, result.intensity[name])
            error = np.interp(at[name], result.wavenumber, result.error_statistical[name])
            held[name].append(np.abs(value - truth[name]) < error)
    for name in modes:
        assert 0.60 < np.mean(held[name]) < 0.76


def test_long_series_differ_by_what_the_part_lacks():
    """The smoothing time is 1.3 ps: of a nanosecond, tapers at the ends apart, nothing else is left."""
    full = spectrum_plan(100_000, INTERVAL, OPTIONS)
    for share in (0.25, 0.5, 0.75):
        expected = expected_distance(spectrum_plan(int(100_000 * share), INTERVAL, OPTIONS), full)
        assert expected == pytest.approx(np.sqrt(1 / share - 1), rel=0.03)
    assert expected_distance(full, full) == 0


def test_without_smoothing_all_parts_vary_alike():
    """Periodograms vary by as much as they are large, whatever their length: sqrt(2 - 2 p)."""
    raw = replace(OPTIONS, smoothing=0.0)
    expected = expected_distance(spectrum_plan(500, INTERVAL, raw), spectrum_plan(20_000, INTERVAL, raw))
    assert expected == pytest.approx(np.sqrt(2 - 2 / 40), rel=0.02)


@pytest.mark.slow
def test_distances_of_gaussian_series():
    """Ten picoseconds, two bands wider than the smoothing; 40 fixed series, within a tenth."""
    frames, parts = 1000, (64, 125, 250, 500)
    rng = np.random.default_rng(0)
    series = sum(mode.series(40, frames, INTERVAL, rng) for mode in (Oscillator(100.0, 60.0), Oscillator(400.0, 40.0)))
    full, bare = spectrum_plan(frames, INTERVAL, OPTIONS), replace(OPTIONS, blocks=0)
    distances, errors = [], []
    for x in series:
        final = raman_spectrum(isotropic(x), INTERVAL, OPTIONS)
        spectra = [raman_spectrum(isotropic(x[:count]), INTERVAL, bare) for count in parts]
        scale = np.linalg.norm(final.intensity["total"])
        errors.append(np.linalg.norm(final.error_statistical["total"]) / calibrate(full).student / scale)
        distances.append(
            [
                np.linalg.norm(
                    np.interp(final.wavenumber, spectrum.wavenumber, spectrum.intensity["total"])
                    - final.intensity["total"]
                )
                / scale
                for spectrum in spectra
            ]
        )
    found = np.sqrt(np.mean(np.square(distances), axis=0))
    expected = [
        np.sqrt(np.mean(np.square(errors))) * expected_distance(spectrum_plan(count, INTERVAL, OPTIONS), full)
        for count in parts
    ]
    np.testing.assert_allclose(expected, found, rtol=0.1)
