"""`mlraman tune` and training with a descriptor that the program chooses."""

from dataclasses import replace

import h5py
import pytest

from mlraman_hpc.model.descriptor_choice import chosen_descriptor
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.training import Tuning
from mlraman_hpc.storage import hdf5
from tests import small_system as small

AUTO = ("--set", "descriptor={mode: auto, cutoff: 4.0, max_angular: 2, max_radial: 2}")


@pytest.mark.mpi
def test_the_same_bits_on_any_number_of_ranks(mlraman, tmp_path):
    small.write(tmp_path)
    contents = set()
    for ranks in (0, 1, 2, 3):
        done = mlraman(ranks, "tune", "deck.yaml", *AUTO, "--force")
        assert "<- chosen" in done.stdout
        contents.add(hdf5.content_of(tmp_path / "out" / "tuning.h5"))
    assert len(contents) == 1


@pytest.mark.slow
def test_train_chooses_and_keeps_the_table(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "train", "deck.yaml", *AUTO)
    tuning, model = hdf5.load(Tuning, tmp_path / "out"), hdf5.load(Model, tmp_path / "out")
    assert model.tuning.error.tolist() == tuning.error.tolist()
    assert model.descriptor == chosen_descriptor(tuning, replace(model.descriptor, radial_scaling=None))
    assert tuning.labels == len(model.train) == 16  # never a test label
    with h5py.File(tmp_path / "out" / "model.h5") as file:
        assert file["tuning/error"].attrs["unit"] == "Angstrom^3"
    done = mlraman(0, "learning-curve", "deck.yaml", *AUTO, "--set", "learning_curve={sizes: [8, 16], draws: 2}")
    assert "tuning.h5 is up to date" in done.stdout
    mlraman(0, "report", "deck.yaml", *AUTO)
    assert "leave-one-out error" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_tuning_does_not_see_the_test_labels(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "tune", "deck.yaml", *AUTO)
    before = hdf5.load(Tuning, tmp_path / "out")
    mlraman(0, "train", "deck.yaml", *AUTO)
    test = hdf5.load(Model, tmp_path / "out").test
    positions, alpha = small.frames(24, seed=1), small.alpha(small.frames(24, seed=1))
    alpha[test] *= 1.5
    (tmp_path / "labels.extxyz").write_text(small.extxyz(positions, alpha))
    mlraman(0, "tune", "deck.yaml", *AUTO)
    assert hdf5.load(Tuning, tmp_path / "out").error.tolist() == before.error.tolist()


@pytest.mark.slow
def test_a_deck_with_a_descriptor_of_its_own_keeps_it(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "tune", "deck.yaml")  # a table to look at
    mlraman(0, "train", "deck.yaml")
    model = hdf5.load(Model, tmp_path / "out")
    assert model.tuning is None and model.descriptor.radial_scaling is None
