"""The ranks of a run and their communicator: the only file that imports mpi4py. The rest of the program names an
intention, never a rank.

Without a launcher no MPI library is loaded, so serial use needs none.

Ranks that wait for others leave the core to those that compute: every collective begins by a synchronisation that
sleeps, with growing pauses, where MPI's own calls would keep a core busy. Only when all ranks are there, the exchange
itself is called, which then takes no time.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from mlraman_hpc.base.errors import ExitCode, StoppedEarly, UserError
from mlraman_hpc.runtime import resources
from mlraman_hpc.runtime.console import error_lines, write_stderr
from mlraman_hpc.runtime.fault_injection import Fault
from mlraman_hpc.runtime.interrupts import Stop, stopped
from mlraman_hpc.runtime.launcher import Launch, launched
from mlraman_hpc.runtime.mpich_workarounds import own_shared_memory, remove_shared_memory, remove_stale_shared_memory
from mlraman_hpc.runtime.resources import Process
from mlraman_hpc.runtime.watchdog import NeighbourWatch, watched

SPIN_SECONDS = 0.0001  # a rank that waits polls without a pause for so long, then with pauses
PAUSE_GROWTH, LONGEST_PAUSE_SECONDS = 0.25, 0.005  # a pause is this part of the time waited, at most that long
ABORT_SECONDS = 0.5  # the launcher forwards messages before it hears of the abort
ABORT_STEP_SECONDS, ABORT_STEPS = 0.2, 5  # ranks that fail together report one after another
_OUT_OF_MEMORY = "out of memory; all ranks are stopped. Use fewer ranks on each host, or hosts with more memory"
_BUG = "all ranks are stopped. This is a bug of mlraman, please report it"

T = TypeVar("T")
Problem = TypeVar("Problem", bound=UserError)


class _SerialComm:
    """The few communicator methods that Session uses, for one process."""

    rank, size = 0, 1

    def bcast(self, value: T) -> T:
        return value

    def gather(self, value: T) -> list[T]:
        return [value]

    def allgather(self, value: T) -> list[T]:
        return [value]

    def scatter(self, values: list[T]) -> T:
        return values[0]

    def alltoall(self, values: list[T]) -> list[T]:
        return values


class _CurrentStage:
    """Stage and step that the run has reached, the same object for a session and its groups."""

    stage = step = ""

    def __str__(self) -> str:
        return f"{self.stage}/{self.step}" if self.step else self.stage


class Session:
    """The ranks of this run, or a group of them.

    All ranks must call the collective methods in the same order. Each of them first waits for all ranks; if a stop was
    requested of any rank, it raises StoppedEarly on all of them instead, unless stops are deferred (interrupts.Stop).
    A rank that dies while others wait for it ends the job.

    threads        of each rank
    library        MPI's name and version
    launcher       name of the launcher
    ranks_by_host  {host: ranks that were started there}
    cores_by_host  {host: cores that these may use}
    stop           requests to stop that this rank has received
    """

    def __init__(self, comm: Any = None, library: str = "none (serial)", launcher: str = "none"):
        self._comm: Any = comm or _SerialComm()
        self._world = self
        self.library, self.launcher, self.threads = library, launcher, 1
        self._process = Process.this(self.rank)
        self.ranks_by_host = {self._process.host: 1}
        self.cores_by_host = {self._process.host: len(self._process.cores)}
        self.stop = Stop()
        self.fault = Fault.from_environment()
        self._current = _CurrentStage()
        self._neighbour: NeighbourWatch | None = None

    @property
    def rank(self) -> int:
        return self._comm.rank

    @property
    def size(self) -> int:
        return self._comm.size

    @property
    def is_root(self) -> bool:
        return self._comm.rank == 0

    @property
    def host(self) -> str:
        """Name of the machine that this rank runs on."""
        return self._process.host

    @property
    def oversubscribed(self) -> bool:
        """Whether any host has more threads of ranks than cores that they may use."""
        return any(ranks * self.threads > self.cores_by_host[host] for host, ranks in self.ranks_by_host.items())

    # Collective methods

    def on_root(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Root's result of `work(*args, **kwargs)`, on every rank; so is a UserError that it raises."""
        result = self.only_on_root(work, *args, **kwargs)
        return self._comm.bcast(result)

    def only_on_root(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """As on_root, but the result stays on root; None elsewhere."""
        result = problem = None
        if self.is_root:
            try:
                with self.stop.interruptible():
                    result = work(*args, **kwargs)
            except UserError as error:
                problem = error
        self._synchronise()
        self._raise_everywhere(self._comm.bcast(problem))
        return result

    @contextlib.contextmanager
    def collective_errors(self) -> Iterator[None]:
        """A UserError that any rank raises in this block is raised on every rank at its end: that of the first rank."""
        problem = None
        try:
            with self.stop.interruptible():
                yield
        except UserError as error:
            problem = error
        self.raise_if_any(problem)

    def raise_if_any(self, problem: UserError | None) -> None:
        """Raise, on every rank, the first rank's problem if any has one."""
        self._synchronise()
        problems = self._comm.allgather(problem)
        self._raise_everywhere(next((problem for problem in problems if problem is not None), None))

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._synchronise()

    def scatter(self, values: list[T] | None) -> T:
        """values[r] of root on rank r; the other ranks pass None."""
        self._synchronise()
        return self._comm.scatter(values)

    def gather(self, value: T) -> list[T] | None:
        """The values of all ranks, in rank order, on root; None elsewhere."""
        self._synchronise()
        return self._comm.gather(value)

    def allgather(self, value: T) -> list[T]:
        """The values of all ranks, in rank order, on every rank."""
        self._synchronise()
        return self._comm.allgather(value)

    def alltoall(self, values: list[T]) -> list[T]:
        """values[r] goes to rank r; returns what each rank has sent to this one. Less than 2 GB each."""
        self._synchronise()
        return self._comm.alltoall(values)

    def split(self, groups: int) -> tuple[int, Session]:
        """Groups of neighbouring ranks, as even as possible: the number of this rank's group, and the group's session.

        Never more groups than ranks; one group is the session itself.
        """
        groups = max(1, min(groups, self.size))
        if groups == 1:
            return 0, self
        number = next(k for k in range(groups) if self.rank < (k + 1) * self.size // groups)
        self._synchronise()
        comm = self._comm.Split(number, self.rank)
        group = copy.copy(self)
        group._comm = comm if comm.size > 1 else _SerialComm()
        group._watch_neighbour(group.allgather(self._process))
        return number, group

    def stop_requested(self) -> StoppedEarly | None:
        """The exception to raise if any rank was requested to stop, else None; the same on every rank.

        For loops inside `stop.deferred()`.
        """
        requested = self._allreduce_or(self.stop.requested)
        return _shared(stopped(requested)) if requested else None

    # Local methods

    def local_share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's part of `items`, contiguous, as even as possible; may be empty."""
        count, rest = divmod(len(items), self.size)
        start = self.rank * count + min(self.rank, rest)
        return items[start : start + count + (self.rank < rest)]

    def enter_stage(self, stage: str, step: str = "") -> None:
        """Note where the run is: messages of failures name it, and tests make ranks fail there."""
        self._current.stage, self._current.step = stage, step
        self.fault.at_entry(self.rank, stage, str(self._current))

    def enter_step(self, step: str) -> None:
        """Note the step of the current stage."""
        self.enter_stage(self._current.stage, step)

    def describe_rank(self) -> str:
        """'rank 2 of 8 on node7 (predict/batches)'"""
        world, stage = self._world, f" ({self._current})" if self._current.stage else ""
        return f"rank {world.rank} of {world.size} on {os.uname().nodename}{stage}"

    def abort(self, text: str, code: int) -> NoReturn:
        """Print `text`, lines as they are, and end all ranks of the run, those of other groups too."""
        sys.stdout.flush()
        world = self._world
        time.sleep(ABORT_STEP_SECONDS * min(world.rank, ABORT_STEPS))  # the first message ends the other ranks
        write_stderr(text)
        if world.size > 1:
            time.sleep(ABORT_SECONDS)
            remove_shared_memory(own_shared_memory(), unused=False)
            world._comm.Abort(code)  # MPICH 5.0.2 returns from this, hence the next line
        os._exit(code)

    @staticmethod
    def _raise_everywhere(problem: UserError | None) -> None:
        if problem is not None:
            raise _shared(problem)

    def _synchronise(self) -> None:
        """Wait for all ranks; raise StoppedEarly on all where a stop of any is pending."""
        self.fault.at_collective(self.rank, self._current.stage, str(self._current))
        requested = self._allreduce_or(self.stop.pending)
        if requested:
            raise _shared(stopped(requested))

    def _allreduce_or(self, bits: int) -> int:
        """Bitwise or over all ranks (one byte), waiting politely; signals are handled meanwhile."""
        if self.size == 1:
            return bits
        from mpi4py import MPI

        own, combined = bytearray([bits]), bytearray(1)  # both must live as long as the request
        request = self._comm.Iallreduce([own, MPI.BYTE], [combined, MPI.BYTE], MPI.BOR)
        start = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - start
            if waited < SPIN_SECONDS:
                os.sched_yield()
                continue
            time.sleep(min(PAUSE_GROWTH * waited, LONGEST_PAUSE_SECONDS))
            if self._neighbour and self._neighbour.has_died(waited):
                self._report_death(self._neighbour.neighbour)
        return combined[0]

    def _report_death(self, process: Process) -> NoReturn:
        text = (
            f"rank {process.rank} on {process.host} (process {process.pid}) has died: crashed, killed, or out of "
            "memory; all ranks are stopped"
        )
        self.abort(error_lines(text), ExitCode.BUG)

    def _watch_neighbour(self, processes: list[Process]) -> None:
        """Watch the next of these ranks on this host, where there is one that can be seen."""
        of_host = [process for process in processes if process.host == self._process.host]
        following = of_host[(of_host.index(self._process) + 1) % len(of_host)]
        watch = len(of_host) > 1 and following.is_alive
        self._neighbour = NeighbourWatch(following) if watch else None


def _shared(problem: Problem) -> Problem:
    """Marked as one that every rank raises, so that each can end by itself."""
    problem.shared = True
    return problem


def start(threads: int | None = None, stop: Stop | None = None) -> Session:
    """The session of all ranks. Sets the number of threads, so it must run before numpy is loaded."""
    faulthandler.enable()
    session, processes = _connect(launched())
    session.stop = stop or session.stop
    cores: dict[str, list[frozenset[int]]] = {}
    for process in processes:
        cores.setdefault(process.host, []).append(process.cores)
    own = session._process
    session.threads = resources.thread_count(threads, own.cores, cores[own.host])
    session.ranks_by_host = dict(Counter(process.host for process in processes))
    session.cores_by_host = {host: len(frozenset[int]().union(*sets)) for host, sets in cores.items()}
    resources.set_threads(session.threads)
    session._watch_neighbour(processes)
    return session


def _connect(launch: Launch | None) -> tuple[Session, list[Process]]:
    """The session of all ranks, and their processes in rank order."""
    if launch is None or launch.size == 1:
        session = Session()
        return session, [session._process]
    remove_stale_shared_memory()
    with watched(f"rank {launch.rank} of {launch.size} on {os.uname().nodename}"):
        session = _mpi_session(launch)
        return session, session.allgather(session._process)


def _mpi_session(launch: Launch) -> Session:
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True  # the library is asked who it is before it starts
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: the binary wheel found no libmpi
        launch.refuse_without_mpi(error)
    library = " ".join(MPI.Get_library_version().splitlines()[0].strip("\0").split())
    launch.refuse_foreign_library(library)
    if not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    launch.refuse_serial_copies(MPI.COMM_WORLD.size, library)
    return Session(MPI.COMM_WORLD, library, launch.name)


def run(main: Callable[[Session], None], threads: int | None = None) -> NoReturn:
    """Run `main` on every rank and leave with an ExitCode.

    A UserError that every rank raises alike is printed once. One of a single rank, and anything else, which is a bug of
    ours, is printed by that rank, and the job is aborted, so that no rank waits for a dead one.
    """
    stop = Stop()
    stop.install()
    session = start(threads, stop)
    code = ExitCode.DONE
    try:
        main(session)
    except StoppedEarly as error:
        code = _report(session, error, f"mlraman: {error}\n")
    except UserError as error:
        code = _report(session, error, error_lines(str(error)))
    except KeyboardInterrupt:
        session.abort(f"mlraman: interrupted on rank {session.rank}\n", ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has left, as in `mlraman schema | head`
        os._exit(ExitCode.DONE)
    except MemoryError:
        session.abort(error_lines(f"{session.describe_rank()}: {_OUT_OF_MEMORY}"), ExitCode.DATA)
    except SystemExit:
        raise
    except BaseException:
        text = f"mlraman: internal error on {session.describe_rank()}; {_BUG}:\n{traceback.format_exc()}"
        session.abort(text, ExitCode.BUG)
    _leave(session, code)


def _report(session: Session, error: UserError, text: str) -> ExitCode:
    """Print the error once; one that the other ranks know nothing of ends them."""
    if session.size > 1 and not error.shared:
        session.abort(text, error.exit_code)
    if session.is_root:
        write_stderr(text)
    return error.exit_code


def _leave(session: Session, code: int) -> NoReturn:
    """Wait for all ranks, since MPI_Finalize would keep a core busy meanwhile, and end the process."""
    session.stop.uninstall()
    session._allreduce_or(code)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.exit(code)
