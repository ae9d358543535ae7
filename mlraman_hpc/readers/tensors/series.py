"""Polarizabilities along a trajectory, made by another program."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.tensors.components import (
    RELATIVE,
    check_order,
    check_unit,
    from_columns,
    polarizability_of,
    symmetric,
)
from mlraman_hpc.readers.tensors.tensor_keys import choose_key, tensor_in
from mlraman_hpc.readers.text import FrameLocation, quoted, read_bytes
from mlraman_hpc.readers.trajectory import extxyz

GPUMD = ["step", "xx", "yy", "zz", "xy", "yz", "zx"]
_NAMES = {"npy": r"\.npy$", "extxyz": r"\.(ext)?xyz(\.gz)?$", "gpumd": r"^polarizability.*\.out(\.gz)?$"}


def read_series(
    file: Path,
    format: str,
    order: list[str] | None,
    quantity: str,
    unit: str | None,
    volume: float | None,
    tensor_key: str | None = None,
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """(frames, 3, 3) Angstrom^3, symmetric; (frames,) time steps where the file has them; messages to the user.

    `order` names the columns of a table (never guessed); `volume` (Angstrom^3) turns dielectric tensors into
    polarizabilities, alpha = V (epsilon - 1)/(4 pi); without it V = 1, in arbitrary units.
    Errors: DataError naming the line of what is no number; DeckError where order or unit are missing.
    """
    file = Path(file)
    format = _format_of(file) if format == "auto" else format
    factor = check_unit(quantity, unit, "series")
    messages: list[str] = []
    volumes, steps = None, None
    if format == "extxyz":
        tensors, steps, volumes = _from_extxyz(file, quantity, tensor_key, messages)
    elif format == "npy":
        tensors = _from_npy(file, order)
    elif format in ("table", "gpumd"):
        tensors, steps = _from_table(file, GPUMD if format == "gpumd" else check_order(order, "series.order"), messages)
    else:
        raise DeckError(f"series.format: '{format}' is not one of auto, table, npy, extxyz, gpumd.")
    sources = _Rows(str(file))
    tensors = symmetric(tensors, sources, messages.append)
    if quantity in RELATIVE:
        volumes = volume if volume is not None else volumes
        if volumes is None:
            volumes = 1.0
            messages.append(f"{file}: no volume of the cell (series.volume); intensities are in arbitrary units.")
    return polarizability_of(tensors, quantity, factor, volumes), steps, tuple(messages)


class _Rows:
    """Names of rows for messages, made when asked for."""

    def __init__(self, name: str):
        self.name = name

    def __getitem__(self, row) -> str:
        return f"{self.name}, tensor {int(row) + 1}"


def _format_of(file: Path) -> str:
    return next((format for format, pattern in _NAMES.items() if re.search(pattern, file.name, re.IGNORECASE)), "table")


# tables


def read_table(file: Path, order: list[str]) -> np.ndarray:
    """(lines, columns) finite numbers; '#' starts a comment. Errors: DataError naming the first bad line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about an empty file, which is an error below
            values = np.loadtxt(file, comments="#", ndmin=2)
    except (ValueError, UnicodeDecodeError):
        raise _bad_line(file, len(order)) from None
    except (OSError, EOFError) as error:
        raise DataError(f"{file}: {getattr(error, 'strerror', None) or error}. Check the path.") from None
    if not values.size:
        raise DataError(f"{file}: no numbers in the file.")
    _check_last_line(file)
    wanted = np.array([name != "skip" for name in order])
    if values.shape[1] != len(order) or not np.isfinite(values[:, wanted]).all():
        raise _bad_line(file, len(order), wanted)
    return values


def _check_last_line(file: Path) -> None:
    """A last line without its end may lack digits: its last number must have as many as the one above it."""
    text = read_bytes(file)
    lines = [line for line in text[-4000:].split(b"\n")[-3:] if line.strip()]
    if len(lines) < 2 or text.endswith(b"\n"):
        return
    above, last = (line.split()[-1].partition(b".") for line in lines[-2:])
    if not last[2] or len(last[2]) != len(above[2]):
        raise DataError(
            f"{file}: the last line has no line end, and its last number not as many digits as the one "
            "above; the file may be cut short. Complete it, or end it with a line end."
        )


def _bad_line(file: Path, columns: int, wanted: np.ndarray | None = None) -> DataError:
    """The error for the first line that does not hold `columns` finite numbers."""
    for number, line in enumerate(read_bytes(file).split(b"\n"), start=1):
        words = line.split(b"#")[0].split()
        if not words:
            continue
        if len(words) != columns:
            return DataError(f"{file}, line {number}: {len(words)} columns, the order names {columns}: {quoted(line)}.")
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            return DataError(f"{file}, line {number}: expected {columns} numbers, found {quoted(line)}.")
        if wanted is not None and not np.isfinite(values[wanted]).all():
            return DataError(f"{file}, line {number}: not a finite number in {quoted(line)}.")
    return DataError(f"{file}: not a table of {columns} numbers a line.")


def _from_table(file: Path, order: list[str], messages: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    values = read_table(file, order)
    steps = None
    if "step" in order:
        steps = np.round(values[:, order.index("step")]).astype(np.int64)
        messages += _uneven(file, steps)
    return from_columns(values, order), steps


def _uneven(file: Path, steps: np.ndarray) -> list[str]:
    strides = np.diff(steps)
    odd = np.flatnonzero(strides != strides[0]) if len(strides) else []
    if not len(odd):
        return []
    k = int(odd[0])
    return [
        f"{file}: step {steps[k + 1]} follows {steps[k]}, where tensors so far are {strides[0]} steps apart; "
        "spectra need even spacing."
    ]


# other formats


def _from_npy(file: Path, order: list[str] | None) -> np.ndarray:
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: cannot be read as .npy ({error}).") from None
    if values.dtype.kind not in "fiu":
        raise DataError(f"{file}: holds {values.dtype}; real numbers are needed.")
    if values.ndim == 3 and values.shape[1:] == (3, 3) and len(values):
        return values.astype(float)
    if values.ndim != 2 or not len(values):
        raise DataError(f"{file}: shape {values.shape}; needed: (frames, 3, 3), or (frames, columns) and series.order.")
    order = check_order(order, "series.order")
    if values.shape[1] != len(order):
        raise DataError(f"{file}: {values.shape[1]} columns where series.order names {len(order)}.")
    return from_columns(values.astype(float), order)


def _from_extxyz(file: Path, quantity: str, tensor_key: str | None, messages: list[str]):
    """Tensors, time steps and volumes (None where a frame has no cell) of an extended XYZ file."""
    content = read_bytes(file)
    bounds, comments = extxyz.frame_bounds(content, str(file), messages.append)
    if not len(bounds):
        raise DataError(f"{file}: no complete frame; the last line must be whole, with its line end.")
    places = [FrameLocation(str(file), int(line), k) for k, line in enumerate(bounds[:, 2])]
    heads = [b"\n" + comment for comment in comments]
    key, _ = choose_key(heads[0], places[0], quantity, tensor_key, "series")
    tensors = np.array([tensor_in(head, key, place) for head, place in zip(heads, places)])
    steps = extxyz.series(comments, "step", np.int64)
    if steps is not None:
        messages += _uneven(file, steps)
    cells, periodic = zip(*(extxyz.cell(comment, place) for comment, place in zip(comments, places)))
    whole_cells = np.all(periodic)
    return tensors, steps, np.abs(np.linalg.det(np.array(cells))) if whole_cells else None
