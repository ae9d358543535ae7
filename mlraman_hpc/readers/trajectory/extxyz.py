"""Extended and plain XYZ: atoms line by line, cell and columns in the comment line of each frame."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator

import numpy as np

from mlraman_hpc.readers.text import (
    FileIndex,
    FrameLocation,
    Warn,
    atomic_number,
    incomplete_frame,
    line_ends,
    memory_mapped,
    parse_numbers,
    parse_words,
    quoted,
)
from mlraman_hpc.readers.trajectory import plain_xyz
from mlraman_hpc.readers.trajectory.column import BLOCK, Column, Growing

SPECIES = ("species", "element", "elements", "symbols")
NUMBERS = ("z", "numbers", "atomic_numbers", "atomic_number")
POSITIONS = ("pos", "positions", "position")
VELOCITIES = ("vel", "velocities", "velocity", "velo")
_VALUE = rb"""\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|(\[\s*\[.*?\]\s*\]|\[[^\]]*\])|(\S+))"""


def value(comment: bytes, key: str) -> bytes | None:
    """The text of `key=...` in a comment line, without its quotes."""
    found = re.search(rb"(?:^|\s)" + re.escape(key.encode()) + _VALUE, comment, re.IGNORECASE)
    if found is None:
        return None
    return next(group for group in found.groups() if group is not None).strip()


def keys(comment: bytes) -> list[str]:
    """Names of all `key=...` in a comment line, in order."""
    found = re.finditer(rb"(?:^|\s)([^\s=\"'{}\[\]]+)" + _VALUE, comment)
    return [match[1].decode("utf-8", "replace") for match in found]


def scan(path: str, name: str, table: dict[str, int], warn: Warn) -> FileIndex:
    """Where the frames of an extended XYZ file lie. Errors: DataError where an atom count is expected and missing."""
    columns, clock = [Growing() for _ in range(4)], _Clock()
    with memory_mapped(path, name) as text:
        for rows, comments in _bounds(text, name, warn):
            for column, values in zip(columns, rows.T):
                column.append(values)
            clock.read(comments)
        first, last, line, atoms = (column.column() for column in columns)
        if not len(first):
            raise FrameLocation(name, 1, 0).error("no complete frame; the last line must be whole, with its line end.")
        numbers = read(text[first[0] : last[0]], FrameLocation(name, 1, 0), table)[1]
    steps, times = clock.steps_and_times(name, warn)
    return FileIndex(first, last, line, atoms, numbers, steps=steps, times=times)


def frame_bounds(text: mmap.mmap | bytes, name: str, warn: Warn) -> tuple[np.ndarray, list[bytes]]:
    """(frames, 4) first and last byte, first line, atoms; and the comment lines."""
    parts = list(_bounds(text, name, warn))
    rows = np.concatenate([np.empty((0, 4), np.int64), *(part for part, _ in parts)])
    return rows, [comment for _, comments in parts for comment in comments]


def _bounds(text: mmap.mmap | bytes, name: str, warn: Warn) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """What `frame_bounds` gives, for BLOCK frames at a time."""
    rows, comments = [], []
    for row, comment in _frames(text, name, warn):
        rows.append(row)
        comments.append(comment)
        if len(rows) == BLOCK:
            yield np.array(rows, dtype=np.int64), comments
            rows, comments = [], []
    if rows:
        yield np.array(rows, dtype=np.int64), comments


def _frames(text: mmap.mmap | bytes, name: str, warn: Warn) -> Iterator[tuple[tuple[int, int, int, int], bytes]]:
    """First and last byte, first line and atoms of each frame; its comment line."""
    supply, ends, at = line_ends(text), np.empty(0, np.int64), 0
    frame, begin, line = 0, 0, 1
    while begin < len(text):
        atoms = _atom_count(text, begin, FrameLocation(name, line, frame))
        if atoms is None:
            break
        if len(ends) - at < atoms + 2:
            ends, at = _more(ends[at:], supply, atoms + 2), 0
        if len(ends) < atoms + 2:
            warn(incomplete_frame(name, frame, line))
            break
        end = int(ends[at + atoms + 1]) + 1
        yield (begin, min(end, len(text)), line, atoms), text[ends[at] + 1 : ends[at + 1]]
        frame, begin, line, at = frame + 1, end, line + atoms + 2, at + atoms + 2


def _more(ends: np.ndarray, supply: Iterator[np.ndarray], needed: int) -> np.ndarray:
    """So many line ends, or all that are left: a last line without its end may lack digits."""
    parts, there = [ends], len(ends)
    while there < needed and (more := next(supply, None)) is not None:
        parts.append(more)
        there += len(more)
    return np.concatenate(parts)


def _atom_count(text: mmap.mmap | bytes, begin: int, place: FrameLocation) -> int | None:
    """The number on the first line of a frame; None at the end of the file."""
    end = text.find(b"\n", begin)
    line = text[begin : end if end >= 0 else len(text)]
    if line.strip().isdigit() and int(line) > 0:
        return int(line)
    if not line.strip() and not text[begin:].strip():
        return None
    raise place.error(
        f"expected a number of atoms, found {quoted(line)}. The frame before has too many or too few lines."
    )


def series(comments: list[bytes], key: str, kind) -> np.ndarray | None:
    """The value of `key` in every frame, or None where a frame lacks it."""
    texts = []
    for comment in comments:
        text = value(comment, key)
        if text is None:
            return None
        texts.append(text)
    values = parse_words(texts, len(texts))
    return None if values is None else values.astype(kind)


class _Clock:
    """Time steps and times in comment lines, of each kind that no frame so far has lacked."""

    def __init__(self):
        self._kinds: dict[str, tuple[Callable, Growing]] = {
            "cp2k": (plain_xyz.cp2k_steps, Growing()),
            "cp2k time": (plain_xyz.cp2k_times, Growing(real=True)),
            "i-pi": (plain_xyz.ipi_steps, Growing()),
            "step": (lambda comments: series(comments, "step", np.int64), Growing()),
            "time_fs": (lambda comments: series(comments, "time_fs", float), Growing(real=True)),
            "time": (lambda comments: series(comments, "time", float), Growing(real=True)),
        }

    def read(self, comments: list[bytes]) -> None:
        for kind, (find, growing) in list(self._kinds.items()):
            values = find(comments)
            if values is None:
                del self._kinds[kind]
            else:
                growing.append(values)

    def steps_and_times(self, name: str, warn: Warn) -> tuple[Column | None, Column | None]:
        found = {kind: growing.column() for kind, (_, growing) in self._kinds.items()}
        if "cp2k" in found:
            return found["cp2k"], found.get("cp2k time")
        if "i-pi" in found:
            return found["i-pi"], None
        if "time" in found and "time_fs" not in found:
            warn(f"{name}: 'time' in the comment lines is read as fs; trajectory.frame_interval overrules it.")
        return found.get("step"), found.get("time_fs", found.get("time"))


def columns(comment: bytes, row: bytes, place: FrameLocation) -> tuple[dict[str, tuple[int, int]], int]:
    """Where each property's columns begin and how many they are, and the number of columns in all."""
    declared = value(comment, "properties")
    if declared is None:  # plain XYZ
        return {"species": (0, 1), "pos": (1, 3)}, max(len(row.split()), 4)
    fields = declared.decode("ascii", "replace").split(":")
    if len(fields) % 3 or not all(width.isdigit() for width in fields[2::3]):
        raise place.error(f"Properties={declared.decode('ascii', 'replace')} is not a list of name:type:columns.", 1)
    found, begin = {}, 0
    for label, width in zip(fields[0::3], fields[2::3]):
        found[label.lower()] = (begin, int(width))
        begin += int(width)
    return found, begin


def read(text: bytes, place: FrameLocation, table: dict[str, int]):
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of one frame."""
    words, layout, width, comment = _words(text, place)
    begin = _column(layout, POSITIONS, 3)
    if begin is None:
        raise place.error("Properties names no 'pos:R:3'.", 1)
    positions = _numeric(words, begin, width, place)
    box, factor = plain_xyz.cell_and_unit(comment, place)
    box, periodic = cell(comment, place) if box is None else (box, np.ones(3, bool))
    return positions * factor, _numbers(words, layout, width, table, place), box, periodic


def velocities(text: bytes, place: FrameLocation) -> np.ndarray | None:
    """(atoms, 3) as in the file, or None where the frame has none."""
    words, layout, width, _ = _words(text, place)
    begin = _column(layout, VELOCITIES, 3)
    return None if begin is None else _numeric(words, begin, width, place)


def vectors(text: bytes, place: FrameLocation, name: str) -> np.ndarray | None:
    """(atoms, 3) of the array of this name, or None where the frame has none."""
    words, layout, width, _ = _words(text, place)
    begin = _column(layout, (name.lower(),), 3)
    return None if begin is None else _numeric(words, begin, width, place)


def _words(text: bytes, place: FrameLocation):
    """The frame's words, layout of columns, number of columns and comment line."""
    head, comment, rows = text.split(b"\n", 2)
    layout, width = columns(comment, rows[: rows.find(b"\n")], place)
    words = rows.split()
    if len(words) != int(head) * width:
        for k, row in enumerate(rows.splitlines()):
            if len(row.split()) != width:
                raise place.error(f"expected {width} columns, found {quoted(row)}.", k + 2)
    return words, layout, width, comment


def _column(layout: dict, labels: tuple[str, ...], width: int) -> int | None:
    return next((layout[label][0] for label in labels if label in layout and layout[label][1] == width), None)


def _numeric(words: list[bytes], begin: int, width: int, place: FrameLocation) -> np.ndarray:
    """Three columns as numbers."""
    parts = [parse_words(words[begin + k :: width], len(words) // width) for k in range(3)]
    for k, part in enumerate(parts):
        if part is None:
            column = words[begin + k :: width]
            row = next(row for row, word in enumerate(column) if parse_words([word], 1) is None)
            raise place.error(f"expected a number in column {begin + k + 1}, found {quoted(column[row])}.", row + 2)
    return np.stack(parts, axis=1)


def _numbers(words: list[bytes], layout: dict, width: int, table: dict[str, int], place: FrameLocation) -> np.ndarray:
    """Atomic numbers from the column of elements, or from the one of atomic numbers."""
    begin = _column(layout, SPECIES, 1)
    if begin is None:
        return _listed(words, _column(layout, NUMBERS, 1), width, place)
    labels = words[begin::width]
    known = {label: atomic_number(label.decode("ascii", "replace"), table) for label in set(labels)}
    if None in known.values():
        row = next(row for row, label in enumerate(labels) if known[label] is None)
        raise place.error(f"{quoted(labels[row])} is not a chemical element.", row + 2)
    return np.array([known[label] for label in labels])


def _listed(words: list[bytes], begin: int | None, width: int, place: FrameLocation) -> np.ndarray:
    if begin is None:
        raise place.error("Properties names neither 'species:S:1' nor 'Z:I:1'.", 1)
    values = parse_words(words[begin::width], len(words) // width)
    if values is None or not (np.isin(values, np.arange(1, 119))).all():
        raise place.error(f"column {begin + 1} holds something else than atomic numbers.", 2)
    return values.astype(int)


def cell(comment: bytes, place: FrameLocation) -> tuple[np.ndarray, np.ndarray]:
    """Cell with zero rows along directions that are not periodic, and which are."""
    lattice, flags = value(comment, "lattice"), value(comment, "pbc")
    periodic = np.full(3, lattice is not None) if flags is None else _flags(flags, place)
    if lattice is None:
        if periodic.any():
            raise place.error("pbc says that the frame is periodic, but it has no Lattice.", 1)
        return np.zeros((3, 3)), periodic
    values = parse_numbers(re.sub(rb"[\[\],]", b" ", lattice), 9)
    if values is None:
        raise place.error(f"Lattice needs nine numbers, found {quoted(lattice)}.", 1)
    return values.reshape(3, 3) * periodic[:, None], periodic


def _flags(flags: bytes, place: FrameLocation) -> np.ndarray:
    words = re.sub(rb"[\[\],]", b" ", flags).lower().split()
    words = words * 3 if len(words) == 1 else words
    if len(words) != 3 or not set(words) <= {b"t", b"f", b"true", b"false", b"1", b"0"}:
        raise place.error(f"pbc needs three of T and F, found {quoted(flags)}.", 1)
    return np.array([word in (b"t", b"true", b"1") for word in words])
