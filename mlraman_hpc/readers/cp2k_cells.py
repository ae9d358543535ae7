"""CP2K's PROJECT-1.cell, beside PROJECT-pos-1.xyz: the cell (Angstrom) at time steps.

Columns: step, time (fs), the nine components of the three vectors, volume.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.tensors.base import FileError
from mlraman_hpc.readers.text import parse_words, quoted
from mlraman_hpc.readers.unpacking import read_bytes

_POSITIONS = re.compile(r"-pos(-\d+)\.xyz(\.gz)?$", re.IGNORECASE)
_COLUMNS = 12


def cell_file(name: str) -> str | None:
    """The file of cells beside a file of positions; None where there is none."""
    if _POSITIONS.search(name) is None:
        return None
    beside = _POSITIONS.sub(r"\1.cell", name)
    return next((path for path in (beside, f"{beside}.gz") if Path(path).is_file()), None)


def read_cells(file: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) time steps, rising, and (rows, 3, 3) cells; of a step that a new start wrote again the last.

    Errors: FileError naming the line that is damaged; a last line without its end is left out.
    """
    lines = [line for line in enumerate(read_bytes(Path(file)).split(b"\n")[:-1], start=1) if line[1].strip()]
    rows = []
    for number, line in lines:
        if line.lstrip().startswith(b"#"):
            continue
        values = parse_words(line.split(), _COLUMNS)
        if values is None or values[0] != round(values[0]) or abs(values[0]) > 2**53:
            text = f"expected step, time, nine components of the cell and its volume, found {quoted(line)}."
            raise FileError(file, text, number)
        rows.append(values)
    table = np.array(rows).reshape(-1, _COLUMNS)[::-1]
    steps, first = np.unique(table[:, 0].astype(np.int64), return_index=True)
    return steps, table[first, 2:11].reshape(-1, 3, 3)
