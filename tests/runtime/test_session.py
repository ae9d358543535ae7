"""Sharing, and how errors end a job, under a real mpirun."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlraman_hpc.storage import hdf5
from tests.helpers import environment, launcher

RANKS = Path(__file__).with_name("ranks.py")
pytestmark = pytest.mark.mpi


def start(ranks, *arguments, env=None):
    command = (launcher(ranks) if ranks else []) + [sys.executable, str(RANKS), *map(str, arguments)]
    return subprocess.run(command, env=environment(env), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("ranks", [0, 1, 3])
@pytest.mark.parametrize("items", [0, 2, 10])
def test_local_shares_are_complete_and_even(ranks, items):
    done = start(ranks, "shares", items)
    assert done.returncode == 0
    text, _, difference = done.stdout.rpartition(" ")
    assert text == str(list(range(items)))
    assert int(difference) <= 1


def test_scatter_and_alltoall():
    assert start(3, "scattered").stdout == "[0, 10, 20]\n"
    assert start(3, "exchanged").returncode == 0


def test_groups_are_of_neighbours():
    assert start(3, "groups").stdout == "[(0, 0, [0]), (1, 0, [1, 2]), (1, 1, [1, 2])]\n"


def test_more_ranks_than_cores_are_warned_of_and_change_no_bit(trained, expected, mlraman):
    ranks = len(os.sched_getaffinity(0)) + 1
    if ranks > 9:
        pytest.skip("too many cores to have more ranks")
    done = mlraman(ranks, "predict", "deck.yaml", folder=trained)
    assert done.stderr.count(f"{ranks} ranks of 1 thread share {ranks - 1} core") == 1
    assert hdf5.content_of(trained / "out" / "alpha.h5") == expected


@pytest.mark.parametrize("ranks", [0, 1, 3])
@pytest.mark.parametrize("case", ["error_on_root", "error_on_last"])
def test_an_error_is_raised_on_all_ranks_and_printed_once(ranks, case):
    done = start(ranks, case)
    assert done.returncode == 3
    assert done.stderr.count("mlraman: error: a.xyz: frame") == 1
    assert "Traceback" not in done.stderr


def test_an_error_not_shared_still_ends_the_job():
    done = start(3, "error_not_shared")
    assert done.returncode != 0
    assert "raised without telling the others" in done.stderr


@pytest.mark.parametrize("case", ["bug", "bug_on_all"])
def test_a_bug_aborts_with_its_rank(case):
    done = start(3, case)
    assert done.returncode not in (0, 2, 3, 75)
    assert "internal error on rank" in done.stderr and "ValueError: a bug on" in done.stderr


def test_a_killed_rank_ends_the_job():
    assert start(3, "killed").returncode != 0


def test_serial_use_needs_no_mpi_library():
    done = start(0, "scattered", env={"MPI4PY_LIBMPI": "/nowhere/libmpi.so"})
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
