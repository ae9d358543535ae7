"""Unpacked copies are what was unpacked, archives that grow beyond proportion are refused, indices fit their files."""

import gzip
import os

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers import unpacking
from mlraman_hpc.readers.trajectory import index_cache
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.readers.unpacking import read_bytes, unpacked_copy
from tests import small_system


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "XDATCAR.gz"
    path.write_bytes(gzip.compress(small_system.xdatcar(small_system.frames(200)).encode()))
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: os.truncate(copy, copy.read_bytes().index(b"Direct configuration=   101")),
        lambda copy: copy.write_bytes(copy.read_bytes().replace(b"0.25", b"0.35", 1)),
        lambda copy: copy.with_name(copy.name + ".sum").unlink(),
        lambda copy: copy.with_name(copy.name + ".sum").write_text("{"),
    ],
)
def test_a_damaged_copy_is_unpacked_anew(archive, tmp_path, damage):
    copy = unpacked_copy(archive, tmp_path / "cache", pytest.fail)
    right = gzip.decompress(archive.read_bytes())
    assert copy.read_bytes() == right
    damage(copy)
    assert unpacked_copy(archive, tmp_path / "cache", pytest.fail).read_bytes() == right


def test_an_archive_of_other_content_gets_another_copy(archive, tmp_path):
    first = unpacked_copy(archive, tmp_path / "cache", pytest.fail)
    state = archive.stat()
    text = gzip.decompress(archive.read_bytes()).replace(b"0.25", b"0.26", 1)
    archive.write_bytes(gzip.compress(text))
    os.utime(archive, ns=(state.st_atime_ns, state.st_mtime_ns))
    second = unpacked_copy(archive, tmp_path / "cache", pytest.fail)
    assert second != first and second.read_bytes() == text


def test_a_bomb_is_refused_before_it_fills_memory_or_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)
    path = tmp_path / "XDATCAR.gz"
    path.write_bytes(gzip.compress(bytes(50 << 20)))
    for read in (read_bytes, lambda path: unpacked_copy(path, tmp_path / "cache", pytest.fail)):
        with pytest.raises(DataError, match=r"XDATCAR\.gz: \d+ bytes unpack to more than \d+ MiB"):
            read(path)
    assert not list((tmp_path / "cache").iterdir())


def test_files_too_large_for_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", 1 << 10)
    (tmp_path / "OUTCAR").write_bytes(bytes(2000))
    (tmp_path / "OUTCAR.gz").write_bytes(gzip.compress(os.urandom(2000)))
    for name in ("OUTCAR", "OUTCAR.gz"):
        with pytest.raises(DataError, match="no output of one calculation"):
            read_bytes(tmp_path / name)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9, -5])
def test_a_damaged_index_is_made_anew(tmp_path, monkeypatch, place):
    monkeypatch.setattr(index_cache, "LEAST_BYTES", 0)
    path = tmp_path / "XDATCAR"
    path.write_text(small_system.xdatcar(small_system.frames(100)))
    right = read_frames(build_index([path], "auto", tmp_path / "cache", None, pytest.fail), [0, 50, 99]).positions
    (cache,) = (tmp_path / "cache").glob("*.index")
    content = bytearray(cache.read_bytes())
    content[int(place * len(content)) if place >= 0 else place] ^= 1
    cache.write_bytes(content)
    index = build_index([path], "auto", tmp_path / "cache", None, pytest.fail)
    assert np.array_equal(read_frames(index, [0, 50, 99]).positions, right)
    assert cache.read_bytes() != bytes(content)
