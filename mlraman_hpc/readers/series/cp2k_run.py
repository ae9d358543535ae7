"""Polarizabilities that CP2K computes along a run (LINRES/POLAR with DO_RAMAN in molecular dynamics).

PROJECT-1.polar         step, time (fs) and nine components in atomic units, which its first line names
PROJECT-raman-1.data    blocks of the tensor in atomic units and in Angstrom^3, with PRINT/POLAR_MATRIX
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.series.base import Series, SeriesFormat, read_table
from mlraman_hpc.readers.tensors.base import FileError, Request
from mlraman_hpc.readers.tensors.components import from_columns
from mlraman_hpc.readers.text import parse_numbers
from mlraman_hpc.readers.unpacking import read_bytes

POLAR_FILE = r"\.polar(\.gz)?$"
_COMPONENT = re.compile(r"\b([xyz]{2}) \[a\.u\.\]")
_BLOCK = re.compile(
    rb"POLARIZABILITY TENSOR \(atomic units\):\n *xx,yy,zz(.*)\n *xy,xz,yz(.*)\n *yx,zx,zy(.*)\n", re.IGNORECASE
)
_BLOCK_ORDER = ["xx", "yy", "zz", "xy", "xz", "yz", "yx", "zx", "zy"]


class Cp2kRun(SeriesFormat):
    name = "cp2k"
    file_name = POLAR_FILE + r"|-raman-.*\.data(\.gz)?$"
    unit = "bohr^3"

    def recognises(self, start: bytes) -> bool:
        return b"POLARIZABILITY TENSOR (atomic units)" in start or b"CP2K|" in start

    def read(self, file: Path, request: Request) -> Series:
        text = read_bytes(file)
        if b"CP2K|" in text[:20000]:
            raise FileError(file, "an output of CP2K; the tensors along a run are in PROJECT-1.polar, beside it.")
        if b"POLARIZABILITY TENSOR" in text[:1000]:
            return Series(_blocks(text, file))
        order = _order(text, file)
        values = read_table(file, order)
        steps = values[:, 0]
        if (steps != np.round(steps)).any() or np.abs(steps).max() > 2**53:
            raise FileError(file, "a time step is not a whole number; the file is damaged.")
        return Series(from_columns(values, order), steps.astype(np.int64))

    def interval(self, file: Path) -> float | None:
        """Of the column of times, where it rises evenly; it starts again where the run did."""
        text = read_bytes(file)
        if b"POLARIZABILITY TENSOR" in text[:1000] or b"CP2K|" in text[:20000]:
            return None
        strides = np.diff(read_table(file, _order(text, file))[:, 1])
        strides = strides[strides > 0]
        even = len(strides) and np.ptp(strides) <= 1e-3 * strides[0] + 0.0011  # three decimals
        return float(np.round(strides.mean(), 6)) if even else None


def _order(text: bytes, file: Path) -> list[str]:
    """Of the columns, as the first line names them."""
    components = _COMPONENT.findall(text[: text.find(b"\n")].decode("ascii", "replace"))
    if len(components) != 9:
        raise FileError(file, "the first line does not name nine components in atomic units ('xx [a.u.]').", 1)
    return ["step", "time", *components]


def _blocks(text: bytes, file: Path) -> np.ndarray:
    rows = [parse_numbers(b" ".join(block.groups()), 9) for block in _BLOCK.finditer(text)]
    bad = next((k for k, row in enumerate(rows) if row is None), None)
    if bad is not None or not rows or len(rows) != text.upper().count(b"POLARIZABILITY TENSOR (ATOMIC UNITS)"):
        raise FileError(file, f"block {len(rows) if bad is None else bad} of the tensor is damaged or cut short.")
    return from_columns(np.array(rows), _BLOCK_ORDER)
