"""Agreement with a measured spectrum: background, instrument's width, correlation coefficient and its error."""

import numpy as np
import pytest

from mlraman_hpc.numerics.spectra import agreement

NU = np.arange(0, 500, 0.5)
STEP = 0.5


def line(centre, sigma, height=1.0):
    return height * np.exp(-0.5 * ((NU - centre) / sigma) ** 2)


@pytest.mark.parametrize("kind, truth", [("none", (0, 0)), ("constant", (3, 0)), ("linear", (3, -0.01))])
def test_background_is_fitted_with_the_scale(kind, truth):
    computed = line(120, 8) + line(300, 20, 0.5)
    measured = 40 * computed + truth[0] + truth[1] * NU
    assert agreement.background(NU, measured, computed, kind) == pytest.approx(truth, abs=1e-9)


def test_a_line_is_as_wide_as_the_instrument_shows_it():
    width = agreement.added_width(10.0, 6.0)
    assert width == 8.0 and agreement.added_width(4.0, 6.0) == 0.0
    assert agreement.broadened(line(200, 6), STEP, width) == pytest.approx(line(200, 10, 0.6), abs=1e-6)
    edge = agreement.broadened(line(0, 6), STEP, width)  # continued evenly beyond zero
    assert edge == pytest.approx(line(0, 10, 0.6), abs=1e-6)


def test_correlation_does_not_see_scale_and_offset():
    computed = line(120, 8)
    assert agreement.correlation(computed, 7 * computed + 3) == pytest.approx(1)
    assert agreement.correlation(computed, -computed) == pytest.approx(-1)
    assert np.isnan(agreement.correlation(computed, np.ones(len(NU))))
    assert np.isnan(agreement.correlation_error(NU < 400, computed[NU < 400], np.ones(800), computed, STEP, 4.0, 0.0))


@pytest.mark.parametrize("smoothing, width", [(4.0, 0.0), (4.0, 6.0)])
def test_error_of_the_correlation_is_the_spread_over_spectra(smoothing, width):
    """Smoothed periodograms of Gaussian processes: chi squared values about the density, of known error."""
    rng = np.random.default_rng(1)
    density = 0.2 + line(120, 15) + line(300, 25, 0.6)
    measured = density + line(330, 25, 0.5)  # another shape, so that r is well below one
    inside = (NU >= 40) & (NU <= 450)
    values, errors = [], []
    for _ in range(400):
        periodogram = density * rng.exponential(size=len(NU))
        smoothed = agreement.broadened(periodogram, STEP, smoothing)
        expected = agreement.broadened(density**2, STEP, smoothing / np.sqrt(2))
        error = np.sqrt(expected * STEP / (2 * np.sqrt(np.pi) * smoothing))
        seen = agreement.broadened(smoothed, STEP, width)
        values.append(agreement.correlation(seen[inside], measured[inside]))
        errors.append(
            agreement.correlation_error(inside, seen[inside], measured[inside], error, STEP, smoothing, width)
        )
    assert 0.7 < np.mean(values) < 0.97
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)
