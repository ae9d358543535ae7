"""A start that hangs is ended, and so is a job of which a rank has died."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlraman_hpc.runtime import watchdog
from mlraman_hpc.runtime.resources import Process, started
from tests.helpers import environment, launcher

RANKS = Path(__file__).with_name("ranks.py")
WATCHED = (
    "import sys, time\nfrom mlraman_hpc.runtime.watchdog import watched\n"
    "with watched('rank 1 of 2 on here'): time.sleep(float(sys.argv[1]))\nprint('on')"
)


def start(seconds: str, patience: str) -> subprocess.CompletedProcess:
    """A start that takes so many seconds."""
    command = [sys.executable, "-c", WATCHED, seconds]
    env = environment({"MLRAMAN_START_PATIENCE": patience})
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


def test_a_start_that_hangs_is_ended_with_a_message():
    done = start("0", "500")
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")
    done = start("500", "0.1")
    assert done.returncode == -signal.SIGKILL and "rank 1 of 2 on here: MPI did not start within 0.1 s" in done.stderr


@pytest.mark.mpi
def test_a_rank_that_never_comes_does_not_hold_the_others_for_ever():
    program = [sys.executable, "-m", "mlraman_hpc", "info"]
    command = [*launcher(1), *program, ":", "-n", "1", "sleep", "500"]
    env = environment({"MLRAMAN_START_PATIENCE": "1"})
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode and "rank 0 of 2" in done.stderr and "MPI did not start" in done.stderr


def test_a_neighbour_is_dead_when_it_is_missing_twice(monkeypatch):
    clock = itertools.count(step=10.0)
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: next(clock))
    neighbour = SimpleNamespace(is_alive=True)
    watch = watchdog.NeighbourWatch(neighbour)
    assert not watch.has_died(100.0)
    neighbour.is_alive = False
    assert not watch.has_died(1.0)  # a short wait is no reason to look
    assert [watch.has_died(100.0), watch.has_died(100.0)] == [False, True]


def test_a_process_is_known_to_have_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process(1, os.uname().nodename, child.pid, started(child.pid), frozenset())
        assert process.is_alive
    assert not process.is_alive


@pytest.mark.mpi
def test_a_death_that_the_launcher_does_not_notice_ends_the_job(tmp_path):
    """A shell between launcher and rank outlives the rank."""
    command = [*launcher(3), "sh", "-c", '"$@"; exec sleep 500', "sh", sys.executable, RANKS, "endless", tmp_path]
    process = subprocess.Popen(
        command, text=True, env=environment(None), stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        while len(ranks := list(tmp_path.iterdir())) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(int(ranks[0].name), signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0 and err.count("has died: crashed, killed, or out of memory") <= 1
    assert "--oversubscribe" in launcher(3) or "has died" in err, err
