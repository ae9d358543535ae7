"""`model.predictor` with metatomic models: small ones of a known alpha, in every layout."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.base.errors import DeckKeyError, FrameError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.checks import check
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.predictors.test_ase_calculator import frames_of

INSTALLED = importlib.util.find_spec("metatomic") is not None
needs_metatomic = pytest.mark.skipif(not INSTALLED, reason="metatomic-torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch about itself
DECK = """output: out
figures: false
model: {predictor: {calculator: metatomic, files: polar.pt, unit: bohr^3}}
trajectory: {files: XDATCAR, frame_interval: 10}
"""


def settings(*files: Path, **changes) -> Settings:
    return Settings(**{"calculator": "metatomic", "files": tuple(map(str, files)), "unit": "angstrom^3", **changes})


def export(path: Path, **options) -> Path:
    """A model whose alpha is that of the small system, times `scale`."""
    from tests.predictors.metatomic_bonds import write

    return write(path, **options)


@needs_metatomic
@pytest.mark.parametrize(("layout", "sign"), [("spherical", 1.0), ("spherical", -1.0), ("cartesian", 1.0)])
def test_alpha_in_every_layout(tmp_path, layout, sign):
    """Also in featomic's convention, in which the isotropic component has the other sign."""
    positions = small.frames(3, seed=5)
    model = making.make(settings(export(tmp_path / "polar.pt", layout=layout, sign=sign)), Resources())
    found = check(model, frames_of(positions))
    np.testing.assert_allclose(model(frames_of(positions)).polarizability, small.alpha(positions), rtol=1e-9, atol=1e-9)
    assert not found.warnings and any("tr(alpha)" in line for line in found.lines) == (sign < 0)


@needs_metatomic
def test_an_ensemble_and_the_unit_of_the_file(tmp_path):
    positions = small.frames(2, seed=5)
    files = [export(tmp_path / f"{k}.pt", scale=k, unit="bohr^3") for k in (1.0, 2.0, 6.0)]
    found = making.make(settings(*files, unit=None), Resources())(frames_of(positions))
    expected = ANGSTROM3_PER_BOHR3 * small.alpha(positions)
    np.testing.assert_allclose(found.polarizability, 3 * expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.members[:, 2], 6 * expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(DeckKeyError, match=r"angstrom\^3, but .* says 'bohr\^3'"):
        making.make(settings(*files), Resources())


@needs_metatomic
@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"unit": None}, "unit", "must be given: the unit of the polarizability"),
        ({"output": "energy"}, "output", "has no output 'energy'; its outputs are mtt::polarizability"),
        ({"arguments": ({"cutoff": 3},)}, "arguments", "'cutoff' is not known; metatomic takes device, extensions"),
        ({"arguments": ({"device": "cuda"},)}, "arguments", "device 'cuda': the model runs on cpu"),
        ({"arguments": ({}, {})}, "arguments", r"several model\.predictor\.files"),
        ({"files": ()}, "files", "must be given"),
        ({"files": ("none.pt",)}, "files", "none.pt: cannot be loaded: "),
    ],
)
def test_mistakes_of_the_deck_name_the_key(tmp_path, changes, key, message):
    with pytest.raises(DeckKeyError, match=message) as error:
        making.make(settings(**{"files": (str(export(tmp_path / "polar.pt")),), **changes}), Resources())
    assert error.value.key == f"model.predictor.{key}"


@needs_metatomic
@pytest.mark.parametrize("layout", ["vector", "two_properties"])
def test_outputs_of_another_layout_are_refused(tmp_path, layout):
    model = making.make(settings(export(tmp_path / "polar.pt", layout=layout)), Resources())
    with pytest.raises(FrameError, match=r"frame 10: the output 'mtt::polarizability' of .* it has the blocks"):
        model(frames_of(small.frames(2)))


@needs_metatomic
def test_elements_that_the_model_does_not_know_are_named(tmp_path):
    frames = frames_of(small.frames(2))
    frames.numbers[6] = 17
    model = making.make(settings(export(tmp_path / "polar.pt")), Resources())
    with pytest.raises(FrameError, match=r"frame 11: holds Cl, but .* was trained on Ag, I only"):
        model(frames)


@needs_metatomic
@pytest.mark.slow
@pytest.mark.mpi
def test_the_same_file_on_any_number_of_ranks(mlraman, tmp_path):
    (tmp_path / "XDATCAR").write_text(small.xdatcar(small.frames(1200)))
    (tmp_path / "deck.yaml").write_text(DECK)
    export(tmp_path / "polar.pt", sign=-1.0)
    for ranks in (1, 2, 3):
        mlraman(ranks, "predict", "deck.yaml", "--set", f"output=out{ranks}", timeout=400)
    assert len({hdf5.content_of(tmp_path / f"out{ranks}" / "alpha.h5") for ranks in (1, 2, 3)}) == 1
