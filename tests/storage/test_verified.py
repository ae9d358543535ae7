"""Results are verified before HDF5 sees them: flipped bits, cut and unsealed files, pipes; also in whole commands."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mlraman_hpc.base import checksums
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.model import Model
from mlraman_hpc.storage import hdf5, verified
from mlraman_hpc.storage.h5md_writer import TrajectoryFile
from mlraman_hpc.storage.provenance import Origin
from tests.storage import fuzz
from tests.storage.test_released import unpacked

ORIGIN = Origin("test", "output: out\n", "key", {})

UNCHECKED = "0.4.0"  # whose files have no checksums of their bytes


def flip(path, dataset):
    """One bit of the largest number."""
    with h5py.File(path, "r") as file:
        place = file[dataset].id.get_offset() + 8 * int(np.abs(file[dataset][()]).argmax()) + 6
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x40]))


@pytest.fixture
def model(tmp_path):
    """A model as today's version writes it."""
    record = hdf5.load(Model, unpacked(UNCHECKED, "model.h5", tmp_path))
    hdf5.save(record, tmp_path, ORIGIN)
    return tmp_path / "model.h5"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: flip(path, "weights/anisotropic"), "damaged: bytes of it are not those that were written. Rest"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged: its checksums are missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), "not a readable HDF5 file"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()), "damaged: it has"),
        (lambda path: h5py.File(path, "r+").attrs.update(key="other"), "damaged: its checksums are missing"),
    ],
)
def test_damage_has_one_message(model, damage, message):
    damage(model)
    for read in (lambda path: hdf5.load(Model, path), hdf5.load_any, hdf5.content_of):
        with pytest.raises(DataError, match=message):
            read(model)
    assert hdf5.read_origin(model) is None and message.split(".")[0] in verified.damage(model)


def test_a_flipped_bit_of_a_released_file_is_noticed(tmp_path):
    path = unpacked(UNCHECKED, "model.h5", tmp_path)
    flip(path, "weights/anisotropic")
    with pytest.raises(DataError, match="damaged: its content is not what was written"):
        hdf5.load(Model, path)


def test_an_unfinished_file_is_not_a_result(tmp_path):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["x"] = 1.0
    with pytest.raises(DataError, match="not a finished file of mlraman_hpc"):
        hdf5.load(Model, tmp_path)


def test_hdf5_that_does_not_come_back_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(verified, "START_SECONDS", 0.0)
    with pytest.raises(DataError, match="HDF5 cannot read it within"):
        hdf5.load(Model, unpacked(UNCHECKED, "model.h5", tmp_path))


def test_the_process_that_reads_it_ends_without_us_too(tmp_path):
    os.mkfifo(tmp_path / "endless.h5")
    command = [sys.executable, "-m", "mlraman_hpc.storage.content_check", str(tmp_path / "endless.h5"), "1"]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGALRM


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.h5")
    with pytest.raises(DataError, match=r"model\.h5: cannot be read: not a regular file"):
        hdf5.load(Model, tmp_path)


def test_whole_files_are_verified_once(model, monkeypatch):
    calls = []
    check = checksums.check
    monkeypatch.setattr(checksums, "check", lambda handle: calls.append(handle) or check(handle))
    verified._verified.clear()
    for _ in range(3):
        hdf5.load(Model, model)
    assert len(calls) == 1
    os.utime(model)
    hdf5.load(Model, model)
    assert len(calls) == 2


def test_frames_of_a_damaged_trajectory_are_refused_and_the_others_read(tmp_path):
    path, positions = tmp_path / "trajectory.h5", 50 * np.random.default_rng(0).random((40, 1000, 3))
    numbers, periodic = np.full(1000, 14), np.ones(3, bool)
    writer = TrajectoryFile(
        path, numbers=numbers, periodic=periodic, steps=np.arange(40), times=np.arange(40.0), velocities=False
    )
    writer.write(slice(0, 40), positions, np.tile(50 * np.eye(3), (40, 1, 1)), None)
    writer.finish(ORIGIN)
    with h5py.File(path, "r") as file:
        place = file["particles/trajectory/position/value"].id.get_offset() + 30 * 24000 + 5
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\x01")
    index = build_index([path], "auto", tmp_path / "scratch", None, pytest.fail)
    assert np.array_equal(read_frames(index, np.arange(20)).positions.reshape(20, 1000, 3), positions[:20])
    with pytest.raises(DataError, match=r"trajectory\.h5: frames 30 to 30 are damaged: bytes"):
        read_frames(index, [30])


def test_one_flipped_bit_stops_what_reads_it_and_is_made_anew_by_run(trained, mlraman):
    mlraman(0, "predict", "deck.yaml", folder=trained)
    alpha = trained / "out" / "alpha.h5"
    content = hdf5.content_of(alpha)
    flip(alpha, "observables/polarizability/value")
    done = mlraman(0, "spectrum", "deck.yaml", code=3, folder=trained)
    assert done.stderr.count("error") == 1 and "out/alpha.h5: damaged: bytes" in done.stderr
    done = mlraman(0, "predict", "deck.yaml", folder=trained)
    assert "out/alpha.h5: damaged" in done.stderr and "It is made anew" in done.stderr
    assert hdf5.content_of(alpha) == content


@pytest.mark.slow
def test_damaged_batches_of_an_interrupted_prediction_are_computed_anew(trained, mlraman, background, expected):
    from tests.helpers import wait_for_line

    process = background(0, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "0.5"})
    wait_for_line(process, "expected")
    process.terminate()
    process.communicate()
    assert process.returncode == 75
    partial = trained / "out" / "alpha.partial.h5"
    with h5py.File(partial, "r") as file:
        place = file["observables/polarizability/value"].id.get_offset() + 48
    with open(partial, "r+b") as file:
        file.seek(place)
        file.write(b"\x01")
    done = mlraman(0, "predict", "deck.yaml", folder=trained)
    assert "1 batches were damaged on the disk; they are computed anew" in done.stderr
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


def test_fuzz():
    counts, faults = fuzz.run(64, released=False)
    assert not faults, faults
    assert counts["refused"] > 50
