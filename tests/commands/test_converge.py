"""Convergence: models of all sizes along the trajectory at once, and parts of the trajectory."""

import h5py
import numpy as np
import pytest

from mlraman_hpc.storage import hdf5
from tests import small_system as small

SECTION = ("--set", "convergence={train: [6, 10, 99], fraction: [0.5, 0.1]}")


@pytest.mark.mpi
def test_distances_end_at_zero_and_do_not_depend_on_ranks(mlraman, tmp_path):
    small.write(tmp_path)
    for command in ("train", "predict"):
        mlraman(0, command, "deck.yaml", "--set", "model.committee=0")
    done = mlraman(0, "converge", "deck.yaml", "--set", "model.committee=0", *SECTION)
    assert "fewer than 64 frames are left out" in done.stderr
    # the models of other sizes are no committee, whose deviations would grow with that distance
    assert "distance of the trajectory from the training set" not in done.stdout
    with h5py.File(tmp_path / "out" / "convergence.h5") as file:
        assert file["train/size"][:].tolist() == [6, 10, 16]
        assert file["length/time"][:].tolist() == [0.75, 1.5]
        assert file["train/distance"][-1] < 1e-10 and file["length/distance"][-1] < 1e-10
        assert file["train/distance"][0] > 1e-4
        assert file["length/expected_distance"][-1] == 0
        assert file["train/intensity"].shape == (3, len(file["wavenumber"]))
    with h5py.File(tmp_path / "out" / "convergence_alpha.h5") as many, h5py.File(tmp_path / "out" / "alpha.h5") as one:
        value = one["observables/polarizability/value"][:]
        assert np.array_equal(many["observables/polarizability/value"], value)
    content = hdf5.content_of(tmp_path / "out" / "convergence.h5")
    mlraman(3, "converge", "deck.yaml", "--set", "model.committee=0", *SECTION, "--force")
    assert hdf5.content_of(tmp_path / "out" / "convergence.h5") == content


def test_a_series_from_elsewhere_has_only_lengths(mlraman, tmp_path):
    np.save(tmp_path / "alpha.npy", small.alpha(small.frames(300)))
    (tmp_path / "deck.yaml").write_text(
        "output: out\nseries: {file: alpha.npy, unit: angstrom^3, frame_interval: 10}\nspectrum: {smoothing: 20}\n"
    )
    mlraman(0, "converge", "deck.yaml")
    with h5py.File(tmp_path / "out" / "convergence.h5") as file:
        assert "train" not in file and file["length/time"][:].tolist() == [0.75, 1.5, 3.0]
