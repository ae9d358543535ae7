"""The command line as the tests start it, serial or under a real mpirun; where real data lie."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import h5py
import pytest

from mlraman_hpc.base import checksums
from mlraman_hpc.storage import hdf5
from tests.command_server import Server

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
_servers: list[Server] = []
_LAUNCHER_VARIABLES = ("PMI", "OMPI_", "PMIX", "SLURM_", "MPI_LOCAL")


def launcher(ranks: int) -> list[str]:
    """mpirun of this virtual environment or of the machine, or MLRAMAN_TEST_MPIRUN; as root and oversubscribed too."""
    beside = Path(os.environ.get("MLRAMAN_TEST_MPIRUN") or Path(sys.executable).with_name("mpirun"))
    exe = str(beside) if beside.exists() else shutil.which("mpirun")
    if not exe:
        pytest.skip("no mpirun: pip install 'mlraman_hpc[mpi]', or load an MPI module")
    version = subprocess.run([exe, "--version"], capture_output=True, text=True).stdout
    flags = (
        ["--allow-run-as-root", "--oversubscribe"]
        if any(name in version.lower() for name in ("open mpi", "openrte", "prte"))
        else []
    )
    return [exe, *flags, "-n", str(ranks)]


def stop_signal(ranks: int) -> signal.Signals:
    """What to send to a command. Open MPI's mpirun passes SIGTERM on, but then leaves at once, with code 1."""
    return signal.SIGUSR1 if ranks and "--oversubscribe" in launcher(ranks) else signal.SIGTERM


def environment(extra: dict | None) -> dict:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHER_VARIABLES)}
    ours = {"MLRAMAN_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    patience = {"MLRAMAN_START_PATIENCE": "100"}  # s; a start of MPI that hangs says so before the test is given up
    return {**kept, **ours, **patience, **(extra or {})}


def run_command(ranks: int, arguments: list, folder: Path, timeout: float = 120, env: dict | None = None):
    """`mlraman ARGUMENTS` on this many ranks; 0: without a launcher. A dead-lock fails the test after `timeout`."""
    command = (launcher(ranks) if ranks else []) + [sys.executable, "-m", "mlraman_hpc", *map(str, arguments)]
    if not ranks and env is None:
        code, out, err = _server().run(list(map(str, arguments)), folder, timeout)
        if code is None:
            _fail_late(command, timeout, out, err)
        return subprocess.CompletedProcess(command, code, out, err)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        _fail_late(command, timeout, out, err)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _fail_late(command: list[str], timeout: float, out: str, err: str) -> NoReturn:
    pytest.fail(f"time-out after {timeout} s, dead-lock? {command}\n--- out\n{out[-3000:]}\n--- err\n{err[-5000:]}")


def _server() -> Server:
    """The one of this worker, with the environment as it is now."""
    now = {name: value for name, value in environment(None).items() if name != "PYTEST_CURRENT_TEST"}
    if _servers and _servers[0].environment != now:
        _servers.pop().close()
    if not _servers:
        _servers.append(Server(now))
        atexit.register(_servers[0].close)
    return _servers[0]


@contextmanager
def changed(path: Path) -> Iterator[h5py.File]:
    """A result file, open to be changed on purpose; content and checksums are made to fit again."""
    with h5py.File(path, "r+") as file:
        yield file
        file.attrs["content"] = hdf5.content_hash(file)
    checksums.append(path)


def wait_for_line(process, text: str, seconds: float = 60) -> str:
    """Read the log of a running command up to the line that has `text`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (found := process.stdout.readline()):
        if text in found:
            return found
    raise AssertionError(f"'{text}' is not in the log: {process.communicate()}")
