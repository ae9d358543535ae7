import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from tests.numerics.synthetic import Oscillator, isotropic


def warnings(x, interval=10.0, **options):
    return raman_spectrum(isotropic(x), interval, RamanOptions(most_modes=0, **options)).warnings


def healthy(seed=0, count=1):
    return Oscillator(200.0, 20.0).series(count, 5000, 10.0, np.random.default_rng(seed))


@pytest.mark.slow
def test_a_healthy_series_gives_no_warning():
    assert sum(bool(warnings(x)) for x in healthy(0, 30)) <= 2


def test_aliasing_names_the_nyquist_wavenumber():
    x = Oscillator(300.0, 20.0).series(1, 5000, 50.0, np.random.default_rng(1))[0]
    assert any("Nyquist wavenumber, 334 cm^-1" in text for text in warnings(x, 50.0))


def test_a_short_trajectory():
    assert any("5 ps alone broadens bands" in text for text in warnings(healthy()[0][:500]))


def test_short_blocks():
    assert any("blocks of 2.5 ps are short" in text for text in warnings(healthy()[0][:2000]))


def test_a_drift():
    x = healthy()[0] + np.linspace(0, 3, 5000)
    found = warnings(x)
    assert any("alpha_" in text and "drifts by" in text for text in found)


def test_halves_that_differ():
    x = healthy()[0] * np.where(np.arange(5000) < 2500, 1.0, 3.0)
    assert any("two halves" in text and "not converged" in text for text in warnings(x))
