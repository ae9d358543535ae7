"""The MPI room: the only file that imports mpi4py. The rest of the program names an intention, never a rank.

Without a launcher no MPI library is touched, so serial use needs none. Under a launcher the number of processes that it
started is compared with what the MPI library sees: a mismatch would run silent serial copies and is refused.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlraman_hpc.errors import DeckError, StoppedEarly, UserError

# Order matters: mpirun inside an srun step has the variables of both.
_LAUNCHERS = (
    ("mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpirun (PMI)", "PMI_SIZE", "PMI_RANK"),
    ("mpiexec (PALS)", "PALS_SIZE", "PALS_RANKID"),
    ("mpirun (MVAPICH2)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
_BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
BUG = 1


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


class _SerialComm:
    """The few communicator methods that Session uses, for one process."""

    rank, size = 0, 1

    def bcast(self, value, root=0):
        return value

    def gather(self, value, root=0):
        return [value]

    def allgather(self, value):
        return [value]

    def scatter(self, values, root=0):
        return values[0]

    def alltoall(self, values):
        return values

    def Barrier(self):
        pass

    def Abort(self, code):
        os._exit(code)


class Session:
    """The ranks of this run."""

    def __init__(self, comm=None, library: str = "none (serial)", launcher: str = "none"):
        self._comm = comm or _SerialComm()
        self.library, self.launcher = library, launcher
        self.threads = 1

    @property
    def rank(self) -> int:
        return self._comm.rank

    @property
    def size(self) -> int:
        return self._comm.size

    @property
    def is_root(self) -> bool:
        return self._comm.rank == 0

    def on_root(self, work: Callable, *args, **kwargs):
        """Root's result of `work`, on every rank; a user's mistake found there is raised on every rank."""
        return self._comm.bcast(self.only_on_root(work, *args, **kwargs))

    def only_on_root(self, work: Callable, *args, **kwargs):
        """As on_root, but the result stays on root; None elsewhere."""
        result = problem = None
        if self.is_root:
            try:
                result = work(*args, **kwargs)
            except UserError as error:
                problem = error
        self._raise_everywhere(self._comm.bcast(problem))
        return result

    @contextlib.contextmanager
    def together(self):
        """A user's mistake on any rank inside this block is raised on every rank at its end."""
        problem = None
        try:
            yield
        except UserError as error:
            problem = error
        self.agree(problem)

    def agree(self, problem: UserError | None) -> None:
        """Raise, on every rank, the first rank's problem if any has one."""
        self._raise_everywhere(next((p for p in self._comm.allgather(problem) if p is not None), None))

    @staticmethod
    def _raise_everywhere(problem: UserError | None) -> None:
        if problem is not None:
            problem.shared = True  # every rank raises it, so each can end by itself
            raise problem

    def share(self, items: Sequence) -> Sequence:
        """This rank's part of `items`, contiguous, as even as possible; may be empty."""
        count, rest = divmod(len(items), self.size)
        start = self.rank * count + min(self.rank, rest)
        return items[start:start + count + (self.rank < rest)]

    def deal(self, hands: list | None):
        """Root's `hands[r]` to rank r."""
        return self._comm.scatter(hands)

    def exchange(self, parts: list) -> list:
        """`parts[r]` goes to rank r; returns what each rank had for this one, in rank order. Send chunks below 2 GB."""
        return self._comm.alltoall(parts)

    def gather(self, value) -> list | None:
        """Values of all ranks, in rank order, on root; None elsewhere."""
        return self._comm.gather(value)

    def everyone(self, value) -> list:
        """Values of all ranks, in rank order, on every rank."""
        return self._comm.allgather(value)

    def wait(self) -> None:
        self._comm.Barrier()

    def hosts(self) -> list[str]:
        return sorted(set(self.everyone(os.uname().nodename)))


class StopRequest:
    """Inside the block SIGTERM and SIGUSR1 ask for a stop; ranks see them at different moments and must agree."""

    def __init__(self, signals=(signal.SIGTERM, signal.SIGUSR1)):
        self.reason: str | None = None
        self._signals = signals

    def __enter__(self) -> StopRequest:
        self._before = [signal.signal(number, self._note) for number in self._signals]
        return self

    def __exit__(self, *_):
        for number, before in zip(self._signals, self._before):
            signal.signal(number, before)

    def _note(self, number, frame):
        if self.reason:  # a second signal: the user means it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.reason = signal.Signals(number).name


def start(threads: int | None = None) -> Session:
    """The session of this process; sets the number of threads, so it must run before numpy is loaded."""
    launch = launched()
    session = Session() if launch is None or launch.size == 1 else _mpi_session(launch)
    session.threads = _set_threads(session, threads)
    return session


def _mpi_session(launch: Launch) -> Session:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: the binary wheel found no libmpi
        reason = str(error).splitlines()[0]
        _refuse(launch, f"{launch.name} started {launch.size} processes, but MPI cannot be used: {reason}; load the "
                        "site's MPI module or set MPI4PY_LIBMPI (on a laptop: pip install 'mlraman_hpc[mpi]')")
    library = " ".join(MPI.Get_library_version().splitlines()[0].strip("\0").split())
    if MPI.COMM_WORLD.size != launch.size:
        _refuse(launch, f"{launch.name} started {launch.size} processes, but the MPI library sees only "
                        f"{MPI.COMM_WORLD.size}: launcher and library do not match, and each process would do all the "
                        f"work. The library is {library}. Use the mpirun of that library, or srun --mpi=pmi2 (MPICH, "
                        "Intel MPI) or --mpi=pmix (Open MPI)")
    return Session(MPI.COMM_WORLD, library, launch.name)


def _refuse(launch: Launch, text: str):
    if launch.rank == 0:
        _say_error(text)
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.Finalize()
    os._exit(DeckError.exit_code)


def _set_threads(session: Session, asked: int | None) -> int:
    """Threads of this rank. BLAS gets one: its results depend on their number, ours must not."""
    mine = frozenset(os.sched_getaffinity(0))
    here = [cpus for node, cpus in session.everyone((os.uname().nodename, mine)) if node == os.uname().nodename]
    for name in _BLAS_THREADS:
        os.environ[name] = "1"
    threads = asked or _asked_by_environment() or _fair_share(mine, here)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    return threads


def _asked_by_environment() -> int | None:
    for name in ("MLRAMAN_THREADS", "SLURM_CPUS_PER_TASK"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return min(int(value), len(os.sched_getaffinity(0)))
    return None


def _fair_share(mine: frozenset, here: list[frozenset]) -> int:
    bound = not any(a & b for i, a in enumerate(here) for b in here[:i])
    return len(mine) if bound else max(1, len(mine) // len(here))


def run(main: Callable[[Session], None], threads: int | None = None) -> None:
    """Run `main` on every rank and leave with the right exit code.

    A UserError, raised on every rank alike, is printed once. Anything else is a bug of ours: one traceback, and the
    whole job is aborted, so that no rank waits for a dead one.
    """
    session = start(threads)
    code = 0
    try:
        main(session)
    except StoppedEarly as error:
        code = error.exit_code
        if session.is_root:
            _say(f"mlraman: {error}\n")
    except UserError as error:
        code = error.exit_code
        if session.size > 1 and not error.shared:
            _abort(session, _error_lines(str(error)), code)
        if session.is_root:
            _say_error(str(error))
    except KeyboardInterrupt:
        _abort(session, f"mlraman: interrupted on rank {session.rank}\n", 130)
    except BrokenPipeError:  # the reader of our output has left, as in `mlraman schema | head`
        os._exit(0)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        _abort(session, _traceback(session), BUG)
    sys.stdout.flush()
    session.wait()
    sys.exit(code)


def _traceback(session: Session) -> str:
    return (f"mlraman: internal error on rank {session.rank} of {session.size} on {os.uname().nodename}; "
            f"all ranks are stopped. This is a bug of mlraman, please report it:\n{traceback.format_exc()}")


def _abort(session: Session, text: str, code: int) -> None:
    sys.stdout.flush()
    # Ranks that fail together wait a little for one another, lowest first, so that one message comes whole.
    time.sleep(0.2 * min(session.rank, 5))
    _say(text)
    if session.size > 1:
        time.sleep(0.5)  # the launcher forwards what we said before it hears of the abort
        session._comm.Abort(code)  # MPICH 5.0.2 returns from this, hence the next line
    os._exit(code)


def _error_lines(text: str) -> str:
    return "".join(f"mlraman: error: {line}\n" for line in text.splitlines())


def _say_error(text: str) -> None:
    _say(_error_lines(text))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace"))
