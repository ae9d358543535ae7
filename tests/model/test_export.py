"""`mlraman export --metatomic`: the same alpha from featomic in TorchScript, read back as `model.predictor`."""

import importlib.util
import sys

import numpy as np
import pytest

import mlraman_hpc as mr
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.model.export import export_metatomic
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from tests.helpers import ROOT
from tests.model.structures import assert_close, several

INSTALLED = all(importlib.util.find_spec(name) for name in ("torch", "metatomic", "vesin"))
needs_torch = pytest.mark.skipif(not INSTALLED, reason="featomic-torch is not installed")
SHIPPED = ROOT / "input_examples" / "agi"


def read_back(path, known):
    return making.make(Settings("metatomic", (str(path),)), Resources())(known).polarizability


@needs_torch
@pytest.mark.filterwarnings("ignore")  # of PyTorch about itself
def test_alpha_is_that_of_predict_on_real_frames(tmp_path):
    model = mr.train(SHIPPED / "labels.extxyz", quantity="polarizability", unit="bohr^3", train=60, seed=1)
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / "of_another_model").touch()
    notes = model.export_metatomic(tmp_path / "model.pt")
    assert "'mlraman::polarizability', alpha of the cell in Angstrom^3" in notes[0] and "speed of featomic" in notes[1]
    assert (tmp_path / "extensions" / "of_another_model").exists()
    index = build_index([SHIPPED / "trajectory.extxyz.gz"], "auto", tmp_path, None, print)
    known = read_frames(index, np.arange(0, len(index), 100))
    expected = Predictor(model.record)(known).polarizability
    np.testing.assert_allclose(read_back(tmp_path / "model.pt", known), expected, rtol=0, atol=1e-8)


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_frames_of_every_kind(tmp_path, model):
    notes = export_metatomic(model, tmp_path / "model.pt")
    assert notes[-1] == "the 6 members of the committee are left out"
    assert_close(read_back(tmp_path / "model.pt", several()), Predictor(model)(several()).polarizability, 1e-9)


def test_what_is_refused(tmp_path, model, monkeypatch):
    with pytest.raises(DataError, match=r"the name of a metatomic model ends with \.pt"):
        export_metatomic(model, tmp_path / "model.h5")
    monkeypatch.delitem(sys.modules, "mlraman_hpc.model.torch_model", raising=False)
    monkeypatch.setitem(sys.modules, "featomic.torch", None)
    with pytest.raises(DataError, match=r"with the package featomic-torch, .*; 'pip install featomic-torch'$"):
        export_metatomic(model, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
