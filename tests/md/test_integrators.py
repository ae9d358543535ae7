"""Ensembles of ASE's integrators as we use them: temperature, energy, bits after a restart."""

import numpy as np
import pytest
from ase import Atoms, units

from mlraman_hpc.md import integrators
from mlraman_hpc.md.settings import Settings
from tests.md.broken import Springs

SETTINGS = Settings("nvt", 2.0, 5, 100, 100, 0, 0.0, 50.0, 50, False)


def crystal(count: int = 4) -> Atoms:
    """Atoms of two masses on springs."""
    atoms = Atoms(
        "ArCu" * (count // 2), positions=4.0 * np.arange(3 * count).reshape(count, 3), cell=[60] * 3, pbc=True
    )
    atoms.calc = Springs(3.0, atoms.positions)
    return atoms


def test_start_velocities_have_the_temperature_and_no_drift():
    atoms = crystal()
    integrators.start_velocities(atoms, 300, np.random.default_rng(0))
    np.testing.assert_allclose(integrators.kinetic_temperature(atoms), 300, rtol=1e-12)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-12)


@pytest.mark.slow
def test_equilibration_samples_potential_and_kinetic_energy():
    """Harmonic: <E_pot> = <E_kin> = 3 N kT/2, which a chain of thermostats alone would not reach."""
    atoms, random = crystal(8), np.random.default_rng(5)
    integrators.start_velocities(atoms, 300, random)
    integrator = integrators.make_integrator("equilibration", atoms, 300, SETTINGS, random)
    energies = []
    for step in range(5000):
        integrator.step()
        if step >= 500:
            energies.append((atoms.get_potential_energy(), atoms.get_kinetic_energy()))
    expected = 1.5 * len(atoms) * units.kB * 300
    np.testing.assert_allclose(np.mean(energies, axis=0), expected, rtol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["nvt", "nve"])
def test_the_conserved_energy_is_conserved(stage):
    atoms, random = crystal(), np.random.default_rng(2)
    integrators.start_velocities(atoms, 300, random)
    integrator = integrators.make_integrator(stage, atoms, 300, SETTINGS, random)
    integrator.step()
    energies = []
    for _ in range(4000):
        integrator.step()
        energies.append(integrators.conserved_energy(stage, integrator))
    thermal = units.kB * 300 * len(atoms)
    assert np.std(energies) < 0.02 * thermal
    assert abs(np.mean(energies[-500:]) - np.mean(energies[:500])) < 0.002 * thermal


@pytest.mark.parametrize("stage", ["equilibration", "nvt", "nve"])
def test_a_state_goes_on_with_the_same_bits(stage):
    atoms, random = crystal(), np.random.default_rng(2)
    integrators.start_velocities(atoms, 300, random)
    integrator = integrators.make_integrator(stage, atoms, 300, SETTINGS, random)
    for _ in range(20):
        integrator.step()
    state = {name: value.copy() for name, value in integrators.integrator_state(stage, integrator).items()}
    copy = atoms.copy()
    copy.calc = Springs(3.0, atoms.calc.sites)
    again = np.random.default_rng()
    again.bit_generator.state = random.bit_generator.state
    for _ in range(20):
        integrator.step()
    resumed = integrators.make_integrator(stage, copy, 300, SETTINGS, again)
    integrators.set_integrator_state(stage, resumed, state)
    for _ in range(20):
        resumed.step()
    assert np.array_equal(copy.positions, atoms.positions) and np.array_equal(copy.get_momenta(), atoms.get_momenta())
