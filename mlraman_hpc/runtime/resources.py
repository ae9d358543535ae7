"""What the program takes from the machine: threads, memory, time that is left. No numpy here.

Threads must be set before numpy is loaded.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

START = time.monotonic()  # of the program, s
_BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
_THREAD_LIMITS = ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS")
MARGIN, LONGEST_MARGIN, SHORTEST_MARGIN = 0.05, 120.0, 10.0  # before a time limit: part of the time left, bounds in s


def thread_count(
    requested: int | None,
    cores: frozenset[int],
    cores_of_host: list[frozenset[int]],
    env: Mapping[str, str] = os.environ,
) -> int:
    """Threads of a rank that may use `cores`; `cores_of_host`: those of every rank of its host, itself included.

    `requested` (--threads) and MLRAMAN_THREADS are taken as they are. Else the ranks of a host divide the cores that
    the job owns; SLURM_CPUS_PER_TASK and OMP_NUM_THREADS can only lower the share.
    """
    requested = requested or _number(env, "MLRAMAN_THREADS")
    if requested:
        return requested
    bound = not any(a & b for i, a in enumerate(cores_of_host) for b in cores_of_host[:i])
    share = len(cores) if bound else max(1, len(cores) // len(cores_of_host))
    return min([share, *filter(None, (_number(env, name) for name in _THREAD_LIMITS))])


def _number(env: Mapping[str, str], name: str) -> int | None:
    value = env.get(name, "").split(",")[0]
    return int(value) if value.isdigit() and int(value) > 0 else None


def set_threads(threads: int) -> None:
    """BLAS gets one thread: its results depend on their number, ours must not. featomic gets all."""
    for name in _BLAS_THREADS:
        os.environ[name] = "1"
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def started(pid: int) -> int | None:
    """The kernel's start time of a process (ticks since boot); None where it has ended. Tells recycled ids apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Process:
    """A rank as the others need to know it: its process, and the cores that it may use."""

    rank: int
    host: str
    pid: int
    start: int | None
    cores: frozenset[int]

    @classmethod
    def this(cls, rank: int) -> Process:
        pid = os.getpid()
        return cls(rank, os.uname().nodename, pid, started(pid), frozenset(os.sched_getaffinity(0)))

    @property
    def is_alive(self) -> bool:
        """For a process of this host; False also where this one is in a container of its own, with other numbers."""
        return self.start is not None and started(self.pid) == self.start


def peak_memory() -> float:
    """Largest resident memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def free_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """MB that may still be taken on this host: what the kernel calls available, a control group or Slurm leaves.

    Slurm's limit is for all processes of the job on this host; what they have taken so far is not known here.
    """
    limits = [limit for limit in [_slurm_memory(os.environ)] if limit is not None]
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        limits += [int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:")]
        memberships = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return min(limits, default=None)
    for line in memberships:
        if line.startswith("0::"):  # version 2; limits may be set anywhere above
            group = groups / line[3:].lstrip("/")
            limits += [left for folder in (group, *group.parents) if (left := _left_in(folder)) is not None]
        elif "memory" in line.split(":")[1].split(","):  # version 1, where each controller has a tree of its own
            group = groups / "memory" / line.split(":", 2)[2].lstrip("/")
            inside = [folder for folder in (group, *group.parents) if folder.is_relative_to(groups / "memory")]
            limits += [left for folder in inside if (left := _left_in_version_1(folder)) is not None]
    return min(limits, default=None)


def _slurm_memory(env: Mapping[str, str]) -> float | None:
    """MB of the job on this host, by SLURM_MEM_PER_NODE or SLURM_MEM_PER_CPU; None where Slurm sets no limit."""
    if per_node := _number(env, "SLURM_MEM_PER_NODE"):
        return float(per_node)
    per_core, cores = _number(env, "SLURM_MEM_PER_CPU"), _number(env, "SLURM_CPUS_ON_NODE")
    return float(per_core * cores) if per_core and cores else None


def _left_in_version_1(group: Path) -> float | None:
    try:
        limit, used = (int((group / f"memory.{name}_in_bytes").read_text()) for name in ("limit", "usage"))
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    if limit >= 1 << 60:  # none
        return None
    cache = sum(
        int(line.split()[1]) for line in lines if line.startswith(("total_inactive_file ", "total_active_file "))
    )
    return max(limit - used + cache, 0) / 2**20


def _left_in(group: Path) -> float | None:
    """MB that a control group may still take; its file cache counts as free."""
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no limit: 'max'
        return None
    cache = sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))
    return max(limit - used + cache, 0) / 2**20


def seconds_left(
    walltime: float | None, report: Callable[[str], None], env: Mapping[str, str] = os.environ
) -> float | None:
    """Seconds until the run should stop by itself, some time before its limit; None: no limit is known.

    The limit is `walltime` (minutes from the start of the program) or Slurm's, whichever comes first.
    """
    limits = [_slurm_left(env)]
    if walltime is not None:
        limits.append(60 * walltime - (time.monotonic() - START))
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    left = min(known)
    margin = min(LONGEST_MARGIN, max(SHORTEST_MARGIN, MARGIN * left))
    report(f"time limit in {left:.0f} s; the run stops {margin:.0f} s before it")
    return max(left - margin, 1e-3)


def _slurm_left(env: Mapping[str, str]) -> float | None:
    """Seconds until Slurm ends this job; None outside Slurm, or where it does not answer."""
    job, end = env.get("SLURM_JOB_ID", ""), env.get("SLURM_JOB_END_TIME", "")
    if end.isdigit():
        return max(int(end) - time.time(), 0.0)
    if not job.isdigit():
        return None
    try:
        done = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%L"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_time(done.stdout.strip())


def parse_time(text: str) -> float | None:
    """'1-02:03:04', '02:03:04' or '03:04' in seconds; None for anything else, such as UNLIMITED."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", text)
    if not match:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
