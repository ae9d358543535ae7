"""Learning curves: files, monotone within the spread, the same bits on any number of ranks, honest limits."""

import h5py
import numpy as np
import pytest

from mlraman_hpc.storage import hdf5
from tests import small_system as small


@pytest.mark.mpi
def test_curve_rises_and_does_not_depend_on_ranks(mlraman, tmp_path):
    small.write(tmp_path)
    sizes = ("--set", "learning_curve.sizes=[4, 8, 16, 99]", "--set", "learning_curve.draws=4")
    done = mlraman(0, "learning-curve", "deck.yaml", *sizes)
    assert "only 16 labels can be trained on" in done.stderr
    with h5py.File(tmp_path / "out" / "learning_curve.h5") as file:
        assert file["train_size"][:].tolist() == [4, 8, 16]
        r2, rmse = file["r2/diagonal"][:], file["rmse/off_diagonal"][:]
        assert r2[-1] > r2[0] and rmse[-1] < rmse[0]
        assert file["draws/r2/diagonal"].shape == file["draws/relative_error"].shape == (3, 4)
        assert file["relative_error"][-1] < file["relative_error"][0]
        assert np.isnan(file["spread/r2/diagonal"][-1])  # of all labels there is but one draw
        assert file["rmse/xx"].attrs["unit"] == "Angstrom^3"
        assert file["expected/size"][:].tolist() == [32, 64]
        low, value, high = file["expected/relative_error"][:]
        assert (low <= value).all() and (value <= high).all()
    assert "with 32 labels expect R2 diagonal" in done.stdout
    content = hdf5.content_of(tmp_path / "out" / "learning_curve.h5")
    assert (tmp_path / "out" / "learning_curve.png").stat().st_size > 10000
    mlraman(3, "learning-curve", "deck.yaml", *sizes, "--force")
    assert hdf5.content_of(tmp_path / "out" / "learning_curve.h5") == content


def test_largest_point_is_the_model_of_train(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "train", "deck.yaml", "--set", "model.committee=0")
    mlraman(0, "learning-curve", "deck.yaml", "--set", "learning_curve={sizes: [16], draws: 1}")
    with h5py.File(tmp_path / "out" / "learning_curve.h5") as curve, h5py.File(tmp_path / "out" / "model.h5") as model:
        assert curve["r2/diagonal"][0] == model["scores/r2/diagonal"][()]
        assert curve["relative_error"][0] == model["scores/relative_error"][()]


def test_no_test_labels_are_named(mlraman, tmp_path):
    small.write(tmp_path)
    done = mlraman(0, "learning-curve", "deck.yaml", "--set", "reference.test=0", code=3)
    assert "'reference.test': a learning curve needs labels to test on" in done.stderr


def test_cost_of_the_labels_where_they_say_so(mlraman, tmp_path):
    small.write(tmp_path)
    sizes = ("--set", "learning_curve={sizes: [4, 8, 16], draws: 2}")
    path = tmp_path / "labels.extxyz"
    path.write_text(path.read_text().replace("Properties=", "cpu_s=450 Properties="))
    done = mlraman(0, "learning-curve", "deck.yaml", *sizes)
    assert "CPU-h of the labels" in done.stdout
    with h5py.File(tmp_path / "out" / "learning_curve.h5") as file:
        assert file["cost"][:].tolist() == [450, 0] and file["cost"].attrs["unit"] == "s"
    path.write_text(path.read_text().replace("cpu_s=450", "cpu_s=none", 1))
    assert "CPU-h" not in mlraman(0, "learning-curve", "deck.yaml", *sizes).stdout
