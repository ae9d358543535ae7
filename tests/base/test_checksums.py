"""Checksums at the end of a file: any changed byte is noticed, in ranges by who reads there."""

import hashlib
import os
from contextlib import suppress

import numpy as np
import pytest

from mlraman_hpc.base import checksums
from mlraman_hpc.base.checksums import BLOCK, Damaged

SIZE = 3 * BLOCK


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(np.random.default_rng(0).bytes(SIZE))
    return path


def check(path, **options):
    with checksums.opened(path) as handle:
        return checksums.check(handle, **options)


def flip(path, place):
    text = bytearray(path.read_bytes())
    text[place] ^= 4
    path.write_bytes(text)


def test_a_file_without_checksums_has_none(path):
    assert check(path) is None


def test_the_digest_is_that_of_the_bytes_before_the_list(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    checksums.append(path)
    assert check(path).digest == digest
    assert check(path).size == SIZE and path.stat().st_size < SIZE + 500


@pytest.mark.parametrize("place", [0, 70_000, SIZE - 1, SIZE + 20, -30, -1])
@pytest.mark.parametrize("ranges", [(), [(1000, SIZE - 2000)], [(2 * BLOCK, 10), (60_000, BLOCK + 1)]])
def test_any_changed_byte_is_noticed(path, place, ranges):
    checksums.append(path, ranges)
    assert check(path) is not None
    flip(path, place)
    with suppress(Damaged):
        assert check(path) is None and place in (-1, -30)  # no footer any more: the file's own mark tells


def test_a_file_that_was_cut_or_grew_is_damaged(path):
    checksums.append(path)
    text = path.read_bytes()
    path.write_bytes(text[:100] + text[108:])
    with pytest.raises(Damaged, match=f"it has {SIZE - 8} bytes, {SIZE} were written"):
        check(path)
    path.write_bytes(text[:-1])
    assert check(path) is None


def test_blocks_of_a_range_are_verified_by_who_reads_them(path):
    checksums.append(path, [(1000, SIZE - 2000)])
    flip(path, 1000 + BLOCK + 5)
    found = check(path, every_block=False)
    with checksums.opened(path) as handle:
        known = set()
        found.check_blocks(handle, 0, 1000 + BLOCK, known)
        found.check_blocks(handle, 1000 + 2 * BLOCK, SIZE, known)
        assert known == {1000, 1000 + 2 * BLOCK}
        with pytest.raises(Damaged, match=f"bytes {1000 + BLOCK} to {1000 + 2 * BLOCK}"):
            found.check_blocks(handle, 1000 + BLOCK, 1000 + BLOCK + 1, known)
    with pytest.raises(Damaged):
        check(path)


def test_a_range_that_is_still_written_to_is_left_out(path):
    checksums.append(path, [(1000, 500)], open_ranges=True)
    flip(path, 1200)
    assert check(path) is not None
    flip(path, 1500)
    with pytest.raises(Damaged):
        check(path)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(OSError, match="not a regular file"):
            checksums.open_regular(tmp_path / name)
