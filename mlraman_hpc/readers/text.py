"""What the trajectory formats share: where frames lie in a file, numbers in text, and messages that name the place."""

from __future__ import annotations

import gzip
import hashlib
import mmap
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.trajectory.column import BLOCK, Column, Growing
from mlraman_hpc.records.frames import Frames

Warn = Callable[[str], None]
LOOKED_AT = 1 << 22  # bytes of a file that are kept in memory behind the place that is looked at


@dataclass(frozen=True)
class FileIndex:
    """The frames of one file.

    first_byte, last_byte, line, atoms  (frames,); of a file that is not text: number of the frame, the next, 0
    numbers    (atoms,) atomic numbers in the order in which frames give the atoms; an array
    steps      (frames,) or None
    times      (frames,) fs or None
    header     (frames,) first byte of the header that holds the cell, for formats that keep it outside the frame
    joints     frames at which the file says that a run was started again
    """

    first_byte: Column
    last_byte: Column
    line: Column
    atoms: Column
    numbers: np.ndarray
    steps: Column | None = None
    times: Column | None = None
    header: Column | None = None
    joints: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.first_byte)

    @classmethod
    def counted(cls, frames: int, numbers: np.ndarray, **given) -> FileIndex:
        """The frames of a file that is not text."""
        return cls(
            Column.progression(0, 1, frames),
            Column.progression(1, 1, frames),
            Column.progression(0, 0, frames),
            Column.progression(len(numbers), 0, frames),
            numbers,
            **given,
        )


class Rows:
    """Columns side by side that grow row by row."""

    def __init__(self, columns: int, real: bool = False):
        self._growing, self._fresh, self._kept = [Growing(real) for _ in range(columns)], [], 0
        self._kind = np.float64 if real else np.int64

    def __len__(self) -> int:
        return self._kept + len(self._fresh)

    def add(self, row: tuple) -> None:
        self._fresh.append(row)
        if len(self._fresh) == BLOCK:
            self._keep()

    def columns(self) -> list[Column]:
        self._keep()
        return [growing.column() for growing in self._growing]

    def _keep(self) -> None:
        if self._fresh:
            for growing, values in zip(self._growing, np.array(self._fresh, dtype=self._kind).T):
                growing.append(values)
        self._kept += len(self._fresh)
        self._fresh = []


@dataclass(frozen=True)
class FrameLocation:
    """A frame in a file, for messages: `line` is the frame's first line, counted from 1; 0 in a file without lines."""

    file: str
    line: int
    frame: int

    def error(self, what: str, row: int = 0) -> DataError:
        line = f", line {self.line + row}" if self.line else ""
        return DataError(f"{self.file}{line} (frame {self.frame}): {what}")


# what libraries raise on a file that is cut short, damaged or of another kind
_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    AttributeError,
    struct.error,
    zlib.error,
)


@contextmanager
def reading_errors(name: str, kind: str) -> Iterator[None]:
    """What a library raises inside becomes a DataError: the file is damaged or no `kind`."""
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{name}: cannot be read as {kind} ({reason}). It is damaged, still being written, or something else."
        ) from None


def consecutive_slices(rows: np.ndarray) -> list[slice]:
    """Slices that give these rows in this order, one for every run of consecutive rows."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


def quoted(text: bytes, width: int = 60) -> str:
    """A line of a file as it appears in a message."""
    words = text.decode("utf-8", "replace").strip()
    return f"'{words[:width]}...'" if len(words) > width else f"'{words}'"


def parse_numbers(text: bytes, count: int) -> np.ndarray | None:
    """`count` finite numbers separated by blanks, or None where the text holds anything else."""
    return parse_words(text.split(), count)


def parse_words(words: list[bytes], count: int) -> np.ndarray | None:
    """The words as `count` finite numbers, or None."""
    if len(words) != count or b"_" in b"".join(words):  # Python reads 1_0 as ten
        return None
    try:
        values = np.array(words, dtype=float) if words else np.empty(0)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def split_touching_numbers(text: bytes) -> bytes:
    """Fortran prints -0.25-0.31 where the field is too narrow; the minus sign still tells where a number begins."""
    return re.sub(rb"(?<=[0-9.])-", b" -", text)


def species_table(species: list[str] | dict | None) -> dict[str, int]:
    """What a file calls an atom -> atomic number: type 1, 2, ... for a list, any label for a mapping."""
    if species is None:
        return {}
    named = species if isinstance(species, dict) else dict(enumerate(species, start=1))
    unknown = [str(element) for element in named.values() if str(element) not in atomic_numbers]
    if unknown:
        raise DeckError(f"trajectory.species: {', '.join(unknown)} is not a chemical element; use symbols such as Ag.")
    return {str(label): atomic_numbers[str(element)] for label, element in named.items()}


def atomic_number(label: str, table: dict[str, int]) -> int | None:
    """Atomic number of an element symbol or of a label in `table`; None for anything else. X (0) is no element."""
    return table.get(label) or atomic_numbers.get(label) or None


def composition(numbers: np.ndarray) -> str:
    """Composition for messages: '16 Ag, 16 I'."""
    from ase.data import chemical_symbols

    kinds, counts = np.unique(numbers, return_counts=True)
    return ", ".join(f"{count} {chemical_symbols[kind]}" for kind, count in zip(kinds, counts))


def build_frames(parts: list[tuple], index: np.ndarray) -> Frames:
    """Frames from (positions, numbers, cell, periodic) of each."""
    positions, numbers, cells, periodic = zip(*parts) if parts else ((), (), (), ())
    return Frames(
        positions=np.concatenate([*positions, np.empty((0, 3))]),
        numbers=np.concatenate([*numbers, np.empty(0, int)]).astype(np.int64),
        first_atom=np.concatenate([[0], np.cumsum([len(part) for part in positions])]).astype(np.int64),
        cells=np.array(cells, dtype=float).reshape(-1, 3, 3),
        periodic=np.array(periodic, dtype=bool).reshape(-1, 3),
        index=index,
    )


def valid_cells(cells: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Whether the vectors along periodic directions are finite and independent."""
    # a unit vector across what is not periodic leaves the volume of what is
    finite = (np.abs(cells) < 1e6).all(axis=(1, 2))
    cells = np.where(finite[:, None, None], cells, 0)
    lengths = np.linalg.norm(cells, axis=2)
    unit = np.divide(cells, lengths[:, :, None], out=np.zeros_like(cells), where=lengths[:, :, None] > 0)
    gram = unit @ unit.transpose(0, 2, 1) + np.eye(3) * ~periodic[:, :, None]
    return finite & (np.linalg.det(gram) > 1e-9)


@contextmanager
def memory_mapped(path: Path | str, name: str) -> Iterator[mmap.mmap]:
    """The file as bytes that the system fetches as they are looked at."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise DataError(f"{name}: the file is empty.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                yield text
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}. Check the path and its permissions.") from None


def release_pages(text: mmap.mmap | bytes, at: int, since: int) -> int:
    """Lets go of the file's memory where more than LOOKED_AT bytes lie between; returns the new `since`."""
    if at - since < LOOKED_AT:
        return since
    if isinstance(text, mmap.mmap):
        text.madvise(mmap.MADV_DONTNEED)
    return at


def line_ends(text: mmap.mmap | bytes, chunk: int = 1 << 20) -> Iterator[np.ndarray]:
    """Positions of the line ends, a chunk of the file at a time."""
    since = 0
    for begin in range(0, len(text), chunk):
        since = release_pages(text, begin, since)
        yield begin + np.flatnonzero(np.frombuffer(text[begin : begin + chunk], np.uint8) == 10)


def incomplete_frame(name: str, frames: int, line: int) -> str:
    return (
        f"{name}, line {line}: the last frame is incomplete (still being written, cut short, or no last line end); "
        f"the {frames} frames before it are used."
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where it is .gz."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged archive ({error}). Copy the file again.") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}. Check the path and its permissions.") from None


def unpacked_copy(path: Path, scratch: Path, warn: Warn) -> Path:
    """The file itself, or for .gz an unpacked copy in `scratch`; a copy of the same file is used again."""
    if path.suffix != ".gz":
        return path
    try:
        state = path.stat()
        origin = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        copy = scratch / f"{path.stem}.{origin}.{state.st_size}.{state.st_mtime_ns}"
        if not copy.exists():
            copy = _decompress(path, copy, warn)
    except OSError as error:
        raise DataError(f"{path}: cannot be unpacked into {scratch} ({error.strerror or error}).") from None
    return copy


def _decompress(path: Path, copy: Path, warn: Warn) -> Path:
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f"{copy.name}.part{os.getpid()}")
    try:
        if not _inflate(path, part):
            warn(f"{path}: the archive ends early; what could be unpacked is used.")
            copy = copy.with_name(copy.name + ".cut")
        os.replace(part, copy)
    finally:
        part.unlink(missing_ok=True)
    return copy


def _inflate(path: Path, part: Path) -> bool:
    """Whether the archive was read to its end."""
    try:
        with gzip.open(path, "rb") as source, open(part, "wb") as target:
            while part_of_it := source.read1(1 << 20):  # read() would lose what precedes a cut
                target.write(part_of_it)
    except EOFError:
        return False
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}). Copy the file again.") from None
    return True
