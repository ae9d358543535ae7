"""`model.predictor` with ASE calculators: alpha.h5 on any number of ranks, restarts, and every message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError, DeckKeyError, FrameError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.checks import check
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.storage import hdf5
from tests import small_system as small

BONDS = "tests.predictors.bonds:Bonds"
DECK = """output: out
figures: false
model: {predictor: {calculator: 'bonds:Bonds', unit: bohr^3, arguments: {scale: 2.0}}}
trajectory: {files: XDATCAR, frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
"""
BAD_FRAME, BELOW = 1500, -2.0  # its first atom is moved there


def settings(**changes) -> Settings:
    return Settings(**{"calculator": BONDS, "unit": "angstrom^3", **changes})


def frames_of(positions: np.ndarray, periodic: bool = True) -> Frames:
    count, atoms = positions.shape[:2]
    numbers = [{"Ag": 47, "I": 53}[name] for name in small.SPECIES]
    return Frames(
        positions.reshape(-1, 3),
        np.array(numbers * count),
        atoms * np.arange(count + 1),
        np.array([small.CELL * periodic] * count),
        np.full((count, 3), periodic),
        np.arange(10, 10 + count),
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """A deck, its calculator beside it, 2400 frames in 6 batches; in frame 1500 the first atom is low."""
    positions = small.frames(2400)
    positions[BAD_FRAME, 0, 2] = BELOW - 1
    (tmp_path / "XDATCAR").write_text(small.xdatcar(positions))
    (tmp_path / "deck.yaml").write_text(DECK)
    shutil.copy(Path(__file__).with_name("bonds.py"), tmp_path)
    return tmp_path


def test_alpha_is_that_of_the_calculator_in_angstrom3():
    positions = small.frames(3, seed=5)
    found = making.make(settings(unit="bohr^3"), Resources())(frames_of(positions))
    expected = small.alpha(positions) * ANGSTROM3_PER_BOHR3
    np.testing.assert_allclose(found.polarizability, expected, rtol=1e-12)
    assert found.shares is None and found.outliers is None and found.members is None


def test_a_dielectric_tensor_becomes_a_polarizability():
    positions = small.frames(2, seed=5)
    found = making.make(settings(quantity="dielectric", unit=None), Resources())(frames_of(positions))
    volume = np.linalg.det(small.CELL)
    expected = volume / (4 * np.pi) * (small.alpha(positions) - np.eye(3))
    np.testing.assert_allclose(found.polarizability, expected, rtol=1e-12)
    with pytest.raises(FrameError, match="frame 10: is not periodic, so a dielectric tensor says nothing of alpha"):
        making.make(settings(quantity="dielectric", unit=None), Resources())(frames_of(positions, periodic=False))


def test_an_ensemble_has_members_and_their_mean():
    positions = small.frames(2, seed=5)
    model = making.make(settings(arguments=({"scale": 1.0}, {"scale": 2.0}, {"scale": 6.0})), Resources())
    found = model(frames_of(positions))
    np.testing.assert_allclose(found.polarizability, 3 * small.alpha(positions), rtol=1e-12)
    np.testing.assert_allclose(found.members[:, 2], 6 * small.alpha(positions), rtol=1e-12)
    assert model.tensors == 4 and found.members.shape == (2, 3, 3, 3)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "frame 11: the polarizability that {} gives is not a number"),
        ("shape", r"frame 11: the polarizability that {} gives has the shape \(3,\); \(3, 3\) of the cell is needed"),
        ("words", "frame 11: the polarizability that {} gives is no array of numbers, but a str"),
        ("missing", "frame 11: the results of {} hold no 'polarizability', but energy; model.predictor.output names"),
        ("raise", "frame 11: {} failed: RuntimeError: no neighbours$"),
    ],
)
def test_a_bad_frame_is_named(fault, message):
    positions = small.frames(3, seed=5)
    positions[1, 0, 2] = BELOW - 1
    model = making.make(settings(arguments=({"fault": fault, "below": BELOW},)), Resources())
    with pytest.raises(FrameError, match=message.format(BONDS)):
        model(frames_of(positions))


def test_checks_before_use():
    frames = frames_of(small.frames(3, seed=5))
    good = check(making.make(settings(), Resources()), frames)
    assert not good.warnings and "dielectric constant" in good.lines[0]
    with pytest.raises(DataError, match="another polarizability for the same frame"):
        check(making.make(settings(arguments=({"fault": "memory"},)), Resources()), frames)
    oblique = check(making.make(settings(arguments=({"fault": "oblique"},)), Resources()), frames)
    assert any("does not turn alpha with the structure" in text for text in oblique.warnings)
    negative = check(making.make(settings(arguments=({"scale": -1.0},)), Resources()), frames)
    assert any("no material in its ground state" in text for text in negative.warnings)
    asymmetric = {"fault": "asymmetric", "below": 1e9}
    found = check(making.make(settings(arguments=(asymmetric,)), Resources()), frames)
    assert any("are not symmetric" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (
            {"calculator": "emt"},
            "calculator",
            "'emt' is neither module:Class nor one of the short names metatomic, tnep, mace",
        ),
        ({"calculator": "no_such:Thing"}, "calculator", "No module named 'no_such'; one of your own is found through"),
        ({"calculator": "tests.predictors.bonds:Band"}, "calculator", "has no attribute 'Band'"),
        ({"calculator": "json:dumps", "arguments": ({"obj": 1},)}, "calculator", "gives a str, which is no ASE calc"),
        ({"arguments": ({"colour": 1, "label": 3},)}, "arguments", "refuses them: "),
        ({"files": ("a.model",)}, "files", "which argument of .* takes them is not known here"),
        ({"unit": None}, "unit", "must be given: the unit of the polarizability"),
        ({"quantity": "dielectric"}, "unit", "a dielectric tensor has none"),
    ],
)
def test_mistakes_of_the_deck_name_the_key(changes, key, message):
    with pytest.raises(DeckKeyError, match=message) as error:
        making.make(settings(**changes), Resources())
    assert error.value.key == f"model.predictor.{key}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reference.files=labels.extxyz", "'model.predictor': takes the place of reference; keep one of them"),
        ("model.file=model.h5", "'model.predictor': takes the place of model.file; keep one of them"),
        ("model.committee=4", "'model.committee': is of the linear model"),
        ("model.predictor=bonds:Bonds", "'model.predictor': should be a section with keys of its own"),
        ("model.predictor.arguments=[]", "'model.predictor.arguments': should have 1 or more items"),
    ],
)
def test_contradictions_in_the_deck(tmp_path, change, message):
    (tmp_path / "deck.yaml").write_text(DECK)
    with pytest.raises(DeckError, match=message):
        read_deck(tmp_path / "deck.yaml", [change])


@pytest.mark.mpi
def test_the_same_file_on_any_number_of_ranks(mlraman, folder):
    for ranks in (1, 2, 3):
        mlraman(ranks, "predict", "deck.yaml", "--set", f"output=out{ranks}")
    contents = {hdf5.content_of(folder / f"out{ranks}" / "alpha.h5") for ranks in (1, 2, 3)}
    assert len(contents) == 1
    with h5py.File(folder / "out2" / "alpha.h5") as file:
        assert list(file["observables"]) == ["polarizability"]
        assert len(file["observables/polarizability/value"]) == 2400
        assert any(name.endswith("bonds.py") for name in json.loads(file.attrs["parents"]))
        assert json.loads(file.attrs["history"])[-1]["predictor"]["calculator"] == "bonds:Bonds"


@pytest.mark.mpi
def test_a_bad_frame_ends_all_ranks_and_what_was_computed_is_kept(mlraman, folder):
    faulty = ["--set", "model.predictor.arguments={fault: nan, below: -2.0}"]
    done = mlraman(3, "predict", "deck.yaml", *faulty, code=3)
    assert f"XDATCAR: frame {BAD_FRAME}: the polarizability that bonds:Bonds gives is not a number" in done.stderr
    assert done.stderr.count("error") == 1 and not (folder / "out" / "alpha.h5").exists()
    with h5py.File(folder / "out" / "alpha.partial.h5") as file:
        before = file["done"][:].astype(bool)
    assert 0 < before.sum() < 6
    again = mlraman(1, "predict", "deck.yaml", *faulty, code=3)
    assert f"{before.sum()} batches are there already" in again.stdout


@pytest.mark.slow
def test_run_report_check_and_later_commands(mlraman, folder):
    (folder / "XDATCAR").write_text(small.xdatcar(small.frames(150)))
    check_log = mlraman(0, "check", "deck.yaml").stdout
    assert "first frame rotated" in check_log and "frames/s on one rank" in check_log
    few = mlraman(0, "check", "deck.yaml", "--set", "model.predictor.arguments=[{scale: 1.0}, {scale: 2.0}]")
    assert "an ensemble of 2 models: its spread" in few.stderr
    mlraman(0, "run", "deck.yaml")
    page = (folder / "out" / "report.html").read_text()
    assert "model of the polarizability" in page and "bonds:Bonds" in page
    assert "is up to date" in mlraman(0, "predict", "deck.yaml").stdout
    other = mlraman(0, "spectrum", "deck.yaml", "--set", "model.predictor.arguments={scale: 3.0}", code=3)
    assert "model.predictor.arguments" in other.stderr
    (folder / "bonds.py").write_text((folder / "bonds.py").read_text().replace("30 *", "31 *"))
    assert "is up to date" not in mlraman(0, "predict", "deck.yaml").stdout
