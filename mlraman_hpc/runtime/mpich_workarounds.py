"""Shared memory that a killed run has left, and that MPICH would wait for.

MPICH's ranks of one node meet in /dev/shm/mpich_shm_HASH_NODE, the hash being that of the process manager's name of the
job: Slurm's JOB.STEP. A killed run leaves the file, and a job that Slurm queues again has the same name. Seen with
MPICH 5.0.2.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
CLOCK_SECONDS = 1.0  # file times and the start of the job step are known this well


def remove_stale_shared_memory(env: Mapping[str, str] = os.environ) -> None:
    """Remove MPICH's files of this job step's name that are older than the step itself; outside Slurm nothing."""
    start = _job_step_start()
    if start is None or "SLURM_STEP_ID" not in env:
        return
    name = f"{env.get('SLURM_JOB_ID', '')}.{env['SLURM_STEP_ID']}"
    for file in SHARED_MEMORY.glob(f"mpich_*_{job_hash(name)}_*"):
        with suppress(OSError):  # another rank was faster
            if file.stat().st_mtime < start - CLOCK_SECONDS:
                file.unlink()


def job_hash(name: str) -> str:
    """32-bit FNV-1a of the job's name, in hexadecimal digits, as in MPICH's file names."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % (1 << 32)
    return f"{value:x}"


def _job_step_start() -> float | None:
    """When slurmstepd, which started all ranks of this node, began, s since 1970; None without one."""
    pid = os.getpid()
    with suppress(OSError, ValueError, IndexError):
        while pid > 1:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if name == "slurmstepd":
                uptime = float(Path("/proc/uptime").read_text().split()[0])
                return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
            pid = int(fields[1])
    return None
