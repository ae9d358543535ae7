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
        (units.POLARIZABILITY_UNITS["C m^2/V"], 1e30 / (4 * constants.pi * constants.epsilon_0)),
        (units.S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV, constants.e * 1e23),
        (units.VELOCITY_UNITS["ase"], (constants.eV / constants.atomic_mass) ** 0.5 * 1e-5),
        (units.VELOCITY_UNITS["atomic"], constants.physical_constants["atomic unit of velocity"][0] * 1e-5),
    ],
)
def test_factors_are_those_of_codata(value, expected):
    assert value == pytest.approx(expected, rel=2e-9)  # tables of two editions may differ by as much


@pytest.mark.parametrize(
    ("names", "unit"),
    [
        (
            ("A^3", "A3", "Ang^3", "angstrom3", "Angstrom**3", "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}^3"),
            "angstrom^3",
        ),
        (("au", "a.u.", "bohr3", "Bohr^3", "a0^3", "atomic units"), "bohr^3"),
        (("C m^2/V", "C*m^2/V", "C m2 V-1", "C^2 m^2 J^-1"), "C m^2/V"),
        (("e^2 A^2/eV", "e2 Angstrom2/eV"), "e^2 angstrom^2/eV"),
        (("m^3", "bohr^2", ""), None),
    ],
)
def test_usual_names_of_units(names, unit):
    for name in names:
        assert units.canonical_unit(name, units.POLARIZABILITY_UNITS) == (unit or name)
    assert units.canonical_unit("a.u.", units.DERIVATIVE_UNITS) == "bohr^2"
    assert units.canonical_unit("A/ps", units.VELOCITY_UNITS) == "angstrom/ps"
