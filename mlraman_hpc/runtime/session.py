"""The MPI room: the only file that imports mpi4py. The rest of the program names an intention, never a rank.

Ranks that find no core for themselves leave the session before anything else is loaded, and wait for the others' end.

Without a launcher no MPI library is touched, so serial use needs none. Under a launcher the number of processes that it
started is compared with what the MPI library sees: a mismatch would run silent serial copies and is refused.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from mlraman_hpc.base.errors import DataError, DeckError, StoppedEarly, UserError
from mlraman_hpc.runtime import launcher as starting
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.runtime.fault_injection import FrameLocation
from mlraman_hpc.runtime.interrupts import Stop, stopped
from mlraman_hpc.runtime.launcher import Launch, launched
from mlraman_hpc.runtime.resources import Process

BUG = 1
SPIN, PAUSE = 0.0001, 0.005  # s; ranks that wait leave the core to those that work
IDLE = 0.02, 1.0  # s; shortest and longest pause of ranks that wait for the end of the run, of which they are told
AWAKE = 0.5  # s; how long they look more often when it has come: messages pass through several of them
LOOK_AFTER, LOOK_AGAIN = 2.0, 2.0  # s


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

    def Abort(self, code):
        os._exit(code)


class Session:
    """The ranks of this run that work."""

    def __init__(self, comm=None, library: str = "none (serial)", launcher: str = "none"):
        self._comm = comm or _SerialComm()
        self.library, self.launcher = library, launcher
        self._process = Process.this(self.rank)
        self.threads, self.cores = 1, {self._process.host: len(self._process.cores)}
        self.started = {self._process.host: 1}  # ranks on each host, with those that only wait
        self.world, self.works = self, True  # the session of all that were started; whether this rank works
        self._waiting: list[Process] = []  # on this host, for its first rank to wake
        self.stop = Stop()
        self._neighbour: _Neighbour | None = None
        self._place = FrameLocation(os.environ.get("MLRAMAN_TEST_FAIL", ""))

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
        result = self.only_on_root(work, *args, **kwargs)
        return self._comm.bcast(result)

    def only_on_root(self, work: Callable, *args, **kwargs):
        """As on_root, but the result stays on root; None elsewhere."""
        result = problem = None
        if self.is_root:
            try:
                with self.stop.interruptible():
                    result = work(*args, **kwargs)
            except UserError as error:
                problem = error
        self._meet()
        self._raise_everywhere(self._comm.bcast(problem))
        return result

    @contextlib.contextmanager
    def collective_errors(self):
        """A user's mistake on any rank inside this block is raised on every rank at its end."""
        problem = None
        try:
            with self.stop.interruptible():
                yield
        except UserError as error:
            problem = error
        self.raise_if_any(problem)

    def raise_if_any(self, problem: UserError | None) -> None:
        """Raise, on every rank, the first rank's problem if any has one."""
        self._meet()
        self._raise_everywhere(next((p for p in self._comm.allgather(problem) if p is not None), None))

    @staticmethod
    def _raise_everywhere(problem: UserError | None) -> None:
        if problem is not None:
            problem.shared = True  # every rank raises it, so each can end by itself
            raise problem

    def local_share(self, items: Sequence) -> Sequence:
        """This rank's part of `items`, contiguous, as even as possible; may be empty."""
        count, rest = divmod(len(items), self.size)
        start = self.rank * count + min(self.rank, rest)
        return items[start : start + count + (self.rank < rest)]

    def scatter(self, hands: list | None):
        """Root's `hands[r]` to rank r."""
        self._meet()
        return self._comm.scatter(hands)

    def alltoall(self, parts: list) -> list:
        """`parts[r]` goes to rank r; returns what each rank had for this one, in rank order. Send chunks below 2 GB."""
        self._meet()
        return self._comm.alltoall(parts)

    def gather(self, value) -> list | None:
        """Values of all ranks, in rank order, on root; None elsewhere."""
        self._meet()
        return self._comm.gather(value)

    def allgather(self, value) -> list:
        """Values of all ranks, in rank order, on every rank."""
        self._meet()
        return self._comm.allgather(value)

    def barrier(self) -> None:
        self._meet()

    def split(self, groups: int) -> tuple[int, Session]:
        """Ranks in groups of neighbours, as even as possible: the number of this rank's group, and its ranks alone."""
        groups = max(1, min(groups, self.size))
        number = next(k for k in range(groups) if self.rank < (k + 1) * self.size // groups)
        if groups == 1:
            return 0, self
        self._meet()
        group = self._part(self._comm.Split(number, self.rank))
        group._watch_next(group.allgather(self._process))
        return number, group

    def _workers(self, first: Process) -> Session:
        """The ranks that work, alone. A rank that waits keeps all, and what asks it to stop goes to `first`."""
        comm = self._comm.Split(self.works, self.rank)
        if self.works:
            return self._part(comm)
        if first.seen:
            self.stop.forward_to(first.pid)
        return self

    def _wake(self) -> None:
        """Tell the ranks of this host that wait that the others are done."""
        for one in self._waiting:
            if one.seen:
                with contextlib.suppress(OSError):
                    os.kill(one.pid, signal.SIGCONT)

    def _part(self, comm) -> Session:
        part = copy.copy(self)
        part._comm = comm if comm.size > 1 else _SerialComm()
        return part

    def _watch_next(self, ranks: list[Process]) -> None:
        """The next of them on this host is looked after; needed where the launcher does not notice that it has died."""
        here = [one for one in ranks if one.host == self._process.host]
        following = here[(here.index(self._process) + 1) % len(here)]
        if len(here) > 1 and following.seen:
            self._neighbour = _Neighbour(following)

    def hosts(self) -> list[str]:
        return sorted(set(self.allgather(os.uname().nodename)))

    def stop_requested(self) -> StoppedEarly | None:
        """Whether any rank was asked to stop, the same on every rank; for loops inside `stop.deferred()`."""
        asked = self._any(self.stop.requested)
        return self._shared(stopped(asked)) if asked else None

    @staticmethod
    def _shared(problem: UserError) -> UserError:
        problem.shared = True
        return problem

    def enter_stage(self, stage: str) -> None:
        """Tells where the run is: messages of failures say so, and tests make ranks fail there."""
        self._place.enter(self.rank, stage)

    def enter_step(self, step: str) -> None:
        """A part of the stage."""
        self._place.enter(self.rank, self._place.stage, step)

    def _meet(self) -> None:
        """Before each exchange: wait for all ranks, open to signals. A stop asked of any ends all of them here."""
        self._place.meet(self.rank)
        asked = self._any(self.stop.now)
        if asked:
            raise self._shared(stopped(asked))

    def _any(self, bits: int, idle: bool = False) -> int:
        """Bits that are set on any rank; a rank that has died while the others wait ends the job."""
        if self.size == 1:
            return bits
        from mpi4py import MPI

        mine, found = bytearray([bits]), bytearray(1)  # both must live as long as the request
        request = self._comm.Iallreduce([mine, MPI.BYTE], [found, MPI.BYTE], MPI.BOR)
        began = look = awake = time.monotonic()
        if idle:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
        while not request.Test():
            now = time.monotonic()
            if now - began < SPIN:
                os.sched_yield()
                continue
            if not idle or now < awake:
                time.sleep(min((now - began) / 4, PAUSE))
            elif signal.sigtimedwait({signal.SIGCONT}, min(max((now - began) / 100, IDLE[0]), IDLE[1])):
                awake = time.monotonic() + AWAKE
            if self._neighbour and now - began > LOOK_AFTER and now - look > LOOK_AGAIN:
                look = now
                self._neighbour.look(self)
        return found[0]


class _Neighbour:
    """The next rank on this host. Not every launcher ends a job when a rank is killed; others would wait for ever."""

    def __init__(self, process: Process):
        self.process, self._missed = process, False

    def look(self, session: Session) -> None:
        gone, one = not self.process.seen, self.process
        if gone and self._missed:
            _abort(
                session,
                f"mlraman: error: rank {one.rank} on {one.host} (process {one.pid}) has died: "
                "crashed, killed, or out of memory; all ranks are stopped\n",
                BUG,
            )
        self._missed = gone  # the launcher has until the next look to end the job itself


def start(threads: int | None = None, stop: Stop | None = None) -> Session:
    """The session of the ranks that work, or of all on a rank that does not.

    Sets the number of threads, so it must run before numpy is loaded.
    """
    faulthandler.enable()
    world, ranks = _first_meeting(launched())
    world.stop = stop or world.stop
    here = [one for one in ranks if one.host == world._process.host]
    cores, place = [one.cores for one in here], here.index(world._process)
    world.threads = machine.threads_of(threads, cores[place], cores)
    works = machine.workers(world.threads, cores)
    world.works = works[place]
    world._waiting = [one for one, work in zip(here, works) if not work and place == 0]
    world.started = Counter(one.host for one in ranks)
    world.cores = {
        host: len(frozenset().union(*(one.cores for one in ranks if one.host == host))) for host in world.started
    }
    machine.set_threads(world.threads)
    world._watch_next(ranks)
    return world._workers(here[0]) if world._any(not world.works) else world


def _first_meeting(launch: Launch | None) -> tuple[Session, list[Process]]:
    """The session of all that were started, and where they are."""
    if launch is None or launch.size == 1:
        session = Session()
        return session, [session._process]
    starting.sweep()
    with starting.watched(f"rank {launch.rank} of {launch.size} on {os.uname().nodename}"):
        session = _mpi_session(launch)
        return session, session.allgather(session._process)


def _mpi_session(launch: Launch) -> Session:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: the binary wheel found no libmpi
        reason = str(error).splitlines()[0]
        _refuse(
            launch,
            f"{launch.name} started {launch.size} processes, but MPI cannot be used: {reason}; load the "
            "site's MPI module or set MPI4PY_LIBMPI (on a laptop: pip install 'mlraman_hpc[mpi]')",
        )
    library = " ".join(MPI.Get_library_version().splitlines()[0].strip("\0").split())
    if MPI.COMM_WORLD.size != launch.size:
        _refuse(
            launch,
            f"{launch.name} started {launch.size} processes, but the MPI library sees only "
            f"{MPI.COMM_WORLD.size}: launcher and library do not match, and each process would do all the "
            f"work. The library is {library}. Use the mpirun of that library, or srun --mpi=pmi2 (MPICH, "
            "Intel MPI) or --mpi=pmix (Open MPI)",
        )
    return Session(MPI.COMM_WORLD, library, launch.name)


def _refuse(launch: Launch, text: str):
    if launch.rank == 0:
        _say_error(text)
    sys.exit(DeckError.exit_code)


def run(main: Callable[[Session], None], threads: int | None = None) -> None:
    """Run `main` on every rank and leave with the right exit code.

    A UserError, raised on every rank alike, is printed once. Anything else is a bug of ours: one traceback, and the
    whole job is aborted, so that no rank waits for a dead one.
    """
    stop, code = Stop(), 0
    stop.listen()
    session = start(threads, stop)
    try:
        if not session.works:
            _leave(session, 0)
        main(session)
    except UserError as error:
        code = error.exit_code
        text = f"mlraman: {error}\n" if isinstance(error, StoppedEarly) else _error_lines(str(error))
        if session.size > 1 and not error.shared:
            _abort(session, text, code)
        if session.is_root:
            _say(text)
    except KeyboardInterrupt:
        _abort(session, f"mlraman: interrupted on rank {session.world.rank}\n", 130)
    except BrokenPipeError:  # the reader of our output has left, as in `mlraman schema | head`
        os._exit(0)
    except MemoryError:
        _abort(
            session,
            _error_lines(
                f"{_place(session)}: out of memory; all ranks are stopped. Use fewer ranks on "
                "each host, or hosts with more memory"
            ),
            DataError.exit_code,
        )
    except SystemExit:
        raise
    except BaseException:
        _abort(session, _traceback(session), BUG)
    _leave(session, code)


def _leave(session: Session, code: int) -> None:
    """All ranks together, with the code of those that work. Leaving by os._exit would look like a crash."""
    if session.works:
        session.stop.end()
        session._wake()
    code = session.world._any(code, idle=not session.works)
    session.world._any(0)  # those that waited are still there, else MPI's own end would never come
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.exit(code)


def _place(session: Session) -> str:
    where = f" ({session._place})" if session._place.stage else ""
    return f"rank {session.world.rank} of {session.world.size} on {os.uname().nodename}{where}"


def _traceback(session: Session) -> str:
    return (
        f"mlraman: internal error on {_place(session)}; all ranks are stopped. This is a bug of mlraman, "
        f"please report it:\n{traceback.format_exc()}"
    )


def _abort(session: Session, text: str, code: int) -> None:
    sys.stdout.flush()
    # Ranks that fail together wait a little for one another, lowest first, so that one message comes whole.
    time.sleep(0.2 * min(session.world.rank, 5))
    _say(text)
    if session.world.size > 1:
        time.sleep(0.5)  # the launcher forwards what we said before it hears of the abort
        session.world._comm.Abort(code)  # MPICH 5.0.2 returns from this, hence the next line
    os._exit(code)


def _error_lines(text: str) -> str:
    return "".join(f"mlraman: error: {line}\n" for line in text.splitlines())


def _say_error(text: str) -> None:
    _say(_error_lines(text))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace"))
