"""Threads of a rank, and the time that is left."""

import time

import pytest

from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.runtime import resources
from tests import small_system as small


@pytest.mark.parametrize(
    ("requested", "cores", "env", "threads"),
    [
        (None, [{0, 1, 2, 3}] * 2, {}, 2),  # not bound: an even share
        (None, [{0, 1}] * 4, {}, 1),
        (None, [{0, 1}, {2, 3}], {}, 2),  # bound: what each has
        (None, [set(range(8))], {"OMP_NUM_THREADS": "2,1"}, 2),
        (None, [set(range(8))], {"SLURM_CPUS_PER_TASK": "3", "OMP_NUM_THREADS": "4"}, 3),
        (None, [{0}], {"OMP_NUM_THREADS": "16"}, 1),
        (None, [{0}], {"MLRAMAN_THREADS": "16"}, 16),
        (5, [{0}], {"MLRAMAN_THREADS": "16"}, 5),
    ],
)
def test_threads_of_a_rank(requested, cores, env, threads):
    cores = [frozenset(numbers) for numbers in cores]
    assert resources.thread_count(requested, cores[0], cores, env) == threads


def test_walltime_in_the_deck(tmp_path):
    deck = small.write(tmp_path)
    with pytest.raises(DeckError, match="should be minutes, 'HH:MM:SS'"):
        read_deck(deck, ["walltime=01:30"])
    for text, minutes in (("90", 90), ("01:30:00", 90), ("1-00:00:30", 1440.5)):
        assert read_deck(deck, [f"walltime={text}"]).walltime == minutes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1:59", 119), ("01:00:00", 3600), ("2-00:00:01", 172801), ("UNLIMITED", None), ("", None), ("INVALID", None)],
)
def test_slurms_remaining_time(text, seconds):
    assert resources.parse_time(text) == seconds


def test_the_nearer_limit_counts(monkeypatch):
    monkeypatch.setattr(resources, "_slurm_left", lambda env: 1000.0)
    assert resources.seconds_left(None, str) == 950
    assert resources.seconds_left(1e9, str) == 950
    assert resources.seconds_left(1e-9, str) == 1e-3
    monkeypatch.setattr(resources, "_slurm_left", lambda env: None)
    assert resources.seconds_left(None, str) is None


def test_a_slurm_that_does_not_answer_is_no_error(tmp_path):
    assert resources._slurm_left({"SLURM_JOB_ID": "99999999", "PATH": str(tmp_path)}) is None
    assert resources._slurm_left({"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": str(int(time.time()) + 60)}) <= 60
