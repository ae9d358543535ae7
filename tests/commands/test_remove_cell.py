"""`spectrum.remove_cell`: a trajectory whose cell varies, from the files to the spectrum and what is said of it."""

import json

import h5py
import numpy as np
import pytest

from tests import small_system as small
from tests.helpers import changed


@pytest.mark.slow
def test_from_a_varying_cell_to_a_spectrum_without_its_part(mlraman, tmp_path):
    small.write(tmp_path)
    scale = 1 + 0.004 * np.sin(0.3 * np.arange(150))
    frames = zip(small.frames(150, seed=1), scale)
    (tmp_path / "npt.extxyz").write_text("".join(small.extxyz(x[None] * s, cell=small.CELL * s) for x, s in frames))
    deck = ("deck.yaml", "--set", "trajectory={files: npt.extxyz, frame_interval: 10}")
    mlraman(0, "train", *deck)
    assert "spectrum.remove_cell" in mlraman(0, "predict", *deck).stderr
    mlraman(0, "spectrum", *deck)
    with h5py.File(tmp_path / "out" / "alpha.h5") as file:
        np.testing.assert_allclose(file["observables/cell/value"][:, 0, 0], 6.0 * scale, atol=1e-7)
    with h5py.File(tmp_path / "out" / "raman.h5") as file:
        assert "cell_part" not in file
        before = file["intensity/isotropic"][:]
    done = mlraman(0, "spectrum", *deck, "--set", "spectrum.remove_cell=volume")
    assert "what follows the cell's volume was taken out" in done.stdout and "d ln alpha/d ln V" in done.stdout
    with h5py.File(tmp_path / "out" / "raman.h5") as file:
        assert file["intensity/isotropic"][:].sum() < 0.9 * before.sum()
        assert abs(file["cell_part/volume_spread"][()] - 3 * 0.004 / np.sqrt(2)) < 3e-4
    assert "without what follows the cell's volume" in (tmp_path / "out" / "raman.dat").read_text()


@pytest.mark.slow
def test_of_a_fixed_cell_nothing_is_kept_or_taken_out(mlraman, trained):
    mlraman(0, "predict", "deck.yaml", folder=trained)
    with h5py.File(trained / "out" / "alpha.h5") as file:
        assert "cell" not in file["observables"]
    done = mlraman(0, "spectrum", "deck.yaml", "--set", "spectrum.remove_cell=volume", folder=trained)
    assert "the trajectory's cell is fixed" in done.stdout
    with changed(trained / "out" / "alpha.h5") as file:
        history = json.loads(file.attrs["history"])
        file.attrs["history"] = json.dumps([*history[:-1], history[-1] | {"mlraman_hpc": "0.6.0"}])
    error = mlraman(0, "spectrum", "deck.yaml", "--set", "spectrum.remove_cell=strain", code=2, folder=trained).stderr
    assert "spectrum.remove_cell" in error and "did not keep them" in error
