import numpy as np
import pytest

from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra.correlation import grid_wavenumbers, integrate, nyquist
from mlraman_hpc.numerics.spectra.smoothing import move_axis, resample, smooth, verlet_wavenumber, width_of
from tests.close import assert_close
from tests.numerics.synthetic import gaussian_mean

INTERVAL = 10.0
NU = grid_wavenumbers(4000, INTERVAL)


def test_a_gaussian_becomes_a_wider_gaussian():
    line = np.exp(-0.5 * ((NU - 500) / 3) ** 2)
    expected = 0.6 * np.exp(-0.5 * ((NU - 500) / 5) ** 2)
    assert_close(smooth(line, INTERVAL, 4.0), expected, rtol=1e-7)


def test_smoothing_is_the_convolution_with_a_gaussian_of_that_sigma():
    spectrum = NU * np.exp(-NU / 200) * (1 + np.sin(NU))
    assert_close(smooth(spectrum, INTERVAL, 4.0)[:3000], gaussian_mean(NU, spectrum, NU[:3000], 4.0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "lorentzian"])
def test_the_integral_stays_and_nothing_turns_negative(kind):
    spectrum = np.random.default_rng(0).exponential(size=(2, len(NU)))
    smoothed = smooth(spectrum, INTERVAL, 4.0, kind)
    assert_close(integrate(smoothed, NU[1]), integrate(spectrum, NU[1]), rtol=1e-12)
    assert smooth(np.eye(1, len(NU), 2000)[0], INTERVAL, 4.0, kind).min() >= 0


def test_a_line_becomes_a_lorentzian_of_that_half_width():
    line = np.zeros(len(NU))
    line[2000] = 1 / NU[1]
    expected = 4 / np.pi / ((NU - NU[2000]) ** 2 + 16)
    near = np.abs(NU - NU[2000]) < 100
    assert_close(smooth(line, INTERVAL, 4.0, "lorentzian")[near], expected[near], rtol=2e-2)


def test_widths():
    assert width_of(4.0, "gaussian", "sigma") == 4.0
    assert width_of(4.0, "lorentzian", "fwhm") == 2.0
    assert width_of(2.3548200450309493, "gaussian", "fwhm") == pytest.approx(1.0, rel=1e-12)


def test_verlet_axis_returns_the_true_frequency():
    """The discrete trajectory of a harmonic oscillator, integrated, oscillates at arccos(1 - (omega D)^2/2)/D."""
    step, nu = 5.0, np.array([100.0, 800.0, 1500.0])
    phase = nu * RAD_PER_FS_PER_WAVENUMBER * step
    shown = np.arccos(1 - phase**2 / 2) / step / RAD_PER_FS_PER_WAVENUMBER
    assert (shown > nu).all()
    assert_close(verlet_wavenumber(shown, step), nu, rtol=1e-12)


def test_moving_the_axis_keeps_areas():
    density = np.exp(-0.5 * ((NU - 1000) / 20) ** 2)
    moved = move_axis(density, NU, verlet_wavenumber(NU, 5.0))
    assert integrate(moved, NU[1]) == pytest.approx(integrate(density, NU[1]), rel=1e-9)
    assert moved @ NU / moved.sum() == pytest.approx(verlet_wavenumber(1000.0, 5.0), abs=0.1)


def test_resampling_keeps_areas():
    spectrum = np.exp(-0.5 * ((NU - 1000) / 20) ** 2)
    target = np.arange(0, nyquist(INTERVAL), 2.5)
    assert resample(spectrum, NU, target).sum() * 2.5 == pytest.approx(spectrum.sum() * NU[1], rel=1e-9)
