"""Closed forms of what is planned, and the highest band of crystals whose bands are known."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.md import planning
from mlraman_hpc.md.integrators import make_integrator
from mlraman_hpc.md.settings import Settings
from mlraman_hpc.numerics.spectra.smoothing import verlet_wavenumber
from tests.md.broken import Springs, wavenumber


def test_the_band_of_independent_springs_is_found():
    atoms = Atoms("Ar4Cu4", positions=3.0 * np.arange(24).reshape(8, 3), cell=np.eye(3) * 80, pbc=True)
    atoms.calc = Springs(4.0, atoms.positions)
    found = planning.highest_wavenumber(atoms)
    np.testing.assert_allclose(found, wavenumber(4.0, atoms.get_masses().min()), rtol=1e-6)
    np.testing.assert_allclose(atoms.positions, 3.0 * np.arange(24).reshape(8, 3), atol=1e-12)


@pytest.mark.slow
def test_the_highest_band_is_that_of_the_full_matrix():
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    atoms.calc = EMT()
    start, columns = atoms.get_positions(), []
    for atom in range(len(atoms)):
        for axis in range(3):
            sides = []
            for sign in (1, -1):
                moved = start.copy()
                moved[atom, axis] += 0.01 * sign
                atoms.set_positions(moved)
                sides.append(atoms.get_forces().ravel())
            columns.append((sides[1] - sides[0]) / 0.02)
    atoms.set_positions(start)
    masses = np.repeat(atoms.get_masses(), 3)
    largest = np.linalg.eigvalsh(np.array(columns) / np.sqrt(np.outer(masses, masses)))[-1]
    np.testing.assert_allclose(planning.highest_wavenumber(atoms), wavenumber(largest, 1.0), rtol=2e-3)


def test_verlets_shift_is_what_the_spectrum_corrects():
    moved = 3000 + planning.verlet_shift(3000, 0.5)
    np.testing.assert_allclose(verlet_wavenumber(moved, 0.5), 3000, rtol=1e-12)
    assert planning.verlet_shift(30000, 1.0) == np.inf


def test_the_integrator_moves_a_band_by_verlets_shift():
    """An atom on a spring, 15 steps a period: the phase of its motion after 2000 steps."""
    atoms = Atoms("ArCu", positions=[[0, 0, 0], [20, 0, 0]], cell=np.eye(3) * 80, pbc=True)
    atoms.calc = Springs(4.0, atoms.positions)
    true = wavenumber(4.0, atoms.get_masses()[0])
    step = 1 / (15 * true * LIGHT_CM_PER_FS)
    atoms.positions[0, 0] += 0.1
    settings = Settings("nve", step, 1, 2, 0, 0, 0.0, 100.0, 500, False)
    integrator = make_integrator("nve", atoms, 300, settings, np.random.default_rng(0))
    phases = []
    for _ in range(2000):
        integrator.step()
        phases.append(atoms.positions[0, 0])
    crossings = np.nonzero(np.diff(np.sign(phases)) > 0)[0]
    exact = crossings - np.array(phases)[crossings] / np.diff(phases)[crossings]
    period = (exact[-1] - exact[0]) / (len(exact) - 1) * step
    moved = 1 / (period * LIGHT_CM_PER_FS)
    assert moved - true > 0.005 * true
    np.testing.assert_allclose(moved, true + planning.verlet_shift(true, step), rtol=1e-4)


def test_stride_and_time_step_follow_from_the_highest_band():
    for highest in (100.0, 500.0, 1600.0, 3700.0):
        step = planning.planned_time_step(highest)
        interval = planning.planned_interval(highest, step)
        assert planning.verlet_shift(highest, step) < 0.008 * highest
        assert planning.nyquist_wavenumber(interval) >= planning.MARGIN * highest * (1 - 1e-9)
        assert abs(interval / step - round(interval / step)) < 1e-9


def test_the_scatter_of_a_smoothed_periodogram():
    """White noise, convolved with a Gaussian: relative scatter (2 sqrt(pi) sigma c T)^(-1/2)."""
    interval, frames, sigma = 10.0, 20000, 20.0
    random, scatters = np.random.default_rng(1), []
    wavenumber_step = 1 / (2.99792458e-5 * interval * frames)
    for _ in range(20):
        periodogram = np.abs(np.fft.rfft(random.standard_normal(frames)))[1:] ** 2
        lags = np.arange(-int(6 * sigma / wavenumber_step), int(6 * sigma / wavenumber_step) + 1)
        kernel = np.exp(-0.5 * (lags * wavenumber_step / sigma) ** 2)
        smoothed = np.convolve(periodogram, kernel / kernel.sum(), mode="valid")
        scatters.append(smoothed.std() / smoothed.mean())
    np.testing.assert_allclose(np.mean(scatters), planning.scatter(interval * frames, sigma), rtol=0.1)


def test_what_is_given_is_not_planned():
    plan = planning.plan(500.0, 4.0, time_step=1.0, frame_interval=7.0, length=10000.0, replicas=3)
    assert (plan.time_step, plan.frame_interval) == (1.0, 7.0) and plan.length >= 10000.0
    np.testing.assert_allclose(plan.scatter, planning.scatter(30000.0, 4.0), rtol=1e-12)
    shorter = planning.plan(500.0, 4.0, replicas=4)
    np.testing.assert_allclose(4 * shorter.length, planning.planned_total(4.0), rtol=1e-3)


def test_temperatures_of_constant_energies():
    """Harmonic oscillators: energies drawn from NVT, of which a long run has one half as kinetic energy."""
    atoms, random = 12, np.random.default_rng(4)
    modes = 3 * atoms - 3
    energies = 0.5 * (random.standard_normal((4000, 2 * modes)) ** 2).sum(axis=1)  # kT
    np.testing.assert_allclose((energies / modes).std() * 300, planning.energy_scatter(atoms, 300), rtol=0.05)


def test_the_cost_of_a_step_is_that_of_the_calls_after_the_first():
    calls = []
    seconds = planning.seconds_per_step(lambda: calls.append(0), seconds=1e9, most=7)
    assert len(calls) == 8 and seconds >= 0
