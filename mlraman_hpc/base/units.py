"""A named factor for each conversion of units, from the CODATA values of 2022 (the exact ones since 2019).

They are written down, since loading scipy.constants takes each of a thousand ranks longer than all else in this
package; a test compares the two. Units inside the program: Angstrom, fs, eV, Angstrom^3 for polarizability volumes,
cm^-1 for wavenumbers, K.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi

_ANGSTROM = 1e-10  # m
_SPEED_OF_LIGHT = 299792458.0  # m/s
_ELEMENTARY_CHARGE = 1.602176634e-19  # C, and J/eV
_BOLTZMANN = 1.380649e-23  # J/K
_PLANCK = 6.62607015e-34  # J s
_ATOMIC_MASS = 1.66053906892e-27  # kg
_VACUUM_PERMITTIVITY = 8.8541878188e-12  # C/(V m)
_BOHR = 5.29177210544e-11  # m
_ATOMIC_VELOCITY = 2.18769126216e6  # m/s

ANGSTROM_PER_BOHR = _BOHR / _ANGSTROM
ANGSTROM3_PER_BOHR3 = ANGSTROM_PER_BOHR**3

# e^2/(4 pi epsilon_0) in eV Angstrom: a polarizability in e^2 Angstrom^2/eV times this is a volume in Angstrom^3
COULOMB_EV_ANGSTROM = _ELEMENTARY_CHARGE / (4 * pi * _VACUUM_PERMITTIVITY) / _ANGSTROM

# speed of light in cm/fs: a wavenumber (cm^-1) times this is a frequency in 1/fs
LIGHT_CM_PER_FS = _SPEED_OF_LIGHT * 100 * 1e-15

# angular frequency (rad/fs) of 1 cm^-1
RAD_PER_FS_PER_WAVENUMBER = 2 * pi * LIGHT_CM_PER_FS

# h c / k_B in cm K: x = this * wavenumber / T
SECOND_RADIATION_CM_K = _PLANCK * _SPEED_OF_LIGHT / _BOLTZMANN * 100

# Boltzmann's constant in u Angstrom^2/fs^2 per K: m v^2 / this is a temperature
BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K = _BOLTZMANN / _ATOMIC_MASS * (1e-15 / _ANGSTROM) ** 2

# k_B in eV/K
BOLTZMANN_EV_PER_K = _BOLTZMANN / _ELEMENTARY_CHARGE

# velocities in Angstrom/fs; ase: sqrt(eV/u)
VELOCITY_UNITS = {
    "angstrom/fs": 1.0,
    "angstrom/ps": 1e-3,
    "nm/ps": 1e-2,
    "m/s": 1e-5,
    "ase": (_ELEMENTARY_CHARGE / _ATOMIC_MASS) ** 0.5 / _ANGSTROM * 1e-15,
    "atomic": _ATOMIC_VELOCITY / _ANGSTROM * 1e-15,
}

# polarizability volumes in Angstrom^3; C m^2/V: alpha/(4 pi epsilon_0) = e^2/(4 pi epsilon_0) (e V)^-1 m^2/e
POLARIZABILITY_UNITS = {
    "angstrom^3": 1.0,
    "bohr^3": ANGSTROM3_PER_BOHR3,
    "e^2 angstrom^2/eV": COULOMB_EV_ANGSTROM,
    "C m^2/V": COULOMB_EV_ANGSTROM / _ELEMENTARY_CHARGE * 1e20,
}

# derivatives of a polarizability volume with respect to a position in Angstrom^2
DERIVATIVE_UNITS = {"angstrom^2": 1.0, "bohr^2": ANGSTROM_PER_BOHR**2, "e^2 angstrom/eV": COULOMB_EV_ANGSTROM}

# conductivities: e^2/(Angstrom fs eV) times this is S/cm
S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV = _ELEMENTARY_CHARGE / (_ANGSTROM * 100 * 1e-15)

# diffusion coefficients: Angstrom^2/fs times this is cm^2/s
CM2_PER_S_PER_ANGSTROM2_PER_FS = 1e-16 / 1e-15


# other names of units, without blanks, dots, hyphens, stars and carets, in lower case
_OTHER_NAMES = {
    **dict.fromkeys(("a3", "ang3", "angstroms3", "angstrom3", "å3", "ångström3"), "angstrom^3"),
    **dict.fromkeys(("bohr3", "a03", "au", "atomic", "atomicunits", "hartreeatomicunits", "e2a02/eh"), "bohr^3"),
    **dict.fromkeys(("e2a2/ev", "e2ang2/ev", "e2angstrom2/ev", "e2å2/ev"), "e^2 angstrom^2/eV"),
    **dict.fromkeys(("cm2/v", "cm2v1", "c2m2/j", "c2m2j1", "si"), "C m^2/V"),
    **dict.fromkeys(("a2", "ang2", "angstrom2", "å2"), "angstrom^2"),
    **dict.fromkeys(("bohr2", "a02"), "bohr^2"),
    **dict.fromkeys(("e2a/ev", "e2ang/ev", "e2angstrom/ev", "e2å/ev"), "e^2 angstrom/eV"),
    **dict.fromkeys(("a/fs", "ang/fs", "å/fs", "angstrom/fs"), "angstrom/fs"),
    **dict.fromkeys(("a/ps", "ang/ps", "å/ps", "angstrom/ps"), "angstrom/ps"),
}
_POWERS = str.maketrans("²³", "23", " \t.*^·-_")


def canonical_unit(name: str, known: Iterable[str]) -> str:
    """The one of the `known` units that is meant by A^3, Ang3, au, a.u., bohr3, C m^2/V and the like; else `name`."""
    units = set(known)
    plain = name.lower().translate(_POWERS)
    meant = _OTHER_NAMES.get(plain, name)
    if plain in ("au", "atomic", "atomicunits") and "bohr^2" in units:
        meant = "bohr^2"
    same = [unit for unit in units if unit.lower().translate(_POWERS) == plain]
    return meant if meant in units else same[0] if len(same) == 1 else name


def wavenumber_of_laser(wavelength_nm: float) -> float:
    """Wavenumber (cm^-1) of light of the given vacuum wavelength (nm)."""
    return 1e7 / wavelength_nm
