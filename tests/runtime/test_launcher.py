"""Starting MPI: what a killed run left is removed, and a start that hangs is ended."""

import os
import subprocess
import sys
import time

import pytest

from mlraman_hpc.runtime import launcher as starting
from tests.helpers import environment, launcher

NAMES = {"ours": "mpich_shm_eb421bf2_0", "ours_too": "mpich_vci_eb421bf2_3", "other": "mpich_shm_281e0ec3_0"}


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A stand-in for /dev/shm, with shared memory of jobs 1.0 and 2.0 from a minute ago; our step began just now."""
    monkeypatch.setattr(starting, "MEMORY", tmp_path)
    monkeypatch.setattr(starting, "_step_began", time.time)
    for name in NAMES.values():
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - 60,) * 2)
    return tmp_path


def test_only_older_shared_memory_of_the_steps_own_name_is_removed(memory):
    starting.sweep({"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"})
    assert [path.name for path in memory.iterdir()] == [NAMES["other"]]
    (memory / NAMES["ours"]).write_bytes(b"")  # of another rank of this step
    starting.sweep({"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"})
    assert (memory / NAMES["ours"]).exists()


def test_nothing_is_removed_without_slurm(memory, monkeypatch):
    starting.sweep({})
    monkeypatch.setattr(starting, "_step_began", lambda: None)
    starting.sweep({"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"})
    assert len(list(memory.iterdir())) == len(NAMES)


def test_the_step_is_found_above_this_process(tmp_path):
    assert starting._step_began() is None  # the tests run under no slurmstepd
    shell = 'cp /bin/sh "$1/slurmstepd" && "$1/slurmstepd" -c \'sh -c "$0 -c \\"$1\\"; true"; true\' "$2" "$3"'
    code = "from mlraman_hpc import starting; print(starting._step_began())"
    done = subprocess.run(["sh", "-c", shell, "sh", tmp_path, sys.executable, code], capture_output=True, text=True)
    assert abs(float(done.stdout) - time.time()) < 60, done.stderr


def test_a_start_that_hangs_is_ended_with_a_message():
    code = (
        "import sys, time\nfrom mlraman_hpc import starting\n"
        "with starting.watched('rank 1 of 2 on here'): time.sleep(float(sys.argv[1]))\nprint('on')"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", code, seconds],
            capture_output=True,
            text=True,
            timeout=50,
            env={**os.environ, "MLRAMAN_START_PATIENCE": patience},
        )
        for seconds, patience in (("0", "40"), ("40", "0.1"))
    ]
    assert (done[0].returncode, done[0].stdout, done[0].stderr) == (0, "on\n", "")
    assert done[1].returncode == -9 and "rank 1 of 2 on here: MPI did not start within 0.1 s" in done[1].stderr


@pytest.mark.mpi
def test_a_rank_that_never_comes_does_not_hold_the_others_for_ever():
    program = [sys.executable, "-m", "mlraman_hpc", "info"]
    command = [*launcher(1), *program, ":", "-n", "1", "sleep", "50"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=40, env=environment({"MLRAMAN_START_PATIENCE": "1"})
    )
    assert done.returncode and "rank 0 of 2" in done.stderr and "MPI did not start" in done.stderr
