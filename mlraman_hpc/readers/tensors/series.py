"""Polarizabilities along a trajectory, made by another program."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.readers.tensors.base import FileError, Request, npy_array
from mlraman_hpc.readers.tensors.components import (
    RELATIVE,
    check_order,
    check_unit,
    from_columns,
    polarizability_of,
    symmetric,
)
from mlraman_hpc.readers.tensors.extxyz import FILE_NAME, read_tensors
from mlraman_hpc.readers.text import parse_words, quoted
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.unpacking import read_bytes

_TIMES = {"fs": 1.0, "ps": 1e3}
GPUMD_ORDER = ["step", "xx", "yy", "zz", "xy", "yz", "zx"]


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
    """

    name: str
    file_name: str | None = None

    def interval(self, file: Path) -> float | None:
        """fs between two tensors where the file says it."""
        return None

    def read(self, file: Path, request: Request) -> Series:
        """The tensors of a file. Errors: DataError naming the line; DeckKeyError where the deck has to say more."""
        ...


def read_series(
    file: Path,
    format: str,
    order: list[str] | None,
    quantity: str,
    unit: str | None,
    volume: float | None,
    tensor_key: str | None = None,
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """alpha (frames, 3, 3) Angstrom^3, symmetric; (frames,) time steps where the file has them; messages to the user.

    `order` names the columns of a table (never guessed); `volume` (Angstrom^3) turns dielectric tensors into
    polarizabilities, alpha = V (epsilon - 1)/(4 pi); without it V is that of the file, else 1, in arbitrary units.
    Errors: DataError naming the line of what is no number; DeckKeyError where order or unit are missing.
    """
    file = Path(file)
    factor = check_unit(quantity, unit, "series")
    series = _format_of(file, format).read(file, Request("series", quantity, unit, tensor_key, order))
    messages = list(series.messages)
    if series.steps is not None:
        messages += _uneven_steps(file, series.steps)
    tensors = symmetric(series.tensors, lambda row: f"{file}, tensor {row + 1}", messages.append)
    volumes = series.volumes if volume is None else volume
    if quantity in RELATIVE and volumes is None:
        volumes = 1.0
        messages.append(f"{file}: no volume of the cell (series.volume); intensities are in arbitrary units.")
    return polarizability_of(tensors, quantity, factor, volumes), series.steps, tuple(messages)


def stated_interval(file: Path, format: str) -> float | None:
    """fs between two tensors where the file says it. Errors: FileError for a time that is none."""
    return _format_of(Path(file), format).interval(Path(file))


def _uneven_steps(file: Path, steps: np.ndarray) -> list[str]:
    strides = np.diff(steps)
    return [
        f"{file}: step {steps[k + 1]} follows {steps[k]}, where tensors so far are {strides[0]} steps apart; "
        "spectra need even spacing."
        for k in np.flatnonzero(strides != strides[:1])[:1]
    ]


class NumpyArray(SeriesFormat):
    """A .npy file of shape (frames, 3, 3), or (frames, columns) with the order of these."""

    name = "npy"
    file_name = r"\.npy$"

    def read(self, file: Path, request: Request) -> Series:
        values = npy_array(file)
        if values.dtype.kind not in "fiu":
            raise FileError(file, f"holds {values.dtype}; real numbers are needed.")
        if values.ndim == 3 and values.shape[1:] == (3, 3) and len(values):
            return Series(values.astype(float))
        if values.ndim != 2 or not len(values):
            needed = "(frames, 3, 3), or (frames, columns) and series.order."
            raise FileError(file, f"shape {values.shape}; needed: {needed}")
        order = check_order(request.order, "series.order")
        if values.shape[1] != len(order):
            raise FileError(file, f"{values.shape[1]} columns where series.order names {len(order)}.")
        return Series(from_columns(values.astype(float), order))


class ExtendedXYZSeries(SeriesFormat):
    """A key in the comment line of each frame; volumes where all frames have a cell."""

    name = "extxyz"
    file_name = FILE_NAME

    def read(self, file: Path, request: Request) -> Series:
        messages: list[str] = []
        frames = read_tensors(file, request, messages.append)
        steps = extxyz.series(frames.comments, "step", np.int64)
        cells, periodic = zip(*map(extxyz.cell, frames.comments, frames.locations))
        volumes = np.abs(np.linalg.det(np.array(cells))) if np.all(periodic) else None
        return Series(frames.tensors, steps, volumes, messages)

    def interval(self, file: Path) -> float | None:
        """Of the key 'time_fs', where it rises evenly."""
        _, comments = extxyz.frame_bounds(read_bytes(file), str(file), lambda text: None)
        times = extxyz.series(comments, "time_fs", float)
        strides = np.empty(0) if times is None else np.diff(times)
        even = len(strides) and strides[0] > 0 and np.ptp(strides) <= 1e-3 * strides[0]
        return float(strides.mean()) if even else None


class Table(SeriesFormat):
    """Six or nine columns of components, and others, in the order that the deck names."""

    name = "table"

    def read(self, file: Path, request: Request) -> Series:
        order = check_order(request.order, "series.order")
        values = read_table(file, order)
        steps = np.round(values[:, order.index("step")]).astype(np.int64) if "step" in order else None
        return Series(from_columns(values, order), steps)


class Gpumd(Table):
    """GPUMD's polarizability.out, a table whose order is known."""

    name = "gpumd"
    file_name = r"^polarizability.*\.out(\.gz)?$"

    def read(self, file: Path, request: Request) -> Series:
        return super().read(file, replace(request, order=GPUMD_ORDER))

    def interval(self, file: Path) -> float | None:
        """Of the line '# dt_output 8.0 fs' in the head of the file. Errors: FileError for another unit."""
        for number, line in enumerate(read_bytes(file)[:4000].split(b"\n"), start=1):
            words = line.split()
            if words[:2] == [b"#", b"dt_output"]:
                value = parse_words(words[2:3], 1)
                factor = _TIMES.get(words[3].decode("ascii", "replace") if len(words) > 3 else "fs")
                if value is None or factor is None or value[0] <= 0:
                    raise FileError(file, f"expected a time in fs or ps, found {quoted(line)}.", number)
                return float(value[0]) * factor
            if not line.startswith(b"#"):
                break
        return None


# one line for each format, in the order in which they are tried
SERIES_FORMATS: list[SeriesFormat] = [NumpyArray(), ExtendedXYZSeries(), Gpumd(), Table()]


def _format_of(file: Path, name: str) -> SeriesFormat:
    """The format with this name; for 'auto' by the file's name, else a table."""
    for format in SERIES_FORMATS:
        pattern = format.file_name
        if format.name == name or (name == "auto" and re.search(pattern or "", file.name, re.IGNORECASE)):
            return format
    names = ", ".join(format.name for format in SERIES_FORMATS)
    raise DeckKeyError("series.format", f"'{name}' is not one of auto, {names}.")


# tables


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
