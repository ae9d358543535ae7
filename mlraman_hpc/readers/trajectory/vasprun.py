"""VASP vasprun.xml: the structure of every ionic step.

Read by byte offsets: only the structures' own lines are looked at, whatever else the file holds. Structures of ionic
steps have no name; initialpos, finalpos and primitive_cell do. Also with a machine-learned force field.
"""

from __future__ import annotations

import mmap
import re

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import (
    FrameLocation,
    Piece,
    Rows,
    Warn,
    atomic_number,
    forget,
    incomplete,
    mapped,
    numbers_in,
    shown,
    unglued,
)
from mlraman_hpc.readers.trajectory.column import Column

MARK, END = b"<structure>", b"</structure>"
_RENAMED = {b"r": b"Zr", b"X": b"Xe"}  # VASP cuts these names


def scan(path: str, name: str, table: dict[str, int], warn: Warn) -> Piece:
    """Where the structures of the ionic steps lie. Errors: DataError without atoms or structures."""
    with mapped(path, name) as text:
        begin = text.find(MARK)
        if begin < 0:
            raise DataError(f"{name}: no structure of an ionic step; is it a vasprun.xml, and is the first step done?")
        head = text[:begin]
        numbers = elements(head, name)
        rows = _bounds(text, begin, name, warn)
    if not len(rows):
        raise DataError(f"{name}: no complete structure.")
    interval = _time_step(head)
    return Piece(
        *rows.columns(),
        Column.progression(len(numbers), 0, len(rows)),
        numbers,
        times=None if interval is None else Column.multiples(interval, len(rows)),
    )


def _bounds(text: mmap.mmap, begin: int, name: str, warn: Warn) -> Rows:
    """First and last byte and first line of each structure."""
    rows, line, before, since = Rows(3), 1, 0, 0
    while begin >= 0:
        since = forget(text, before, since)
        line, before = line + text[before:begin].count(b"\n"), begin
        end, following = text.find(END, begin), text.find(MARK, begin + 1)
        if end < 0 or 0 <= following < end:
            if following >= 0:
                raise FrameLocation(name, line, len(rows)).error("the structure has no end.")
            warn(incomplete(name, len(rows), line))
            break
        rows.add((begin, end, line))
        begin = following
    return rows


def read(text: bytes, place: FrameLocation, numbers: np.ndarray):
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of one structure."""
    cell = vectors(text, b"basis", 3, place)
    return vectors(text, b"positions", len(numbers), place) @ cell, numbers, cell, np.ones(3, bool)


def elements(head: bytes, name: str) -> np.ndarray:
    """Atomic numbers from the table of atoms."""
    start = head.find(b'<array name="atoms"')
    table = head[start : head.find(b"</array>", start)] if start >= 0 else b""
    labels = re.findall(rb"<rc>\s*<c>\s*(\w+)\s*</c>\s*<c>\s*\d+\s*</c>\s*</rc>", table)
    count = re.search(rb"<atoms>\s*(\d+)\s*</atoms>", head)
    if not labels or count is None or int(count[1]) != len(labels):
        raise DataError(
            f"{name}: {len(labels)} atoms in the table of atoms, <atoms> says "
            f"{count[1].decode() if count else 'nothing'}."
        )
    found = [atomic_number(_RENAMED.get(label, label).decode("ascii", "replace"), {}) for label in labels]
    if None in found:
        raise DataError(f"{name}: {shown(labels[found.index(None)])} is not a chemical element.")
    return np.array(found)


def vectors(text: bytes, label: bytes, rows: int, place: FrameLocation) -> np.ndarray:
    """(rows, 3) of the first <varray> with this name. Errors: DataError where it is missing or not complete."""
    start = text.find(b'<varray name="' + label + b'"')
    end = text.find(b"</varray>", start)
    body = text[text.find(b">", start) + 1 : end] if 0 <= start < end else b""
    values = numbers_in(unglued(re.sub(rb"</?v>", b" ", body)), 3 * rows)
    if values is None:
        raise place.error(
            f"expected {rows} vectors in '{label.decode()}', found {shown(body)}.", text[: max(start, 0)].count(b"\n")
        )
    return values.reshape(rows, 3)


def setting(head: bytes, label: bytes) -> bytes | None:
    """The value that VASP used, which stands after what the user gave."""
    found = re.findall(rb'<i [^>]*name="' + label + rb'"[^>]*>\s*([^<\s]+)\s*</i>', head)
    return found[-1] if found else None


def parameter(head: bytes, label: bytes) -> float | None:
    """A setting that is a number, or None."""
    value = numbers_in(setting(head, label) or b"", 1)
    return None if value is None else float(value[0])


def _time_step(head: bytes) -> float | None:
    """fs between structures: POTIM, where each step of the dynamics is written."""
    learned = (setting(head, b"ML_LMLFF") or b"F").strip(b".").upper()[:1] == b"T"
    if parameter(head, b"IBRION") != 0 or parameter(head, b"NBLOCK") not in (None, 1) or learned:
        return None
    return parameter(head, b"POTIM") or None
