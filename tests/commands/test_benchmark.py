"""The benchmark prints a table by stage and by ranks, and leaves nothing behind."""

import pytest

from tests import small_system as small


@pytest.mark.mpi
def test_table_by_stage_and_ranks(mlraman, tmp_path):
    small.write(tmp_path)
    done = mlraman(2, "benchmark", "deck.yaml")
    for text in (
        "read",
        "neighbours",
        "expansion",
        "contraction",
        "gather",
        "write",
        "together",
        "speed-up",
        "MB a rank",
        "10000000",
    ):
        assert text in done.stdout
    assert not list(tmp_path.glob(".mlraman-benchmark-*"))
    assert not (tmp_path / "out" / "model.h5").exists()
