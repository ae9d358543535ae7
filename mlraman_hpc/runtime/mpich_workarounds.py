"""Shared memory that a killed run has left: it fills the memory of the node, and MPICH may wait for it.

MPICH's ranks of one node meet in /dev/shm/mpich_shm_HASH_NODE, the hash being that of the process manager's name of the
job: Slurm's JOB.STEP. A killed run leaves the file, 1 MB for each rank, and a job that Slurm queues again has the same
name. So a run that ends by itself takes the file with it, and the lock of the output folder names it for the next run.
Seen with MPICH 5.0.2.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_NAME = re.compile(r"mpich_[a-z]{2,5}_[0-9a-f]{1,8}_\d{1,6}")
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


def own_shared_memory(maps: Path = Path("/proc/self/maps")) -> list[str]:
    """Names of MPICH's files in which this process and other ranks of its node meet."""
    with suppress(OSError):
        paths = [Path(line.split(maxsplit=5)[-1]) for line in maps.read_text().splitlines() if "/mpich_" in line]
        return sorted({path.name for path in paths if path.parent == SHARED_MEMORY and _NAME.fullmatch(path.name)})
    return []


def remove_shared_memory(names: Iterable[str], *, unused: bool = True) -> None:
    """Remove those of these files that are MPICH's, this user's and, if `unused`, in no process's memory."""
    files = [SHARED_MEMORY / name for name in names if _NAME.fullmatch(name)]
    used = _used_files() if unused and files else set()
    for file in files:
        with suppress(OSError):
            if file.lstat().st_uid == os.getuid() and str(file) not in used:
                file.unlink()


def _used_files() -> set[str]:
    """Paths in /dev/shm that processes have in their memory, as far as this user may look: another's cannot be."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            found |= {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "/mpich_" in line}
    return found


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
