"""The bytes of any frames of a text trajectory, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlraman_hpc.base.errors import DataError

MOST_BETWEEN = 1 << 12  # a header between two frames is read over, a frame is not


def texts(index, which: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Frame number and bytes of each frame: one seek and one read for every run of frames that follow each other."""
    between = index.first_byte[which][1:] - index.last_byte[which][:-1]
    after = (between < 0) | (between > MOST_BETWEEN) | (np.diff(index.file_of_frame[which]) != 0)
    runs = np.split(which, np.flatnonzero(after) + 1) if len(which) else []
    opened, file = None, None
    try:
        for run in runs:
            if opened != index.file_of_frame[run[0]]:
                if file is not None:
                    file.close()
                opened, file = index.file_of_frame[run[0]], open_file(index, int(run[0]), buffering=0)
            yield from _cut(index, run, _bytes(index, run, file))
    finally:
        if file is not None:
            file.close()


def open_file(index, frame: int, buffering: int):
    path = index.paths[index.file_of_frame[frame]]
    try:
        return open(path, "rb", buffering=buffering)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}. Every node must see the trajectory, and the scratch "
            "folder where it is packed."
        ) from None


def _bytes(index, run: np.ndarray, file) -> bytes:
    first, last = int(index.first_byte[run[0]]), int(index.last_byte[run[-1]])
    file.seek(first)
    parts, missing = [], last - first
    while missing and (part := file.read(missing)):  # one read gives at most 2 GB
        parts.append(part)
        missing -= len(part)
    if missing:
        raise index.location(int(run[0])).error("the file has become shorter since it was looked through; start again.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _cut(index, run: np.ndarray, text: bytes) -> Iterator[tuple[int, bytes]]:
    origin = index.first_byte[run[0]]
    for frame, first, last in zip(run, index.first_byte[run] - origin, index.last_byte[run] - origin):
        yield int(frame), text[first:last]
