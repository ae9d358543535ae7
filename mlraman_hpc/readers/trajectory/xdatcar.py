"""VASP XDATCAR: one header, or one for every frame when the cell changes, and fractional coordinates."""

from __future__ import annotations

import mmap
import re
from array import array
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.text import (
    RESIDENT_BYTES,
    Configuration,
    FrameLocation,
    Warn,
    atomic_number,
    incomplete_frame,
    isotope_masses,
    memory_mapped,
    parse_numbers,
    parse_words,
    quoted,
    release_pages,
    split_touching_numbers,
    warn_of_labels,
)
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.byte_ranges import open_file
from mlraman_hpc.readers.trajectory.fixed_width import three_numbers
from mlraman_hpc.readers.trajectory.frame_table import CHUNK_ROWS, FrameTable, chunks

MARK = b"Direct configuration"
LEAST_LINE = 6  # bytes of the line of an atom
BLANK = ord(" ")
NO_STEP = -1


class Xdatcar(TextFormat):
    name = "xdatcar"
    file_names = r"xdatcar"
    needs = ("species", "frame_interval")

    def recognises(self, start: bytes) -> bool:
        return any(line.startswith(MARK) for line in start.split(b"\n"))

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError for headers, and for frames with too few lines."""
        with memory_mapped(path, name) as text:
            begin = _next_mark(text, 0)
            if begin < 0:
                raise FrameLocation(name, 1, 0).error(
                    "no line 'Direct configuration='; is it an XDATCAR of VASP 5 or 6?"
                )
            header = read_header(text[:begin], FrameLocation(name, 1, 0), atom_types, len(text))
            if text[:begin].split(b"\n", header.lines)[-1].strip():
                raise FrameLocation(name, header.lines + 1, 0).error(
                    "expected 'Direct configuration=' after the header."
                )
            header = replace(header, lines=text[:begin].count(b"\n"))  # empty ones too, as some converters write
            restarts: tuple[int, ...] = ()
            if not _find_equal_frames(text, begin, header, name, table, warn):
                restarts = _find_frames(text, begin, header, name, atom_types, table, warn)
        rows = table.finish()
        warn_of_labels(name, [label for label in header.labels if not label.isdigit()], atom_types, warn)
        return FileIndex(
            rows,
            header.numbers,
            masses=isotope_masses(np.repeat(header.labels, header.counts).tolist(), header.numbers),
            has_steps=_are_steps(rows),
            restarts=restarts,
        )

    def time_step_beside(self, path: str) -> tuple[float, str] | None:
        """POTIM of an INCAR in the file's folder."""
        return _of_incar(Path(path).with_name("INCAR"))

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        cells = read_cells(index)
        return parse_alike(texts, index.numbers, cells) or [
            parse_frame(text, location, index.numbers, cell)
            for text, location, cell in zip(texts, index.locations(), cells)
        ]


FORMAT = Xdatcar()


def _of_incar(path: Path) -> tuple[float, str] | None:
    """(POTIM, file), of molecular dynamics; None without such a file."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    tags = {
        name.strip().upper(): value.split()[0]
        for line in re.split(r"[\n;]", re.sub(r"[#!].*", "", text))
        for name, _, value in [line.partition("=")]
        if value.split()
    }
    potim = parse_numbers(tags.get("POTIM", "").encode(), 1)
    is_dynamics = tags.get("IBRION") == "0" and potim is not None and potim[0] > 0
    return (float(potim[0]), str(path)) if is_dynamics and potim is not None else None


@dataclass(frozen=True)
class Header:
    """cell (3, 3) Angstrom, numbers (atoms,), number of lines of the header, and labels with counts of their atoms."""

    cell: np.ndarray
    numbers: np.ndarray
    lines: int
    labels: list[str]
    counts: np.ndarray


def parse_frame(text: bytes, location: FrameLocation, numbers: np.ndarray, cell: np.ndarray) -> Configuration:
    """A frame from its bytes, which start at its 'Direct' line."""
    rows = text[text.find(b"\n") + 1 :]
    values = parse_numbers(rows, 3 * len(numbers))
    if values is None:
        values = parse_numbers(split_touching_numbers(rows), 3 * len(numbers))
    if values is None:
        raise _bad_row(rows, len(numbers), location)
    return Configuration(_cartesian(values.reshape(-1, 3), cell), numbers, cell, np.ones(3, bool))


def parse_alike(texts: list[bytes], numbers: np.ndarray, cells: np.ndarray) -> list[Configuration] | None:
    """The same as `parse_frame` for each frame, all at once; None unless all have the same size and columns."""
    if len({len(text) for text in texts}) != 1:
        return None
    records = np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1)
    head = texts[0].find(b"\n") + 1
    title, rows = records[:, :head], records[:, head:]
    ends = np.arange(head) == head - 1
    if not head or rows.shape[1] % len(numbers) or not ((title == ord("\n")) == ends).all():
        return None
    rows = rows.reshape(len(texts) * len(numbers), -1)
    fractional = three_numbers(rows) if rows.shape[1] and (rows[:, -1] == ord("\n")).all() else None
    if fractional is None:
        return None
    positions = _cartesian(fractional.reshape(len(texts), -1, 3), cells[:, None])
    periodic = np.ones(3, bool)
    return [Configuration(frame, numbers, cell, periodic) for frame, cell in zip(positions, cells)]


def _cartesian(fractional: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Without a library's matrix product, whose last bits may depend on the number of rows."""
    x, y, z = np.moveaxis(fractional[..., None], -2, 0)
    return x * cell[..., 0, :] + y * cell[..., 1, :] + z * cell[..., 2, :]


# headers


def read_cells(index: TrajectoryIndex) -> np.ndarray:
    """(frames, 3, 3) Angstrom, from the frames' headers; each header is read once."""
    headers = list(zip(index.table["file"].tolist(), index.table["header"].tolist()))
    row_of_header = dict(zip(reversed(headers), reversed(range(len(headers)))))
    files: dict = {}
    with ExitStack() as stack:
        for (file, _), row in row_of_header.items():
            if file not in files:
                files[file] = stack.enter_context(open_file(index, row, buffering=1 << 12))
        texts = [_five_lines(files[file], first) for file, first in row_of_header]
    cells = _cells_alike(texts) if len(texts) > 1 else None
    if cells is None:
        cells = [_cell(text.split(b"\n"), index.location(row)) for text, row in zip(texts, row_of_header.values())]
    number = {header: k for k, header in enumerate(row_of_header)}
    return np.array(cells).reshape(-1, 3, 3)[[number[header] for header in headers]]


def _five_lines(file, first: int) -> bytes:
    file.seek(first)
    text = file.read(512)
    end = -1
    for _ in range(5):
        end = text.find(b"\n", end + 1)
        if end < 0:
            file.seek(first)
            return b"".join(file.readline() for _ in range(5))
    return text[: end + 1]


def _cells_alike(texts: list[bytes]) -> np.ndarray | None:
    """The cells of headers with the same scale and the same columns, all at once; None for others."""
    lines = texts[0].split(b"\n")
    scale, ends = parse_numbers(lines[1], 1), np.cumsum([len(line) + 1 for line in lines[:5]])
    if len({len(text) for text in texts}) > 1 or scale is None or scale[0] <= 0 or len({*map(len, lines[2:5])}) > 1:
        return None
    records = np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1)
    same = records[:, ends[0] - 1 : ends[1]]
    if not (same == same[0]).all() or not (records[:, ends[2:5] - 1] == ord("\n")).all():
        return None
    values = three_numbers(np.ascontiguousarray(records[:, ends[1] :]).reshape(3 * len(texts), -1))
    return None if values is None else values.reshape(-1, 3, 3) * scale[0]


def read_header(text: bytes, location: FrameLocation, atom_types: dict[str, int], size: int | None = None) -> Header:
    """Scale, cell, elements and counts. A header without element line takes them from `atom_types` (1, 2, ...).

    `size` is that of the file, bytes.
    """
    lines = text.splitlines()
    if len(lines) < 6:
        raise location.error(
            f"the header has {len(lines)} lines; a title, a scale, three lattice vectors, elements and "
            "counts are needed. An XDATCAR of VASP 4 has no cell: convert it with its POSCAR."
        )
    cell = _cell(lines, location)
    words = lines[5].split()
    named = bool(words) and not words[0].isdigit()
    counts = _counts(lines, 6 if named else 5, location)
    labels = [word.decode("ascii", "replace") for word in words] if named else [str(k + 1) for k in range(len(counts))]
    if len(labels) != len(counts):
        raise location.error(f"{len(labels)} elements but {len(counts)} counts in the header.", 6)
    if size is not None and counts.sum() > size // LEAST_LINE:
        raise location.error(f"the header says {counts.sum()} atoms, for which a file of {size} bytes has no room.", 6)
    kinds = [_element(label, atom_types, named, location) for label in labels]
    return Header(cell, np.repeat(np.array(kinds), counts), 7 if named else 6, labels, counts)


def _cell(lines: list[bytes], location: FrameLocation) -> np.ndarray:
    scale = parse_numbers(lines[1], 1)
    if scale is None or scale[0] == 0:
        raise location.error(f"expected the scale of the cell, found {quoted(lines[1])}.", 1)
    vectors = b"\n".join(lines[2:5])
    values = parse_numbers(vectors, 9)
    if values is None:
        values = parse_numbers(split_touching_numbers(vectors), 9)
    if values is None:
        k = next((k for k in (2, 3, 4) if parse_numbers(split_touching_numbers(lines[k]), 3) is None), 2)
        raise location.error(f"expected a lattice vector, found {quoted(lines[k])}.", k)
    cell = values.reshape(3, 3)
    # VASP: a negative scale is minus the volume of the cell
    return cell * (scale[0] if scale[0] > 0 else np.cbrt(-scale[0] / abs(np.linalg.det(cell))))


def _counts(lines: list[bytes], row: int, location: FrameLocation) -> np.ndarray:
    words = lines[row].split() if row < len(lines) else []
    if not words or not all(word.isdigit() for word in words):
        instead = quoted(lines[row]) if row < len(lines) else "the end of the header"
        raise location.error(f"expected the number of atoms of each element, found {instead}.", row)
    return np.array([int(word) for word in words])


def _element(label: str, atom_types: dict[str, int], named: bool, location: FrameLocation) -> int:
    number = atomic_number(label, atom_types)
    if number is None and named:
        raise location.error(f"'{label}' is not a chemical element.", 5)
    if number is None:
        raise location.error(
            "the header has no line with the elements; give them in trajectory.species, "
            "one for each number in the line of counts.",
            5,
        )
    return number


# finding the frames


def _next_mark(text: mmap.mmap, begin: int) -> int:
    """The next line that starts a frame, or -1."""
    position = text.find(MARK, begin)
    while position > 0 and text[position - 1 : position] != b"\n":
        position = text.find(MARK, position + 1)
    return position


def _last_line_is_complete(text: mmap.mmap) -> bool:
    """Whether the last line lacks nothing but its line end: the last six numbers have equal decimals."""
    words = text[max(0, len(text) - 200) :].split(b"\n")[-2:]
    decimals = [len(word.partition(b".")[2]) for line in words for word in split_touching_numbers(line).split()]
    return text[-1:] != b"\n" and len(decimals) == 6 and min(decimals) == max(decimals) > 5


def _find_equal_frames(text: mmap.mmap, begin: int, header: Header, name: str, table: FrameTable, warn: Warn) -> bool:
    """A fixed cell: every frame takes as many bytes as the first, which is checked at every frame's first word.

    Appends all frames to `table`, or returns False.
    """
    atoms, size = len(header.numbers), len(text)
    second = _next_mark(text, begin + 1)
    record = second - begin
    if second < 0 or text[begin:second].count(b"\n") != atoms + 1:
        return False
    frames = (size - begin + (1 if _last_line_is_complete(text) else 0)) // record
    title = text.find(b"\n", begin) - begin
    marked = _all_marked(text, begin, record, frames)
    rest = text[begin + record * frames :] if record * frames < size - begin else b""
    cut_frame = rest.count(b"\n") <= atoms and rest[: len(MARK)] == MARK[: len(rest)]
    if not marked or not cut_frame:
        return False
    if rest.strip():
        warn(incomplete_frame(name, frames, header.lines + 1 + (atoms + 1) * frames))
    many = min(max(1, RESIDENT_BYTES // record), CHUNK_ROWS)
    for start in range(0, frames, many):
        rows = np.arange(start, min(start + many, frames))
        first = begin + record * rows
        table.extend(
            len(rows),
            step=_step_numbers(text, first, title),
            first_byte=first,
            last_byte=np.minimum(first + record, size),
            line=header.lines + 1 + (atoms + 1) * rows,
            atoms=atoms,
        )
        text.madvise(mmap.MADV_DONTNEED)
    return True


def _step_numbers(text: mmap.mmap, first: np.ndarray, width: int) -> np.ndarray:
    """(frames,) the numbers behind 'Direct configuration=' of lines of this width; NO_STEP where there is none."""
    view = np.frombuffer(text, np.uint8)
    words = view[first[:, None] + np.arange(len(MARK), width)]
    digit, mark = (words >= ord("0")) & (words <= ord("9")), (words == ord("=")) | (words == BLANK) | (words == 13)
    steps = np.zeros(len(first), np.int64)
    for column, is_digit in zip(words.T, digit.T):
        steps = np.where(is_digit, 10 * steps + (column.astype(np.int64) - ord("0")), steps)
    good = (digit | mark).all(axis=1) & digit.any(axis=1) & (digit.sum(axis=1) < 18)
    gaps = (np.diff(digit.astype(np.int8), axis=1) == 1).sum(axis=1) + digit[:, :1].sum(axis=1)
    return np.where(good & (gaps == 1), steps, NO_STEP)


def _are_steps(rows: np.ndarray) -> bool:
    """Whether every frame has a number, and these do not all repeat the first."""
    first, some = None, False
    for _, part in chunks(rows):
        steps = part["step"]
        first = int(steps[0]) if first is None else first
        if (steps == NO_STEP).any():
            return False
        some = some or bool((steps != first).any())
    return some


def _all_marked(text: mmap.mmap, begin: int, record: int, frames: int) -> bool:
    """Whether every frame starts as it should; pages of the file that were examined do not stay in memory."""
    view, mark = np.frombuffer(text, np.uint8), np.frombuffer(MARK, np.uint8)
    many = min(max(1, RESIDENT_BYTES // record), CHUNK_ROWS)
    good = True
    for k in range(0, frames, many):
        first = begin + record * np.arange(k, min(k + many, frames))
        good = good and bool((view[first[:, None] + np.arange(len(MARK))] == mark).all())
        text.madvise(mmap.MADV_DONTNEED)
    return good


def _find_frames(
    text: mmap.mmap, begin: int, header: Header, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn
) -> tuple[int, ...]:
    """Headers may stand before any frame: a changing cell, or a run started again into the same file.

    Appends all frames to `table`; returns those at which the run was started again.
    """
    atoms, line, header_byte, first_header = len(header.numbers), header.lines + 1, 0, text[:begin]
    repeated_headers, last_header, since = array("q"), first_header, 0
    while begin >= 0:
        since = release_pages(text, begin, since)
        following = _next_mark(text, begin + 1)
        block = text[begin : following if following >= 0 else len(text)]
        lines = block.count(b"\n") + (following < 0 and _last_line_is_complete(text))
        location = FrameLocation(name, line, len(table))
        if lines < atoms + 1 and following < 0:
            warn(incomplete_frame(name, len(table), line))
            break
        end, extra = _split(block, atoms, lines, location)
        step = _step_numbers(text, np.array([begin]), block.find(b"\n"))
        table.add(begin, begin + end, line, atoms, header=header_byte, step=int(step[0]))
        if following >= 0 and extra.strip():
            if extra == last_header:
                repeated_headers.append(len(table))
            else:
                location = FrameLocation(name, line + atoms + 1, len(table))
                _check_header(extra, first_header, header, location, atom_types)
                last_header, header_byte = extra, begin + end
        elif following < 0 and extra.strip():
            warn(incomplete_frame(name, len(table), line + atoms + 1))
        begin, line = following, line + lines
    if not len(table):
        raise FrameLocation(name, line, 0).error(f"no complete frame of {atoms} atoms.")
    # where the header stands before every frame it is no sign of a new start
    return tuple(repeated_headers) if len(repeated_headers) <= len(table) // 10 + 1 else ()


def _split(block: bytes, atoms: int, lines: int, location: FrameLocation) -> tuple[int, bytes]:
    """End of the frame's coordinates in `block`, and what follows them."""
    if lines < atoms + 1:
        raise location.error(
            f"{max(lines - 1, 0)} lines of coordinates, the header says {atoms} atoms. "
            "Remove the damaged frame, or list the parts of the run as separate files."
        )
    total = block.count(b"\n") + (not block.endswith(b"\n"))
    end = len(block)
    for _ in range(total - atoms - 1):
        end = block.rfind(b"\n", 0, end - 1) + 1
    return end, block[end:]


def _check_header(
    text: bytes, first: bytes, header: Header, location: FrameLocation, atom_types: dict[str, int]
) -> None:
    """A header further down must have a cell, and the atoms of the first one."""
    lines = text.splitlines()
    if lines[5:] == first.splitlines()[5:]:
        _cell(lines, location)
        return
    other = read_header(text, location, atom_types)
    if not np.array_equal(other.numbers, header.numbers):
        raise location.error("this header has other atoms than the first one; one file must hold one system.", 5)
    if len(text.splitlines()) > other.lines:
        raise location.error("expected 'Direct configuration=' after the header.", other.lines)


def _bad_row(rows: bytes, atoms: int, location: FrameLocation):
    """The error for the first line that does not hold three numbers."""
    lines = rows.splitlines()
    for k, line in enumerate(lines):
        if parse_words(split_touching_numbers(line).split(), 3) is None:
            return location.error(f"expected three coordinates, found {quoted(line)}. Remove the damaged frame.", k + 1)
    return location.error(f"{len(lines)} lines of coordinates, the header says {atoms} atoms.", len(lines))
