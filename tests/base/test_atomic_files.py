"""A file is there completely or not at all."""

import os
import stat

import pytest

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError


def test_the_file_appears_when_the_block_has_succeeded(tmp_path):
    path = tmp_path / "new" / "a.dat"
    with atomic_write(path) as temporary:
        temporary.write_text("complete")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "complete" and os.listdir(path.parent) == ["a.dat"]
    (tmp_path / "ordinary").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.dat"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.dat"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/a\.dat: cannot be written"), atomic_write(tmp_path / "file" / "a.dat"):
        pass
