"""Whole commands on a small system: the chain, the same bits on any number of ranks, restart, rotation."""

import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.helpers import environment, stop_signal

FILES = ("model", "alpha", "raman")


def contents(folder):
    return {name: hdf5.content_of(folder / f"{name}.h5") for name in FILES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, to compare with and to copy from."""
    from tests.helpers import run_command

    folder = tmp_path_factory.mktemp("finished")
    small.write(folder)
    done = run_command(0, ["run", "deck.yaml"], folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_promised_file_is_there(finished):
    written = {path.name for path in (finished / "out").iterdir()}
    assert {"model.h5", "parity.png", "alpha.h5", "raman.h5", "raman.dat", "raman.png", "resolved_deck.yaml"} <= written
    assert not [name for name in written if name.endswith(".tmp") or "partial" in name]


def test_every_dataset_has_a_unit_and_every_file_its_origin(finished):
    def check(name, item):
        if isinstance(item, h5py.Dataset):
            assert item.attrs["unit"], name

    for name in FILES:
        with h5py.File(finished / "out" / f"{name}.h5") as file:
            file.visititems(check)
            assert file.attrs["format_version"] == 1 and "smoothing: 20" in file.attrs["deck"]
            assert "parents" in file.attrs and "packages" in file.attrs["history"]


def test_shares_of_species_add_up(finished):
    with h5py.File(finished / "out" / "alpha.h5") as file:
        value = file["observables/polarizability/value"][:]
        shares = file["observables/polarizability_by_species/value"][:]
        assert np.array_equal(shares.sum(axis=1), value)
        assert np.array_equal(value, np.swapaxes(value, 1, 2))
        assert file["observables/polarizability/time"][-1] == 1490


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_the_same_bits_on_any_number_of_ranks(ranks, finished, mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(ranks, "run", "deck.yaml")
    assert contents(tmp_path / "out") == contents(finished / "out")


@pytest.mark.mpi
def test_more_ranks_than_frames(mlraman, tmp_path):
    small.write(tmp_path, count=4)
    mlraman(0, "train", "deck.yaml")
    mlraman(0, "predict", "deck.yaml", "--set", "output=out")
    alone = hdf5.content_of(tmp_path / "out" / "alpha.h5")
    mlraman(6, "predict", "deck.yaml", "--force")
    assert hdf5.content_of(tmp_path / "out" / "alpha.h5") == alone


@pytest.mark.slow
def test_what_is_up_to_date_is_skipped_and_what_changed_is_not(finished, mlraman, tmp_path):
    small.write(tmp_path)
    first = mlraman(0, "run", "deck.yaml")
    again = mlraman(0, "run", "deck.yaml")
    assert first.stdout.count("up to date") == 0 and again.stdout.count("up to date") == 3
    changed = mlraman(0, "run", "deck.yaml", "--set", "spectrum.smoothing=30")
    assert changed.stdout.count("up to date") == 2
    with h5py.File(tmp_path / "out" / "raman.h5") as file:
        assert file["smoothing"][()] == 30


@pytest.mark.slow
def test_steps_alone_give_the_same_as_the_chain(finished, mlraman, tmp_path):
    small.write(tmp_path)
    for command in ("train", "predict", "spectrum"):
        mlraman(0, command, "deck.yaml")
    assert contents(tmp_path / "out") == contents(finished / "out")


def test_steps_in_the_wrong_order_say_what_is_missing(mlraman, tmp_path):
    small.write(tmp_path)
    assert "'mlraman train' makes it" in mlraman(0, "predict", "deck.yaml", code=3).stderr
    assert "'mlraman predict' computes them" in mlraman(0, "spectrum", "deck.yaml", code=3).stderr


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [0, 2])
def test_interrupted_prediction_goes_on_to_the_same_bits(ranks, mlraman, tmp_path):
    from tests.helpers import launcher

    small.write(tmp_path, count=3000)
    mlraman(0, "train", "deck.yaml")
    command = (launcher(ranks) if ranks else []) + [sys.executable, "-m", "mlraman_hpc", "predict", "deck.yaml"]
    env = environment({"MLRAMAN_TEST_SLOW": "0.7"})
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    partial = tmp_path / "out" / "alpha.partial.h5"
    wait_until(lambda: batches_done(partial), process)
    process.send_signal(stop_signal(ranks))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert "start the same command again to go on" in err
    assert partial.exists() and not (tmp_path / "out" / "alpha.h5").exists()
    resumed = mlraman(3, "predict", "deck.yaml")
    assert "are there already" in resumed.stdout
    content = hdf5.content_of(tmp_path / "out" / "alpha.h5")
    mlraman(0, "predict", "deck.yaml", "--force")
    assert hdf5.content_of(tmp_path / "out" / "alpha.h5") == content


def batches_done(partial) -> int:
    if not partial.exists():
        return 0
    with h5py.File(partial, "r", locking=False) as file:
        return int(file["done"][:].sum())


def wait_until(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.slow
def test_interrupted_prediction_of_another_deck_is_refused_with_the_difference_named(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "train", "deck.yaml")
    mlraman(0, "predict", "deck.yaml", "--set", "trajectory.every=2", code=-9, env=killed_in_the_first_round())
    partial = tmp_path / "out" / "alpha.partial.h5"
    assert partial.exists() and (tmp_path / "out" / "mlraman.lock").exists()
    refused = mlraman(0, "predict", "deck.yaml", code=3).stderr
    assert "trajectory.every was 2, is 1" in refused and "has changed" not in refused
    (tmp_path / "XDATCAR").write_text(small.xdatcar(small.frames(150, seed=3)))
    mlraman(0, "train", "deck.yaml", "--set", "reference.seed=1")
    changes = ["--set", "trajectory.every=2", "--set", "reference.seed=1"]
    refused = mlraman(0, "predict", "deck.yaml", *changes, code=3).stderr
    assert "XDATCAR has changed; model.h5 has changed" in refused and "every" not in refused
    mlraman(0, "predict", "deck.yaml", *changes, "--force")
    assert not partial.exists()


def killed_in_the_first_round() -> dict:
    """After the first round was written: the eighth meeting of the ranks."""
    return {"MLRAMAN_TEST_FAIL": "predict:0:kill:8"}


def rotation():
    return np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0] * [1, 1, 1]


@pytest.mark.slow
def test_a_rotated_trajectory_gives_rotated_tensors_and_the_same_spectrum(finished, mlraman, tmp_path):
    turn = rotation()
    small.write(tmp_path)
    positions = small.frames(150)
    for name, q in (("straight", np.eye(3)), ("turned", turn)):
        text = small.extxyz(positions @ q.T, cell=small.CELL @ q.T, digits=14)
        (tmp_path / f"{name}.xyz").write_text(text)
        mlraman(0, "train", "deck.yaml", "--set", f"output={name}")
        for command in ("predict", "spectrum"):
            mlraman(0, command, "deck.yaml", "--set", f"output={name}", "--set", f"trajectory.files={name}.xyz")
    values, spectra = [], []
    for name in ("straight", "turned"):
        with h5py.File(tmp_path / name / "alpha.h5") as file, h5py.File(tmp_path / name / "raman.h5") as raman:
            values.append(file["observables/polarizability/value"][:])
            spectra.append(raman["intensity/total"][:])
    expected = turn @ values[0] @ turn.T
    assert np.abs(values[1] - expected).max() < 1e-10 * np.abs(expected).max()
    assert np.abs(spectra[1] - spectra[0]).max() < 1e-8 * spectra[0].max()


def test_a_series_from_elsewhere_gives_the_same_spectrum(finished, mlraman, tmp_path):
    with h5py.File(finished / "out" / "alpha.h5") as file:
        value = file["observables/polarizability/value"][:]
    np.save(tmp_path / "alpha.npy", value)
    (tmp_path / "series.yaml").write_text(
        "output: out\nseries: {file: alpha.npy, unit: angstrom^3, frame_interval: 10}\n"
        "spectrum: {smoothing: 20, blocks: 4}\n"
    )
    mlraman(0, "run", "series.yaml")
    with h5py.File(tmp_path / "out" / "raman.h5") as other, h5py.File(finished / "out" / "raman.h5") as ours:
        alone = ours["intensity/total"][:] - ours["committee/added/total"][:]
        np.testing.assert_allclose(
            other["intensity/total"], alone, rtol=0, atol=1e-12 * ours["intensity/total"][:].max()
        )
        assert "model" not in other["error"] and "model" in ours["error"]


def test_check_tells_frames_time_and_memory(mlraman, tmp_path):
    small.write(tmp_path)
    done = mlraman(0, "check", "deck.yaml")
    for text in (
        "the deck is valid",
        "24 labels of 5 atoms, 16 to train on",
        "150 frames of 5 atoms (Ag, I)",
        "1.5 ps",
        "frames/s on one rank",
        "memory: about",
    ):
        assert text in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_failed_run_keeps_what_was_computed(finished, mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "run", "deck.yaml")
    before = contents(tmp_path / "out")
    os.truncate(tmp_path / "labels.extxyz", 100)
    mlraman(0, "run", "deck.yaml", code=3)
    mlraman(0, "run", "deck.yaml", "--set", "trajectory.first=149", code=3)
    assert contents(tmp_path / "out") == before
