"""Checksums at the end of a file: every byte is verified before any library interprets the file.

A file with checksums is

    body, list of checksums (JSON), footer (FOOTER_BYTES: a fixed text, length and SHA-256 of the list)

HDF5 ignores what follows its own data. The list has the SHA-256 of the body; of a large file, `ranges` of it are left
out of that and have a CRC-32 for each block instead, so that a reader verifies the blocks that it reads, when it reads
them. A range without blocks is still being written.

`head -c SIZE file | sha256sum` gives the same SHA-256 where there are no ranges.
"""

from __future__ import annotations

import array
import base64
import hashlib
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

FOOTER = "mlraman_hpc checksums 1 {length:016d} {digest}\n"
FOOTER_BYTES = len(FOOTER.format(length=0, digest="0" * 64))
MARK = "checksums"  # HDF5 attribute of a file that must have them at its end
BLOCK = 1 << 18  # bytes of a range that have one CRC-32
_START = FOOTER.split("{")[0].encode()
_LONGEST_LIST = 1 << 30


class Damaged(Exception):
    """The bytes of a file are not those that were written; the text says how, without the file's name."""


@dataclass(frozen=True)
class Range:
    """`size` bytes from `offset` on, with a CRC-32 for each BLOCK bytes of them; none: still being written."""

    offset: int
    size: int
    blocks: array.array[int] = field(default_factory=lambda: array.array("I"))

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Checksums:
    """Of a file whose body has `size` bytes; `digest` is the SHA-256 of what lies outside the ranges."""

    size: int
    digest: str
    ranges: tuple[Range, ...] = ()

    def check_blocks(self, handle: int, begin: int, end: int, known: set[int] | None = None) -> None:
        """Verify the blocks that the bytes from `begin` to `end` lie in; Damaged.

        `known` has the offsets of blocks that need no other look; those that are verified now are added.
        """
        for part in self.ranges:
            first = max(begin - part.offset, 0) // BLOCK
            last = -(-(min(end, part.end) - part.offset) // BLOCK)
            for block in range(first, min(last, len(part.blocks))):
                offset = part.offset + block * BLOCK
                if known is not None and offset in known:
                    continue
                count = min(BLOCK, part.end - offset)
                data = os.pread(handle, count, offset)
                if len(data) != count or zlib.crc32(data) != part.blocks[block]:
                    raise Damaged(f"bytes {offset} to {offset + count} are not those that were written")
                if known is not None:
                    known.add(offset)


def append(path: Path, ranges: Iterable[tuple[int, int]] = (), *, open_ranges: bool = False) -> None:
    """Add checksums to a complete file that has none. `ranges` are (offset, size); with `open_ranges` their bytes
    may still be written to."""
    with open(path, "r+b") as file:
        handle = file.fileno()
        size = os.fstat(handle).st_size
        parts = [
            Range(offset, count, array.array("I") if open_ranges else _blocks(handle, offset, count))
            for offset, count in sorted(ranges)
            if count
        ]
        content = {
            "size": size,
            "sha256": _digest(handle, size, parts),
            "block": BLOCK,
            "ranges": [[part.offset, part.size, _encoded(part.blocks)] for part in parts],
        }
        text = json.dumps(content).encode()
        file.seek(size)
        file.write(text + FOOTER.format(length=len(text), digest=hashlib.sha256(text).hexdigest()).encode())


def read(handle: int) -> Checksums | None:
    """The checksums of an open file; None where it has none. Damaged where they cannot be what was written."""
    size = os.fstat(handle).st_size
    footer = os.pread(handle, FOOTER_BYTES, max(0, size - FOOTER_BYTES))
    if len(footer) < FOOTER_BYTES or not footer.startswith(_START):
        return None
    try:
        length, digest = footer[len(_START) :].decode().split()
        begin = size - FOOTER_BYTES - int(length)
        text = os.pread(handle, int(length), begin) if begin >= 0 and int(length) < _LONGEST_LIST else b""
        if hashlib.sha256(text).hexdigest() != digest:
            raise Damaged("its list of checksums is damaged")
        content = json.loads(text)
        ranges = tuple(Range(offset, count, _decoded(blocks)) for offset, count, blocks in content["ranges"])
        checksums = Checksums(content["size"], content["sha256"], ranges)
    except (ValueError, KeyError, TypeError):
        raise Damaged("its list of checksums is damaged") from None
    if content["block"] != BLOCK or checksums.size != begin:
        raise Damaged(f"it has {begin} bytes, {checksums.size} were written")
    return checksums


def check(handle: int, *, every_block: bool = True) -> Checksums | None:
    """Verify an open file; its checksums, or None where it has none. Damaged where a byte differs.

    Without `every_block` the blocks of ranges are left to who reads them (`Checksums.check_blocks`).
    """
    checksums = read(handle)
    if checksums is not None:
        if _digest(handle, checksums.size, checksums.ranges) != checksums.digest:
            raise Damaged("bytes of it are not those that were written")
        if every_block:
            checksums.check_blocks(handle, 0, checksums.size)
    return checksums


@contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """The handle of a regular file (`open_regular`), closed at the end."""
    handle = open_regular(path)
    try:
        yield handle
    finally:
        os.close(handle)


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """The handle of a regular file; OSError for whatever else has the name, which could keep a reader waiting."""
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "not a regular file", str(path))
    return handle


def _blocks(handle: int, offset: int, size: int) -> array.array[int]:
    return array.array("I", (zlib.crc32(data) for data in _pieces(handle, offset, offset + size, BLOCK)))


def _digest(handle: int, size: int, ranges: Iterable[Range]) -> str:
    """SHA-256 of the first `size` bytes without those of the ranges, which are in order."""
    digest, begin = hashlib.sha256(), 0
    for part in ranges:
        _feed(digest.update, handle, begin, part.offset)
        begin = part.end
    _feed(digest.update, handle, begin, size)
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], handle: int, begin: int, end: int) -> None:
    for data in _pieces(handle, begin, end, 1 << 20):
        update(data)


def _pieces(handle: int, begin: int, end: int, length: int) -> Iterator[bytes]:
    while begin < end:
        data = os.pread(handle, min(length, end - begin), begin)
        if not data:
            return
        yield data
        begin += len(data)


def _encoded(blocks: array.array[int]) -> str:
    return base64.b64encode(_little(blocks).tobytes()).decode()


def _decoded(text: str) -> array.array[int]:
    return _little(array.array("I", base64.b64decode(text)))


def _little(blocks: array.array[int]) -> array.array[int]:
    if sys.byteorder == "big":
        blocks = array.array("I", blocks)
        blocks.byteswap()
    return blocks
