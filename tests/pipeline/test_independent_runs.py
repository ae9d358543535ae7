"""`trajectory.runs`: every file by itself, and their mean."""

import h5py
import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.errorbars import student_factor
from tests import small_system as small


def total(path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["intensity/total"][()]


@pytest.mark.slow
def test_spectra_of_independent_runs_are_averaged(mlraman, tmp_path):
    small.write(tmp_path)
    for number in range(3):
        (tmp_path / f"run_{number}.xdatcar").write_text(small.xdatcar(small.frames(150, seed=number)))
    text = small.DECK.replace("files: XDATCAR", "files: run_*.xdatcar, format: xdatcar, runs: true") + "dynamics: {}\n"
    (tmp_path / "deck.yaml").write_text(text)
    mlraman(2, "run", "deck.yaml")
    runs = [total(tmp_path / "out" / "runs" / str(number) / "raman.h5") for number in range(3)]
    np.testing.assert_allclose(total(tmp_path / "out" / "raman.h5"), np.mean(runs, axis=0), rtol=1e-12)
    with h5py.File(tmp_path / "out" / "raman.h5") as file:
        error = file["error/statistical/total"][()]
    np.testing.assert_allclose(
        error, np.std(runs, axis=0, ddof=1) / 3**0.5 * student_factor(2), rtol=1e-9, atol=1e-12 * error.max()
    )
    assert (tmp_path / "out" / "dynamics.h5").exists() and (tmp_path / "out" / "report.html").exists()
    assert "raman.h5 is up to date" in mlraman(0, "spectrum", "deck.yaml").stdout
    (tmp_path / "run_1.xdatcar").write_text(small.xdatcar(small.frames(150, seed=7)))
    refused = mlraman(0, "report", "deck.yaml", code=3).stderr
    assert "trajectory.files" in refused and "dynamics.h5 was made from other files" in refused


def test_one_file_is_not_several_runs(mlraman, tmp_path):
    small.write(tmp_path)
    done = mlraman(0, "dynamics", "deck.yaml", "--set", "trajectory.runs=true", code=2)
    assert "trajectory.runs" in done.stderr
