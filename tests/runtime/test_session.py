"""Sharing, and how errors end a job, under a real mpirun."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlraman_hpc.runtime import session as parallel
from tests.helpers import environment, launcher

RANKS = Path(__file__).with_name("ranks.py")
pytestmark = pytest.mark.mpi


def start(ranks, *arguments, env=None):
    command = (launcher(ranks) if ranks else []) + [sys.executable, str(RANKS), *map(str, arguments)]
    return subprocess.run(command, env=environment(env), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("ranks", [0, 1, 3])
@pytest.mark.parametrize("items", [0, 2, 10])
def test_shares_are_whole_and_even(ranks, items):
    done = start(ranks, "shares", items)
    assert done.returncode == 0
    text, _, difference = done.stdout.rpartition(" ")
    assert text == str(list(range(items)))
    assert int(difference) <= 1


def test_root_deals():
    assert start(3, "dealt").stdout == "[0, 10, 20]\n"


@pytest.mark.parametrize("ranks", [0, 1, 3])
@pytest.mark.parametrize("case", ["root_mistake", "one_mistake"])
def test_a_mistake_is_everybodys_and_said_once(ranks, case):
    done = start(ranks, case)
    assert done.returncode == 3
    assert done.stderr.count("mlraman: error: a.xyz: frame") == 1
    assert "Traceback" not in done.stderr


def test_a_mistake_not_shared_still_ends_the_job():
    done = start(3, "lonely_mistake")
    assert done.returncode != 0
    assert "raised without telling the others" in done.stderr


@pytest.mark.parametrize("case", ["bug", "everyones_bug"])
def test_a_bug_aborts_with_its_rank(case):
    done = start(3, case)
    assert done.returncode not in (0, 2, 3, 75)
    assert "internal error on rank" in done.stderr and "ValueError: a bug on" in done.stderr


def test_a_killed_rank_ends_the_job():
    assert start(3, "killed").returncode != 0


def test_serial_copies_are_refused():
    """A launcher that says four processes, an MPI library that sees one."""
    done = start(0, "dealt", env={"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"})
    assert done.returncode == 2
    assert "started 4 processes, but the MPI library sees only 1" in done.stderr


def test_serial_use_needs_no_mpi_library():
    done = start(0, "dealt", env={"MPI4PY_LIBMPI": "/nowhere/libmpi.so"})
    assert done.returncode == 0


WITHOUT_MPI4PY = "import sys; sys.modules['mpi4py'] = None; from mlraman_hpc.cli import main; main(sys.argv[1:])"


def test_serial_use_needs_no_mpi4py(trained):
    command = [sys.executable, "-c", WITHOUT_MPI4PY]
    for task in (["run", "deck.yaml", "--set", "figures=false"], ["info"]):
        done = subprocess.run(
            [*command, *task], cwd=trained, env=environment(None), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "none (serial)" in done.stdout
    assert (trained / "out" / "raman.h5").exists()
    done = subprocess.run(
        [*command, "info"],
        env=environment({"PMI_SIZE": "3", "PMI_RANK": "0"}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "started 3 processes, but MPI cannot be used" in done.stderr


def test_launchers_are_recognised():
    assert parallel.launched({}) is None
    assert parallel.launched({"SLURM_NTASKS": "4"}) is None  # the batch script itself is one process
    assert parallel.launched({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}) == parallel.Launch("srun", 4, 2)
    both = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "PMI_SIZE": "4", "PMI_RANK": "3"}
    assert parallel.launched(both) == parallel.Launch("mpirun (PMI)", 4, 3)
