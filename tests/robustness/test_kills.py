"""A few random kills and stops; kills.py run by itself does hundreds."""

import pytest

from tests.robustness.kills import campaign

pytestmark = pytest.mark.mpi


def test_random_kills_and_stops_change_no_bit(data, tmp_path):
    figures = campaign(tmp_path, data / "sio2", kills=4, stops=2, seed=3)
    assert not figures.failures and figures.finished >= 1, str(figures)
