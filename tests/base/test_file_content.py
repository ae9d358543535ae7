"""Content of files by blocks: independent of name and time stamp, read again only where something was done to them."""

import os
import shutil

import numpy as np
import pytest

from mlraman_hpc.base import file_content as module
from mlraman_hpc.base.file_content import BLOCK, file_content


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(np.random.default_rng(0).bytes(3 * BLOCK + 100))
    return path


def edit(path, place, keep_time=True):
    state = path.stat()
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_the_same_bytes_are_the_same_content(path, tmp_path):
    digest = file_content(path).digest
    shutil.copyfile(path, tmp_path / "b.bin")
    os.replace(tmp_path / "b.bin", path)  # staged anew: another inode and time
    assert file_content(path).digest == digest
    edit(path, 2 * BLOCK)  # with its old time stamp
    assert file_content(path).digest != digest


def test_changed_blocks_are_named_and_what_is_appended_is_no_change(path):
    content = file_content(path)
    assert content.changed(path) == []
    with open(path, "ab") as file:
        file.write(b"more")
    assert content.changed(path) == []
    edit(path, BLOCK + 7)
    assert content.changed(path) == [(BLOCK, 2 * BLOCK)]
    os.truncate(path, 2 * BLOCK + 1)
    assert content.changed(path) == [(BLOCK, 2 * BLOCK), (2 * BLOCK, 3 * BLOCK), (3 * BLOCK, 3 * BLOCK + 100)]


def test_large_files_are_read_once_for_all_commands(path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", BLOCK)
    monkeypatch.setattr(module, "SETTLED_SECONDS", -1.0)
    digest = file_content(path, tmp_path / "cache").digest
    read = module._read
    monkeypatch.setattr(module, "_read", lambda *_: pytest.fail("read again"))
    module._known.clear()
    assert file_content(path, tmp_path / "cache").digest == digest
    monkeypatch.setattr(module, "_read", read)
    edit(path, 5)
    assert file_content(path, tmp_path / "cache").digest != digest
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b'"size"', b'"sise"'))
    module._known.clear()
    assert file_content(path, tmp_path / "cache").size == 3 * BLOCK + 100


def test_no_folder_is_made_for_what_only_looks(path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", BLOCK)
    monkeypatch.setattr(module, "SETTLED_SECONDS", -1.0)
    file_content(path, tmp_path / "out" / "cache")
    assert not (tmp_path / "out").exists()
