"""Raman intensity over density of states of harmonic oscillators, whose activities are known."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics.spectra.coupling import Ratio, States, coupling
from mlraman_hpc.numerics.spectra.vdos import vdos, vdos_plan, velocities_from_positions, velocity_products
from tests.close import assert_close

TENSOR = np.array([[1.0, 0.3, 0], [0.3, 2.0, 0.1], [0, 0.1, -0.5]])
ACTIVITY = np.trace(TENSOR) ** 2 / 9 + 7 / 45 * 1.5 * np.sum((TENSOR - np.trace(TENSOR) / 3 * np.eye(3)) ** 2)
ATOMS, FRAMES, INTERVAL, MASS = 60, 8000, 10.0, 30.0


def oscillators(wavenumbers: np.ndarray, seed: int) -> np.ndarray:
    """(atoms, 3, frames) positions, each coordinate an oscillator of its own with the mean energy of 300 K."""
    omega = RAD_PER_FS_PER_WAVENUMBER * wavenumbers[:, None]
    amplitude = np.sqrt(2 * BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K * 300 / MASS) / omega
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (len(omega), 1))
    return (amplitude * np.cos(omega * INTERVAL * np.arange(FRAMES) + phase)).reshape(-1, 3, FRAMES)


def states(positions: np.ndarray) -> States:
    plan = vdos_plan(FRAMES, INTERVAL, 4.0, 8)
    found = vdos([velocity_products(velocities_from_positions(positions, plan), plan)], [MASS], ATOMS, plan, True)
    return States(found.wavenumber, found.total, found.total_error, found.temperature)


def ratio(derivative: np.ndarray, every: int = 1, wavenumbers=None, seed: int = 0) -> tuple[States, Ratio]:
    """alpha = sum of `derivative` (oscillators,) times each mass-weighted coordinate, times TENSOR."""
    rng = np.random.default_rng(100 + seed)
    if wavenumbers is None:
        wavenumbers = np.concatenate([rng.uniform(20, 180, 90), rng.uniform(300, 400, 90)])
    positions = oscillators(wavenumbers, seed)
    sign = rng.choice([-1, 1], len(derivative))
    q = np.sqrt(MASS) * (sign * derivative) @ positions.reshape(-1, FRAMES)
    alpha = q[::every, None, None] * TENSOR + 50 * np.eye(3)
    known = states(positions)
    return known, coupling(alpha, vdos_plan(len(alpha), every * INTERVAL, 4.0, 8), known, 100.0)


def test_equal_activities_give_a_flat_ratio():
    """Mean over draws of phases: neighbouring modes interfere. Over 60 draws both bands are within 0.3 %."""
    wavenumbers = np.concatenate([np.linspace(20, 180, 90), np.linspace(300, 400, 90)])
    found = [ratio(np.ones(180), wavenumbers=wavenumbers, seed=seed) for seed in range(6)]
    values = np.array([one.value for _, one in found])
    nu = found[0][0].wavenumber
    for low, high in ((30, 170), (310, 390)):
        assert values[:, (nu > low) & (nu < high)].mean() == pytest.approx(ACTIVITY, rel=0.03)
    assert np.mean([one.low for _, one in found]) == pytest.approx(1.0, abs=0.1)
    assert np.mean([one.spread for _, one in found]) < 0.2


def test_far_apart_modes_are_exact_at_any_wavenumber():
    """Lines that do not overlap: no interference, the same smoothing above and below the fraction."""
    wavenumbers = np.tile([30.0, 120.0, 260.0], 60)
    derivative = np.zeros(180)
    derivative[:3] = 1.0  # one atom of sixty scatters: a sixtieth of the states
    known, found = ratio(derivative, wavenumbers=wavenumbers)
    for place in (30, 120, 260):
        near = np.abs(known.wavenumber - place) < 4
        assert_close(found.value[near], ACTIVITY / 60, rtol=0.02)


def test_there_is_no_ratio_without_states_or_beyond_nyquist():
    known, found = ratio(np.ones(180), every=5)  # 50 fs: ends at 334 cm^-1
    assert np.isnan(found.value[(known.wavenumber > 210) & (known.wavenumber < 270)]).all()
    assert np.isnan(found.value[known.wavenumber > 334]).all()
    assert np.isfinite(found.value[(known.wavenumber > 25) & (known.wavenumber < 175)]).all()


def test_errors_hold_the_truth_and_modes_that_do_not_scatter_are_seen():
    inside, low = [], []
    for seed in range(4):
        known, found = ratio(np.concatenate([np.zeros(90), np.ones(90)]), seed=seed)
        upper = (known.wavenumber > 310) & (known.wavenumber < 390)
        inside.append(np.mean(np.abs(found.value[upper] - ACTIVITY) < 2 * found.error[upper]))
        low.append(found.low)
    assert np.mean(inside) > 0.8
    assert np.mean(low) < 0.02


def test_a_polarizability_at_rest_couples_to_nothing():
    _, found = ratio(np.zeros(180))
    assert found.mean == 0 and np.isnan(found.low) and np.isnan(found.spread)


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_exponent_is_that_of_the_activities(power):
    """alpha'_m ~ nu^(p/2), so that C ~ nu^p; what is constant then has no spread."""
    wavenumbers = np.linspace(20, 380, 180)
    found = [ratio((wavenumbers / 100) ** (power / 2), wavenumbers=wavenumbers, seed=seed)[1] for seed in range(3)]
    exponents = np.array([one.exponent for one in found])
    assert exponents.mean() == pytest.approx(power, abs=0.15)
    assert all(0 < one.exponent_error < 0.5 for one in found)
    spreads = np.mean([(one.spread, one.intensity_spread, one.fluctuation_spread) for one in found], axis=0)
    assert np.argmin(spreads) == {0.0: 0, 1.0: 1, 1.5: np.argmin(spreads[:2])}[power]


def test_ratios_are_those_of_the_densities():
    known, found = ratio(np.ones(180))
    there = np.isfinite(found.value) & (known.wavenumber > 0)
    energy = BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K * known.temperature
    back = found.fluctuation * (RAD_PER_FS_PER_WAVENUMBER * known.wavenumber) ** 2 / energy
    assert_close(back[there], found.value[there], rtol=1e-12)
    assert_close(found.intensity[there], (known.wavenumber * found.fluctuation)[there], rtol=1e-12)
