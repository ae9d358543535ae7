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
    Configuration,
    FrameLocation,
    Warn,
    atomic_number,
    incomplete_frame,
    memory_mapped,
    parse_numbers,
    quoted,
    release_pages,
    split_touching_numbers,
)
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable

MARK, END = b"<structure>", b"</structure>"
_RENAMED = {b"r": b"Zr", b"X": b"Xe"}  # VASP cuts these names


class Vasprun(TextFormat):
    name = "vasprun"
    file_names = r"vasprun.*xml"
    needs = ("frame_interval",)

    def recognises(self, start: bytes) -> bool:
        return start.startswith(b"<?xml")

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError without atoms or structures."""
        with memory_mapped(path, name) as text:
            begin = text.find(MARK)
            if begin < 0:
                raise DataError(
                    f"{name}: no structure of an ionic step; is it a vasprun.xml, and is the first step done?"
                )
            head = text[:begin]
            numbers, interval = elements(head, name), _time_step(head)
            _find_structures(text, begin, name, len(numbers), interval or 0.0, table, warn)
        if not len(table):
            raise DataError(f"{name}: no complete structure.")
        return FileIndex(table.finish(), numbers, masses=_masses(head, len(numbers)), has_times=interval is not None)

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        return [Configuration(*read(text, location, index.numbers)) for text, location in zip(texts, index.locations())]


FORMAT = Vasprun()


def _find_structures(
    text: mmap.mmap, begin: int, name: str, atoms: int, interval: float, table: FrameTable, warn: Warn
) -> None:
    """Append all structures to `table`, `interval` fs apart."""
    line, before, since = 1, 0, 0
    while begin >= 0:
        since = release_pages(text, before, since)
        line, before = line + text[before:begin].count(b"\n"), begin
        end, following = text.find(END, begin), text.find(MARK, begin + 1)
        if end < 0 or 0 <= following < end:
            if following >= 0:
                raise FrameLocation(name, line, len(table)).error("the structure has no end.")
            warn(incomplete_frame(name, len(table), line))
            break
        table.add(begin, end, line, atoms, time=interval * len(table))
        begin = following


def _masses(head: bytes, atoms: int) -> np.ndarray | None:
    """(atoms,) u from the table of atom types (POMASS), where that is complete."""
    start = head.find(b'<array name="atomtypes"')
    table = head[start : head.find(b"</array>", start)] if start >= 0 else b""
    types = re.findall(rb"<rc>\s*<c>\s*(\d+)\s*</c>\s*<c>[^<]*</c>\s*<c>\s*([0-9.]+)\s*</c>", table)
    values = parse_numbers(b" ".join(word for row in types for word in row), 2 * len(types))
    if not types or values is None or values[0::2].sum() != atoms:
        return None
    return np.repeat(values[1::2], values[0::2].astype(int))


def read(text: bytes, location: FrameLocation, numbers: np.ndarray):
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of one structure."""
    cell = vectors(text, b"basis", 3, location)
    return vectors(text, b"positions", len(numbers), location) @ cell, numbers, cell, np.ones(3, bool)


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
    numbers = [atomic_number(_RENAMED.get(label, label).decode("ascii", "replace"), {}) for label in labels]
    if None in numbers:
        raise DataError(f"{name}: {quoted(labels[numbers.index(None)])} is not a chemical element.")
    return np.array(numbers)


def vectors(text: bytes, label: bytes, rows: int, location: FrameLocation) -> np.ndarray:
    """(rows, 3) of the first <varray> with this name. Errors: DataError where it is missing or not complete."""
    start = text.find(b'<varray name="' + label + b'"')
    end = text.find(b"</varray>", start)
    body = text[text.find(b">", start) + 1 : end] if 0 <= start < end else b""
    values = parse_numbers(split_touching_numbers(re.sub(rb"</?v>", b" ", body)), 3 * rows)
    if values is None:
        raise location.error(
            f"expected {rows} vectors in '{label.decode()}', found {quoted(body)}.", text[: max(start, 0)].count(b"\n")
        )
    return values.reshape(rows, 3)


def setting(head: bytes, label: bytes) -> bytes | None:
    """The value that VASP used, which stands after what the user gave."""
    values = re.findall(rb'<i [^>]*name="' + label + rb'"[^>]*>\s*([^<\s]+)\s*</i>', head)
    return values[-1] if values else None


def parameter(head: bytes, label: bytes) -> float | None:
    """A setting that is a number, or None."""
    value = parse_numbers(setting(head, label) or b"", 1)
    return None if value is None else float(value[0])


def _time_step(head: bytes) -> float | None:
    """fs between structures: POTIM, where each step of the dynamics is written."""
    learned = (setting(head, b"ML_LMLFF") or b"F").strip(b".").upper()[:1] == b"T"
    if parameter(head, b"IBRION") != 0 or parameter(head, b"NBLOCK") not in (None, 1) or learned:
        return None
    return parameter(head, b"POTIM") or None
