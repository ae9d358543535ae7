"""One rank fails, in every manner: the job ends by itself and reports what happened.

Here a few stages; test_stages.py tries all in one process, stages.py all on several ranks.
"""

import pytest

from tests.robustness.stages import Trial, attempt


def end(trained, command, stage, rank, kind, ranks=3):
    """How the job ended; `attempt` has looked at time, exit code, number of messages and files."""
    outcome = attempt(trained, Trial(command, stage, rank, ranks, kind))
    assert not outcome.problems, outcome.log_text
    return outcome


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("command", "stage", "rank", "kind"),
    [
        ("predict", "predict/batches", 0, "kill"),
        ("predict", "predict/write", 2, "segfault"),
        ("dynamics", "dynamics/exchange", 2, "kill"),
        ("dynamics", "dynamics/blocks", 0, "exit"),
        ("learning-curve", "learning-curve/fits", 2, "exit"),
        ("convert", "convert/copy", 0, "segfault"),
    ],
)
def test_a_rank_that_vanishes_ends_the_job(command, stage, rank, kind, trained, mlraman):
    assert str(rank) in end(trained, command, stage, rank, kind).log_text  # the launcher's words, or ours
    if command == "predict":
        mlraman(0, command, "deck.yaml", folder=trained)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("command", "stage", "rank"),
    [("train", "deck", 1), ("train", "train/descriptors", 2), ("predict", "predict/index", 1), ("check", "check", 0)],
)
def test_an_exception_names_rank_host_and_stage(command, stage, rank, trained):
    log_text = end(trained, command, stage, rank, "exception").log_text
    assert f"internal error on rank {rank} of 3 on " in log_text and f" ({stage})" in log_text
    assert "asked for by MLRAMAN_TEST_FAIL" in log_text


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [0, 3])
def test_out_of_memory_is_no_bug(ranks, trained):
    outcome = end(trained, "predict", "predict/batches", 0, "memory", ranks)
    assert (
        "out of memory" in outcome.log_text and "rank 0 of" in outcome.log_text and "Traceback" not in outcome.log_text
    )
    assert ranks or outcome.code == 3
