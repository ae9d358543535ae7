"""One rank fails, in every way, at every stage: the job ends by itself, soon, and says what happened."""

import time

import pytest

pytestmark = pytest.mark.mpi


def fail(mlraman, trained, command, where, ranks=3):
    began = time.monotonic()
    done = mlraman(ranks, command, "deck.yaml", "--force", code=None, folder=trained, timeout=40,
                   env={"MLRAMAN_TEST_FAIL": where, "PYTHONFAULTHANDLER": "0"})
    assert time.monotonic() - began < 30  # with the time to start on a busy machine; it ends 10 s after the failure
    assert done.returncode not in (0, 2, 75), done.stderr
    return done


@pytest.mark.parametrize("kind", ["segfault", "kill", "exit"])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_vanishes_ends_the_job(kind, rank, trained, mlraman):
    done = fail(mlraman, trained, "predict", f"predict:{rank}:{kind}:7")
    assert str(rank) in done.stdout + done.stderr  # the launcher's words, or ours
    mlraman(0, "predict", "deck.yaml", folder=trained)


@pytest.mark.parametrize(("command", "where"), [
    ("train", "deck:1:exception"), ("train", "train:2:exception:3"), ("predict", "predict:1:exception:5"),
    ("spectrum", "spectrum:0:exception")])
def test_an_exception_names_rank_and_host(command, where, trained, mlraman):
    rank = where.split(":")[1]
    done = fail(mlraman, trained, command, where)
    assert done.stderr.count("mlraman: internal error on rank") == 1
    assert f"rank {rank} of 3 on " in done.stderr and "asked for by MLRAMAN_TEST_FAIL" in done.stderr


@pytest.mark.parametrize("ranks", [0, 3])
def test_out_of_memory_is_no_bug(ranks, trained, mlraman):
    done = fail(mlraman, trained, "predict", "predict:0:memory:6", ranks)
    assert "out of memory" in done.stderr and "rank 0 of" in done.stderr and "Traceback" not in done.stderr
    if not ranks:
        assert done.returncode == 3
