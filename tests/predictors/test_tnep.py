"""`model.predictor` with a TNEP model of GPUMD, through calorine."""

from __future__ import annotations

import ase
import numpy as np
import pytest

import mlraman_hpc as mr
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.checks import check
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.predictors.test_ase_calculator import frames_of

HEADER = "nep4_polarizability 2 Ag I\ncutoff 5 4 74 24\nn_max 2 2\nbasis_size 4 4\nl_max 2 0 0\nANN 5 0\n"
TYPES, DESCRIPTORS, NEURONS, EXPANSIONS = 2, 3 + 3 * 2, 5, 2 * 3 * 5
DECK = """output: out
figures: false
model: {predictor: {calculator: tnep, files: nep.txt, unit: bohr^3}}
trajectory: {files: XDATCAR, frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
"""


@pytest.fixture
def model_file(tmp_path):
    """A model with random weights: tensors without meaning, but tensors."""
    rng = np.random.default_rng(0)
    network = TYPES * NEURONS * (DESCRIPTORS + 2) + 1
    weights = [*rng.normal(scale=0.3, size=2 * network + TYPES**2 * EXPANSIONS), *np.full(DESCRIPTORS, 0.1)]
    (tmp_path / "nep.txt").write_text(HEADER + "".join(f"{w:15.7e}\n" for w in weights))
    return tmp_path / "nep.txt"


@pytest.mark.filterwarnings("ignore")
def test_alpha_is_calorines(model_file):
    calorine = pytest.importorskip("calorine.calculators")
    positions = small.frames(4, seed=5)
    model = making.make(Settings("tnep", (str(model_file),), unit="bohr^3"), Resources())
    found = model(frames_of(positions)).polarizability
    atoms = ase.Atoms(small.SPECIES, positions[2], cell=small.CELL, pbc=True)
    expected = calorine.CPUNEP(str(model_file)).get_polarizability(atoms)
    np.testing.assert_allclose(found[2], ANGSTROM3_PER_BOHR3 * expected, rtol=1e-12)
    log = check(model, frames_of(positions))
    assert any("rotated: alpha turns with it" in line for line in log.lines)
    assert not any("does not turn" in text for text in log.warnings)


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_spectrum_is_that_of_calorines_own_tensors_on_any_number_of_ranks(mlraman, tmp_path, model_file):
    calorine = pytest.importorskip("calorine.calculators")
    positions = small.frames(400)
    (tmp_path / "XDATCAR").write_text(small.xdatcar(positions))
    (tmp_path / "deck.yaml").write_text(DECK)
    for ranks in (1, 2, 3):
        mlraman(ranks, "run", "deck.yaml", "--set", f"output=out{ranks}", timeout=400)
    for name in ("alpha.h5", "raman.h5"):
        assert len({hdf5.content_of(tmp_path / f"out{ranks}" / name) for ranks in (1, 2, 3)}) == 1
    calculator = calorine.CPUNEP(str(model_file))
    frames = [ase.Atoms(small.SPECIES, x, cell=small.CELL, pbc=True) for x in positions]
    alpha = ANGSTROM3_PER_BOHR3 * np.array([calculator.get_polarizability(atoms) for atoms in frames])
    expected = mr.raman_spectrum(alpha, 10.0, smoothing=20, blocks=4).intensity["total"]
    found = mr.load(tmp_path / "out2" / "raman.h5").intensity["total"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())
