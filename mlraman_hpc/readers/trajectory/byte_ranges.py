"""The bytes of any frames of a text trajectory, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlraman_hpc.base.errors import DataError

MOST_BETWEEN = 1 << 12  # a header between two frames is read over, a frame is not


def frame_texts(index) -> Iterator[bytes]:
    """The bytes of each frame of an index: one seek and one read for every run of frames that follow each other."""
    table = index.table
    between = table["first_byte"][1:] - table["last_byte"][:-1]
    apart = (between < 0) | (between > MOST_BETWEEN) | (np.diff(table["file"]) != 0)
    opened, file = None, None
    try:
        for run in np.split(np.arange(len(table)), np.flatnonzero(apart) + 1) if len(table) else []:
            if opened != table["file"][run[0]]:
                if file is not None:
                    file.close()
                opened, file = table["file"][run[0]], open_file(index, int(run[0]), buffering=0)
            text, start = read_run(index, run, file), table["first_byte"][run[0]]
            for first, last in zip(table["first_byte"][run] - start, table["last_byte"][run] - start):
                yield text[first:last]
    finally:
        if file is not None:
            file.close()


def open_file(index, row: int, buffering: int):
    """The file that has the frame of this row. Errors: DataError where it cannot be opened."""
    path = index.paths[index.table["file"][row]]
    try:
        return open(path, "rb", buffering=buffering)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}. Every node must see the trajectory, and the scratch "
            "folder where it is packed."
        ) from None


def read_run(index, run: np.ndarray, file) -> bytes:
    """The bytes from the first to the last frame of a run. Errors: DataError where the file has become shorter."""
    first, last = int(index.table["first_byte"][run[0]]), int(index.table["last_byte"][run[-1]])
    file.seek(first)
    parts, missing = [], last - first
    while missing and (part := file.read(missing)):  # one read gives at most 2 GB
        parts.append(part)
        missing -= len(part)
    if missing:
        raise index.location(int(run[0])).error("the file has become shorter since it was scanned; start again.")
    return parts[0] if len(parts) == 1 else b"".join(parts)
