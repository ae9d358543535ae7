"""Extended and plain XYZ: atoms line by line, cell and columns in the comment line of each frame.

Comment lines of plain XYZ are also read as CP2K writes them ('i = 5, time = 2.5, E = ...') and i-PI
('# CELL(abcABC): ...').
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from mlraman_hpc.base.elements import masses as standard_masses
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers import cp2k_cells
from mlraman_hpc.readers.text import (
    Configuration,
    FrameLocation,
    Warn,
    element_guess,
    incomplete_frame,
    isotope_masses,
    line_ends,
    listed_number,
    memory_mapped,
    parse_numbers,
    parse_words,
    quoted,
    warn_of_labels,
)
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.fixed_width import three_numbers
from mlraman_hpc.readers.trajectory.frame_table import CHUNK_ROWS, FrameTable

geometry = LazyModule("ase.geometry")
SPECIES = ("species", "element", "elements", "symbols")
NUMBERS = ("z", "numbers", "atomic_numbers", "atomic_number")
POSITIONS = ("pos", "positions", "position")
VELOCITIES = ("vel", "velocities", "velocity", "velo")
MOMENTA = ("momenta", "momentum")
MASSES = ("masses", "mass")
BLANK = ord(" ")
_WORD = re.compile(rb"\S+")
_VALUE = rb"""\s*=\s*(?:"([^"]*)"|'([^']*)'|\{([^}]*)\}|(\[\s*\[.*?\]\s*\]|\[[^\]]*\])|(\S+))"""
_CP2K = re.compile(rb"^\s*i\s*=\s*(\d+)\s*,(?:\s*time\s*=\s*([-+0-9.eEdD]+)\s*,)?")
_OTHER_QUANTITY = re.compile(r"-(vel|frc|force|shvel|centroid_vel)(?:-[^-]*)?-\d+\.xyz(?:\.gz)?$", re.IGNORECASE)
_QUANTITIES = {
    "vel": "velocities",
    "shvel": "velocities",
    "centroid_vel": "velocities",
    "frc": "forces",
    "force": "forces",
}
_IPI_CELL = re.compile(rb"#\s*CELL[({\[](\w+)[)}\]]:\s*((?:[-+0-9.eE]+\s+)+)")
_IPI_UNIT = re.compile(rb"\b(\w+)\{(\w+)\}")
_IPI_STEP = re.compile(rb"\bStep:\s*(\d+)")
LAMMPS_TIMES = {"real": 1.0, "metal": 1e3}  # fs
_LEAST_STEP, _MOST_STEP = 0.05, 20.0  # fs, of a simulation of atoms
_IPI_LENGTHS = {b"angstrom": 1.0, b"atomic_unit": ANGSTROM_PER_BOHR, b"bohr": ANGSTROM_PER_BOHR, b"nanometer": 10.0}


class ExtendedXyz(TextFormat):
    name = "extxyz"
    file_names = r"\.(ext)?xyz(\.gz)?$"
    needs = ("species", "cell", "frame_interval")
    reorders = True

    def recognises(self, start: bytes) -> bool:
        return start.split(b"\n")[0].strip().isdigit()

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError where a number of atoms is expected and missing."""
        _refuse_other_quantities(name)
        clock = _Clock()
        with memory_mapped(path, name) as text:
            for rows, comments in _bounds(text, name, warn):
                first, last, line, atoms = rows.T
                table.extend(
                    len(rows), first_byte=first, last_byte=last, line=line, atoms=atoms, **clock.columns(comments)
                )
            if not len(table):
                raise FrameLocation(name, 1, 0).error(
                    "no complete frame; the last line must be whole, with its line end."
                )
            frames = table.finish()
            start = _Atoms(text[frames["first_byte"][0] : frames["last_byte"][0]], FrameLocation(name, 1, 0))
        clock.warn_of_unit(name, warn)
        warn_of_labels(name, start.labels(), atom_types, warn)
        return FileIndex(
            frames,
            start.configuration(atom_types, False).numbers,
            masses=start.masses(atom_types),
            has_steps=clock.has("step"),
            has_times=clock.has("time"),
        )

    def cell_file(self, name: str) -> str | None:
        return cp2k_cells.cell_file(name)

    def read_cells(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        return cp2k_cells.read_cells(file)

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        locations = index.locations()
        alike = parse_alike(texts, locations, index.atom_types) if len(texts) > 1 and not velocities else None
        return alike or [
            _Atoms(text, location).configuration(index.atom_types, velocities)
            for text, location in zip(texts, locations)
        ]


FORMAT = ExtendedXyz()


def _refuse_other_quantities(name: str) -> None:
    """CP2K writes velocities and forces in the same form as positions; only the name tells them apart."""
    match = _OTHER_QUANTITY.search(name.rpartition("/")[2])
    if match is not None:
        raise DataError(
            f"{name}: by its name this file of CP2K holds {_QUANTITIES[match[1].lower()]}, not positions; those are in "
            "PROJECT-pos-1.xyz. Rename it if it does hold positions."
        )


# comment lines


def value(comment: bytes, key: str) -> bytes | None:
    """The text of `key=...` in a comment line, without its quotes."""
    match = re.search(rb"(?:^|\s)" + re.escape(key.encode()) + _VALUE, comment, re.IGNORECASE)
    if match is None:
        return None
    return next(group for group in match.groups() if group is not None).strip()


def keys(comment: bytes) -> list[str]:
    """Names of all `key=...` in a comment line, in order."""
    matches = re.finditer(rb"(?:^|\s)([^\s=\"'{}\[\]]+)" + _VALUE, comment)
    return [match[1].decode("utf-8", "replace") for match in matches]


def series(comments: list[bytes], key: str, kind: type) -> np.ndarray | None:
    """The value of `key` in every frame, or None where a frame lacks it."""
    texts = []
    for comment in comments:
        text = value(comment, key)
        if text is None:
            return None
        texts.append(text)
    values = parse_words(texts, len(texts))
    return None if values is None else values.astype(kind)


def cell(comment: bytes, location: FrameLocation) -> tuple[np.ndarray, np.ndarray]:
    """Cell (3, 3) Angstrom with zero rows along directions that are not periodic, and which are (3,)."""
    lattice, flags = value(comment, "lattice"), value(comment, "pbc")
    periodic = np.full(3, lattice is not None) if flags is None else _flags(flags, location)
    if lattice is None:
        if periodic.any():
            raise location.error("pbc says that the frame is periodic, but it has no Lattice.", 1)
        return np.zeros((3, 3)), periodic
    values = parse_numbers(re.sub(rb"[\[\],]", b" ", lattice), 9)
    if values is None:
        raise location.error(f"Lattice needs nine numbers, found {quoted(lattice)}.", 1)
    if flags is None and not values.any():  # how some programs write a molecule
        return np.zeros((3, 3)), np.zeros(3, bool)
    return values.reshape(3, 3) * periodic[:, None], periodic


def _flags(flags: bytes, location: FrameLocation) -> np.ndarray:
    words = re.sub(rb"[\[\],]", b" ", flags).lower().split()
    words = words * 3 if len(words) == 1 else words
    if len(words) != 3 or not set(words) <= {b"t", b"f", b"true", b"false", b"1", b"0"}:
        raise location.error(f"pbc needs three of T and F, found {quoted(flags)}.", 1)
    return np.array([word in (b"t", b"true", b"1") for word in words])


def _ipi_cell_and_unit(comment: bytes, location: FrameLocation) -> tuple[np.ndarray | None, float]:
    """i-PI's cell (3, 3) in Angstrom, and Angstrom per unit of the positions; (None, 1) for other comments."""
    match = _IPI_CELL.search(comment)
    if match is None:
        return None, 1.0
    units = {label.lower(): unit.lower() for label, unit in _IPI_UNIT.findall(comment[match.end() :])}
    cell_unit = units.pop(b"cell", None)
    if len(units) != 1:
        raise location.error(f"i-PI's comment does not name the unit of the positions: {quoted(comment)}.", 1)
    label, unit = units.popitem()
    if label not in (b"positions", b"x_centroid", b"x_centroid_even", b"x_centroid_odd"):
        raise location.error(f"the file holds '{label.decode()}', not positions.", 1)
    return _ipi_vectors(match, _ipi_length(cell_unit or unit, location), location), _ipi_length(unit, location)


def _ipi_length(unit: bytes, location: FrameLocation) -> float:
    if unit not in _IPI_LENGTHS:
        raise location.error(f"'{unit.decode()}' is not a known unit of length.", 1)
    return _IPI_LENGTHS[unit]


def _ipi_vectors(match: re.Match, factor: float, location: FrameLocation) -> np.ndarray:
    kind, words = match[1].decode("ascii", "replace"), match[2].split()
    if kind == "abcABC":
        values = parse_words(words, 6)
        if values is not None and (values[:3] > 0).all() and ((values[3:] > 0) & (values[3:] < 180)).all():
            return geometry.cellpar_to_cell(values) * [[factor]]
    elif kind in ("H", "GENH"):
        values = parse_words(words, 9)
        if values is not None:
            return values.reshape(3, 3).T * factor  # i-PI keeps lattice vectors in columns
    raise location.error(f"the cell {quoted(match[0])} is not understood.", 1)


# time steps and times in comment lines


def _integers(matches: list[re.Match | None]) -> np.ndarray | None:
    """The first group of each, or None where one is missing."""
    complete = all(match and len(match[1]) < 19 for match in matches)  # what has more digits counts nothing
    return np.array([int(match[1]) for match in matches]) if complete else None


def _cp2k_steps(comments: list[bytes]) -> np.ndarray | None:
    return _integers([_CP2K.match(comment) for comment in comments])


def _cp2k_times(comments: list[bytes]) -> np.ndarray | None:
    matches = [_CP2K.match(comment) for comment in comments]
    complete = all(match and match[2] for match in matches)
    return parse_words([match[2] for match in matches], len(matches)) if complete else None


def _ipi_steps(comments: list[bytes]) -> np.ndarray | None:
    """In i-PI's own comment lines, and in those that it writes for ASE."""
    ours = (_IPI_CELL.search(comment) or b"ipi_comment=" in comment for comment in comments)
    return _integers([_IPI_STEP.search(comment) if own else None for own, comment in zip(ours, comments)])


Finder = Callable[[list[bytes]], np.ndarray | None]
_step: Finder = partial(series, key="step", kind=np.int64)
_timestep: Finder = partial(series, key="timestep", kind=np.int64)
_time_fs: Finder = partial(series, key="time_fs", kind=float)
_time: Finder = partial(series, key="time", kind=float)


class _Clock:
    """Time steps and times (fs) in comment lines.

    The first comments decide which of a program's keys are read; where a later frame lacks them there are none.
    """

    def __init__(self) -> None:
        self._finders: dict[str, Finder] | None = None
        self._lammps_unit: str | None = None
        self._lammps_step = 0.0

    def has(self, column: str) -> bool:
        return column in (self._finders or {})

    def columns(self, comments: list[bytes]) -> dict[str, np.ndarray]:
        """Columns `step` and `time` of the next frames."""
        if self._finders is None:
            self._finders = self._choose(comments)
        columns = {}
        for column, find in list(self._finders.items()):
            values = find(comments)
            if values is None:
                del self._finders[column]
            else:
                columns[column] = values
        return columns

    def _lammps_times(self, comments: list[bytes]) -> np.ndarray | None:
        """fs of LAMMPS' `dump extxyz`, whose times are in its own units: of one step, ps (metal) and fs (real) differ
        so much that only one can be meant. None where neither can be told.
        """
        times, steps = _time(comments), _timestep(comments)
        if self._lammps_unit is None and times is not None and steps is not None and len(steps) > 1:
            length = (times[-1] - times[0]) / max(steps[-1] - steps[0], 1)
            units = [unit for unit, fs in LAMMPS_TIMES.items() if _LEAST_STEP <= length * fs <= _MOST_STEP]
            self._lammps_unit = units[0] if len(units) == 1 else None
            self._lammps_step = float(length)
        return None if self._lammps_unit is None or times is None else times * LAMMPS_TIMES[self._lammps_unit]

    def _choose(self, comments: list[bytes]) -> dict[str, Finder]:
        if _cp2k_steps(comments) is not None:
            candidates: dict[str, tuple[Finder, ...]] = {"step": (_cp2k_steps,), "time": (_cp2k_times,)}
        elif _ipi_steps(comments) is not None:
            candidates = {"step": (_ipi_steps,)}
        elif _timestep(comments) is not None:
            candidates = {"step": (_timestep,), "time": (self._lammps_times,)}
        else:
            candidates = {"step": (_step,), "time": (_time_fs, _time)}
        chosen = {
            column: next((find for find in finders if find(comments) is not None), None)
            for column, finders in candidates.items()
        }
        return {column: find for column, find in chosen.items() if find is not None}

    def warn_of_unit(self, name: str, warn: Warn) -> None:
        if (self._finders or {}).get("time") is _time:
            warn(f"{name}: 'time' in the comment lines is read as fs; trajectory.frame_interval overrules it.")
        if self._lammps_unit:
            warn(
                f"{name}: LAMMPS' Time does not say its unit; a step of {self._lammps_step:.4g} is one of units "
                f"{self._lammps_unit}, and Time is read so. trajectory.frame_interval overrules it."
            )


# finding the frames


def frame_bounds(text: mmap.mmap | bytes, name: str, warn: Warn) -> tuple[np.ndarray, list[bytes]]:
    """(frames, 4) first byte, first byte after the frame, first line, atoms; and the comment lines."""
    parts = list(_bounds(text, name, warn))
    rows = np.concatenate([np.empty((0, 4), np.int64), *(part for part, _ in parts)])
    return rows, [comment for _, comments in parts for comment in comments]


def _bounds(text: mmap.mmap | bytes, name: str, warn: Warn) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """What `frame_bounds` returns, for CHUNK_ROWS frames at a time."""
    rows, comments = [], []
    for row, comment in _frames(text, name, warn):
        rows.append(row)
        comments.append(comment)
        if len(rows) == CHUNK_ROWS:
            yield np.array(rows, dtype=np.int64), comments
            rows, comments = [], []
    if rows:
        yield np.array(rows, dtype=np.int64), comments


def _frames(text: mmap.mmap | bytes, name: str, warn: Warn) -> Iterator[tuple[tuple[int, int, int, int], bytes]]:
    """First byte, first byte after it, first line and atoms of each frame; its comment line."""
    supply, ends, used = line_ends(text), np.empty(0, np.int64), 0
    frame, begin, line = 0, 0, 1
    while begin < len(text):
        atoms = _atom_count(text, begin, FrameLocation(name, line, frame))
        if atoms is None:
            break
        if len(ends) - used < atoms + 2:
            ends, used = _more(ends[used:], supply, atoms + 2), 0
        if len(ends) < atoms + 2:
            warn(incomplete_frame(name, frame, line))
            break
        end = int(ends[used + atoms + 1]) + 1
        yield (begin, min(end, len(text)), line, atoms), text[ends[used] + 1 : ends[used + 1]]
        frame, begin, line, used = frame + 1, end, line + atoms + 2, used + atoms + 2


def _more(ends: np.ndarray, supply: Iterator[np.ndarray], needed: int) -> np.ndarray:
    """So many line ends, or all that are left: a last line without its end may lack digits."""
    parts, count = [ends], len(ends)
    while count < needed and (more := next(supply, None)) is not None:
        parts.append(more)
        count += len(more)
    return np.concatenate(parts)


def _atom_count(text: mmap.mmap | bytes, begin: int, location: FrameLocation) -> int | None:
    """The number on the first line of a frame; None at the end of the file."""
    end = text.find(b"\n", begin)
    line = text[begin : end if end >= 0 else len(text)]
    if line.strip().isdigit() and int(line) > 0:
        return int(line)
    if not line.strip() and not text[begin:].strip():
        return None
    raise location.error(
        f"expected a number of atoms, found {quoted(line)}. The frame before has too many or too few lines."
    )


# the atoms of a frame


def read(text: bytes, location: FrameLocation, atom_types: dict[str, int]) -> tuple[np.ndarray, ...]:
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of one frame."""
    return _Atoms(text, location).configuration(atom_types, False)[:4]


def vectors(text: bytes, location: FrameLocation, name: str) -> np.ndarray | None:
    """(atoms, 3) of the array of this name, or None where the frame has none."""
    return _Atoms(text, location).vectors((name.lower(),))


def columns(comment: bytes, row: bytes, location: FrameLocation) -> tuple[dict[str, tuple[int, int]], int]:
    """First column and number of columns of each property, and the number of columns in all."""
    declared = value(comment, "properties")
    if declared is None:  # plain XYZ
        return {"species": (0, 1), "pos": (1, 3)}, max(len(row.split()), 4)
    fields = declared.decode("ascii", "replace").split(":")
    if len(fields) % 3 or not all(width.isdigit() for width in fields[2::3]):
        raise location.error(f"Properties={declared.decode('ascii', 'replace')} is not a list of name:type:columns.", 1)
    layout, begin = {}, 0
    for label, width in zip(fields[0::3], fields[2::3]):
        layout[label.lower()] = (begin, int(width))
        begin += int(width)
    return layout, begin


class _Atoms:
    """The atom lines of a frame, as words."""

    def __init__(self, text: bytes, location: FrameLocation):
        head, self._comment, rows = text.split(b"\n", 2)
        self._location = location
        self._layout, self._width = columns(self._comment, rows[: rows.find(b"\n")], location)
        self._words = rows.split()
        if len(self._words) != int(head) * self._width:
            for k, row in enumerate(rows.splitlines()):
                if len(row.split()) != self._width:
                    raise location.error(f"expected {self._width} columns, found {quoted(row)}.", k + 2)

    def configuration(self, atom_types: dict[str, int], velocities: bool) -> Configuration:
        positions = self.vectors(POSITIONS)
        if positions is None:
            raise self._location.error("Properties names no 'pos:R:3'.", 1)
        box, factor = _ipi_cell_and_unit(self._comment, self._location)
        box, periodic = cell(self._comment, self._location) if box is None else (box, np.ones(3, bool))
        return Configuration(
            positions * factor,
            self.numbers(atom_types),
            box,
            periodic,
            self._velocities(atom_types) if velocities else None,
        )

    def _velocities(self, atom_types: dict[str, int]) -> np.ndarray | None:
        """(atoms, 3) in the file's unit; momenta over masses where there are only these."""
        values = self.vectors(VELOCITIES)
        momenta = self.vectors(MOMENTA) if values is None else None
        if momenta is None:
            return values
        masses = self.masses(atom_types)
        return momenta / (standard_masses(self.numbers(atom_types)) if masses is None else masses)[:, None]

    def vectors(self, labels: tuple[str, ...]) -> np.ndarray | None:
        """(atoms, 3) of the first of these properties that the frame has; None without."""
        begin = self._column(labels, 3)
        if begin is None:
            return None
        parts = [parse_words(self._words[begin + k :: self._width], self._atoms) for k in range(3)]
        for k, part in enumerate(parts):
            if part is None:
                words = self._words[begin + k :: self._width]
                row = next(row for row, word in enumerate(words) if parse_words([word], 1) is None)
                raise self._location.error(
                    f"expected a number in column {begin + k + 1}, found {quoted(words[row])}.", row + 2
                )
        return np.stack(parts, axis=1)

    def masses(self, atom_types: dict[str, int]) -> np.ndarray | None:
        """(atoms,) u, as listed or of isotopes that labels name; None where the frame says neither."""
        begin = self._column(MASSES, 1)
        if begin is None:
            return isotope_masses(self.labels(), self.numbers(atom_types))
        values = parse_words(self._words[begin :: self._width], self._atoms)
        if values is None or not (values > 0).all():
            raise self._location.error(f"column {begin + 1} holds something else than masses.", 2)
        return values

    def numbers(self, atom_types: dict[str, int]) -> np.ndarray:
        """Atomic numbers from the column of elements, or from the one of atomic numbers."""
        begin = self._column(SPECIES, 1)
        if begin is None:
            return self._listed_numbers(self._column(NUMBERS, 1))
        labels = self._words[begin :: self._width]
        known = {label: listed_number(label.decode("ascii", "replace"), atom_types) for label in set(labels)}
        if None in known.values():
            row = next(row for row, label in enumerate(labels) if known[label] is None)
            names = sorted(label.decode("ascii", "replace") for label, number in known.items() if number is None)
            guesses = ", ".join(f"{name}: {element_guess(name)}" for name in names[:8])
            raise self._location.error(
                f"{quoted(labels[row])} is not a chemical element; trajectory.species may give it one, as in "
                f"{{{guesses}}}.",
                row + 2,
            )
        return np.array([known[label] for label in labels])

    def labels(self) -> list[str]:
        """What the frame calls each atom; none where it lists atomic numbers."""
        begin = self._column(SPECIES, 1)
        return (
            [] if begin is None else [label.decode("ascii", "replace") for label in self._words[begin :: self._width]]
        )

    def _listed_numbers(self, begin: int | None) -> np.ndarray:
        if begin is None:
            raise self._location.error("Properties names neither 'species:S:1' nor 'Z:I:1'.", 1)
        values = parse_words(self._words[begin :: self._width], self._atoms)
        if values is None or not (np.isin(values, np.arange(1, 119))).all():
            raise self._location.error(f"column {begin + 1} holds something else than atomic numbers.", 2)
        return values.astype(int)

    @property
    def _atoms(self) -> int:
        return len(self._words) // self._width

    def _column(self, labels: tuple[str, ...], width: int) -> int | None:
        return next(
            (self._layout[label][0] for label in labels if label in self._layout and self._layout[label][1] == width),
            None,
        )


# many frames whose rows have the same columns, at once


def parse_alike(
    texts: list[bytes], locations: list[FrameLocation], atom_types: dict[str, int]
) -> list[Configuration] | None:
    """The same as one by one, to the bit; None unless all frames have the same atoms in the same columns."""
    heads, comments, bodies = zip(*(text.split(b"\n", 2) for text in texts))
    if len(set(heads)) > 1 or len({len(body) for body in bodies}) > 1 or any(b"CELL" in line for line in comments):
        return None
    numbers = read(texts[0], locations[0], atom_types)[1]
    declared = {value(comment, "properties") for comment in comments}
    joined = b"".join(bodies)
    if len(declared) > 1 or len(bodies[0]) % len(numbers) or not joined.endswith(b"\n"):
        return None
    rows = np.frombuffer(joined, np.uint8).reshape(len(texts) * len(numbers), -1)
    layout, width = columns(comments[0], rows[0].tobytes(), locations[0])
    begin = layout[next(label for label in POSITIONS if label in layout)][0]
    positions = _fixed_positions(rows, begin, width, len(texts))
    if positions is None:
        return None
    cells = _cells(comments, locations)
    return [Configuration(part, numbers, *box) for part, box in zip(positions.reshape(len(texts), -1, 3), cells)]


def _fixed_positions(rows: np.ndarray, begin: int, width: int, frames: int) -> np.ndarray | None:
    """(rows, 3), from the columns that begin with word `begin` of `width`; None unless all else is as in frame 0."""
    words = list(_WORD.finditer(rows[0].tobytes()))
    if begin == 0 or len(words) != width:
        return None
    before, end = words[begin - 1].end(), words[begin + 2].end()
    blank = np.flatnonzero((rows[:, before:end] == BLANK).all(axis=0))
    if not len(blank):
        return None
    first = before + int(blank[0])
    labels = rows[:, :first].reshape(frames, -1)
    if not (labels == labels[0]).all() or not _has_words(rows[:, end:], width - begin - 3):
        return None
    return three_numbers(rows[:, first:end])


def _has_words(rest: np.ndarray, count: int) -> bool:
    """Whether the rest of each line is a blank or the line's end, and has so many words between blanks alone."""
    if not (rest[:, -1] == ord("\n")).all():
        return False
    inner = rest[:, :-1]
    if not count:
        return bool((inner == BLANK).all())
    letters = inner > BLANK
    starts = np.count_nonzero(letters[:, 1:] > letters[:, :-1], axis=1)
    return bool((starts == count).all() and not letters[:, 0].any() and inner.min() >= BLANK)


def _cells(comments: tuple[bytes, ...], locations: list[FrameLocation]) -> list[tuple]:
    """Cell and periodic directions of each frame; most often they are all written alike."""
    known: dict[tuple, tuple] = {}
    cells = []
    for comment, location in zip(comments, locations):
        key = value(comment, "lattice"), value(comment, "pbc")
        if key not in known:
            known[key] = cell(comment, location)
        cells.append(known[key])
    return cells
