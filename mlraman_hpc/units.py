"""One named factor per conversion, from CODATA through scipy.constants.

Units inside the program: Angstrom, fs, eV, Angstrom^3 for polarizability volumes, cm^-1 for wavenumbers, K.
"""

from __future__ import annotations

from math import pi

from scipy import constants

ANGSTROM_PER_BOHR = constants.physical_constants["Bohr radius"][0] / constants.angstrom
ANGSTROM3_PER_BOHR3 = ANGSTROM_PER_BOHR**3

# e^2/(4 pi epsilon_0) in eV Angstrom: a polarizability in e^2 Angstrom^2/eV times this is a volume in Angstrom^3
COULOMB_EV_ANGSTROM = constants.e / (4 * pi * constants.epsilon_0) / constants.angstrom

# speed of light in cm/fs: a wavenumber (cm^-1) times this is a frequency in 1/fs
LIGHT_CM_PER_FS = constants.c * 100 * 1e-15

# angular frequency (rad/fs) of 1 cm^-1
RAD_PER_FS_PER_WAVENUMBER = 2 * pi * LIGHT_CM_PER_FS

# h c / k_B in cm K: x = this * wavenumber / T
SECOND_RADIATION_CM_K = constants.physical_constants["second radiation constant"][0] * 100

# Boltzmann's constant in u Angstrom^2/fs^2 per K: m v^2 / this is a temperature
BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K = constants.k / constants.atomic_mass * (1e-15 / constants.angstrom) ** 2

# k_B in eV/K
BOLTZMANN_EV_PER_K = constants.k / constants.e

# velocities in Angstrom/fs; ase: sqrt(eV/u)
VELOCITY_UNITS = {
    "angstrom/fs": 1.0,
    "angstrom/ps": 1e-3,
    "nm/ps": 1e-2,
    "m/s": 1e-5,
    "ase": (constants.eV / constants.atomic_mass) ** 0.5 / constants.angstrom * 1e-15,
    "atomic": constants.physical_constants["atomic unit of velocity"][0] / constants.angstrom * 1e-15,
}

CM2_PER_S_PER_ANGSTROM2_PER_FS = 1e-16 / 1e-15


def wavenumber_of_laser(wavelength_nm: float) -> float:
    """Wavenumber (cm^-1) of light of the given vacuum wavelength (nm)."""
    return 1e7 / wavelength_nm


POLARIZABILITY_UNITS = {
    "angstrom^3": 1.0,
    "bohr^3": ANGSTROM3_PER_BOHR3,
    "e^2 angstrom^2/eV": COULOMB_EV_ANGSTROM,
}
