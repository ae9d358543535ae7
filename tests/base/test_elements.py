"""Symbols and masses against those of ASE; the module that knows them is loaded on first use."""

import subprocess
import sys

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from mlraman_hpc.base.elements import ELEMENTS, is_element, masses, symbols


def test_symbols_and_masses_are_those_of_ase():
    assert list(ELEMENTS) == chemical_symbols
    assert symbols([1, 47]) == ["H", "Ag"] and is_element("Ag") and not is_element("X") and not is_element("ag")
    np.testing.assert_allclose(masses(np.array([1, 47])), atomic_masses[[1, 47]], rtol=1e-12)


def test_ase_is_loaded_on_first_use():
    code = (
        "import sys; from mlraman_hpc.base import elements; assert 'ase' not in sys.modules; "
        "elements.masses([1]); assert 'ase.data' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
