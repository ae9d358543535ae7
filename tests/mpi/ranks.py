"""Run by test_session.py under mpirun: exercises Session, one behaviour for each word on the command line."""

import atexit
import os
import sys
import time
from pathlib import Path

from mlraman_hpc import parallel
from mlraman_hpc.errors import DataError


def shares(session):
    mine = session.share(range(int(sys.argv[2])))
    parts = session.gather(list(mine))
    if session.is_root:
        print([item for part in parts for item in part], max(map(len, parts)) - min(map(len, parts)))


def root_mistake(session):
    def fail():
        raise DataError("a.xyz: frame 3 has no cell")
    session.on_root(fail)


def one_mistake(session):
    with session.together():
        if session.rank == session.size - 1:
            raise DataError("a.xyz: frame 17 has no cell")
    session.wait()


def lonely_mistake(session):
    if session.rank == session.size - 1:
        raise DataError("a.xyz: raised without telling the others")
    session.wait()


def bug(session):
    if session.rank == session.size - 1:
        raise ValueError("a bug on one rank")
    session.wait()


def everyones_bug(session):
    raise ValueError("a bug on every rank")


def killed(session):
    if session.rank == session.size - 1:
        os.kill(os.getpid(), 9)
    session.wait()


def ready(session):
    """Says so, and goes on until it is stopped."""
    while True:
        session.wait()
        (Path(sys.argv[2]) / f"{os.getpid()}.works").touch()
        time.sleep(0.05)


def busy(session):
    """A long batch, which the first wish to stop lets come to its end."""
    with session.stop.deferred():
        session.wait()
        (Path(sys.argv[2]) / f"{os.getpid()}.works").touch()
        time.sleep(60)


def groups(session):
    number, group = session.split(2)
    found = session.everyone((number, group.size))
    if session.is_root:
        print(found)


def dealt(session):
    hand = session.deal([10 * r for r in range(session.size)] if session.is_root else None)
    values = session.everyone(hand)
    if session.is_root:
        print(values)


def write_modules():
    (Path(sys.argv[2]) / str(os.getpid())).write_text(" ".join(sys.modules))


if __name__ == "__main__":
    if os.path.isdir(sys.argv[-1]):
        write_modules()
        atexit.register(write_modules)
    parallel.run(globals()[sys.argv[1]])
