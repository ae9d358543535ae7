from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import trapezoid

from mlraman_hpc.numerics.spectra.central_peak import average_of_spectra, low_frequency_weight
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.numerics.spectra.relaxation import Verdict
from mlraman_hpc.numerics.spectra.spectral_fit import Bins, Fit, falling_part, model, whittle
from mlraman_hpc.records.spectra import CentralPeak, Relaxation, RelaxingTerm
from tests.numerics.synthetic import Oscillator, Relaxator, anisotropic, gaussian_mean, isotropic, six_channels

RISE_OPTIONS = RamanOptions(laser_wavelength=None, most_modes=1)
FRAMES, INTERVAL, SEEDS = 3000, 40.0, 10
MODES = (Oscillator(90.0, 15.0), Oscillator(140.0, 12.0))


def series(relaxator, seed, frames=12000, interval=20.0):
    rng = np.random.default_rng(seed)
    terms = (*MODES, relaxator) if relaxator else MODES
    return sum(term.series(1, frames, interval, rng)[0] for term in terms)


def test_a_relaxator_beside_oscillators_is_found():
    peak = raman_spectrum(isotropic(series(Relaxator(15.0), 0)), 20.0).central_peak
    assert abs(peak.debye_width - 15) < 4 * peak.debye_width_error < 12
    assert abs(peak.debye_area - 1) < 4 * peak.debye_area_error < 0.8
    np.testing.assert_allclose(peak.mode_wavenumber, [90, 140], atol=4)
    assert peak.relaxation is Relaxation.RELAXES and peak.maximum_at_zero == 1
    assert abs(peak.relaxing_share - 1 / 3) < 4 * peak.relaxing_share_error < 0.3
    assert peak.verdict.startswith(f"{Relaxation.RELAXES} (probability 99 % or more): the best fit is 2 damped")


def test_no_relaxator_no_central_peak():
    peak = raman_spectrum(isotropic(series(None, 1)), 20.0).central_peak
    assert peak.debye_width is None and peak.relaxing_share == 0 and peak.relaxation is Relaxation.NONE
    assert "2 damped oscillators and a constant" in peak.verdict
    np.testing.assert_allclose(peak.mode_wavenumber, [90, 140], atol=4)


def test_too_short_a_series_says_so():
    peak = raman_spectrum(isotropic(series(Relaxator(15.0), 2)[:100]), 20.0).central_peak
    assert peak.verdict.startswith(Relaxation.TOO_FEW_POINTS) and peak.debye_width is None
    assert peak.relaxation is Relaxation.UNDECIDED and peak.probability is None


def test_verdicts_are_data_with_a_text():
    assert str(Verdict(Relaxation.NO_FLUCTUATION)) == "no fit: alpha does not fluctuate"
    assert str(Verdict(Relaxation.TOO_FEW_POINTS, points=7, end=250.0)) == (
        "no fit: only 7 independent points below 250 cm^-1; a longer trajectory is needed"
    )
    assert str(Verdict(Relaxation.UNDECIDED, modes=1, probability=0.5)) == (
        "undecided whether something relaxes (probability 50 %): the best fit is 1 damped oscillator and a constant"
    )
    found = Verdict(Relaxation.RELAXES, 0, 0, 2, 1, 0.97, resolution=1.0, width=12.34, error=2.5, share=0.426)
    begin = "something relaxes (probability 97 %): the best fit is 2 damped oscillators, 1 damped beyond oscillating, "
    end = " and a constant; 43 % of the fitted variance relaxes"
    assert str(found) == f"{begin}a Debye term of half width 12.3 +- 2.5 cm^-1{end}"
    at_bound = str(replace(found, error=np.nan))
    assert "half width 12.3 cm^-1 or more, the largest that is fitted, and a constant" in at_bound
    ranges = replace(found, lowest=0.9, highest=0.99)
    assert "something relaxes (probability 97 %, from 90 % to 99 % or more by the range of the fit): the best" in str(
        ranges
    )
    assert str(replace(found, lowest=0.96, highest=0.99)) == str(found)
    assert str(replace(found, width=1.2)) == f"{begin}a Debye term narrower than the trajectory resolves (1 cm^-1){end}"


SOFT, HARD = Oscillator(30.0, 6.0), Oscillator(120.0, 12.0)
PROCESSES = {  # terms, and what must and must not be said of them; series of 100 ps
    "soft mode": ([(1.0, SOFT), (1.0, HARD)], {Relaxation.NONE}),
    "damped soft mode": ([(1.0, Oscillator(60.0, 60.0)), (1.0, HARD)], {Relaxation.NONE, Relaxation.UNDECIDED}),
    "relaxator beside a phonon": ([(1.0, Relaxator(40.0)), (3.0, Oscillator(75.0, 20.0))], {Relaxation.RELAXES}),
    "slow relaxator": ([(0.3, Relaxator(4.0)), (1.0, HARD)], {Relaxation.RELAXES}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_what_relaxes_is_told_from_soft_modes(name):
    terms, possible = PROCESSES[name]
    rng = np.random.default_rng(11)
    for _ in range(3):
        channels = sum(np.sqrt(area) * process.series(6, 5000, 20.0, rng) for area, process in terms)
        peak = raman_spectrum(six_channels(channels), 20.0).central_peak
        assert peak.relaxation in possible, peak.verdict


@pytest.mark.slow
def test_the_probability_is_the_mean_over_the_ranges_of_the_fit():
    """Bands between 150 and 250 cm^-1 that are no oscillators must not decide alone."""
    rng = np.random.default_rng(4)
    terms = [(0.3, Relaxator(40.0)), (1.0, Oscillator(75.0, 20.0))]
    terms += [(0.2, Oscillator(nu, 8.0)) for nu in (165.0, 190.0, 215.0, 240.0)]  # more than the fit has
    channels = sum(np.sqrt(area) * process.series(6, 2000, 20.0, rng) for area, process in terms)
    peak = raman_spectrum(six_channels(channels), 20.0).central_peak
    assert 0 <= peak.probability_lowest < peak.probability < peak.probability_highest <= 1
    assert peak.relaxation is Relaxation.of(peak.probability)
    assert peak.relaxing_below_error > 0


def test_what_cannot_be_seen_has_an_upper_bound():
    """Without relaxation the variance is zero within an error that is not zero: what might be hidden."""
    rng = np.random.default_rng(2)
    terms = PROCESSES["soft mode"][0]
    channels = sum(np.sqrt(area) * process.series(6, 1000, 20.0, rng) for area, process in terms)
    peak = raman_spectrum(six_channels(channels), 20.0).central_peak
    assert peak.relaxation is Relaxation.NONE
    assert 0 <= peak.relaxing_below < 2 * peak.relaxing_below_error < 0.2 * np.sum(channels.var(axis=1)) / 6


@pytest.mark.slow
def test_independent_runs_decide_together():
    """One fit of the mean density, with the weight of all runs, and a text that says what the numbers say."""
    rng = np.random.default_rng(8)
    terms = [(1.0, Relaxator(40.0)), (3.0, Oscillator(75.0, 20.0))]
    runs = []
    for _ in range(6):
        channels = sum(np.sqrt(area) * process.series(6, 500, 20.0, rng) for area, process in terms)
        runs.append(raman_spectrum(six_channels(channels), 20.0, blocks=4))
    mean = average_of_spectra(runs, most_modes=4)
    peak = mean.central_peak
    assert sum(run.central_peak.probability < 0.95 for run in runs) >= 3 and peak.probability > 0.98
    assert peak.verdict.startswith(str(peak.relaxation)) and peak.relaxation is Relaxation.RELAXES
    assert mean.frames == 3000
    assert abs(peak.debye_width - 40) < 4 * peak.debye_width_error < 60
    weights = [run.central_peak.weight for run in runs]
    assert peak.weight == pytest.approx(np.mean(weights), rel=1e-12)


def test_low_frequency_weight_between_grid_points():
    nu = np.arange(0, 101.0)
    assert low_frequency_weight(nu, np.ones(101), 50.25) == pytest.approx(0.5025)
    assert low_frequency_weight(nu, np.ones(101), 1e4) == pytest.approx(1.0)


@pytest.mark.slow
def test_zero_frequency_limit_is_unbiased_and_has_an_error_bar():
    rng = np.random.default_rng(3)
    process = Relaxator(30.0)
    x, y = process.series(60, 4000, 20.0, rng), process.series(60, 4000, 20.0, rng)
    peaks = [
        raman_spectrum(isotropic(a) + 2 * anisotropic(b), 20.0, RamanOptions(most_modes=0)).central_peak
        for a, b in zip(x, y)
    ]
    fine = np.arange(0, 833, 0.2)
    truth = gaussian_mean(fine, process.density(fine, 20.0), np.zeros(1), 4.0)[0]
    for name, expected in (("isotropic", truth), ("anisotropic", 4 * truth)):
        value = np.array([getattr(peak, f"zero_{name}") for peak in peaks])
        error = np.array([getattr(peak, f"zero_{name}_error") for peak in peaks])
        assert abs(value.mean() / expected - 1) < 4 * value.std() / expected / np.sqrt(60)
        assert 0.5 < np.mean(np.abs(value - expected) < error) < 0.85


TERMS = {  # logarithms are taken of these: the constant, the relaxing term, one oscillator
    RelaxingTerm.NONE: [0.1, 30.0, 90.0, 0.2],
    RelaxingTerm.DEBYE: [0.1, 20.0, 12.0, 30.0, 90.0, 0.2],
    RelaxingTerm.TWO_DEBYE: [0.1, 20.0, 12.0, 8.0, 40.0, 30.0, 90.0, 0.2],
    RelaxingTerm.COLE_COLE: [0.1, 20.0, 12.0, 0.6, 30.0, 90.0, 0.2],
}


@pytest.mark.parametrize("term", TERMS)
def test_gradient_of_the_likelihood(term):
    bins = Bins(np.linspace(1, 200, 50), np.random.default_rng(0).exponential(size=50), np.full(50, 3.0), 1.0)
    theta = np.log(TERMS[term])
    _, gradient = whittle(theta, term, bins)
    for k in range(len(theta)):
        step = np.eye(len(theta))[k] * 1e-6
        numeric = (whittle(theta + step, term, bins)[0] - whittle(theta - step, term, bins)[0]) / 2e-6
        assert gradient[k] == pytest.approx(numeric, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("term", TERMS)
def test_terms_are_normalised(term):
    """Each area is the variance that the term carries."""
    nu = np.geomspace(1e-12, 1e12, 400001)
    theta = np.log([1e-30, *TERMS[term][1:]])
    variance = trapezoid(model(theta, term, nu)[0], nu)
    expected = {RelaxingTerm.NONE: 30.0, RelaxingTerm.TWO_DEBYE: 58.0}.get(term, 50.0)
    assert variance == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("term", [term for term in TERMS if term is not RelaxingTerm.NONE])
def test_the_record_draws_the_term_that_was_fitted(term):
    area, width, *rest = TERMS[term][1 : 1 + term.parameters]
    more = {}
    if term is RelaxingTerm.TWO_DEBYE:
        more = {"second_debye_area": rest[0], "second_debye_width": rest[1]}
    if term is RelaxingTerm.COLE_COLE:
        more = {"cole_cole_exponent": rest[0]}
    peak = CentralPeak(50.0, 0.1, 0.01, 1.0, 0.1, 1.0, 0.1, debye_area=area, debye_width=width, **more)
    assert peak.term is term
    nu = np.linspace(1, 200, 50)
    theta = np.log([1e-30, area, width, *rest])
    np.testing.assert_allclose(peak.relaxing_density(nu), model(theta, term, nu)[0], rtol=1e-12)


def test_cole_and_cole_at_exponent_one_is_debye():
    nu = np.linspace(0.5, 200, 50)
    debye, _ = model(np.log([0.1, 20.0, 12.0]), RelaxingTerm.DEBYE, nu)
    np.testing.assert_allclose(model(np.log([0.1, 20.0, 12.0, 1.0]), RelaxingTerm.COLE_COLE, nu)[0], debye, rtol=1e-12)


@pytest.mark.slow
def test_two_rates_and_a_distribution_of_rates_are_told_from_one_rate():
    rng = np.random.default_rng(5)
    rates = {
        RelaxingTerm.DEBYE: [(1.0, Relaxator(12.0))],
        RelaxingTerm.TWO_DEBYE: [(1.0, Relaxator(2.0)), (1.0, Relaxator(40.0))],
        RelaxingTerm.COLE_COLE: [(1 / 9, Relaxator(width)) for width in np.geomspace(0.6, 120.0, 9)],
    }
    for term, relaxators in rates.items():
        processes = [*relaxators, (1.0, Oscillator(140.0, 12.0))]
        channels = sum(np.sqrt(area) * process.series(6, 10000, 20.0, rng) for area, process in processes)
        peak = raman_spectrum(six_channels(channels), 20.0).central_peak
        assert peak.relaxation is Relaxation.RELAXES
        assert (peak.term is RelaxingTerm.DEBYE) is (term is RelaxingTerm.DEBYE), peak.verdict
        assert str(peak.term) in peak.verdict


def rises(terms):
    """(value, error) of each of many series; terms: [(variance, process)]"""
    rng = np.random.default_rng(7)
    series = sum(np.sqrt(area) * process.series(SEEDS, FRAMES, INTERVAL, rng) for area, process in terms)
    peaks = [raman_spectrum(isotropic(x), INTERVAL, RISE_OPTIONS).central_peak for x in series]
    return np.array([(peak.rise, peak.rise_error) for peak in peaks])


@pytest.mark.slow
def test_a_relaxator_rises_as_its_closed_form_says():
    terms = [(1.0, Relaxator(15.0)), (1.0, Oscillator(120.0, 20.0))]

    nu = np.linspace(0, 200, 4001)
    density = sum(area * process.density(nu, INTERVAL) for area, process in terms)
    smoothed = [gaussian_mean(nu, density, at, 4.0) for at in (np.array([0.0]), np.linspace(50, 100, 200))]
    expected = float(smoothed[0][0] / smoothed[1].mean())
    found = rises(terms)
    assert found[:, 0].mean() == pytest.approx(expected, abs=3 * found[:, 0].std() / np.sqrt(SEEDS))
    assert (found[:, 0] - 3 * found[:, 1] > 1).mean() > 0.7
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.6)


@pytest.mark.slow
def test_vibrations_alone_do_not_rise():
    found = rises([(1.0, Oscillator(120.0, 20.0)), (0.5, Oscillator(70.0, 10.0))])
    assert ((found[:, 0] - 1) / found[:, 1] > 3).sum() == 0
    assert found[:, 0].mean() < 0.2


def fit_of(term: RelaxingTerm, *values: float) -> Fit:
    return Fit(np.log(values), term, 0.0)


def test_falling_part_of_single_terms():
    area, width, cutoff = 2.0, 9.0, 50.0
    variance, half = falling_part(fit_of(RelaxingTerm.DEBYE, 1e-9, area, width), cutoff)
    level = 2 / np.pi * width / (width**2 + 4 * cutoff**2)
    assert variance == pytest.approx(area * (2 / np.pi * np.arctan(cutoff / width) - cutoff * level), rel=1e-3)
    assert 0.8 * width < half < width
    assert falling_part(fit_of(RelaxingTerm.NONE, 0.7), cutoff) == (0.0, pytest.approx(np.nan, nan_ok=True))
    soft = falling_part(fit_of(RelaxingTerm.NONE, 1e-9, area, 30.0, 0.1), cutoff)[0]
    assert 0 < soft < 2 / np.pi * area * 0.1 / 30 * cutoff  # its level at zero, as far as the cutoff


def test_falling_part_does_not_depend_on_the_terms():
    """A Debye term is two equal ones of half the area, and a Cole-Cole term of exponent one."""
    one = falling_part(fit_of(RelaxingTerm.DEBYE, 0.01, 2.0, 9.0), 50.0)
    two = falling_part(fit_of(RelaxingTerm.TWO_DEBYE, 0.01, 1.0, 9.0, 1.0, 9.0), 50.0)
    cole = falling_part(fit_of(RelaxingTerm.COLE_COLE, 0.01, 2.0, 9.0, 1.0), 50.0)
    assert one == pytest.approx(two, rel=1e-9) and one == pytest.approx(cole, rel=1e-6)


@pytest.mark.parametrize(("width", "bound"), [(1.0, 1), (25.0, 0)])
def test_limits_of_slow_relaxation_are_lower_bounds(width, bound):
    """50 ps resolve 0.67 cm^-1, and the smoothing has 4 cm^-1; the truth lies above the limit, not within its bar."""
    rng = np.random.default_rng(4)
    x = Relaxator(width).series(1, 5000, 10.0, rng)[0] + Oscillator(120.0, 12.0).series(1, 5000, 10.0, rng)[0]
    peak = raman_spectrum(isotropic(x), 10.0).central_peak
    assert peak.zero_is_lower_bound == bound
    truth = 2 / np.pi / width
    assert (peak.zero_isotropic + 2 * peak.zero_isotropic_error < truth) == bool(bound)
    assert (peak.zero_unsmoothed > 1.2) == bool(bound)
