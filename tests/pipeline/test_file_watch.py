"""Trajectories that change: the same bytes go on, edited ones are noticed, mixtures refused, unchanged parts kept."""

import os
import pickle
import shutil

import numpy as np
import pytest

from mlraman_hpc.base.file_content import BLOCK
from mlraman_hpc.pipeline.file_watch import FileChanged, FileWatch
from mlraman_hpc.readers.trajectory.index import build_index
from mlraman_hpc.storage import hdf5
from tests import small_system
from tests.helpers import wait_for_line


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "XDATCAR"
    path.write_bytes(bytes(range(256)) * (3 * BLOCK // 256))
    return path


def write_at(path, place, text):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(text)


def watched(path):
    watch = FileWatch()
    watch.add([path])
    return watch


def looked(watch):
    watch._looked = -10.0
    watch.look()


def test_what_stays_or_is_staged_anew_is_no_change(path, tmp_path):
    watch = watched(path)
    looked(watch)
    shutil.copyfile(path, tmp_path / "b")
    os.replace(tmp_path / "b", path)
    looked(watch)
    assert watch.check() == []


def test_growth_is_a_warning_at_the_end(path):
    watch = watched(path)
    with open(path, "ab") as file:
        file.write(b"x")
    looked(watch)
    assert watch.check() == [f"{path} has grown meanwhile; the frames that were there at the start are used"]


@pytest.mark.parametrize("place", [0, BLOCK + 5, 3 * BLOCK - 1])
def test_a_change_anywhere_is_refused_with_its_place(path, place):
    watch = watched(path)
    write_at(path, place, b"\xff" if place % 256 != 255 else b"\x00")
    for look in (looked, FileWatch.check):
        with pytest.raises(FileChanged, match="XDATCAR: has changed while its frames were read") as caught:
            look(watch)
        assert caught.value.blocks == [(place // BLOCK * BLOCK, (place // BLOCK + 1) * BLOCK)]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.blocks, str(again)) == (caught.value.blocks, str(caught.value))


def test_frames_within_changed_parts(tmp_path):
    (tmp_path / "XDATCAR").write_text(small_system.xdatcar(small_system.frames(20)))
    index = build_index([tmp_path / "XDATCAR"], "auto", tmp_path, None, pytest.fail)
    first, last = index.table["first_byte"], index.table["last_byte"]
    path = index.paths[0]

    def within(*parts):
        return np.flatnonzero(index.frames_within(range(0, 20, 2), path, parts)).tolist()

    assert within() == []
    assert within((int(first[4]) + 1, int(last[6]) - 1)) == [2, 3]
    assert within((int(first[3]), int(last[3]))) == []
    assert within((int(first[0]), int(last[0])), (int(first[18]), int(last[18]))) == [0, 9]
    assert within((0, 2)) == list(range(10))  # the cell and the elements


def _staged_anew(path):
    shutil.copyfile(path, path.with_name("new"))
    os.replace(path.with_name("new"), path)


@pytest.mark.slow
def test_an_interrupted_prediction_of_the_same_bytes_goes_on(trained, mlraman, background, expected):
    process = background(0, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "0.5"})
    wait_for_line(process, "expected")
    process.terminate()
    process.communicate()
    _staged_anew(trained / "XDATCAR")
    mlraman(0, "predict", "deck.yaml", folder=trained)
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected
    _staged_anew(trained / "XDATCAR")
    assert "alpha.h5 is up to date" in mlraman(0, "predict", "deck.yaml", folder=trained).stdout


def test_an_edited_file_with_its_old_time_is_not_up_to_date(trained, mlraman):
    path = trained / "XDATCAR"
    text, state = path.read_bytes(), path.stat()
    mlraman(0, "predict", "deck.yaml", folder=trained)
    place = text.rindex(b"0.2")
    write_at(path, place, b"0.3")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert "wrote out/alpha.h5" in mlraman(0, "predict", "deck.yaml", folder=trained).stdout
