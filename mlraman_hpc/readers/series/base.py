"""What reading tensors along a run is made of: series, the formats that hold them, and tables of numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from mlraman_hpc.readers.tensors.base import FileError, Request
from mlraman_hpc.readers.text import quoted
from mlraman_hpc.readers.unpacking import read_bytes


@dataclass(frozen=True)
class Series:
    """Tensors (frames, 3, 3) as in the file; where it has them, time steps and volumes in Angstrom^3 (frames,)."""

    tensors: np.ndarray
    steps: np.ndarray | None = None
    volumes: np.ndarray | None = None
    messages: list[str] = field(default_factory=list)


class SeriesFormat(Protocol):
    """A kind of file that holds tensors frame by frame. A format is an object of this kind in SERIES_FORMATS.

    name       as the deck says it in series.format
    file_name  regular expression, searched in the names of files without regard to case; None: any name
    unit       of a polarizability, where the program fixes it; None: the deck gives it
    """

    name: str
    file_name: str | None = None
    unit: str | None = None

    def recognises(self, start: bytes) -> bool:
        """Whether a file with these first bytes has this format; used for files whose name says nothing."""
        return False

    def interval(self, file: Path) -> float | None:
        """fs between two tensors where the file says it."""
        return None

    def read(self, file: Path, request: Request) -> Series:
        """The tensors of a file. Errors: DataError naming the line; DeckKeyError where the deck has to say more."""
        ...


def read_table(file: Path, order: list[str]) -> np.ndarray:
    """(lines, columns) finite numbers; '#' starts a comment. Errors: FileError naming the first bad line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about an empty file, which is an error below
            values = np.loadtxt(file, comments="#", ndmin=2)
    except (ValueError, UnicodeDecodeError):
        raise _bad_line(file, len(order)) from None
    except (OSError, EOFError) as error:
        raise FileError(file, f"{getattr(error, 'strerror', None) or error}. Check the path.") from None
    if not values.size:
        raise FileError(file, "no numbers in the file.")
    _check_last_line(file)
    needed = np.array([name != "skip" for name in order])
    if values.shape[1] != len(order) or not np.isfinite(values[:, needed]).all():
        raise _bad_line(file, len(order), needed)
    return values


def _check_last_line(file: Path) -> None:
    """A last line without its end may lack digits: its last number must have as many as the one above it."""
    text = read_bytes(file)
    if text.endswith(b"\n"):
        return
    lines = [line for line in text[-4000:].split(b"\n")[-3:] if line.strip()]
    digits = [line.split()[-1].partition(b".")[2] for line in lines[-2:]]
    if len(digits) < 2 or not digits[1] or len(digits[0]) != len(digits[1]):
        raise FileError(
            file,
            "the last line has no line end, and its last number not as many digits as one above; the file may be "
            "cut short. Complete it, or end it with a line end.",
        )


def _bad_line(file: Path, columns: int, needed: np.ndarray | slice = slice(None)) -> FileError:
    """The error for the first line that does not hold `columns` numbers, of which the `needed` ones are finite."""
    for number, line in enumerate(read_bytes(file).split(b"\n"), start=1):
        words = line.split(b"#")[0].split()
        if not words:
            continue
        if len(words) != columns:
            return FileError(file, f"{len(words)} columns, the order names {columns}: {quoted(line)}.", number)
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            return FileError(file, f"expected {columns} numbers, found {quoted(line)}.", number)
        if not np.isfinite(values[needed]).all():
            return FileError(file, f"not a finite number in {quoted(line)}.", number)
    return FileError(file, f"not a table of {columns} numbers a line.")
