"""Ranks without a core of their own: they load nothing, wait, pass on what reaches them, and leave with the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime import session as parallel
from mlraman_hpc.storage import hdf5
from tests.helpers import environment, launcher

RANKS = Path(__file__).with_name("ranks.py")
CORES = sorted(os.sched_getaffinity(0))
BIND = "import os, sys; os.sched_setaffinity(0, eval(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
pytestmark = pytest.mark.mpi


def begin(ranks, cores, *arguments, shell=(), folder=None):
    """`ranks.py ARGUMENTS`, or `mlraman ARGUMENTS` in a folder, where the machine has this many cores."""
    if len(CORES) < cores:
        pytest.skip(f"needs {cores} cores")
    bound = [sys.executable, "-c", BIND, str(CORES[:cores]), sys.executable]
    program = ["-m", "mlraman_hpc"] if folder else [str(RANKS)]
    return subprocess.Popen(
        [*launcher(ranks), *shell, *bound, *program, *map(str, arguments)],
        cwd=folder,
        text=True,
        env=environment({"MLRAMAN_SHARE_CORES": ""}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def end(process):
    """(exit code, stdout, stderr)"""
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"still there: {process.communicate()}")
    return process.returncode, out, err


def processes(folder, ranks, cores):
    """The ranks that work and those that wait, once all are there."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        works = {int(path.stem) for path in folder.glob("*.works")}
        everyone = {int(path.name) for path in folder.iterdir() if path.name.isdigit()}
        if len(works) == cores and len(everyone) == ranks:
            return sorted(works), sorted(everyone - works)
        time.sleep(0.02)
    raise AssertionError(list(folder.iterdir()))


@pytest.mark.parametrize(("ranks", "cores"), [(2, 1), (5, 1), (5, 2)])
def test_the_session_is_that_of_the_ranks_with_a_core(ranks, cores, tmp_path):
    code, out, _ = end(begin(ranks, cores, "dealt"))
    assert code == 0 and out == f"{[10 * rank for rank in range(cores)]}\n"
    code, out, _ = end(begin(ranks, cores, "info", folder=tmp_path))
    assert code == 0 and f"{ranks} ranks of 1 thread; {cores} core" in out
    assert f"{cores} at work, the others wait for a core" in out


def test_ranks_that_wait_change_no_bit(trained, expected):
    code, out, err = end(begin(5, 2, "predict", "deck.yaml", folder=trained))
    assert code == 0 and "5 ranks of 1 thread, 2 at work, on " in out
    assert err.count("5 ranks of 1 thread share 2 cores; one rank for each core is fastest. 2 at work, the others") == 1
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


def test_groups_are_of_ranks_that_work():
    assert end(begin(4, 2, "groups"))[1] == "[(0, 1), (1, 1)]\n"


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("case", ["root_mistake", "one_mistake"])
def test_a_mistake_is_said_once_and_is_everybodys(case, cores):
    code, _, err = end(begin(4, cores, case))
    assert code == 3 and err.count("mlraman: error: a.xyz: frame") == 1 and "Traceback" not in err


@pytest.mark.parametrize("case", ["bug", "killed"])
def test_what_ends_one_rank_ends_those_that_wait(case):
    code, _, err = end(begin(4, 2, case))
    assert code not in (0, 2, 3, 75)
    assert case == "killed" or "internal error on rank 1 of 4" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_a_rank_that_waits_stops_the_run(number, tmp_path):
    process = begin(4, 2, "ready", tmp_path)
    _, waiting = processes(tmp_path, 4, 2)
    os.kill(waiting[-1], number)
    code, _, err = end(process)
    assert code == 75 and err.count(f"stopped by {number.name}") == 1


def test_a_second_signal_to_a_rank_that_waits_stops_at_once(tmp_path):
    process = begin(3, 1, "busy", tmp_path)
    _, waiting = processes(tmp_path, 3, 1)
    os.kill(waiting[0], signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    os.kill(waiting[1], signal.SIGTERM)
    assert end(process)[0] not in (0, 75)


@pytest.mark.parametrize("dies", ["works", "waits"])
def test_a_death_that_the_launcher_does_not_notice_ends_the_job(dies, tmp_path):
    process = begin(3, 1, "ready", tmp_path, shell=["sh", "-c", '"$@"; exec sleep 60', "sh"])
    works, waits = processes(tmp_path, 3, 1)
    os.kill(works[0] if dies == "works" else waits[1], signal.SIGKILL)
    if dies == "waits":  # the rank that works may notice it only when it is done
        os.kill(works[0], signal.SIGUSR1)
    code, _, err = end(process)
    assert code != 0 and err.count("has died: crashed, killed, or out of memory") <= 1
    assert "--oversubscribe" in launcher(3) or "has died" in err, err


def test_a_rank_that_waits_loads_nothing(tmp_path):
    process = begin(3, 1, "ready", tmp_path)
    works, waits = processes(tmp_path, 3, 1)
    os.kill(works[0], signal.SIGUSR1)
    assert end(process)[0] == 75
    for pid in waits:
        loaded = (tmp_path / str(pid)).read_text().split()
        assert "mpi4py.MPI" in loaded and not {"numpy", "yaml", "h5py", "pydantic", "mlraman_hpc.commands"} & set(
            loaded
        )


def test_what_came_before_is_passed_on_too():
    """A signal that a rank got before it knew that it would wait."""
    code = (
        "import os, signal, sys\nfrom mlraman_hpc.runtime.interrupts import Stop\nstop = Stop()\nstop.listen()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\nstop.forward_to(os.getppid())\nprint('on')"
    )
    found = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: found.append(number))
    try:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found == [signal.SIGUSR1]


def test_those_that_wait_are_told_when_the_others_are_done():
    """A process that has stopped goes on when it gets the signal; one that has ended by then is left alone."""
    stops = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('awake')"
    sleeper, gone = (subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in (stops, ""))
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
    session = parallel.Session()
    session._waiting = [
        machine.Process(rank, os.uname().nodename, one.pid, machine.started(one.pid), frozenset())
        for rank, one in enumerate((gone, sleeper))
    ]
    gone.communicate()
    session._wake()
    assert sleeper.communicate(timeout=60)[0] == b"awake\n"
