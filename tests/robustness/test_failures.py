"""One rank fails, in every way: the job ends by itself, soon, and says what happened.

Here a few stages; test_stages.py tries all in one process, stages.py all on several ranks.
"""

import time

import pytest
from stages import unreadable

pytestmark = pytest.mark.mpi


def fail(mlraman, trained, command, where, ranks=3):
    began = time.monotonic()
    done = mlraman(ranks, command, "deck.yaml", "--force", code=None, folder=trained, timeout=40,
                   env={"MLRAMAN_TEST_FAIL": where, "PYTHONFAULTHANDLER": "0"})
    assert time.monotonic() - began < 30  # with the time to start on a busy machine; it ends 10 s after the failure
    assert done.returncode not in (0, 2, 75), done.stderr
    return done


@pytest.mark.parametrize(("command", "where"), [
    ("predict", "predict/batches:0:kill:2"), ("predict", "predict/write:2:segfault"),
    ("dynamics", "dynamics/exchange:2:kill"), ("dynamics", "dynamics/blocks:0:exit"),
    ("learning-curve", "learning-curve/fits:2:exit"), ("convert", "convert/copy:0:segfault")])
def test_a_rank_that_vanishes_ends_the_job(command, where, trained, mlraman):
    done = fail(mlraman, trained, command, where)
    assert where.split(":")[1] in done.stdout + done.stderr  # the launcher's words, or ours
    assert not unreadable(trained)
    if command == "predict":
        mlraman(0, command, "deck.yaml", folder=trained)


@pytest.mark.parametrize(("command", "where"), [
    ("train", "deck:1:exception"), ("train", "train/descriptors:2:exception"), ("predict", "predict/index:1:exception"),
    ("spectrum", "spectrum:0:exception")])
def test_an_exception_names_rank_and_host(command, where, trained, mlraman):
    stage, rank, _ = where.split(":")
    done = fail(mlraman, trained, command, where)
    assert done.stderr.count("mlraman: internal error on rank") == 1
    assert f"rank {rank} of 3 on " in done.stderr and f" ({stage})" in done.stderr
    assert "asked for by MLRAMAN_TEST_FAIL" in done.stderr


@pytest.mark.parametrize("ranks", [0, 3])
def test_out_of_memory_is_no_bug(ranks, trained, mlraman):
    done = fail(mlraman, trained, "predict", "predict:0:memory:6", ranks)
    assert "out of memory" in done.stderr and "rank 0 of" in done.stderr and "Traceback" not in done.stderr
    if not ranks:
        assert done.returncode == 3
