"""The rise of the fluctuations towards zero wavenumber: closed form with a relaxator, none without."""

import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from tests.numerics.synthetic import Oscillator, Relaxator, gaussian_mean, isotropic

OPTIONS = RamanOptions(laser_wavelength=None, most_modes=1)
FRAMES, INTERVAL, SEEDS = 3000, 40.0, 10


def rises(parts):
    """(value, error) of each of many series; parts: [(variance, process)]"""
    rng = np.random.default_rng(7)
    series = sum(np.sqrt(area) * process.series(SEEDS, FRAMES, INTERVAL, rng) for area, process in parts)
    peaks = [raman_spectrum(isotropic(x), INTERVAL, OPTIONS).central_peak for x in series]
    return np.array([(peak.rise, peak.rise_error) for peak in peaks])


def test_a_relaxator_rises_as_its_closed_form_says():
    parts = [(1.0, Relaxator(15.0)), (1.0, Oscillator(120.0, 20.0))]

    nu = np.linspace(0, 200, 4001)
    density = sum(area * process.density(nu, INTERVAL) for area, process in parts)
    smoothed = [gaussian_mean(nu, density, at, 4.0) for at in (np.array([0.0]), np.linspace(50, 100, 200))]
    expected = float(smoothed[0][0] / smoothed[1].mean())
    found = rises(parts)
    assert found[:, 0].mean() == pytest.approx(expected, abs=3 * found[:, 0].std() / np.sqrt(SEEDS))
    assert (found[:, 0] - 3 * found[:, 1] > 1).mean() > 0.7
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.6)


def test_vibrations_alone_do_not_rise():
    found = rises([(1.0, Oscillator(120.0, 20.0)), (0.5, Oscillator(70.0, 10.0))])
    assert ((found[:, 0] - 1) / found[:, 1] > 3).sum() == 0
    assert found[:, 0].mean() < 0.2
