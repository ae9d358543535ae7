"""Runs calculations inside the allocation with the deck's command, several at a time; may be killed at any moment.

Placing is left to the command: `srun --exact` or `mpirun` put each calculation on cores of its own. Every run holds a
lock on a file in its folder that its processes inherit, so that whoever starts again knows whether it still computes:
it is then waited for, not started a second time. What has ended is never repeated.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.labelling.codes import Code, Recipe
from mlraman_hpc.labelling.collection import run_record, run_state
from mlraman_hpc.labelling.inputs import RUN_FILE, printed_to, step_command
from mlraman_hpc.labelling.manifest import Calculation
from mlraman_hpc.labelling.preparation import calculations_folder, run_folders
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session

LOCK_FILE = "process.lock"  # held while a run computes; its content is the id of the process group
PAUSE = 0.05  # s between two looks at the processes, growing to LONGEST_PAUSE
LONGEST_PAUSE = 1.0
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
NOT_FOUND = (126, 127)  # exit codes of the shell
_LAUNCHER = re.compile(r"\b(mpirun|mpiexec|mpiexec\.hydra|orterun|srun|aprun|jsrun|flux run)\b")
_OF_LAUNCHERS = ("PMI_", "PMIX_", "OMPI_", "HYDRA_", "HYDI_", "MPI_LOCAL", "PRTE_")


@dataclass
class _Process:
    """A run that computes. `popen` is None for one that an earlier start has left behind."""

    folder: Path
    step: int
    popen: subprocess.Popen[bytes] | None
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Work:
    """The open calculations of one deck.

    command  with {program}, {input}, {output} and {slot}
    parallel  calculations at a time, of all decks together that are computed together
    retries  how often a run that ends without a result is started again
    """

    job: Job
    code: Code
    items: list[Calculation]
    command: str
    parallel: int
    retries: int


@dataclass
class _Task:
    """A calculation and its runs, which follow one another."""

    recipe: Recipe
    folders: list[Path]
    retries: int
    say: Callable[[str], None]
    process: _Process | None = None
    slot: int = 0


class Runner:
    """Computes what of these calculations has not ended. For root; `poll` is to be called until it gives 0.

    The works have one `command` and `parallel` in common.
    """

    def __init__(self, works: Sequence[Work]) -> None:
        self._command, self._parallel = works[0].command, works[0].parallel
        threads = threads_of_a_calculation(self._command, self._parallel, len(os.sched_getaffinity(0)))
        self._environment = {"OMP_NUM_THREADS": str(threads)} | _environment()
        self._waiting = [task for work in works for task in _tasks(work)]
        self._running: list[_Task] = []

    def poll(self) -> int:
        """Look at the processes, start what can be started; the number of calculations that are left."""
        for task in list(self._running):
            if self._ended(task) and not self._start_next(task):
                self._running.remove(task)
        while self._waiting and len(self._running) < self._parallel:
            task = self._waiting.pop(0)
            task.slot = min(set(range(self._parallel)) - {other.slot for other in self._running})
            if self._start_next(task):
                self._running.append(task)
        return len(self._running) + len(self._waiting)

    def stop(self) -> None:
        """End all processes; their runs begin anew the next time."""
        processes = [task.process for task in self._running if task.process is not None]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in processes:
                _signal(process, number)
            end = time.monotonic() + GRACE_SECONDS
            while time.monotonic() < end and any(_is_alive(process) for process in processes):
                time.sleep(PAUSE)

    def _start_next(self, task: _Task) -> bool:
        """Start the first run of a calculation that has not ended; False where nothing is left to be done."""
        task.process = None
        for folder in task.folders:
            state = run_state(task.recipe, folder)
            if state.ended:
                continue
            if state.unconverged or _attempts(folder) > task.retries:
                return False
            task.process = self._started(task, folder)
            return True
        return False

    def _started(self, task: _Task, folder: Path) -> _Process:
        lock = _locked(folder / LOCK_FILE)
        if lock is None:
            task.say(f"{folder} still computes, since an earlier start; it is waited for")
            return _Process(folder, 0, None)
        steps = task.recipe.steps
        number = next(k for k, step in enumerate(steps) if not _has_end(folder / step.output, step.end))
        for step in steps[number:]:
            (folder / step.output).unlink(missing_ok=True)
        _record(folder, attempts=_attempts(folder), exit_code=None, host=socket.gethostname())
        step = steps[number]
        command = step_command(self._command, step, task.slot)
        script = f"echo $$ > {LOCK_FILE}; {command}"
        printed = folder / printed_to(self._command, step)
        with open(printed, "ab") as text:
            popen = subprocess.Popen(
                ["/bin/bash", "-c", script],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=text,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        lock.close()  # the processes hold it
        return _Process(folder, number, popen)

    def _ended(self, task: _Task) -> bool:
        """Whether the process of a task has ended; what is known of it is written down."""
        process = task.process
        assert process is not None
        if process.popen is None:
            return not _is_alive(process)
        number, status, usage = os.wait4(process.popen.pid, os.WNOHANG)
        if number == 0:
            return False
        code = process.popen.returncode = os.waitstatus_to_exitcode(status)
        if code in NOT_FOUND:
            self.stop()
            raise DeckKeyError(
                "labelling.command",
                f"the shell finds no such program (code {code}): {self._command}; see {process.folder}",
            )
        step = task.recipe.steps[process.step]
        done = _has_end(process.folder / step.output, step.end)
        before = run_record(process.folder)
        seconds = float(str(before.get("cpu_seconds") or 0.0)) + usage.ru_utime + usage.ru_stime
        attempts = _attempts(process.folder) + (not done)
        _record(
            process.folder,
            attempts=attempts,
            exit_code=code,
            cpu_seconds=round(seconds, 2),
            seconds=round(time.monotonic() - process.began, 2),
            host=socket.gethostname(),
        )
        if not done:
            again = "it is tried again" if attempts <= task.retries else "it is given up"
            task.say(f"{process.folder}: ended with code {code} and without a result; {again}")
        return True


def _tasks(work: Work) -> list[_Task]:
    folder, say = calculations_folder(work.job), work.job.console.say
    return [
        _Task(work.code.recipes[item.kind], [folder / name for name in run_folders(work.job, item)], work.retries, say)
        for item in work.items
    ]


def threads_of_a_calculation(command: str, parallel: int, cores: int) -> int:
    """OMP_NUM_THREADS where the user does not set it: cores in equal shares, or 1 for what a launcher places.

    Without it each of `parallel` programs would start a thread on every core, and they would wait for one another.
    """
    return 1 if _LAUNCHER.search(command) else max(1, cores // parallel)


def _environment() -> dict[str, str]:
    """As the program was started, before it set threads for itself, and without what makes a rank of a process."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
        variables = dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry)
    except OSError:
        variables = dict(os.environ)
    return {name: value for name, value in variables.items() if not name.startswith(_OF_LAUNCHERS)}


def _has_end(path: Path, mark: bytes) -> bool:
    return path.is_file() and mark in path.read_bytes()


def _attempts(folder: Path) -> int:
    value = run_record(folder).get("attempts", 0)
    return value if isinstance(value, int) else 0


def _record(folder: Path, **changes: object) -> None:
    """Into the run's process.json, whatever else it holds kept."""
    values = run_record(folder) | changes
    with atomic_write(folder / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(values) + "\n", encoding="utf-8")


def _locked(path: Path) -> IO[str] | None:
    """The lock's open file, to be inherited; None where somebody holds it."""
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _is_alive(process: _Process) -> bool:
    if process.popen is not None and process.popen.returncode is None:
        number, status, _ = os.wait4(process.popen.pid, os.WNOHANG)
        if number:
            process.popen.returncode = os.waitstatus_to_exitcode(status)
    lock = _locked(process.folder / LOCK_FILE)
    if lock is not None:
        lock.close()
    return lock is None


def _signal(process: _Process, number: signal.Signals) -> None:
    """To the whole group, whose id the run itself has written."""
    if not _is_alive(process):
        return
    with suppress(OSError, ValueError):
        os.killpg(int((process.folder / LOCK_FILE).read_text(encoding="utf-8")), number)


def run_calculations(session: Session, console: Console, works: Sequence[Work]) -> None:
    """All of them, to the end or to a stop; for all ranks, of which root starts the processes and the others wait.

    Of several decks with one command and one `parallel`, calculations of one begin where those of another leave room.
    Errors: StoppedEarly on every rank, after the processes were ended; DeckKeyError for a command that does not exist.
    """
    session.enter_step("calculations")
    count = sum(len(work.items) for work in works)
    runner: Runner | None = session.only_on_root(Runner, works)
    pause, before = PAUSE, count
    try:
        with session.stop.deferred(), console.progress("calculations", count, "calculations") as advance:
            while True:
                left = session.on_root(lambda: runner.poll() if runner is not None else 0)
                advance(before - left)
                if not left:
                    return
                if (stop := session.stop_requested()) is not None:
                    raise stop
                pause = PAUSE if left < before else min(LONGEST_PAUSE, 1.1 * pause)
                before = left
                time.sleep(pause)
    finally:
        if runner is not None:
            runner.stop()
