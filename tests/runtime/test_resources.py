"""Which ranks compute."""

import pytest

from mlraman_hpc.runtime import resources as machine


@pytest.mark.parametrize(
    "threads, here, works",
    [
        (1, [{0, 1}] * 4, [True, True, False, False]),
        (2, [{0, 1, 2, 3}] * 3, [True, True, False]),
        (4, [set(range(6))] * 2, [True, True]),
        (1, [{0}, {0}, {1}, {1}], [True, False, True, False]),
        (2, [{0}, {1}], [True, True]),
        (8, [{0, 1}], [True]),
    ],
)
def test_ranks_without_a_core_of_their_own_wait(threads, here, works):
    assert machine.workers(threads, [frozenset(cores) for cores in here], env={}) == works
    assert all(machine.workers(threads, [frozenset(cores) for cores in here], env={"MLRAMAN_SHARE_CORES": "1"}))
