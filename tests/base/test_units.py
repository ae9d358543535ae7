"""The conversions against scipy's table of CODATA values."""

import pytest
from scipy import constants

from mlraman_hpc.base import units


@pytest.mark.parametrize(
    "value, expected",
    [
        (units.ANGSTROM_PER_BOHR, constants.physical_constants["Bohr radius"][0] / constants.angstrom),
        (units.COULOMB_EV_ANGSTROM, constants.e / (4 * constants.pi * constants.epsilon_0) / constants.angstrom),
        (units.LIGHT_CM_PER_FS, constants.c * 1e-13),
        (units.SECOND_RADIATION_CM_K, constants.physical_constants["second radiation constant"][0] * 100),
        (units.BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, constants.k / constants.atomic_mass * 1e-10),
        (units.BOLTZMANN_EV_PER_K, constants.physical_constants["Boltzmann constant in eV/K"][0]),
        (units.VELOCITY_UNITS["ase"], (constants.eV / constants.atomic_mass) ** 0.5 * 1e-5),
        (units.VELOCITY_UNITS["atomic"], constants.physical_constants["atomic unit of velocity"][0] * 1e-5),
    ],
)
def test_factors_are_those_of_codata(value, expected):
    assert value == pytest.approx(expected, rel=2e-9)  # tables of two editions may differ by as much
