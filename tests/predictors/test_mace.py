"""`model.predictor` with a dipole-polarizability model of MACE."""

from __future__ import annotations

import ase
import numpy as np
import pytest

from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.checks import check
from mlraman_hpc.predictors.other_model import Resources, Settings
from tests import small_system as small
from tests.predictors.test_ase_calculator import frames_of


@pytest.fixture
def model_file(tmp_path):
    """A model with random weights: tensors without meaning, but tensors."""
    pytest.importorskip("mace")
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(0)
    block, irreps = modules.interaction_classes["RealAgnosticResidualInteractionBlock"], o3.Irreps("4x0e+4x1o+4x2e")
    model = modules.AtomicDielectricMACE(
        r_max=4.5,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=2,
        hidden_irreps=irreps,
        MLP_irreps=irreps,
        avg_num_neighbors=12.0,
        atomic_numbers=[47, 53],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_energies=None,
    )
    torch.save(model.double(), tmp_path / "polar.model")
    return tmp_path / "polar.model"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_alpha_is_maces(model_file):
    from mace.calculators import MACECalculator

    positions, options = small.frames(3, seed=5), {"default_dtype": "float64", "device": "cpu"}
    model = making.make(Settings("mace", (str(model_file),), (options,), unit="angstrom^3"), Resources())
    found = model(frames_of(positions)).polarizability
    own = MACECalculator(model_paths=str(model_file), model_type="DipolePolarizabilityMACE", **options)
    own.calculate(ase.Atoms(small.SPECIES, positions[2], cell=small.CELL, pbc=True))
    np.testing.assert_allclose(found[2], own.results["polarizability"], rtol=1e-9, atol=1e-12)
    log = check(model, frames_of(positions))
    assert any("rotated: alpha turns with it" in line for line in log.lines)
    assert not any("does not turn" in text for text in log.warnings)
