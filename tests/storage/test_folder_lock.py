"""Two jobs in one results folder are kept apart; dead ones do not block the next."""

import json
import os
import threading
import time

import pytest

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.storage import folder_lock as results

ELSEWHERE = {
    "host": "node7",
    "boot": "b",
    "space": "s",
    "pid": 12,
    "started": 3,
    "since": "yesterday",
    "job": "",
    "restart": 0,
}


def lock(folder, **changes):
    (folder / results.LOCK).write_text(json.dumps({**ELSEWHERE, **changes}))


def hold(folder):
    said = []
    with results.lock_folder(folder, said.append):
        assert json.loads((folder / results.LOCK).read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())
    return " ".join(said)


def test_nothing_is_left_behind(tmp_path):
    assert hold(tmp_path) == ""


def test_a_living_job_keeps_its_folder(tmp_path):
    with results.lock_folder(tmp_path, print):
        with pytest.raises(DeckError, match=f"another mlraman job .*process {os.getpid()} on .* remove .*mlraman.lock"):
            hold(tmp_path)
        assert (tmp_path / results.LOCK).exists()


def test_a_dead_process_of_this_host_does_not_block(tmp_path):
    mine = results._holder()
    lock(tmp_path, **{**mine, "started": mine["started"] - 1})  # the same id, but not the same process
    assert "dead job" in hold(tmp_path)


def test_a_job_that_slurm_queued_again_takes_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    lock(tmp_path, job="77")
    assert "Slurm job 77" in hold(tmp_path)


def test_a_silent_holder_on_another_host_is_dead(tmp_path, monkeypatch):
    lock(tmp_path)
    os.utime(tmp_path / results.LOCK, (time.time() - 200,) * 2)
    assert "dead job (process 12 on node7" in hold(tmp_path)
    monkeypatch.setenv("MLRAMAN_LOCK_PATIENCE", "0.5")
    lock(tmp_path)
    assert "waiting up to" in hold(tmp_path)


def test_a_lock_without_a_name_is_one_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MLRAMAN_LOCK_PATIENCE", "0.3")
    (tmp_path / results.LOCK).write_text("")
    assert "unknown process" in hold(tmp_path)


def test_a_holder_on_another_host_that_touches_its_lock_lives(tmp_path, monkeypatch):
    monkeypatch.setenv("MLRAMAN_LOCK_PATIENCE", "5")
    lock(tmp_path)
    touch = threading.Timer(0.5, os.utime, [tmp_path / results.LOCK])
    touch.start()
    with pytest.raises(DeckError, match="on node7"):
        hold(tmp_path)
    touch.join()


def test_debris_of_dead_jobs_is_removed(tmp_path):
    (tmp_path / "cache").mkdir()
    kept = [tmp_path / "cache" / "XDATCAR.1", tmp_path / "cache" / "XDATCAR.2.part12"]  # the second may be at work
    old = tmp_path / "cache" / "XDATCAR.1.part12"
    for file in (tmp_path / ".alpha.mlraman-x.h5.tmp", old, *kept):
        file.write_text("")
    os.utime(old, (0, 0))
    with results.lock_folder(tmp_path, print):
        assert sorted((tmp_path / "cache").iterdir()) == kept
        assert not (tmp_path / ".alpha.mlraman-x.h5.tmp").exists()


def test_no_folder_is_one_message(tmp_path):
    with pytest.raises(DataError, match="cannot be written: No such file"):
        hold(tmp_path / "nowhere")


@pytest.mark.mpi
def test_the_second_of_two_jobs_is_refused(trained, background, mlraman):
    first = background(2, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "20"})
    end = time.monotonic() + 60
    while not (trained / "out" / "mlraman.lock").exists() and time.monotonic() < end:
        time.sleep(0.1)
    refused = mlraman(3, "predict", "deck.yaml", code=2, folder=trained)
    assert refused.stderr.count("another mlraman job works in this folder") == 1
    first.kill()


def test_the_holder_asks_before_it_replaces_a_file(tmp_path):
    """As after a suspension, in which another host took over."""
    with results.lock_folder(tmp_path, print):
        with atomic_write(tmp_path / "sub" / "a.h5") as file:
            file.write_text("mine")
        lock(tmp_path)
        for name in ("a.h5", "sub/a.h5"):
            with pytest.raises(results.LockLost, match="process 12 on node7, since yesterday"):
                atomic_write(tmp_path / name).__enter__()
        assert (tmp_path / "sub" / "a.h5").read_text() == "mine" and not (tmp_path / "a.h5").exists()
        (tmp_path / results.LOCK).unlink()
        with pytest.raises(results.LockLost, match="is gone"):
            atomic_write(tmp_path / "b.h5").__enter__()
        lock(tmp_path)
    assert json.loads((tmp_path / results.LOCK).read_text())["host"] == "node7"  # another's lock stays
    with atomic_write(tmp_path / "a.h5") as file:  # nobody holds the folder now
        file.write_text("free")


def test_a_lock_that_is_lost_while_a_file_is_made_does_not_replace_it(tmp_path):
    with results.lock_folder(tmp_path, print), pytest.raises(results.LockLost), atomic_write(tmp_path / "a.h5") as file:
        file.write_text("other")
        lock(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [results.LOCK]


def test_a_suspended_holder_elsewhere_is_alive_where_files_can_be_locked(tmp_path, monkeypatch):
    monkeypatch.setenv("MLRAMAN_LOCK_PATIENCE", "0.2")
    lock(tmp_path)
    handle = results._system_lock(tmp_path / results.LOCK)
    os.utime(tmp_path / results.LOCK, (1, 1))
    with pytest.raises(results.Busy, match="process 12 on node7"):
        hold(tmp_path)
    os.close(handle)
    assert "of a dead job" in hold(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "\x00" * 50, '{"host": 3}', "[" * 5000, '{"restart": "x", "job": "1"}']
)
def test_a_damaged_lock_is_that_of_an_unknown_process(tmp_path, monkeypatch, text):
    monkeypatch.setenv("MLRAMAN_LOCK_PATIENCE", "0.2")
    (tmp_path / results.LOCK).write_text(text)
    assert "of a dead job (unknown process) was removed" in hold(tmp_path)


def test_a_pipe_as_lock_is_one_message(tmp_path):
    os.mkfifo(tmp_path / results.LOCK)
    with pytest.raises(DataError, match=r"mlraman\.lock: cannot be written: not a regular file"):
        hold(tmp_path)


def test_only_temporary_files_of_ours_are_swept(tmp_path):
    ours, others = ".alpha.mlraman-ab12cd.h5.tmp", (".rsync.tmp", ".alpha.h5.x8.tmp", "a.tmp")
    for name in (ours, *others):
        (tmp_path / name).write_text("")
    with results.lock_folder(tmp_path, print):
        assert {path.name for path in tmp_path.iterdir()} == {results.LOCK, *others}
