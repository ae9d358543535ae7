"""Who has started this process; silent serial copies are refused."""

import subprocess
import sys
from pathlib import Path

from mlraman_hpc.base.errors import ExitCode
from mlraman_hpc.runtime.launcher import Launch, launched
from tests.helpers import environment

LIBRARY = "from mpi4py import MPI; print(MPI.Get_library_version())"
RANKS = Path(__file__).with_name("ranks.py")
WITHOUT_MPI4PY = "import sys; sys.modules['mpi4py'] = None; from mlraman_hpc.cli import main; main(['info'])"


def test_launchers_are_recognised():
    assert launched({}) is None
    assert launched({"SLURM_NTASKS": "4"}) is None  # the batch script itself is one process
    assert launched({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}) == Launch("srun", 4, 2)
    both = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "PMI_SIZE": "4", "PMI_RANK": "3"}
    assert launched(both) == Launch("mpirun (PMI)", 4, 3)


def _run(command, env):
    return subprocess.run(command, env=environment(env), capture_output=True, text=True, timeout=60)


def test_serial_copies_are_refused():
    """A launcher that says four processes, an MPI library that sees one."""
    done = _run([sys.executable, RANKS, "scattered"], {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"})
    assert done.returncode == ExitCode.DECK
    assert "srun started 4 processes, but the MPI library sees only 1" in done.stderr


def test_a_launcher_of_another_kind_of_mpi_is_refused():
    library = _run([sys.executable, "-c", LIBRARY], None).stdout
    env = {"PMI_SIZE": "4", "PMI_RANK": "0"}
    if "Open MPI" not in library:
        env = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
    done = _run([sys.executable, RANKS, "scattered"], env)
    assert done.returncode == ExitCode.DECK
    assert "started 4 processes, but the MPI library is" in done.stderr
    assert "launcher and library do not match" in done.stderr


def test_a_launcher_without_mpi4py_is_refused():
    done = _run([sys.executable, "-c", WITHOUT_MPI4PY], {"PMI_SIZE": "3", "PMI_RANK": "0"})
    assert done.returncode == ExitCode.DECK
    assert "started 3 processes, but MPI cannot be used" in done.stderr
