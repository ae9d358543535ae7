"""Shared memory that a killed run has left is removed, and no other."""

import json
import mmap
import os
import subprocess
import sys
import time

import pytest

from mlraman_hpc.runtime import mpich_workarounds
from mlraman_hpc.runtime.mpich_workarounds import remove_stale_shared_memory
from tests.helpers import wait_for_line

NAMES = {"own": "mpich_shm_eb421bf2_0", "own_too": "mpich_vci_eb421bf2_3", "other": "mpich_shm_281e0ec3_0"}
STEP = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"}
CLOCK_SECONDS = 2.0  # file times, uptime and process times are not of one clock


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A stand-in for /dev/shm, with shared memory of jobs 1.0 and 2.0 from a minute before our step began."""
    start = time.time()
    monkeypatch.setattr(mpich_workarounds, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(mpich_workarounds, "_job_step_start", lambda: start)
    for name in NAMES.values():
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (start - 60,) * 2)
    return tmp_path


def test_only_older_shared_memory_of_the_steps_own_name_is_removed(memory):
    remove_stale_shared_memory(STEP)
    assert [path.name for path in memory.iterdir()] == [NAMES["other"]]
    (memory / NAMES["own"]).write_bytes(b"")  # of another rank of this step
    remove_stale_shared_memory(STEP)
    assert (memory / NAMES["own"]).exists()


def test_nothing_is_removed_without_slurm(memory, monkeypatch):
    remove_stale_shared_memory({})
    monkeypatch.setattr(mpich_workarounds, "_job_step_start", lambda: None)
    remove_stale_shared_memory(STEP)
    assert len(list(memory.iterdir())) == len(NAMES)


def test_the_step_is_found_above_this_process(tmp_path):
    assert mpich_workarounds._job_step_start() is None  # the tests run under no slurmstepd
    shell = 'cp /bin/sh "$1/slurmstepd" && "$1/slurmstepd" -c \'sh -c "$0 -c \\"$1\\"; true"; true\' "$2" "$3"'
    code = "from mlraman_hpc.runtime import mpich_workarounds as w; print(w._job_step_start())"
    before = time.time()
    done = subprocess.run(["sh", "-c", shell, "sh", tmp_path, sys.executable, code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert before - CLOCK_SECONDS < float(done.stdout) < time.time() + CLOCK_SECONDS


def test_files_of_a_dead_run_are_removed_and_no_others(tmp_path, monkeypatch):
    """One that a process has in its memory stays, and so does what is not MPICH's."""
    monkeypatch.setattr(mpich_workarounds, "SHARED_MEMORY", tmp_path)
    for name in ("mpich_shm_1a_0", "mpich_shm_2b_0", "mpich_shm_3c_0", "precious"):
        (tmp_path / name).write_bytes(bytes(4096))
    with open(tmp_path / "mpich_shm_2b_0", "r+b") as file, mmap.mmap(file.fileno(), 0):
        assert mpich_workarounds.own_shared_memory() == ["mpich_shm_2b_0"]
        mpich_workarounds.remove_shared_memory(
            ["mpich_shm_1a_0", "mpich_shm_2b_0", "precious", "../x", "mpich_shm_9_0"]
        )
    assert {path.name for path in tmp_path.iterdir()} == {"mpich_shm_2b_0", "mpich_shm_3c_0", "precious"}


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["exception", "kill"])
def test_a_failed_run_leaves_no_shared_memory(kind, trained, mlraman, background):
    """One that fails takes its own along; that of one whose launcher is killed goes with the next run."""
    fault = {"MLRAMAN_TEST_FAIL": "predict/batches:1:exception:3"} if kind == "exception" else {}
    process = background(2, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "3", **fault})
    wait_for_line(process, " batches")
    holder = json.loads((trained / "out" / "mlraman.lock").read_text())
    files = [mpich_workarounds.SHARED_MEMORY / name for name in holder["shared_memory"]]
    if not files:
        process.kill()
        pytest.skip("this MPI library leaves no such files")
    if kind == "exception":
        assert process.wait(60)
    else:
        process.kill()
        process.wait()
        end = time.monotonic() + 60
        while any(str(file) in mpich_workarounds._used_files() for file in files) and time.monotonic() < end:
            time.sleep(0.1)
        assert files[0].exists()
        mlraman(0, "predict", "deck.yaml", folder=trained)
    assert not any(file.exists() for file in files)
