"""Activation energies from points of known energy and error."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.base.units import BOLTZMANN_EV_PER_K
from mlraman_hpc.numerics.transport.arrhenius import activation

TEMPERATURES = np.array([400.0, 500.0, 600.0, 800.0])


def diffusion(temperature, energy=0.25, prefactor=1e-3):
    return prefactor * np.exp(-energy / (BOLTZMANN_EV_PER_K * np.asarray(temperature, float)))


def test_exact_points_give_energy_prefactor_and_room_temperature():
    d = diffusion(TEMPERATURES)
    found = activation(TEMPERATURES, d, 0.1 * d)
    assert found.energy == pytest.approx(0.25) and np.exp(found.log_prefactor) == pytest.approx(1e-3)
    assert np.exp(found.log_diffusion(300.0)[0][0]) == pytest.approx(diffusion(300))
    assert found.chi2 == pytest.approx(0, abs=1e-9) and found.straight


def test_errors_are_those_of_repeated_measurements():
    rng = np.random.default_rng(0)
    relative = np.array([0.2, 0.1, 0.05, 0.05])
    fits = []
    for _ in range(500):
        d = diffusion(TEMPERATURES) * np.exp(relative * rng.normal(size=4))
        fits.append(activation(TEMPERATURES, d, relative * d))
    energies = np.array([fit.energy for fit in fits])
    unwidened = np.median([fit.energy_error for fit in fits])
    assert energies.mean() == pytest.approx(0.25, abs=3 * unwidened / np.sqrt(500))
    assert energies.std() == pytest.approx(unwidened, rel=0.1)
    rooms = np.array([fit.log_diffusion(300.0) for fit in fits])[..., 0]
    assert rooms[:, 0].std() == pytest.approx(np.median(rooms[:, 1]), rel=0.1)
    assert np.mean([fit.straight for fit in fits]) == pytest.approx(0.95, abs=0.03)


def test_two_points_have_no_chi2_and_one_has_no_fit():
    d = diffusion(TEMPERATURES[:2])
    found = activation(TEMPERATURES[:2], d, 0.1 * d)
    assert np.isnan(found.chi2) and np.isnan(found.probability) and found.straight
    kt = BOLTZMANN_EV_PER_K * TEMPERATURES[:2]
    assert found.energy_error == pytest.approx(0.1 * np.sqrt(2) / (1 / kt[0] - 1 / kt[1]))
    assert activation(TEMPERATURES[:1], d[:1], d[:1]) is None
    assert activation(np.array([500.0, 501.0]), d, d) is None


def test_points_without_d_are_left_out():
    d = diffusion(TEMPERATURES)
    d[0] = np.nan
    found = activation(TEMPERATURES, d, 0.1 * d)
    assert found.points == 3 and found.energy == pytest.approx(0.25)


def test_points_off_the_line_widen_the_errors():
    d = diffusion(TEMPERATURES) * np.array([1.0, 2.0, 1.0, 1.0])
    bent, straight = activation(TEMPERATURES, d, 0.05 * d), activation(TEMPERATURES, d, 0.5 * d)
    assert not bent.straight and straight.straight
    assert bent.energy_error == pytest.approx(straight.energy_error / 10 * np.sqrt(bent.chi2 / 2))
