"""The results folder belongs to one job at a time, and what dead jobs left there is removed.

A lock file says which process uses the folder: its holder. A holder on this host is known to be dead when its process
is gone. A holder on another host has the lock file locked by the operating system, where the file system knows such
locks; else it touches the file now and then, and after a long silence it is dead. No clock is compared with another.

A holder that was silent for so long may only have been suspended. So it looks at the lock before it replaces any file
of the folder, and every few seconds while it computes (base.fences): where another job has taken over, it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from mlraman_hpc.base.atomic_files import MARK
from mlraman_hpc.base.checksums import opened
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.fences import fenced
from mlraman_hpc.runtime.fault_injection import file_locks
from mlraman_hpc.runtime.mpich_workarounds import own_shared_memory, remove_shared_memory
from mlraman_hpc.runtime.resources import started

LOCK = "mlraman.lock"
BEAT, PATIENCE = 15.0, 90.0  # s between touches; silence after which a holder on another host counts as dead
LONGEST = 1 << 12  # bytes of a lock file
_FIELDS = {"host": str, "boot": str, "space": str, "pid": int, "started": int, "job": str, "restart": int}
STALE = 120.0  # s; `mlraman check` may be unpacking into the cache just now


class Busy(DeckError):
    """A living job holds the folder."""


class LockLost(DataError):
    """The folder is another job's by now, or gone."""


@contextmanager
def lock_folder(folder: Path, tell: Callable[[str], None]):
    """No other job uses the folder during the block. Raises Busy where a living job holds the lock.

    Raises LockLost in the block, before a file of the folder is replaced, where it is another job's by then.
    """
    lock, done = folder.absolute() / LOCK, threading.Event()
    mine, handle = json.dumps(_holder()), None
    try:
        _take(folder, lock, mine, tell)
        handle = _system_lock(lock)
        threading.Thread(target=_beat, args=(lock, mine, done), daemon=True).start()
        with fenced(folder, partial(_check_mine, lock, mine)):
            yield
    finally:
        done.set()
        if handle is not None:
            os.close(handle)
        with suppress(OSError):
            if _read(lock) == mine:
                lock.unlink()


def _system_lock(lock: Path) -> int | None:
    """A handle that holds the operating system's lock of the file; None where there is no such thing."""
    if not file_locks():
        return None
    handle = -1
    try:
        handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    except OSError:
        if handle >= 0:
            os.close(handle)
        return None


def _is_locked(lock: Path) -> bool:
    """Whether a process anywhere holds the operating system's lock; it may be suspended, but it lives."""
    if not file_locks():
        return False
    with suppress(FileNotFoundError):
        handle = os.open(lock, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(handle)
    return False


def _check_mine(lock: Path, mine: str) -> None:
    """LockLost unless the lock is still this job's."""
    try:
        text = _read(lock)
    except OSError as error:
        raise LockLost(f"{lock}: cannot be read any more: {error.strerror or error}; this job ends") from None
    if text == mine:
        return
    if text is None:
        raise LockLost(
            f"{lock}: is gone: the folder was removed or moved, somebody removed the lock, or another job took it over "
            "while this one was suspended, and has ended; this job ends and writes nothing more"
        )
    raise LockLost(
        f"{lock}: another mlraman job ({_described(text)}) took over the folder while this one was suspended or could "
        "not reach it; this job ends and leaves the folder to that one"
    )


def _take(folder: Path, lock: Path, mine: str, tell) -> None:
    try:
        _acquire(folder, lock, mine, tell)
        _sweep(folder, lock)
    except OSError as error:
        raise DataError(
            f"{error.filename or lock}: cannot be written: {error.strerror or error}; check the deck's "
            "'output', free space and quota"
        ) from None


def _holder() -> dict:
    """Enough to find this process again: host, boot and process namespace, id and start time."""
    with suppress(OSError):
        boot, space = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
        return {
            "host": os.uname().nodename,
            "boot": boot,
            "space": space,
            "pid": os.getpid(),
            "started": started(os.getpid()),
            "key": os.urandom(4).hex(),
            "since": datetime.now().isoformat(" ", "seconds"),
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "restart": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
            "shared_memory": own_shared_memory(),
        }
    raise DataError("/proc cannot be read, but is needed to keep two jobs out of one folder")


def _acquire(folder: Path, lock: Path, mine: str, tell) -> None:
    while True:
        with _alone(folder):
            if _create(lock, mine):
                return
            text = _read(lock)
        if text is None:  # its holder has just finished
            continue
        if not _dead(lock, text, json.loads(mine), tell):
            raise Busy(
                f"{folder}: another mlraman job works in this folder ({_described(text)}); wait for it, "
                f"choose another 'output', or, if that job is dead, remove {lock}"
            )
        with _alone(folder):
            if _read(lock) == text:
                lock.unlink(missing_ok=True)
                tell(f"{lock} of a dead job ({_described(text)}) was removed")
        _remove_shared_memory(_parsed(text), json.loads(mine))


def _remove_shared_memory(dead: dict, mine: dict) -> None:
    """What the ranks of a killed run of this node shared."""
    names = dead.get("shared_memory", [])
    if _same_node(dead, mine) and isinstance(names, list):
        remove_shared_memory(name for name in names if isinstance(name, str))


def _same_node(holder: dict, mine: dict) -> bool:
    """Whether one's processes can be seen by the other."""
    return all(holder.get(key) == mine[key] for key in ("host", "boot", "space"))


@contextmanager
def _alone(folder: Path):
    """Keeps two jobs from judging one lock at the same moment, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(lock: Path, text: str) -> bool:
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(handle, text.encode())
    except OSError:
        lock.unlink()
        raise
    finally:
        os.close(handle)
    return True


def _read(lock: Path) -> str | None:
    try:
        with opened(lock) as handle:
            return os.read(handle, LONGEST).decode(errors="replace")
    except FileNotFoundError:
        return None


def _parsed(text: str) -> dict:
    """Empty where the holder died before it could write who it is."""
    try:
        holder = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    known = isinstance(holder, dict) and all(isinstance(holder.get(key), kind) for key, kind in _FIELDS.items())
    return holder if known else {}


def _described(text: str) -> str:
    holder = _parsed(text)
    if not holder:
        return "unknown process"
    job = f", Slurm job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{job}, since {holder.get('since')}"


def _dead(lock: Path, text: str, mine: dict, tell) -> bool:
    holder = _parsed(text)
    if holder and _same_node(holder, mine):
        return started(holder["pid"]) != holder["started"]
    if holder.get("job") and holder["job"] == mine["job"] and holder["restart"] < mine["restart"]:
        return True  # this very job, before Slurm queued it again
    if _is_locked(lock):
        return False
    return _silent(lock, text, tell)


def _silent(lock: Path, text: str, tell) -> bool:
    """Whether nobody touches the lock any more."""
    patience = float(os.environ.get("MLRAMAN_LOCK_PATIENCE") or PATIENCE)
    before = _touched(lock)
    if _server_time(lock.parent) - before > patience:
        return True
    tell(f"{lock}: waiting up to {patience:.0f} s to see whether its holder ({_described(text)}) is alive")
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(1.0, patience / 10))
        if _touched(lock) != before:
            return False
    return True


def _touched(lock: Path) -> float:
    with suppress(FileNotFoundError):
        return lock.stat().st_mtime
    return 0.0


def _server_time(folder: Path) -> float:
    """The time of whoever keeps the files."""
    probe = folder / f".{LOCK}.{os.uname().nodename}.{os.getpid()}.tmp"
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _beat(lock: Path, mine: str, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            if _read(lock) == mine:
                os.utime(lock)


def _sweep(folder: Path, lock: Path) -> None:
    """Temporary files of dead jobs; those of other programs stay."""
    for debris in [*folder.glob(f".*.{MARK}*.tmp"), *folder.glob(f".{LOCK}.*.tmp")]:
        debris.unlink(missing_ok=True)
    now = lock.stat().st_mtime
    for debris in [*(folder / "cache").glob("*.part[0-9]*"), *folder.glob(".mlraman-benchmark-*")]:
        with suppress(FileNotFoundError):
            if now - debris.stat().st_mtime > STALE:
                shutil.rmtree(debris) if debris.is_dir() else debris.unlink()
