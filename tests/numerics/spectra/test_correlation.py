import numpy as np
import pytest

from mlraman_hpc.numerics.spectra import correlation
from mlraman_hpc.numerics.spectra.correlation import (
    Block,
    autocorrelation,
    grid_wavenumbers,
    integrate,
    lagged_products,
    nyquist,
    power_spectral_density,
    smooth_blocks,
    spectral_density,
    taper,
)
from tests.close import assert_close


@pytest.mark.parametrize("frames", [17, 1000, 1001])
@pytest.mark.parametrize("interval", [1.0, 37.5])
def test_the_integral_of_the_density_is_the_variance(frames, interval):
    x = np.random.default_rng(0).normal(size=(3, frames)).cumsum(axis=1)
    nu, density = power_spectral_density(x, interval)
    assert nu[-1] == pytest.approx(nyquist(interval), rel=1e-14)
    assert_close(integrate(density, nu[1]), x.var(axis=1), rtol=1e-12)
    assert density.min() > -1e-12 * density.max()


def test_a_sine_of_whole_periods_is_found_at_its_wavenumber():
    frames, interval = 6000, 10.0
    nu0 = nyquist(interval) / 10
    x = 3 * np.cos(np.pi / 10 * np.arange(frames))
    nu, density = power_spectral_density(x, interval, ramp=600)
    assert integrate(density, nu[1]) == pytest.approx(4.5, rel=1e-6)
    assert nu[np.argmax(density)] == pytest.approx(nu0, abs=nu[1])
    assert integrate(density * nu**2, nu[1]) == pytest.approx(4.5 * nu0**2, rel=1e-4)


def test_a_taper_keeps_an_open_ended_series_from_leaking():
    """A line between two Fourier frequencies: far away the plain periodogram falls as 1/nu^2, the tapered as 1/nu^6."""
    x = np.cos(0.031415 * np.arange(4003))
    nu, plain = power_spectral_density(x, 10.0)
    _, tapered = power_spectral_density(x, 10.0, ramp=400)
    far = nu > 1000
    assert tapered[far].max() < 1e-6 * plain[far].mean()


@pytest.mark.parametrize("blocks", [2, 5, 8])
def test_blocks_are_a_partition_of_unity_and_their_products_add_up(blocks):
    rng = np.random.default_rng(1)
    x, h = rng.normal(size=(2, 500)), taper(500, 60)
    whole = lagged_products(lambda a, b: x[:, a:b], h, [(0, 0), (0, 1)], 100, Block(0, np.ones(500)))
    parts = [block for block in smooth_blocks(h, blocks)]
    assert sum(block.at(np.arange(500)) for block in parts) == pytest.approx(np.ones(500), abs=1e-14)
    powers = [(block.at(np.arange(500)) * h * h).sum() for block in parts]
    assert powers == pytest.approx([powers[0]] * blocks, rel=0.05)
    summed = sum(lagged_products(lambda a, b: x[:, a:b], h, [(0, 0), (0, 1)], 100, block) for block in parts)
    assert_close(summed, whole)


def test_lagged_products_are_the_sums_they_say(monkeypatch):
    """Compared with direct summation, with the series cut into many segments."""
    monkeypatch.setattr(correlation, "SEGMENT", 64)
    rng = np.random.default_rng(2)
    x, h = rng.normal(size=(2, 333)), taper(333, 40)
    got = lagged_products(lambda a, b: x[:, a:b], h, [(0, 0), (0, 1)], 20, Block(0, np.ones(333)))
    y = x * h
    pairs = [(y[:, : 333 - k], y[:, k:]) for k in range(21)]
    assert_close(got[0], [now[0] @ ahead[0] for now, ahead in pairs])
    assert_close(got[1], [0.5 * (now[0] @ ahead[1] + now[1] @ ahead[0]) for now, ahead in pairs])


def test_autocorrelation_is_unbiased():
    x = np.random.default_rng(3).normal(size=50)
    y = x - x.mean()
    direct = [np.mean(y[: 50 - k] * y[k:]) for k in range(11)]
    assert_close(autocorrelation(x, 10), direct)


def test_density_of_an_exponential_correlation_is_a_lorentzian():
    from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
    from tests.numerics.synthetic import Relaxator

    decay = np.exp(-20 * RAD_PER_FS_PER_WAVENUMBER * 10 * np.arange(20000))
    nu = grid_wavenumbers(20001, 10.0)
    assert_close(spectral_density(decay, 20001, 10.0), Relaxator(20.0).density(nu, 10.0), rtol=1e-9)
