"""A number for each frame of a trajectory, kept small: nearly all such columns are progressions, or almost.

Rows are cut into stretches of at most BLOCK. In a stretch, row k is

    first + slope k + sum_{j < k} rest_j ,

where the rests are zero and not stored if the stretch is a progression, and else take the fewest bits that hold them:
positions of frames that differ by some bytes in size take half a byte or one. Progressions that go on from one block to
the next are one stretch. Real numbers are kept as the integers that their bits are, so that all bits come back; their
sums wrap round, as integers of 64 bits do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np

BLOCK = 1 << 12  # rows of a stretch with rests: all rests before a row are summed to get at it
SPAN = 1 << 15  # rows that are looked at together
SHORTEST = 64  # rows, on average, of progressions that are worth stretches of their own


@dataclass(frozen=True, eq=False)
class Column:
    """(rows,) int64, or float64; never changed. Indexing gives integers (floats) and arrays, as with an array.

    start   (stretches + 1,) first row of each stretch, and the number of rows
    first, slope   (stretches,)
    bits    (stretches,) of a rest: 4, 8, 16, 32 or 64; 0: there are none
    begin   (stretches,) where the rests of a stretch begin in `rests`, (bytes,) uint8
    """

    start: np.ndarray
    first: np.ndarray
    slope: np.ndarray
    bits: np.ndarray
    begin: np.ndarray
    rests: np.ndarray
    real: bool = False

    @classmethod
    def progression(cls, first: int, slope: int, rows: int) -> Column:
        """first, first + slope, ..."""
        growing = Growing()
        growing.progress(first, slope, rows)
        return growing.column()

    @classmethod
    def multiples(cls, step: float, rows: int) -> Column:
        """0, step, 2 step, ... as real numbers."""
        growing = Growing(real=True)
        for row in range(0, rows, SPAN):
            growing.append(step * np.arange(row, min(row + SPAN, rows)))
        return growing.column()

    @classmethod
    def of(cls, values: Iterable, real: bool = False) -> Column:
        growing = Growing(real)
        growing.append(values if isinstance(values, np.ndarray) else list(values))
        return growing.column()

    @classmethod
    def joined(cls, columns: list[Column]) -> Column:
        """One after another."""
        if len(columns) == 1:
            return columns[0]
        growing = Growing(columns[0].real)
        for column in columns:
            growing.extend(column)
        return growing.column()

    def __len__(self) -> int:
        return int(self.start[-1])

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, field.name).nbytes for field in fields(self) if field.name != "real")

    def __getitem__(self, key):
        if isinstance(key, range):
            return self._values(self._ints_at(np.arange(key.start, key.stop, key.step)))
        if isinstance(key, slice):
            low, high, step = key.indices(len(self))
            rows = np.arange(low, high, step)
            return self._values(self._between(low, high) if step == 1 else self._ints_at(rows))
        if np.ndim(key) == 0:
            return self._values(self._ints_at(np.array([key])))[0].item()
        return self._values(self._ints_at(np.asarray(key, dtype=np.int64)))

    def __iter__(self) -> Iterator:
        for _, values in self.blocks():
            yield from values.tolist()

    def __eq__(self, other) -> bool:
        if not isinstance(other, Column):
            return NotImplemented
        return (
            len(self) == len(other)
            and self.real == other.real
            and all(np.array_equal(mine, others) for (_, mine), (_, others) in zip(self.blocks(), other.blocks()))
        )

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        values = self[:]
        return values if dtype is None else values.astype(dtype)

    def tolist(self) -> list:
        return self[:].tolist()

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and values, SPAN rows at a time."""
        for row in range(0, len(self), SPAN):
            yield row, self[row : row + SPAN]

    def strides(self) -> Iterator[tuple[int, np.ndarray]]:
        """Row k and the differences to it, to k + 1, ... from those before them, SPAN at a time."""
        for row in range(1, len(self), SPAN):
            yield row, np.diff(self[row - 1 : row + SPAN])

    def min(self):
        return min(values.min().item() for _, values in self.blocks())

    def max(self):
        return max(values.max().item() for _, values in self.blocks())

    def sum(self):
        return sum(values.sum().item() for _, values in self.blocks())

    def without(self, rows: Iterable[int]) -> Column:
        """All rows but these."""
        growing, rows = Growing(self.real), np.unique(np.asarray(rows, dtype=np.int64))
        for row, values in self.blocks():
            inside = rows[(rows >= row) & (rows < row + len(values))]
            growing.append(np.delete(values, inside - row))
        return growing.column()

    def _values(self, ints: np.ndarray) -> np.ndarray:
        return ints.view(np.float64) if self.real else ints

    def _between(self, low: int, high: int) -> np.ndarray:
        """Rows low to high - 1."""
        found = np.empty(max(high - low, 0), np.int64)
        stretch = int(np.searchsorted(self.start, low, "right")) - 1
        at = low
        while at < high:
            start, stop = int(self.start[stretch]), min(int(self.start[stretch + 1]), high)
            part = np.arange(at - start, stop - start)
            values = self.first[stretch] + self.slope[stretch] * part
            if self.bits[stretch]:
                values += self._sums(stretch, stop - start)[part]
            found[at - low : stop - low] = values
            at, stretch = stop, stretch + 1
        return found

    def _ints_at(self, rows: np.ndarray) -> np.ndarray:
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        if not len(rows):
            return np.empty(0, np.int64)
        stretch = np.searchsorted(self.start, rows, "right") - 1
        inside = rows - self.start[stretch]
        values = self.first[stretch] + self.slope[stretch] * inside
        uneven = np.flatnonzero(self.bits[stretch])
        if len(uneven):
            self._add_rests(values, stretch, inside, uneven[np.argsort(stretch[uneven], kind="stable")])
        return values

    def _add_rests(self, values: np.ndarray, stretch: np.ndarray, inside: np.ndarray, order: np.ndarray) -> None:
        """To the values at `order`, which goes through the stretches one by one."""
        for part in np.split(order, np.flatnonzero(np.diff(stretch[order])) + 1):
            at = inside[part]
            values[part] += self._sums(int(stretch[part[0]]), int(at.max()) + 1)[at]

    def _sums(self, stretch: int, rows: int) -> np.ndarray:
        """(rows,) sum of the rests before each row."""
        bits, begin = int(self.bits[stretch]), int(self.begin[stretch])
        sums = np.zeros(rows, np.int64)
        rests = _unpacked(self.rests[begin : begin + _bytes(bits, rows - 1)], bits)
        np.cumsum(rests[: rows - 1], dtype=np.int64, out=sums[1:])
        return sums


def _bytes(bits: int, rests: int) -> int:
    return -(-bits * rests // 8)


def _packed(rests: np.ndarray, bits: int) -> bytes:
    if bits > 4:
        return rests.astype(f"<i{bits // 8}").tobytes()
    pairs = np.zeros((len(rests) + 1) // 2 * 2, np.uint8)
    pairs[: len(rests)] = rests.astype(np.int8).view(np.uint8) & 15
    return (pairs[0::2] | pairs[1::2] << 4).tobytes()


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    if bits > 4:
        return packed.view(f"<i{bits // 8}")
    rests = np.empty(2 * len(packed), np.int8)
    rests[0::2] = (packed << 4).view(np.int8) >> 4  # a shift to the right copies the sign
    rests[1::2] = packed.view(np.int8) >> 4
    return rests


class Growing:
    """A column that is still being made; append some thousand rows at a time."""

    def __init__(self, real: bool = False):
        self._real, self._rows, self._rests = real, 0, bytearray()
        self._stretches: list[tuple[int, int, int, int, int]] = []  # start, first, slope, bits, begin

    def __len__(self) -> int:
        return self._rows

    def append(self, values) -> None:
        values = np.ascontiguousarray(values, np.float64 if self._real else np.int64).view(np.int64)
        for begin in range(0, len(values), BLOCK):
            self._encode(values[begin : begin + BLOCK])

    def progress(self, first: int, slope: int, rows: int) -> None:
        """Append first, first + slope, ..., as integers."""
        if not rows:
            return
        if not self._goes_on(first, slope, rows):
            self._stretches.append((self._rows, first, slope if rows > 1 else 0, 0, len(self._rests)))
        self._rows += rows

    def extend(self, column: Column) -> None:
        for k, (first, slope, bits, begin) in enumerate(
            zip(column.first.tolist(), column.slope.tolist(), column.bits.tolist(), column.begin.tolist())
        ):
            rows = int(column.start[k + 1] - column.start[k])
            if bits:
                rests = column.rests[begin : begin + _bytes(bits, rows - 1)]
                self._uneven(first, slope, bits, rows, rests.tobytes())
            else:
                self.progress(first, slope, rows)

    def column(self) -> Column:
        """What has been appended; nothing can be appended afterwards."""
        table = np.array(self._stretches, dtype=np.int64).reshape(-1, 5)
        start, first, slope, bits, begin = np.ascontiguousarray(table.T)
        return Column(
            np.append(start, self._rows),
            first,
            slope,
            bits.astype(np.int8),
            begin,
            np.frombuffer(self._rests, np.uint8),
            self._real,
        )

    def _goes_on(self, first: int, slope: int, rows: int) -> bool:
        """Whether the last stretch could be continued, and is."""
        if not self._stretches:
            return False
        start, before, stride, bits, begin = self._stretches[-1]
        if self._rows - start == 1:
            stride = first - before
        goes_on = not bits and first == before + stride * (self._rows - start) and (rows == 1 or slope == stride)
        if goes_on and abs(stride) < 1 << 63:
            self._stretches[-1] = start, before, stride, 0, begin
            return True
        return False

    def _encode(self, values: np.ndarray) -> None:
        steps = np.diff(values)
        turns = np.flatnonzero(steps[1:] != steps[:-1])
        if len(turns) > 2 * len(values) // SHORTEST:
            self._encode_uneven(values, steps)
            return
        at = 0
        while at < len(values):
            following = int(np.searchsorted(turns, at))
            end = int(turns[following]) + 2 if following < len(turns) else len(values)
            self.progress(int(values[at]), int(steps[at]) if end - at > 1 else 0, end - at)
            at = end

    def _encode_uneven(self, values: np.ndarray, steps: np.ndarray) -> None:
        low, high = int(steps.min()), int(steps.max())
        slope = (low + high) // 2
        bits = next((bits for bits in (4, 8, 16, 32) if high - slope < 1 << bits - 1), 64)
        self._uneven(int(values[0]), slope, bits, len(values), _packed(steps - np.int64(slope), bits))

    def _uneven(self, first: int, slope: int, bits: int, rows: int, rests: bytes) -> None:
        self._stretches.append((self._rows, first, slope, bits, len(self._rests)))
        self._rests += rests
        self._rows += rows
