"""What a file holds, by a checksum of each block: the same for the same bytes, whatever its name and time stamp.

A file is read once in a process, and again when the system says that it may have changed: another inode, size, time of
modification or of status change, which no program can set back. For large files the result is kept in a folder.
"""

from __future__ import annotations

import array
import base64
import hashlib
import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlraman_hpc.base.checksums import opened

BLOCK, PIECE = 1 << 20, 1 << 15  # bytes of a checksum; bytes in memory
KEPT_BYTES = 1 << 26  # the blocks of a larger file are kept
SETTLED_SECONDS = 5.0  # a file that changed more recently could change again within one tick of the clock
VERSION = 1
Identity = tuple[int, int, int, int, int]


def identity(status: os.stat_result) -> Identity:
    """Changes with whatever is done to a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True)
class FileContent:
    """`blocks` has the CRC-32 of each BLOCK bytes of a file of `size` bytes, which had this `identity`."""

    identity: Identity
    size: int
    blocks: array.array[int]

    @property
    def digest(self) -> str:
        """24 hexadecimal digits that stand for the content."""
        return hashlib.sha256(f"{self.size} ".encode() + _text(self.blocks).encode()).hexdigest()[:24]

    def changed(self, path: str | Path) -> list[tuple[int, int]]:
        """(first byte, last byte) of the blocks that are not in the file any more; what was added does not count.

        OSError where it cannot be read.
        """
        now = _read(path, self.size)
        different = [k for k, (a, b) in enumerate(zip(self.blocks, now.blocks)) if a != b]
        if now.size < self.size:
            different += range(min(len(now.blocks), now.size // BLOCK), len(self.blocks))
        return [(k * BLOCK, min((k + 1) * BLOCK, self.size)) for k in sorted(set(different))]


_known: dict[str, FileContent] = {}


def file_content(path: str | Path, folder: Path | None = None) -> FileContent:
    """The content of a regular file; kept in `folder` where the file is large. OSError where it cannot be read."""
    name = os.path.realpath(path)
    state = identity(os.stat(name))
    content = _known.get(name)
    if content is None or content.identity != state:
        content = _kept(name, state, folder) or _read(name)
        _known[name] = content
        _keep(name, content, folder)
    return content


def _read(path: str | Path, limit: int | None = None) -> FileContent:
    """Of the first `limit` bytes."""
    blocks, size = array.array("I"), 0
    with opened(path) as handle, os.fdopen(os.dup(handle), "rb", buffering=0) as file:
        state = identity(os.fstat(handle))
        end = state[2] if limit is None else limit
        while size < end and (data := file.read(min(PIECE, end - size, BLOCK - size % BLOCK))):
            if size % BLOCK == 0:
                blocks.append(0)
            blocks[-1] = zlib.crc32(data, blocks[-1])
            size += len(data)
    return FileContent(state, size, blocks)


def _place(name: str, folder: Path) -> Path:
    return folder / f"{Path(name).name[:100]}.{hashlib.sha256(name.encode()).hexdigest()[:8]}.blocks"


def _kept(name: str, state: Identity, folder: Path | None) -> FileContent | None:
    if folder is None or state[2] < KEPT_BYTES:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with opened(_place(name, folder)) as handle, os.fdopen(os.dup(handle), "rb") as file:
            digest, text = file.read().split(b"\n", 1)
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        content = json.loads(text)
        if content["version"] == VERSION and content["identity"] == list(state):
            return FileContent(state, content["size"], array.array("I", base64.b64decode(content["blocks"])))
    return None


def _keep(name: str, record: FileContent, folder: Path | None) -> None:
    """Where that can be done; a folder that is not there is not made with its parents."""
    if folder is None or record.size < KEPT_BYTES or time.time() - record.identity[4] / 1e9 < SETTLED_SECONDS:
        return
    content = {"version": VERSION, "identity": record.identity, "size": record.size, "blocks": _text(record.blocks)}
    text = json.dumps(content).encode()
    path = _place(name, folder)
    temporary = path.with_name(f"{path.name}.part{os.getpid()}")
    with suppress(OSError):
        if folder.parent.is_dir():
            folder.mkdir(exist_ok=True)
            temporary.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            os.replace(temporary, path)


def _text(blocks: array.array[int]) -> str:
    return base64.b64encode(blocks.tobytes()).decode()
