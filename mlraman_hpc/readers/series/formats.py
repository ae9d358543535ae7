"""Polarizabilities along a trajectory, made by another program."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.readers.series.base import Series, SeriesFormat, read_table
from mlraman_hpc.readers.series.cp2k_run import Cp2kRun
from mlraman_hpc.readers.series.ipi_extras import IpiExtras
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

MAGIC_BYTES = 20000
_TIMES = {"fs": 1.0, "ps": 1e3}
GPUMD_ORDER = ["step", "xx", "yy", "zz", "xy", "yz", "zx"]


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
    factor, series = read_any(file, format, Request("series", quantity, unit, tensor_key, order))
    messages = list(series.messages)
    if series.steps is not None:
        series, superseded = _without_superseded(file, series)
        messages += superseded
        messages += _uneven_steps(file, series.steps)
    tensors = symmetric(series.tensors, lambda row: f"{file}, tensor {row + 1}", messages.append)
    volumes = series.volumes if volume is None else volume
    if quantity in RELATIVE and volumes is None:
        volumes = 1.0
        messages.append(f"{file}: no volume of the cell (series.volume); intensities are in arbitrary units.")
    return polarizability_of(tensors, quantity, factor, volumes), series.steps, tuple(messages)


def read_any(file: Path, format: str, request: Request) -> tuple[float, Series]:
    """Angstrom^3 per unit of its tensors, and the series as it is in the file."""
    chosen, quantity, unit = format_of(file, format), request.quantity, request.unit
    if chosen.unit is not None and quantity == "polarizability":
        if unit not in (None, chosen.unit):
            raise DeckKeyError(f"{request.section}.unit", f"{chosen.name} files are in {chosen.unit}; remove '{unit}'.")
        unit = chosen.unit
    return check_unit(quantity or "", unit, request.section), chosen.read(file, request)


def stated_interval(file: Path, format: str) -> float | None:
    """fs between two tensors where the file says it. Errors: FileError for a time that is none."""
    return format_of(Path(file), format).interval(Path(file))


def _without_superseded(file: Path, series: Series) -> tuple[Series, list[str]]:
    """Without the tensors that a run wrote again after it was started from a state before its last one."""
    steps = series.steps if series.steps is not None else np.empty(0, np.int64)
    left_out = np.zeros(len(steps), dtype=bool)
    for fall in np.flatnonzero(np.diff(steps) < 0) + 1:
        kept = np.flatnonzero(~left_out[:fall])
        same = int(np.searchsorted(steps[kept], steps[fall]))
        if 0 < same < len(kept) and steps[kept[same]] == steps[fall]:
            left_out[kept[same:]] = True
    if not left_out.any():
        return series, []
    keep = ~left_out
    volumes = None if series.volumes is None else series.volumes[keep]
    text = (
        f"{file}: the run was started again from states before its last one; {left_out.sum()} tensors of time steps "
        "that it wrote again are left out"
    )
    return replace(series, tensors=series.tensors[keep], steps=steps[keep], volumes=volumes), [text]


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
SERIES_FORMATS: list[SeriesFormat] = [NumpyArray(), ExtendedXYZSeries(), Gpumd(), Cp2kRun(), IpiExtras(), Table()]


def format_of(file: Path, name: str) -> SeriesFormat:
    """The format with this name; for 'auto' by the file's name, or by how it begins, else a table."""
    named = {format.name: format for format in SERIES_FORMATS}
    if name in named:
        return named[name]
    if name == "auto":
        for format in SERIES_FORMATS:
            if format.file_name and re.search(format.file_name, file.name, re.IGNORECASE):
                return format
        start = read_bytes(file)[:MAGIC_BYTES]
        return next((format for format in SERIES_FORMATS if format.recognises(start)), named["table"])
    names = ", ".join(format.name for format in SERIES_FORMATS)
    raise DeckKeyError("series.format", f"'{name}' is not one of auto, {names}.")
