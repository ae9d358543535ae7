"""Run by test_session.py under mpirun: exercises Session, one behaviour for each word on the command line."""

import atexit
import os
import sys
import time
from pathlib import Path

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.runtime import session as parallel


def shares(session):
    mine = session.local_share(range(int(sys.argv[2])))
    parts = session.gather(list(mine))
    if session.is_root:
        print([item for part in parts for item in part], max(map(len, parts)) - min(map(len, parts)))


def root_mistake(session):
    def fail():
        raise DataError("a.xyz: frame 3 has no cell")

    session.on_root(fail)


def one_mistake(session):
    with session.collective_errors():
        if session.rank == session.size - 1:
            raise DataError("a.xyz: frame 17 has no cell")
    session.barrier()


def lonely_mistake(session):
    if session.rank == session.size - 1:
        raise DataError("a.xyz: raised without telling the others")
    session.barrier()


def bug(session):
    if session.rank == session.size - 1:
        raise ValueError("a bug on one rank")
    session.barrier()


def everyones_bug(session):
    raise ValueError("a bug on every rank")


def killed(session):
    if session.rank == session.size - 1:
        os.kill(os.getpid(), 9)
    session.barrier()


def ready(session):
    """Says so, and goes on until it is stopped."""
    while True:
        session.barrier()
        (Path(sys.argv[2]) / f"{os.getpid()}.works").touch()
        time.sleep(0.05)


def busy(session):
    """A long batch, which the first wish to stop lets come to its end."""
    with session.stop.deferred():
        session.barrier()
        (Path(sys.argv[2]) / f"{os.getpid()}.works").touch()
        time.sleep(60)


def groups(session):
    number, group = session.split(2)
    found = session.allgather((number, group.size))
    if session.is_root:
        print(found)


def dealt(session):
    hand = session.scatter([10 * r for r in range(session.size)] if session.is_root else None)
    values = session.allgather(hand)
    if session.is_root:
        print(values)


def write_modules():
    (Path(sys.argv[2]) / str(os.getpid())).write_text(" ".join(sys.modules))


if __name__ == "__main__":
    if os.path.isdir(sys.argv[-1]):
        write_modules()
        atexit.register(write_modules)
    parallel.run(globals()[sys.argv[1]])
