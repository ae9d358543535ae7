"""Full disk, read-only folder, files that vanish, change or are cut short: one message, earlier results intact."""

import os
import shutil
import subprocess

import pytest

from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.helpers import wait_for_line

RANKS = pytest.mark.parametrize("ranks", [pytest.param(0), pytest.param(3, marks=pytest.mark.mpi)])


def one_error(done, *texts):
    assert done.stderr.count("mlraman: error:") == 1, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    for text in texts:
        assert text in done.stderr
    return done.stderr


@pytest.mark.parametrize("kilobytes", [64, 1300, 1500])
def test_full_disk_in_convert(kilobytes, trained, mlraman, disk):
    """When HDF5 lays the file out, when the space for all frames is taken; one that has room ends well."""
    disk.make(kilobytes)
    done = mlraman(0, "convert", "deck.yaml", "--set", f"output={disk.path}/out", code=3, folder=trained)
    one_error(done, "out/trajectory.h5: cannot be written: No space left on device")
    assert sorted(os.listdir(disk.path / "out")) in (["resolved_deck.yaml", "status.json"], ["resolved_deck.yaml"])
    disk.remount("size=3000k")
    mlraman(0, "convert", "deck.yaml", "--set", f"output={disk.path}/out", folder=trained)
    assert (disk.path / "out" / "trajectory.h5").stat().st_size > 500_000


def finished(trained, disk, free):
    """Results on a small disk with this much space left (kB)."""
    disk.make(10000)
    shutil.copytree(trained / "out", disk.path / "out")
    disk.remount(f"size={disk.used() + free}k")
    return ["--set", f"output={disk.path}/out"]


@RANKS
def test_full_disk(ranks, trained, expected, mlraman, disk):
    """No space for the layout, then for the finished copy; with space it goes on to the same bits."""
    output = finished(trained, disk, 40)
    for free in (40, 2000):
        disk.remount(f"size={disk.used() + free}k")
        done = mlraman(ranks, "predict", "deck.yaml", *output, code=3, folder=trained)
        one_error(done, "No space left on device", "free space and quota")
        left = {path.name for path in (disk.path / "out").iterdir()}
        assert left - {path.name for path in (trained / "out").iterdir()} <= {"alpha.partial.h5"}
    assert left >= {"alpha.partial.h5", "model.h5"}
    disk.remount("size=50m")
    mlraman(0, "predict", "deck.yaml", *output, folder=trained)
    assert hdf5.content_of(disk.path / "out" / "alpha.h5") == expected


@RANKS
def test_disk_that_fills_while_training(ranks, trained, mlraman, disk):
    disk.make(40)
    done = mlraman(ranks, "train", "deck.yaml", "--set", f"output={disk.path}/out", code=3, folder=trained)
    one_error(done, "No space left on device")
    assert not (disk.path / "out" / "model.h5").exists()


@RANKS
def test_read_only_folder(ranks, trained, mlraman, disk):
    output = finished(trained, disk, 4000)
    disk.remount("ro")
    done = mlraman(ranks, "predict", "deck.yaml", *output, code=3, folder=trained)
    one_error(done, "Read-only file system", "'output'")


@RANKS
@pytest.mark.parametrize("what", ["deleted", "cut"])
def test_trajectory_that_goes_away_while_it_is_read(ranks, what, trained, expected, background, mlraman):
    trajectory = trained / "XDATCAR"
    process = background(ranks, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "1"})
    wait_for_line(process, " batches")
    text = trajectory.read_text()
    trajectory.unlink() if what == "deleted" else os.truncate(trajectory, 5000)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, (out, err)
    assert err.count("mlraman: error:") == 1 and "XDATCAR" in err and "Traceback" not in err
    assert (trained / "out" / "alpha.partial.h5").exists() and not (trained / "out" / "alpha.h5").exists()
    if what == "deleted":
        trajectory.write_text(text)
        mlraman(0, "predict", "deck.yaml", folder=trained)
        assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


@pytest.mark.slow
def test_trajectory_that_changes_or_grows_while_it_is_read(trained, background):
    trajectory = trained / "XDATCAR"
    for change, code in (("grow", 0), ("change", 3)):
        process = background(0, "predict", "deck.yaml", "--force", folder=trained, env={"MLRAMAN_TEST_SLOW": "0.3"})
        wait_for_line(process, " batches")
        with open(trajectory, "r+") as file:
            if change == "grow":
                file.seek(0, os.SEEK_END)
                file.write(small.xdatcar(small.frames(5)).split("\n", 7)[7])
            else:
                file.seek(trajectory.stat().st_size - 20)
                file.write("7")
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, (out, err)
        assert ("has grown meanwhile" if change == "grow" else "has changed while its frames were read") in err


@RANKS
def test_disk_that_is_full_when_pieces_are_written(ranks, trained, mlraman, disk):
    """Learning curves: the pieces cannot be written, then the result cannot; with space it goes on."""
    settings = ["--set", "figures=false", "--set", "learning_curve={sizes: [4, 8], draws: 2}"]
    curve = ["learning-curve", "deck.yaml", *settings, *finished(trained, disk, 8)]
    done = mlraman(ranks, *curve, code=3, folder=trained)
    one_error(done, "No space left on device", "free space and quota")
    assert {path.name for path in (disk.path / "out").iterdir()} == {path.name for path in (trained / "out").iterdir()}
    disk.remount("size=50m")
    mlraman(0, *curve, folder=trained)


@RANKS
@pytest.mark.parametrize("name", ["alpha.partial.h5", "model.h5"])
def test_truncated_files_are_one_message(ranks, name, trained, mlraman):
    mlraman(0, "predict", "deck.yaml", code=-9, folder=trained, env={"MLRAMAN_TEST_FAIL": "predict:0:kill:8"})
    file = trained / "out" / name
    os.truncate(file, file.stat().st_size // 2)
    done = mlraman(ranks, "predict", "deck.yaml", code=3, folder=trained)
    one_error(done, name, "--force" if "partial" in name else "not a readable HDF5 file")


def test_spaces_unicode_and_a_plain_locale(trained, mlraman, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "mit Leerzeichen Ångström α")
    deck = folder / "deck ü.yaml"
    deck.write_text((folder / "deck.yaml").read_text().replace("title: small", "title: α-AgI, 500 K"))
    for env in ({"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "C.UTF-8"}):
        mlraman(0, "predict", deck.name, "--force", "--set", "output=Ergebnisse ß", folder=folder, code=3, env=env)
        mlraman(0, "predict", deck, "--force", folder=folder, env=env)
    assert (folder / "out" / "alpha.h5").exists()


def test_a_log_on_a_full_disk_ends_the_log_only(trained):
    """/dev/full takes nothing."""
    import sys

    from tests.helpers import environment

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlraman_hpc", "predict", "deck.yaml"],
            cwd=trained,
            env=environment(None),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (trained / "out" / "alpha.h5").exists()
