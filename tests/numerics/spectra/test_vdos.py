"""Density of states of oscillators and of a harmonic chain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra.correlation import Block, integrate, lagged_products, taper_width
from mlraman_hpc.numerics.spectra.plan import RamanOptions, spectrum_plan
from mlraman_hpc.numerics.spectra.vdos import vdos, vdos_plan, velocities_from_positions, velocity_products
from tests.close import assert_close
from tests.numerics.synthetic import oscillators


def chain(frames: int, interval: float, atoms: int = 12, top: float = 400.0, seed: int = 0):
    """Ring of equal masses and springs, every normal mode with the same energy: velocities and mode wavenumbers."""
    rng = np.random.default_rng(seed)
    modes = np.arange(1, atoms)
    nu = top * np.sin(np.pi * modes / atoms)
    t = np.arange(frames) * interval
    velocities = np.zeros((atoms, 3, frames))
    for axis in range(3):
        for mode, wavenumber in zip(modes, nu):
            angle = 2 * np.pi * mode * np.arange(atoms) / atoms
            shape = np.cos(angle) + np.sin(angle)
            shape /= np.linalg.norm(shape)
            phase = RAD_PER_FS_PER_WAVENUMBER * wavenumber * t + rng.uniform(0, 2 * np.pi)
            velocities[:, axis] += shape[:, None] * np.cos(phase) * 0.01
    return velocities, nu


@pytest.mark.parametrize("frames", [16000, 16001])
def test_derivative_of_positions_is_exact_close_to_the_nyquist_wavenumber(frames):
    interval = 10.0  # Nyquist 1668 cm^-1
    x, v = oscillators([50, 800, 1500], [0.1, 0.1, 0.1], frames, interval)
    plan = vdos_plan(frames, interval, 4.0, 8)
    error = (velocities_from_positions(x, plan) - v) * plan.h
    assert np.abs(error).max() < 5e-5 * np.abs(v).max()


def test_derivative_of_a_drifting_atom():
    frames, interval = 4000, 5.0
    plan = vdos_plan(frames, interval, 4.0, 8)
    x = np.broadcast_to(30 + 0.002 * interval * np.arange(frames), (1, 3, frames))
    assert_close(velocities_from_positions(x, plan)[..., 500:-500], 0.002, rtol=1e-4)


def test_oscillators_have_their_share_place_and_width():
    nu, frames, interval = [100.0, 300.0, 800.0], 20000, 2.0
    plan = vdos_plan(frames, interval, 4.0, 8)
    result = vdos([velocity_products(oscillators(nu, [1, 1, 1], frames, interval)[1], plan)], [20.0], 2, plan, True)
    assert integrate(result.total, result.wavenumber[1]) == pytest.approx(3, abs=1e-10)
    for wavenumber in nu:
        near = np.abs(result.wavenumber - wavenumber) < 40
        weight = result.total[near] / result.total[near].sum()
        mean = result.wavenumber[near] @ weight
        assert mean == pytest.approx(wavenumber, abs=0.01)
        variance = 4.0**2 + taper_width(plan.h, interval) ** 2  # nothing is deducted for the series' own broadening
        assert (result.wavenumber[near] - mean) ** 2 @ weight == pytest.approx(variance, rel=0.002)
        share = 3 * wavenumber**2 / np.sum(np.array(nu) ** 2)
        assert integrate(result.total[near], result.wavenumber[1]) == pytest.approx(share, rel=2e-3)


def damped(wavenumber: float, damping: float, atoms: int, frames: int, interval: float):
    """Positions and velocities (atoms, 3, frames) of damped oscillators in a bath, <v^2> = 1, sampled exactly."""
    omega, gamma = wavenumber * RAD_PER_FS_PER_WAVENUMBER, damping * RAD_PER_FS_PER_WAVENUMBER
    step = expm(np.array([[0.0, 1.0], [-(omega**2), -gamma]]) * interval)
    size = np.diag([1 / omega**2, 1.0])
    root, start = np.linalg.cholesky(size - step @ size @ step.T), np.linalg.cholesky(size)
    rng = np.random.default_rng(1)
    noise = root @ rng.normal(size=(frames, 2, 3 * atoms))
    states = np.empty((frames, 2, 3 * atoms))
    states[0] = start @ rng.normal(size=(2, 3 * atoms))
    for k in range(1, frames):
        states[k] = step @ states[k - 1] + noise[k]
    return states.transpose(1, 2, 0).reshape(2, atoms, 3, frames)


def test_damped_oscillators_have_the_closed_form():
    """g = 3 N (2/pi) gamma nu^2 / [(nu_0^2 - nu^2)^2 + gamma^2 nu^2], convolved with the whole Gaussian and no less."""
    frames, interval, sigma, damping = 4000, 5.0, 6.0, 12.0
    plan = vdos_plan(frames, interval, sigma, 8)
    fine = np.arange(0.0, 1200.0, 0.5)
    density = 2 / np.pi * damping * fine**2 / ((300.0**2 - fine**2) ** 2 + damping**2 * fine**2)
    x, v = damped(300.0, damping, 100, frames, interval)
    for velocities in (v, velocities_from_positions(x, plan)):
        found = vdos([velocity_products(velocities, plan)], [1.0], 101, plan, True)
        near = (found.wavenumber > 200) & (found.wavenumber < 400)
        nu = found.wavenumber[near]
        kernel = np.exp(-0.5 * ((nu[:, None] - fine) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        truth = 300 * kernel @ density * 0.5
        assert np.mean(np.abs(found.total[near] - truth) < 2 * found.total_error[near] + 0.01 * truth.max()) > 0.95
        assert np.linalg.norm(found.total[near] - truth) < 0.03 * np.linalg.norm(truth)
        assert found.total[near].max() == pytest.approx(truth.max(), rel=0.03)


@pytest.mark.parametrize("frames", [1000, 60])
def test_the_estimator_is_that_of_raman_spectra(frames):
    """One taper, and the line shape convolved in full, so that ratios of both spectra mean something."""
    interval, series = 10.0, np.random.default_rng(0).normal(size=(1, 3, frames))
    ours, theirs = vdos_plan(frames, interval, 4.0, 4), spectrum_plan(frames, interval, RamanOptions(smoothing=4.0))
    np.testing.assert_array_equal(ours.h, theirs.h)
    products = lagged_products(
        lambda start, stop: series[0, :, start:stop],
        theirs.h,
        [(i, i) for i in range(3)],
        theirs.lags,
        Block(0, np.ones(frames)),
    ).sum(axis=0)
    expected = theirs.smooth(theirs.density(products))
    found = ours.density(velocity_products(series, ours).sum(axis=0))
    assert_close(found, expected)


def test_positions_of_few_frames_give_the_velocities_of_a_drifting_atom():
    """Ramps of two frames would ring."""
    plan = vdos_plan(40, 5.0, 4.0, 4)
    x = np.broadcast_to(30 + 0.01 * np.arange(40), (1, 3, 40))
    error = (velocities_from_positions(x, plan) - 0.002) * plan.h
    assert np.sqrt(np.mean(error**2)) < 0.1 * 0.002


def test_harmonic_chain():
    """3 (N - 1) modes of equal energy: the integral over any gap-bounded range counts the modes in it."""
    frames, interval = 20000, 4.0
    velocities, nu = chain(frames, interval)
    plan = vdos_plan(frames, interval, 2.0, 8)
    result = vdos([velocity_products(velocities, plan)], [50.0], 12, plan, True)
    step = result.wavenumber[1]
    assert integrate(result.total, step) == pytest.approx(33, abs=1e-9)
    for wavenumber in np.unique(nu.round(6)):
        near = np.abs(result.wavenumber - wavenumber) < 6.5
        modes = 3 * np.sum(np.abs(nu - wavenumber) < 1e-3)
        assert integrate(result.total[near], step) == pytest.approx(modes, rel=0.12)


def test_temperature_and_shares_of_species():
    """Maxwell-Boltzmann velocities of two species: 300 K, 3 N_s each but for what the centre of mass takes."""
    rng = np.random.default_rng(0)
    frames, interval = 4000, 10.0
    plan = vdos_plan(frames, interval, 4.0, 8)
    masses, counts = [10.0, 100.0], [4, 6]
    velocities = [
        rng.normal(size=(count, 3, frames)) * np.sqrt(BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K * 300 / mass)
        for mass, count in zip(masses, counts)
    ]
    drift = sum(mass * v.sum(axis=0) for mass, v in zip(masses, velocities)) / 640.0
    products = [velocity_products(v - drift, plan) for v in velocities]
    result = vdos(products, masses, 10, plan, True)
    assert result.temperature == pytest.approx(300, rel=0.01)
    assert result.degrees.sum() == pytest.approx(27)
    assert_close(result.degrees, [12 - 3 * 40 / 640, 18 - 3 * 600 / 640], rtol=0.01)
    unweighted = vdos(products, masses, 10, plan, False)
    assert unweighted.degrees.sum() == pytest.approx(27)
    assert unweighted.degrees[0] / unweighted.degrees[1] > 5


def test_error_bars_cover_the_flat_spectrum_of_white_noise():
    frames, interval = 2000, 10.0
    plan = vdos_plan(frames, interval, 8.0, 8)
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        velocities = rng.normal(size=(2, 3, frames))
        result = vdos([velocity_products(velocities, plan)], [1.0], 2, plan, True)
        flat = 3 / result.wavenumber[-1]
        picked = slice(20, -20, 40)
        inside += (np.abs(result.total - flat) < result.total_error)[picked].tolist()
    assert 0.6 < np.mean(inside) < 0.76


def test_a_grid_that_no_memory_holds_is_refused():
    with pytest.raises(DataError, match="take a larger 'smoothing'"):
        vdos_plan(400, 1.0, 1e-9, 4)
