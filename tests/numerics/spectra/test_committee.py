"""The spectrum with a committee: what is added, what the bars hold, and a truth that a shrunk model misses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlraman_hpc.numerics.spectra.committee import HALF_TO_ALL, CommitteeDensities
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.records.spectra import RamanSpectrum
from tests.numerics.synthetic import Oscillator, isotropic, six_channels

OPTIONS = RamanOptions(laser_wavelength=None, smoothing=6.0)


def test_bars_hold_a_further_member():
    """68.27 % of draws from the distribution that the members are from."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        values = rng.normal(size=9)
        found = CommitteeDensities(values[:8], np.zeros(1), np.zeros(1))
        inside.append(abs(values[8] - values[:8].mean()) < found.scatter(lambda x: x))
    assert np.mean(inside) == pytest.approx(stats.norm.cdf(1) - stats.norm.cdf(-1), abs=0.03)


def test_what_fewer_labels_miss_is_part_of_the_error():
    found = CommitteeDensities(np.ones((4, 2, 3)), np.full((2, 3), 5.0), np.full((2, 3), 4.5))
    assert found.bias(lambda x: x[..., 0, 0]) == pytest.approx(0.5 * HALF_TO_ALL)
    assert found.error(lambda x: x[..., 0, 0]) == pytest.approx(0.5 * HALF_TO_ALL)


def series(seed=0, frames=4000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return six_channels(sum(Oscillator(nu, 15.0).series(6, frames, 20.0, rng) for nu in (80.0, 250.0)))


def deviations(members=6, frames=4000) -> np.ndarray:
    rng = np.random.default_rng(5)
    parts = np.array([six_channels(0.4 * Oscillator(250.0, 40.0).series(6, frames, 20.0, rng)) for _ in range(members)])
    return parts - parts.mean(axis=0)


def test_the_spectrum_is_the_mean_of_those_of_the_members():
    alpha, d = series(frames=1000), deviations(4, 1000)
    found = raman_spectrum(alpha, 20.0, OPTIONS, members=0.9 * alpha + d)  # whatever their mean
    each = [raman_spectrum(alpha + part, 20.0, OPTIONS, blocks=0) for part in d]
    for name in ("total", "isotropic", "depolarized", "susceptibility"):
        mean = np.mean([item.intensity[name] for item in each], axis=0)
        np.testing.assert_allclose(found.intensity[name], mean, rtol=0, atol=1e-9 * mean.max())
    alone = raman_spectrum(alpha, 20.0, OPTIONS, blocks=0)
    added = found.intensity["total"] - alone.intensity["total"]
    np.testing.assert_allclose(found.added["total"], added, rtol=0, atol=1e-9 * added.max())
    component = np.mean([item.component["xx-yy"] for item in each], axis=0)
    np.testing.assert_allclose(found.component["xx-yy"], component, rtol=0, atol=1e-9 * np.abs(component).max())
    fewer = raman_spectrum(0.9 * alpha, 20.0, OPTIONS, blocks=0).intensity["total"]
    bias = HALF_TO_ALL * np.abs(alone.intensity["total"] - fewer)
    np.testing.assert_allclose(found.error_model_bias["total"], bias, rtol=1e-6, atol=1e-9 * bias.max())
    assert (found.error_model["total"] >= found.error_model_bias["total"]).all()
    peak = found.central_peak
    assert peak.weight_model_error > 0 and peak.relaxing_below_model_error is not None


def test_species_still_add_up_to_the_total():
    alpha, d = series(frames=500), deviations(4, 500)
    shares = np.stack([0.3 * alpha, 0.7 * alpha], axis=1)
    found = raman_spectrum(alpha, 20.0, OPTIONS, shares, ("A", "B"), alpha + d, blocks=0)
    total = np.sum(list(found.species.values()), axis=0)
    np.testing.assert_allclose(total, found.intensity["total"], rtol=0, atol=1e-9 * total.max())


def test_without_a_committee_nothing_is_added():
    found = raman_spectrum(series(frames=400), 20.0, OPTIONS)
    assert found.added is None and found.error_model is None and isinstance(found, RamanSpectrum)


def test_a_shrunk_model_gets_back_what_it_misses():
    """alpha = w x(t) of 12 modes, w by ridge regression of few noisy labels: posterior draws as the members."""
    rng = np.random.default_rng(3)
    modes, frames, labels, noise = 12, 1000, 14, 0.7
    x = np.concatenate([Oscillator(nu, 12.0).series(1, frames, 20.0, rng) for nu in np.linspace(60, 400, modes)])
    ratio, ratio_alone, held = [], [], []
    for _ in range(20):
        w = rng.normal(size=modes)
        rows = rng.permutation(frames)[:labels]
        X, y = x[:, rows].T, x[:, rows].T @ w + noise * rng.normal(size=labels)
        inverse = np.linalg.inv(X.T @ X + noise**2 * np.eye(modes))
        mean = inverse @ X.T @ y
        members = mean + rng.multivariate_normal(np.zeros(modes), noise**2 * inverse, size=8)
        alpha = isotropic(mean @ x)
        found = raman_spectrum(
            alpha, 20.0, OPTIONS, members=np.array([isotropic(each @ x) for each in members]), blocks=0
        )
        alone = raman_spectrum(alpha, 20.0, OPTIONS, blocks=0).intensity["total"]
        true = raman_spectrum(isotropic(w @ x), 20.0, OPTIONS, blocks=0).intensity["total"]
        ratio.append(found.intensity["total"].sum() / true.sum())
        ratio_alone.append(alone.sum() / true.sum())
        held.append(np.abs(found.intensity["total"] - true)[::8] < found.error_model["total"][::8])
    assert np.mean(ratio_alone) < 0.92  # shrunk
    assert abs(np.mean(ratio) - 1) < 0.06
    assert 0.6 < np.mean(held) < 0.9
