"""Serial commands of mlraman as forks of a process that has loaded the libraries: a test pays for the command alone.

`Server().run(arguments, folder, timeout)` in the tests starts this file as a program, once for each worker. Commands
under mpirun, and those with an environment of their own, are processes from their first millisecond on.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from select import select
from typing import Any, NoReturn

# What commands import; featomic, SciPy and matplotlib take most of the time.
LIBRARIES = (
    "ase.io",
    "ase.neighborlist",
    "featomic",
    "h5py",
    "jinja2",
    "llvmlite.binding",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.figure",
    "metatensor",
    "numpy",
    "pydantic",
    "scipy.fft",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse",
    "scipy.special",
    "scipy.stats",
    "yaml",
)

OURS = ("commands", "campaign", "plots", "reports")  # which import the others


class Server:
    """A process that forks itself for each command; requests and answers are lines of JSON."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(requests), str(answers)],
            env=environment | {"OPENBLAS_NUM_THREADS": "1"},
            pass_fds=(requests, answers),
            stdin=subprocess.DEVNULL,
        )
        os.close(requests)
        os.close(answers)
        self._lines = os.fdopen(self._answers)

    def run(self, arguments: list[str], folder: Path, timeout: float) -> tuple[int | None, str, str]:
        """Exit code, stdout and stderr; no exit code where it was killed after `timeout` seconds."""
        with tempfile.TemporaryDirectory() as scratch:
            paths = [os.path.join(scratch, name) for name in ("stdout", "stderr")]
            request = {"arguments": arguments, "folder": os.path.abspath(folder), "paths": paths}
            os.write(self._requests, (json.dumps(request) + "\n").encode())
            pid = int(self._lines.readline())
            late = not select([self._answers], [], [], timeout)[0]
            if late:
                os.killpg(pid, signal.SIGKILL)
            code = int(self._lines.readline())
            texts = [Path(path).read_text(errors="replace") for path in paths]
        return None if late else code, *texts

    def close(self) -> None:
        """End the process, which may have been closed before."""
        if self._process.returncode is None:
            os.close(self._requests)
            self._process.wait()
            self._lines.close()


def _serve(requests: int, answers: int) -> Any:
    """Fork for each request. Returns in the children alone, with what to run."""
    with os.fdopen(requests) as lines:
        for line in lines:
            pid = os.fork()
            if pid == 0:
                os.close(answers)
                return json.loads(line)
            os.write(answers, f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    sys.exit()


def _become(request: dict[str, Any]) -> None:
    """A process as `python -m mlraman_hpc` would have started it."""
    os.setsid()
    os.chdir(request["folder"])
    for number, path in enumerate(request["paths"], start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.path[0] = request["folder"]
    sys.argv = ["mlraman", *request["arguments"]]
    os.environ.pop("OPENBLAS_NUM_THREADS")


def main() -> None:
    """Load the libraries, then serve."""
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
    packages = [importlib.import_module(f"mlraman_hpc.{name}") for name in OURS]
    ours = [
        f"{package.__name__}.{module.name}" for package in packages for module in pkgutil.iter_modules(package.__path__)
    ]
    for name in [*LIBRARIES, *ours]:
        importlib.import_module(name)
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.freeze()  # pages that stay as they are stay shared
    _become(_serve(*map(int, sys.argv[1:])))
    _leave(_exit_code())


def _exit_code() -> int:
    from mlraman_hpc.__main__ import main as command

    try:
        command()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else error.code is not None
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """Without taking the libraries down, which takes longer than a short command."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
