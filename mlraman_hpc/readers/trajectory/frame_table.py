"""A table with a row for each frame of a trajectory: where the frame lies, its time step and time.

64 bytes a frame, in memory for short files; for long ones in a file that is memory-mapped, whose pages are released
after use, so that the memory of a process does not grow with the number of frames.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

FRAME = np.dtype(
    [
        ("frame", "<i8"),  # number in its file, in an index of several files in all of them
        ("file", "<i4"),  # number of the file
        ("atoms", "<i4"),
        ("first_byte", "<i8"),  # in a file that is not text: number of the frame in the file
        ("last_byte", "<i8"),  # first byte after the frame; not text: number of the next frame
        ("line", "<i8"),  # first line, counted from 1; 0 in a file without lines
        ("header", "<i8"),  # first byte of the header with the cell, for formats that keep it outside the frame
        ("step", "<i8"),  # time step as the file gives it
        ("time", "<f8"),  # fs
    ]
)
CHUNK_ROWS = 1 << 12  # rows that are collected in memory before they are written
SCAN_ROWS = 1 << 15  # rows that are checked together


class TableNotWritten(Exception):
    """The file of a table could not be written: the folder is read-only or the disk is full."""


class FrameTable:
    """Rows of FRAME that are appended one by one or in chunks: in memory, or with `path` in that file.

    Errors: TableNotWritten where the file cannot be written.
    """

    def __init__(self, path: Path | None = None):
        self._path, self._file = path, None
        self._rows: list[tuple] = []
        self._chunks: list[np.ndarray] = []
        self._count = 0
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(path, "wb")  # noqa: SIM115 (closed by finish)
            except OSError as error:
                raise TableNotWritten from error

    def __len__(self) -> int:
        return self._count + len(self._rows)

    def add(
        self,
        first_byte: int,
        last_byte: int,
        line: int,
        atoms: int,
        *,
        header: int = 0,
        step: int = 0,
        time: float = 0.0,
    ) -> None:
        """One frame; its number is that of the row."""
        self._rows.append((len(self), 0, atoms, first_byte, last_byte, line, header, step, time))
        if len(self._rows) >= CHUNK_ROWS:
            self._flush()

    def extend(self, count: int, **columns) -> None:
        """`count` frames, from an array or one number for each column; columns that are not named are zero."""
        chunk = np.zeros(count, FRAME)
        for name, values in columns.items():
            chunk[name] = values
        self.append(chunk)

    def extend_numbered(self, frames: int, atoms: int, columns: Callable[[np.ndarray], dict] = lambda rows: {}) -> None:
        """Frames 0, 1, ... of a file that is not text; columns(rows) gives further columns of some of them."""
        for start in range(0, frames, SCAN_ROWS):
            rows = np.arange(start, min(start + SCAN_ROWS, frames))
            self.extend(len(rows), first_byte=rows, last_byte=rows + 1, atoms=atoms, **columns(rows))

    def append(self, chunk: np.ndarray) -> None:
        """Rows of FRAME; their `frame` becomes the number of the row."""
        self._flush()
        chunk["frame"] = np.arange(self._count, self._count + len(chunk))
        self._write(chunk)

    def finish(self) -> np.ndarray:
        """The table, read-only; nothing can be added afterwards."""
        self._flush()
        if self._file is None or self._path is None:
            return np.concatenate([np.empty(0, FRAME), *self._chunks])
        try:
            self._file.close()
        except OSError as error:
            raise TableNotWritten from error
        return mapped_rows(self._path, self._count)

    def close(self) -> None:
        """Without further writing, where an error has ended the work."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _flush(self) -> None:
        if self._rows:
            chunk, self._rows = np.array(self._rows, dtype=FRAME), []
            self._write(chunk)

    def _write(self, chunk: np.ndarray) -> None:
        self._count += len(chunk)
        if self._file is None:
            self._chunks.append(chunk)
            return
        try:
            self._file.write(chunk.tobytes())
        except OSError as error:
            raise TableNotWritten from error


def mapped_rows(path: Path, count: int) -> np.ndarray:
    """The first `count` rows of a file, memory-mapped."""
    if not count:
        return np.empty(0, FRAME)
    return np.asarray(np.memmap(path, FRAME, "r", shape=(count,)))


def release(table: np.ndarray) -> None:
    """Pages of a memory-mapped table leave this process's memory; the system reads them again when they are needed."""
    base: object = table
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def rows_of(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(rows,) of FRAME, in memory."""
    result = np.empty(len(rows), FRAME)
    for start in range(0, len(rows), SCAN_ROWS):
        part = slice(start, start + SCAN_ROWS)
        result[part] = table[rows[part]]
        release(table)
    return result


def column_of(table: np.ndarray, name: str, rows: np.ndarray) -> np.ndarray:
    """(rows,) of one column, in memory."""
    return np.concatenate(
        [
            np.empty(0, FRAME[name]),
            *(rows_of(table, rows[start : start + SCAN_ROWS])[name] for start in range(0, len(rows), SCAN_ROWS)),
        ]
    )


def chunks(table: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First row and rows, SCAN_ROWS at a time."""
    for start in range(0, len(table), SCAN_ROWS):
        yield start, np.array(table[start : start + SCAN_ROWS])
        release(table)


def differences(table: np.ndarray, name: str) -> Iterator[tuple[int, np.ndarray]]:
    """Row k and the differences of rows k, k + 1, ... from those before them, SCAN_ROWS at a time."""
    for start in range(1, len(table), SCAN_ROWS):
        yield start, np.diff(table[name][start - 1 : start + SCAN_ROWS])
        release(table)


def concatenated(tables: list[np.ndarray], left_out: np.ndarray, path: Path | None) -> np.ndarray:
    """Rows of all tables in order but those `left_out` (numbers in all tables), counted anew.

    `file` becomes the number of the table where there are several. With `path` the rows are written to that file, which
    is memory-mapped and has no name any more.
    """
    result, start = FrameTable(path), 0
    try:
        for number, table in enumerate(tables):
            for row, chunk in chunks(table):
                inside = left_out[(left_out >= start + row) & (left_out < start + row + len(chunk))]
                part = np.delete(chunk, inside - start - row)
                if len(tables) > 1:
                    part["file"] = number
                result.append(part)
            start += len(table)
        return result.finish()
    finally:
        result.close()
        if path is not None:
            path.unlink(missing_ok=True)
