"""What is known of the elements."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols


def masses(numbers: np.ndarray) -> np.ndarray:
    """(atoms,) standard atomic masses (u) of atomic numbers."""
    return atomic_masses[np.asarray(numbers)]


def symbols(numbers: np.ndarray) -> list[str]:
    return [chemical_symbols[number] for number in numbers]


def is_element(symbol: str) -> bool:
    return symbol in atomic_numbers and symbol != "X"
