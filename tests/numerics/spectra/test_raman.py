from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import find_peaks

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import SECOND_RADIATION_CM_K, wavenumber_of_laser
from mlraman_hpc.numerics.spectra.correlation import integrate, taper_width
from mlraman_hpc.numerics.spectra.errorbars import student_factor
from mlraman_hpc.numerics.spectra.plan import spectrum_plan
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.numerics.spectra.smoothing import smooth
from tests.close import assert_close
from tests.helpers import DATA
from tests.numerics.synthetic import Oscillator, Relaxator, anisotropic, isotropic

BARE = RamanOptions(laser_wavelength=None, blocks=0)
NAMES = {"total", "isotropic", "anisotropic", "polarized", "depolarized", "susceptibility"}


def tone(nu0, frames=20000, interval=2.0, amplitude=0.1):
    return amplitude * np.cos(2 * np.pi * 2.99792458e-5 * nu0 * interval * np.arange(frames))


def area(result, name):
    return float(integrate(result.intensity[name], result.wavenumber[1]))


def test_a_tone_has_the_intensities_of_equation_s1():
    """alpha = a(t) 1 + b(t) diag(-1, -1, 2)/3: variances a^2/2 and gamma^2/2, times nu."""
    alpha = isotropic(tone(300.0)) + anisotropic(tone(700.0))
    result = raman_spectrum(alpha, 2.0, BARE)
    assert set(result.intensity) == NAMES == set(result.raw)
    assert area(result, "isotropic") == pytest.approx(0.005 * 300, rel=1e-5)
    assert area(result, "anisotropic") == pytest.approx(7 / 45 * 0.005 * 700, rel=1e-5)
    assert area(result, "depolarized") == pytest.approx(3 / 45 * 0.005 * 700, rel=1e-5)
    both = result.intensity["polarized"] + result.intensity["depolarized"]
    assert_close(result.intensity["total"], both, rtol=1e-12)
    peak = result.wavenumber[np.argmax(result.intensity["total"])]
    assert peak == pytest.approx(300, abs=0.5)
    ratio = result.depolarization_ratio
    assert ratio[np.argmin(np.abs(result.wavenumber - 700))] == pytest.approx(0.75, rel=1e-6)
    assert ratio[np.argmin(np.abs(result.wavenumber - 300))] == pytest.approx(0.0, abs=1e-6)


def test_a_tone_gets_the_width_asked_for():
    result = raman_spectrum(isotropic(tone(300.0)), 2.0, BARE)
    near = np.abs(result.wavenumber - 300) < 40
    nu, weight = result.wavenumber[near], result.intensity["total"][near]
    kernel = taper_width(spectrum_plan(len(isotropic(tone(300.0))), 2.0, BARE).h, 2.0)
    expected = np.hypot(4.0, kernel)  # variances of line shape and taper add up
    assert np.sqrt(weight @ (nu - 300) ** 2 / weight.sum()) == pytest.approx(expected, rel=1e-3)
    # sigma = 4 everywhere else: nothing under the tone's skirt
    assert result.intensity["total"][np.abs(result.wavenumber - 300) > 60].max() < 1e-7 * weight.max()


@pytest.mark.parametrize("fine", [{"step": 1e-9}, {"smoothing": 1e-9}])
def test_a_grid_that_no_memory_holds_is_refused(fine):
    with pytest.raises(DataError, match="'smoothing' or 'step'"):
        spectrum_plan(400, 1.0, RamanOptions(**fine))


def test_laser_and_temperature():
    alpha = isotropic(tone(300.0) + tone(1200.0))
    bare = raman_spectrum(alpha, 2.0, BARE)
    laser = raman_spectrum(alpha, 2.0, replace(BARE, laser_wavelength=532.0))
    warm = raman_spectrum(alpha, 2.0, replace(BARE, temperature=300.0))
    factor = (1 - bare.wavenumber / wavenumber_of_laser(532.0)) ** 4
    assert_close(laser.raw["total"][:5000], (bare.raw["total"] * factor)[:5000], rtol=1e-12)
    bose = 1 / -np.expm1(-SECOND_RADIATION_CM_K * bare.wavenumber[1:] / 300)
    assert_close(warm.raw["total"][1:], bare.raw["total"][1:] * bose, rtol=1e-12)
    assert_close(warm.intensity["susceptibility"], bare.intensity["total"], rtol=1e-12)


def test_zero_wavenumber_is_the_analytic_limit():
    x = Relaxator(15.0).series(1, 20000, 10.0, np.random.default_rng(0))[0]
    bare = raman_spectrum(isotropic(x), 10.0, BARE)
    warm = raman_spectrum(isotropic(x), 10.0, replace(BARE, temperature=500.0))
    assert bare.raw["total"][0] == 0
    s = warm.raw["total"][:20] / (500 / SECOND_RADIATION_CM_K)
    nu = warm.wavenumber[1:20]
    np.testing.assert_allclose(s[1:] / (bare.raw["total"][1:20] / nu), 1, rtol=0.05)
    for result in (bare, warm):
        assert all(np.isfinite(values).all() for values in result.intensity.values())


def test_raw_smoothed_is_the_intensity():
    alpha = isotropic(Oscillator(200.0, 10.0).series(1, 10000, 10.0, np.random.default_rng(1))[0])
    result = raman_spectrum(alpha, 10.0, BARE)
    assert_close(smooth(result.raw["total"], 10.0, 4.0), result.intensity["total"], rtol=1e-9)
    assert result.intensity["total"].min() >= 0
    assert result.raw["total"].min() > -1e-12 * result.raw["total"].max()


@pytest.mark.parametrize("interval, bands", [(10.0, (50, 200, 400, 800, 1200)), (100.0, (50, 100, 150))])
@pytest.mark.parametrize("frames", [1000, 4000])
def test_expected_band_areas_are_exact(interval, bands, frames):
    """The mean over all series: products of correlation function and taper, through everything else."""
    setup = spectrum_plan(frames, interval, BARE)
    overlap = np.correlate(setup.h, setup.h, "full")[frames - 1 :] / setup.power
    fine = np.arange(200001) / 200000 * setup.wavenumber[-1]
    for band in bands:
        mode = Oscillator(band, 8.0)
        correlation = _correlation(mode, fine, frames, interval)
        intensity = setup.smooth(setup.density(correlation * overlap) * setup.wavenumber)
        truth = mode.density(fine, interval) * fine
        assert integrate(intensity, setup.wavenumber[1]) == pytest.approx(integrate(truth, fine[1]), rel=1e-3)


def _correlation(mode, fine, lags, interval):
    from scipy.fft import dct

    density = mode.density(fine, interval)
    return dct(density, type=1)[:lags] * fine[1] / 2


def test_band_areas_of_many_series():
    """Mean over series within 4 standard errors, the 0.5 % level, aliases included; both invariants."""
    rng = np.random.default_rng(11)
    for interval, bands in ((10.0, (50, 200, 400, 800, 1200)), (100.0, (50, 100, 150))):
        modes = [Oscillator(nu, 25.0) for nu in bands]
        x, y = (sum(mode.series(120, 3000, interval, rng) for mode in modes) for _ in range(2))
        results = [raman_spectrum(isotropic(a) + anisotropic(b), interval, BARE) for a, b in zip(x, y)]
        nu = results[0].wavenumber
        fine = np.arange(20 * (len(nu) - 1) + 1) * nu[1] / 20
        truth = sum(mode.density(fine, interval) for mode in modes) * fine
        truth = smooth(truth, interval, 4.0)[::20]
        edges = [0, *(0.5 * (np.array(bands[1:]) + bands[:-1])), nu[-1] + 1]
        for low, high in pairwise(edges):
            inside = (nu >= low) & (nu < high)
            for name, share in (("isotropic", 1.0), ("anisotropic", 7 / 45)):
                ratio = np.array([one.intensity[name][inside].sum() for one in results]) / truth[inside].sum() / share
                assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio)) + 0.002


def test_no_floor_and_no_false_central_peak():
    """A crystal with bands at 110 and 300 cm^-1 only: nothing at low wavenumber, with and without temperature."""
    rng = np.random.default_rng(3)
    x = sum(Oscillator(nu, 3.0).series(1, 10000, 10.0, rng)[0] for nu in (110.0, 300.0))
    result = raman_spectrum(isotropic(x), 10.0, RamanOptions(temperature=300.0))
    total = result.intensity["total"]
    assert total[result.wavenumber < 60].max() < 0.01 * total.max()
    assert result.central_peak.weight < 0.01
    assert result.central_peak.debye_width is None


def test_species_add_up():
    rng = np.random.default_rng(4)
    shares = rng.normal(size=(600, 3, 3, 3)).cumsum(axis=0)
    shares = shares + np.swapaxes(shares, 2, 3)
    alpha = shares.sum(axis=1)
    result = raman_spectrum(alpha, 20.0, BARE, shares=shares, species=("Ag", "I", "S"))
    assert list(result.species) == ["Ag", "Ag-I", "Ag-S", "I", "I-S", "S"]
    total = result.intensity["total"]
    assert_close(sum(result.species.values()), total, rtol=1e-12)
    alone = raman_spectrum(shares[:, 1], 20.0, BARE)
    assert_close(result.species["I"], alone.intensity["total"], rtol=1e-10)


def test_committee_error_is_the_spread_of_its_spectra():
    rng = np.random.default_rng(5)
    x = tone(300.0, 2000, 10.0)
    scale = 1 + 0.05 * rng.normal(size=5)
    members = np.array([isotropic(s * x) for s in scale])
    result = raman_spectrum(members.mean(axis=0), 10.0, BARE, members=members)
    top = np.argmax(result.intensity["total"])
    alone = raman_spectrum(members.mean(axis=0), 10.0, BARE).intensity["total"][top] / scale.mean() ** 2
    further = student_factor(4) * np.sqrt(1 + 1 / 5)
    assert result.error_model["total"][top] == pytest.approx(alone * further * np.std(scale**2, ddof=1), rel=1e-9)
    assert result.intensity["total"][top] == pytest.approx(alone * np.mean(scale**2), rel=1e-9)
    assert result.error_statistical is None


def test_output_grid():
    alpha = isotropic(tone(300.0))
    fine = raman_spectrum(alpha, 2.0, BARE)
    coarse = raman_spectrum(alpha, 2.0, replace(BARE, step=1.0, max_wavenumber=500.0))
    assert coarse.wavenumber.tolist() == list(range(501))
    np.testing.assert_allclose(
        coarse.intensity["total"],
        np.interp(coarse.wavenumber, fine.wavenumber, fine.intensity["total"]),
        atol=0.01 * fine.intensity["total"].max(),
    )
    assert coarse.raw["total"].sum() == pytest.approx(area(fine, "total"), rel=1e-3)
    assert len(coarse.depolarization_ratio) == len(coarse.component["xx-xy"]) == 501


def test_long_series_are_broadened_within_the_smoothing(monkeypatch):
    """Fewer lags than frames: the same smoothed spectrum on a coarser grid."""
    from mlraman_hpc.numerics.spectra import plan as plans

    x = isotropic(Oscillator(300.0, 20.0).series(1, 40000, 10.0, np.random.default_rng(6))[0])
    options = replace(BARE, smoothing=8.0)
    full = raman_spectrum(x, 10.0, options)
    monkeypatch.setattr(plans, "MOST_LAGS", 64)
    short = raman_spectrum(x, 10.0, options)
    assert len(short.wavenumber) < len(full.wavenumber) / 5
    np.testing.assert_allclose(
        short.intensity["total"],
        np.interp(short.wavenumber, full.wavenumber, full.intensity["total"]),
        atol=5e-4 * full.intensity["total"].max(),
    )


def test_window_and_longest_lag():
    x = isotropic(Oscillator(300.0, 20.0).series(1, 5000, 10.0, np.random.default_rng(7))[0])
    limited = raman_spectrum(x, 10.0, replace(BARE, max_correlation_time=2000.0, window="hann"))
    free = raman_spectrum(x, 10.0, BARE)
    assert area(limited, "total") == pytest.approx(area(free, "total"), rel=1e-2)
    assert limited.intensity["total"].max() < free.intensity["total"].max()


def test_verlet_correction_moves_the_peak():
    phase = 1500.0 * 1.8836515673088532e-4 * 2.0
    x = isotropic(tone(np.arccos(1 - phase**2 / 2) / 2.0 / 1.8836515673088532e-4))
    corrected = raman_spectrum(x, 2.0, replace(BARE, time_step=2.0))
    near = np.abs(corrected.wavenumber - 1500) < 40
    nu, weight = corrected.wavenumber[near], corrected.intensity["total"][near]
    assert weight @ nu / weight.sum() == pytest.approx(1500, abs=0.05)
    with pytest.raises(DataError, match=r"time step of 5 fs is longer than the 2 fs"):
        raman_spectrum(x, 2.0, replace(BARE, time_step=5.0))


def test_what_cannot_be_computed_is_refused():
    alpha = isotropic(tone(300.0, 100))
    with pytest.raises(DataError, match=r"20 frames.*8 blocks needs 32"):
        raman_spectrum(alpha[:20], 2.0)
    with pytest.raises(DataError, match=r"shape \(frames, 3, 3\).*\(100, 9\)"):
        raman_spectrum(alpha.reshape(100, 9), 2.0)
    with pytest.raises(DataError, match="interval is 0 fs"):
        raman_spectrum(alpha, 0)
    with pytest.raises(DataError, match="one block"):
        raman_spectrum(alpha, 2.0, replace(BARE, blocks=1))
    broken = alpha.copy()
    broken[37, 0, 1] = np.nan
    with pytest.raises(DataError, match="frame 37 is not a finite number"):
        raman_spectrum(broken, 2.0)
    with pytest.raises(DataError, match="max_wavenumber"):
        raman_spectrum(alpha, 2.0, replace(BARE, max_wavenumber=1e-9))
    with pytest.raises(DataError, match=r"real numbers.*complex128"):
        raman_spectrum(1j * alpha, 2.0)
    with pytest.raises(DataError, match="different lengths"):
        raman_spectrum([[1.0, 2.0], [3.0]], 2.0)
    with pytest.raises(DataError, match=r"\(100, 3, 3\), expected \(members, 100, 3, 3\)"):
        raman_spectrum(alpha, 2.0, members=alpha)
    with pytest.raises(DataError, match=r"\(100, 3, 3\), expected \(100, 2, 3, 3\) for Ag, I"):
        raman_spectrum(alpha, 2.0, shares=alpha, species=("Ag", "I"))


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"window": "han"}, "window is 'han'; it must be one of none, hann"),
        ({"smoothing": -1.0}, "smoothing is -1.0"),
        ({"blocks": 2.5}, "blocks is 2.5; it must be an integer"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a positive number, or None"),
        ({"laser_wavelength": "green"}, "laser_wavelength is 'green'"),
    ],
)
def test_options_without_meaning_are_refused(option, text):
    with pytest.raises(DataError, match=text):
        raman_spectrum(isotropic(tone(300.0, 100)), 2.0, **option)


def test_options_may_be_keywords():
    alpha = isotropic(tone(300.0, 200))
    options = RamanOptions(smoothing=6.0, temperature=300.0, blocks=4)
    expected = raman_spectrum(alpha, 2.0, options)
    for result in (
        raman_spectrum(alpha.tolist(), 2, smoothing=6.0, temperature=300.0, blocks=4),
        raman_spectrum(alpha, 2.0, replace(options, smoothing=5.0), smoothing=6),
    ):
        np.testing.assert_array_equal(result.intensity["total"], expected.intensity["total"])  # the same code
        assert result.central_peak.verdict == expected.central_peak.verdict and result.warnings == expected.warnings
    with pytest.raises(TypeError, match="no option 'smothing'; there are smoothing, "):
        raman_spectrum(alpha, 2.0, smothing=6.0)


def test_a_constant_series_gives_zero_everywhere():
    result = raman_spectrum(np.tile(np.diag([1.0, 2.0, 3.0]), (200, 1, 1)), 10.0)
    assert result.intensity["total"].max() < result.nyquist * (1e-12 * 3.0) ** 2  # rounding of the mean
    assert np.isfinite(result.wavenumber).all()


def test_the_mirror_image_in_time_has_the_same_spectrum():
    alpha = np.random.default_rng(8).normal(size=(300, 3, 3)).cumsum(axis=0)
    forward, backward = raman_spectrum(alpha, 10.0, BARE), raman_spectrum(alpha[::-1], 10.0, BARE)
    assert_close(forward.intensity["total"], backward.intensity["total"], rtol=1e-9)


def test_quartz():
    """1000 VASP dielectric tensors 10 fs apart; peaks as other programs find them, mode symmetry as in experiment."""
    file = DATA / "sio2" / "alpha.dat"
    if not file.exists():
        pytest.skip("no shared data")
    columns = np.loadtxt(file)
    alpha = np.empty((len(columns), 3, 3))
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))):
        alpha[:, i, j] = alpha[:, j, i] = columns[:, k]
    result = raman_spectrum(alpha, 10.0)
    nu, total = result.wavenumber, result.intensity["total"]
    peaks = nu[find_peaks(total, height=0.02 * total.max())[0]]
    for expected in (117, 244, 272, 342, 506, 791, 1088):
        assert np.abs(peaks - expected).min() < 5
    for place in (117, 792):  # E modes: no trace
        assert result.depolarization_ratio[np.argmin(np.abs(nu - place))] == pytest.approx(0.75, abs=0.1)
    for place in (272, 506):  # A1
        assert result.depolarization_ratio[np.argmin(np.abs(nu - place))] < 0.1
    assert ["blocks of 1.2 ps" in text for text in result.warnings] == [True]


def test_a_wide_smoothing_is_no_aliasing():
    """A line at 300 cm^-1, frames 20 fs apart (Nyquist 834 cm^-1): nothing lies beyond, however much is smoothed."""
    time = np.arange(4000) * 20.0
    rng = np.random.default_rng(3)
    phase = 2 * np.pi * 300 * 2.99792458e-5 * time + 0.02 * rng.normal(size=time.size).cumsum()
    alpha = np.cos(phase)[:, None, None] * np.eye(3)
    for smoothing in (4.0, 400.0):
        warnings = raman_spectrum(alpha, 20.0, RamanOptions(smoothing=smoothing)).warnings
        assert not any("Nyquist" in str(text) for text in warnings)
