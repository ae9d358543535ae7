"""Run by the tests under mpirun: exercises Session, one behaviour for each word on the command line."""

import os
import sys
import time
from pathlib import Path

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.runtime import session


def shares(session):
    mine = session.local_share(range(int(sys.argv[2])))
    parts = session.gather(list(mine))
    if session.is_root:
        print([item for part in parts for item in part], max(map(len, parts)) - min(map(len, parts)))


def error_on_root(session):
    def fail():
        raise DataError("a.xyz: frame 3 has no cell")

    session.on_root(fail)


def error_on_last(session):
    with session.collective_errors():
        if session.rank == session.size - 1:
            raise DataError("a.xyz: frame 17 has no cell")
    session.barrier()


def error_not_shared(session):
    if session.rank == session.size - 1:
        raise DataError("a.xyz: raised without telling the others")
    session.barrier()


def bug(session):
    if session.rank == session.size - 1:
        raise ValueError("a bug on one rank")
    session.barrier()


def bug_on_all(session):
    raise ValueError("a bug on every rank")


def killed(session):
    if session.rank == session.size - 1:
        os.kill(os.getpid(), 9)
    session.barrier()


def endless(session):
    """Goes on until it is stopped; a file of the name of its process shows that it is there."""
    while True:
        session.barrier()
        (Path(sys.argv[2]) / str(os.getpid())).touch()
        time.sleep(0.05)


def groups(session):
    number, group = session.split(2)
    sums = group.allgather(session.rank)
    values = session.allgather((number, group.rank, sums))
    if session.is_root:
        print(values)


def scattered(session):
    value = session.scatter([10 * r for r in range(session.size)] if session.is_root else None)
    values = session.allgather(value)
    if session.is_root:
        print(values)


def exchanged(session):
    received = session.alltoall([(session.rank, r) for r in range(session.size)])
    assert received == [(r, session.rank) for r in range(session.size)]


if __name__ == "__main__":
    session.run(globals()[sys.argv[1]])
