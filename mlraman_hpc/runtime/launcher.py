"""Before MPI starts: who has started this process; what a killed run has left in the way is removed; a start that hangs
is ended with a message.

MPICH's ranks of one node meet in /dev/shm/mpich_shm_HASH_NODE, the hash being that of the process manager's name of the
job: Slurm's JOB.STEP. A killed run leaves the file, and a job that Slurm queues again has the same name.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MEMORY = Path("/dev/shm")
PATIENCE = 600.0  # s; a large job waits in MPI_Init for the last rank to be loaded from a slow file system
# Order matters: mpirun inside an srun step has the variables of both.
_LAUNCHERS = (
    ("mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpirun (PMI)", "PMI_SIZE", "PMI_RANK"),
    ("mpiexec (PALS)", "PALS_SIZE", "PALS_RANKID"),
    ("mpirun (MVAPICH2)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


@dataclass(frozen=True)
class Launch:
    """What the launcher says of this process, from the environment alone."""

    name: str
    size: int
    rank: int


def launched(env=os.environ) -> Launch | None:
    for name, size, rank in _LAUNCHERS:
        if env.get(size, "").isdigit():
            return Launch(name, int(env[size]), int(env.get(rank) or 0))
    return None


def sweep(env=os.environ) -> None:
    """Remove MPICH's shared memory of this job step's name that is older than the step itself."""
    began = _step_began()
    if began is None or "SLURM_STEP_ID" not in env:
        return
    for left in MEMORY.glob(f"mpich_*_{_hash(env.get('SLURM_JOB_ID', '') + '.' + env['SLURM_STEP_ID']):x}_*"):
        with suppress(OSError):  # another rank was faster
            if left.stat().st_mtime < began - 1:
                left.unlink()


def _hash(text: str) -> int:
    """32-bit FNV-1a."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % (1 << 32)
    return value


def _step_began() -> float | None:
    """When slurmstepd, which started all ranks of this node, began (s since 1970); None where none is above us."""
    pid = os.getpid()
    with suppress(OSError, ValueError, IndexError):
        while pid > 1:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if name == "slurmstepd":
                up = float(Path("/proc/uptime").read_text().split()[0])
                return time.time() - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")
            pid = int(fields[1])
    return None


@contextmanager
def watched(place: str):
    """The block must end within MLRAMAN_START_PATIENCE seconds, or this process is killed with a message.

    A process of its own watches, since MPI_Init lets no thread and no signal handler of Python's run.
    """
    patience = float(os.environ.get("MLRAMAN_START_PATIENCE") or PATIENCE)
    reader, writer = os.pipe()
    parent, watcher = os.getpid(), os.fork()
    if watcher == 0:
        os.close(writer)
        _watch(reader, parent, patience, place)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        with suppress(ChildProcessError):
            os.waitpid(watcher, 0)


def _watch(reader: int, parent: int, patience: float, place: str):
    """Until the other end is closed or the time is over; never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if not select.select([reader], [], [], patience)[0]:
            os.write(
                2,
                f"mlraman: error: {place}: MPI did not start within {patience:g} s, so this process ends: "
                "another rank may have died at its start, or launcher and MPI library do not get on; "
                "see 'mlraman docs cluster'\n".encode(),
            )
            os.kill(parent, signal.SIGKILL)
    finally:
        os._exit(0)
