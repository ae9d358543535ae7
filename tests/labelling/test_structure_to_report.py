"""From a crystal structure to the report by one `mlraman run`: molecular dynamics, labels, model, spectrum."""

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import ROOT
from tests.labelling.boron_nitride import needs_cp2k

FAKE = Path(__file__).parent / "fake_cp2k.py"
RESULTS = ("trajectory_300K_0.h5", "labels.extxyz", "model.h5", "alpha.h5", "raman.h5", "labelling.h5", "report.html")


@pytest.fixture
def example(tmp_path):
    """A copy of the shipped example, and the folder of its results."""
    shutil.copytree(ROOT / "input_examples" / "labelling", tmp_path, dirs_exist_ok=True)
    return tmp_path / "out" / "labelling"


@pytest.mark.slow
def test_with_a_script_in_place_of_cp2k(mlraman, example):
    changes = [
        f"labelling.command={sys.executable} {FAKE} {{input}} {{output}}",
        *("labelling.test=2", "labelling.frames=8", "labelling.most=8", "labelling.min_interval=20"),
        *("md.length=1000", "md.equilibration=200", "model.committee=4", "spectrum.smoothing=40", "figures=false"),
    ]
    options = [word for change in changes for word in ("--set", change)]
    checked = mlraman(0, "check", "deck.yaml", *options)
    assert "highest band 1330 cm^-1" in checked.stdout and "by cp2k in this allocation" in checked.stdout
    done = mlraman(0, "run", "deck.yaml", *options)
    assert "stop: as many frames are labelled" in done.stdout
    assert [name for name in RESULTS if not (example / name).exists()] == []
    again = mlraman(0, "run", "deck.yaml", *options)
    assert "steps in" not in again.stdout and again.stdout.count("is up to date") >= 4


@pytest.mark.slow
def test_the_example_with_cp2k_has_its_line(mlraman, example):
    """The force field has its Raman line at 1332 cm^-1 in the harmonic crystal; 300 K and 10 cm^-1 leave it there."""
    needs_cp2k()
    changes = ("labelling.frames=8", "labelling.test=2", "labelling.most=8", "md.length=4000", "spectrum.smoothing=20")
    done = mlraman(0, "run", "deck.yaml", *[word for each in changes for word in ("--set", each)], timeout=900)
    assert "report.html" in done.stdout
    assert [name for name in RESULTS if not (example / name).exists()] == []
    with h5py.File(example / "raman.h5") as file:
        wavenumber, intensity = file["wavenumber"][:], file["intensity/total"][:]
    np.testing.assert_allclose(wavenumber[intensity.argmax()], 1332, atol=15)
