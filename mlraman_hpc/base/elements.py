"""Symbols and masses of the chemical elements."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.lazy_module import LazyModule

data = LazyModule("ase.data")  # importing ASE takes a rank longer than all that is needed of it

ELEMENTS = tuple(
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og".split()
)  # by atomic number; X is an unknown atom


ISOTOPES = {"D": ("H", 2.014102), "T": ("H", 3.016049)}  # label: element and mass (u)


def masses(numbers: np.ndarray) -> np.ndarray:
    """(atoms,) standard atomic masses (u) of atomic numbers."""
    return data.atomic_masses[np.asarray(numbers)]


def symbols(numbers: np.ndarray) -> list[str]:
    """Chemical symbols of atomic numbers."""
    return [ELEMENTS[number] for number in numbers]


def is_element(symbol: str) -> bool:
    """Whether this is the symbol of a chemical element."""
    return symbol in ELEMENTS[1:]
