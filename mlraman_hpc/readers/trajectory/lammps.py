"""LAMMPS text dumps: any box, wrapped or unwrapped or scaled columns, atoms in any order.

https://docs.lammps.org/dump.html
"""

from __future__ import annotations

import mmap

import numpy as np

from mlraman_hpc.readers.text import (
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
    warn_of_labels,
)
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable, differences

MARK = b"ITEM: TIMESTEP"
HEADER = 9  # lines from TIMESTEP to ATOMS
_POSITIONS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_IMAGES, _VELOCITIES = ("ix", "iy", "iz"), ("vx", "vy", "vz")
_FS_PER_TIME = {"real": 1.0, "metal": 1e3}
_KINDS = ("element", "typelabel", "type")  # columns that name the atoms, the first that is there


class LammpsDump(TextFormat):
    name = "lammps-dump"
    file_names = r"\.(lammpstrj|lammpsdump|dump)(\.gz)?$|^dump\."
    needs = ("species", "frame_interval")

    def recognises(self, start: bytes) -> bool:
        return start.startswith(b"ITEM:")

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError for frames cut short, and for units of length other than Angstrom."""
        with memory_mapped(path, name) as text:
            begin = _next_mark(text, 0)
            if begin < 0:
                raise FrameLocation(name, 1, 0).error("no line 'ITEM: TIMESTEP' in the file; is it a LAMMPS text dump?")
            times = _find_frames(text, begin, name, _time_unit(text[:begin], name), table, warn)
            if not len(table):
                raise FrameLocation(name, 1, 0).error("no complete frame in the file.")
            rows = table.finish()
            first = text[rows["first_byte"][0] : rows["last_byte"][0]]
        atoms = _Atoms(first, FrameLocation(name, int(rows["line"][0]), 0))
        if "id" not in atoms.names:
            warn(
                f"{name}: no column 'id'; atoms are taken in the order of the file, which LAMMPS does not keep by "
                "itself."
            )
        numbers = atoms.numbers(atom_types)
        warn_of_labels(name, () if atoms.kind == "type" else atoms.labels(), atom_types, warn)
        if atoms.elements_by_default():
            warn(
                f"{name}: several types of atoms, and all are C in the column 'element', which LAMMPS writes where "
                "'dump_modify element' was not given; are they? Without that column trajectory.species names the types."
            )
        return FileIndex(
            rows,
            numbers[atoms.order],
            masses=atoms.masses(numbers),
            has_steps=True,
            has_times=times,
            restarts=tuple(
                row + int(k) for row, strides in differences(rows, "step") for k in np.flatnonzero(strides == 0)
            ),
        )

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        return [
            parse_frame(text, location, index.atom_types, velocities)
            for text, location in zip(texts, index.locations())
        ]


FORMAT = LammpsDump()


def _next_mark(text: mmap.mmap, begin: int) -> int:
    """The next line that starts a frame, or -1."""
    position = text.find(MARK, begin)
    while position > 0 and text[position - 1 : position] != b"\n":
        position = text.find(MARK, position + 1)
    return position


def _time_unit(preamble: bytes, name: str) -> float | None:
    """fs per unit of time where the dump names its units."""
    words = preamble.split()
    if b"UNITS" not in words:
        return None
    units = words[words.index(b"UNITS") + 1].decode("ascii", "replace")
    if units not in _FS_PER_TIME:
        raise FrameLocation(name, 1, 0).error(
            f"lengths in LAMMPS units '{units}' are not in Angstrom; use metal or real."
        )
    return _FS_PER_TIME[units]


def _find_frames(text: mmap.mmap, begin: int, name: str, fs: float | None, table: FrameTable, warn: Warn) -> bool:
    """Append all frames to `table`; whether 'ITEM: TIME' stands before each and its unit is known."""
    line, before, has_times, since = text[:begin].count(b"\n") + 1, text[:begin], fs is not None, 0
    while begin >= 0:
        since = release_pages(text, begin, since)
        following = _next_mark(text, begin + 1)
        block = text[begin : following if following >= 0 else len(text)]
        lines = block.count(b"\n")
        location = FrameLocation(name, line, len(table))
        step_and_atoms = _step_and_atoms(block, location, following < 0)
        if step_and_atoms is None or lines < HEADER + step_and_atoms[1]:
            if step_and_atoms is not None and following >= 0:
                raise location.error(
                    f"the frame has {max(lines - HEADER, 0)} atom lines and says {step_and_atoms[1]} atoms. "
                    "Remove the damaged frame, or list the parts of the run as separate files."
                )
            warn(incomplete_frame(name, len(table), line))
            break
        step, atoms = step_and_atoms
        time = _time(before) if has_times else None
        has_times = time is not None
        table.add(begin, begin + len(block), line, atoms, step=step, time=(time or 0.0) * (fs or 0.0))
        begin, line, before = following, line + lines, block[-200:]
    return has_times


def _step_and_atoms(block: bytes, location: FrameLocation, last: bool) -> tuple[int, int] | None:
    """None for a last frame that ends before its number of atoms."""
    lines = block[:200].split(b"\n", 5)
    if len(lines) > 4 and lines[1].strip().isdigit() and lines[3].strip().isdigit() and int(lines[3]):
        step = int(lines[1])
        if step < 1 << 63:
            return step, int(lines[3])
    if last and len(lines) < 5:
        return None
    raise location.error("expected a time step and a number of atoms after 'ITEM: TIMESTEP'.", 1)


def _time(before: bytes) -> float | None:
    mark = before.rfind(b"ITEM: TIME\n")
    value = None if mark < 0 else parse_numbers(before[mark + 11 :].split(b"\n")[0], 1)
    return None if value is None else float(value[0])


def parse_frame(text: bytes, location: FrameLocation, atom_types: dict[str, int], velocities: bool) -> Configuration:
    """Positions are counted from the corner of the cell; atoms are ordered by id.

    x y z with ix iy iz are unwrapped with them; xs and xsu are multiples of the cell vectors.
    """
    atoms = _Atoms(text, location)
    cell, origin, periodic = _box(atoms.box, location)
    columns = next((columns for columns in _POSITIONS if set(columns) <= set(atoms.names)), None)
    if columns is None:
        raise location.error("no columns x y z, xu yu zu, xs ys zs or xsu ysu zsu; dump one of them.", HEADER - 1)
    positions = atoms.columns(columns)
    positions = positions @ cell if columns[0].startswith("xs") else positions - origin
    if columns[0] in ("x", "xs") and set(_IMAGES) <= set(atoms.names):
        positions = positions + atoms.columns(_IMAGES) @ (cell * periodic[:, None])
    numbers = atoms.numbers(atom_types)
    read_velocities = velocities and set(_VELOCITIES) <= set(atoms.names)
    return Configuration(
        positions[atoms.order],
        numbers[atoms.order],
        cell * periodic[:, None],
        periodic,
        atoms.columns(_VELOCITIES)[atoms.order] if read_velocities else None,
    )


class _Atoms:
    """The atom lines of a frame.

    box    the four lines of the box
    names  of the columns
    order  (atoms,) of the lines by id, or of the file where there are no ids
    """

    def __init__(self, text: bytes, location: FrameLocation):
        lines = text.split(b"\n", HEADER)
        if not lines[4].startswith(b"ITEM: BOX BOUNDS") or not lines[8].startswith(b"ITEM: ATOMS"):
            raise location.error("expected 'ITEM: BOX BOUNDS' and 'ITEM: ATOMS' after the number of atoms.", 4)
        rows = lines[9]
        end = rows.find(b"ITEM:")
        rows = rows[: end if end >= 0 else None]
        self._location, self.box = location, lines[4:8]
        self.names = lines[8].decode("ascii", "replace").split()[2:]
        self._words = self._split(rows, int(lines[3]))
        self.order = self._order(int(lines[3]))

    def _split(self, rows: bytes, atoms: int) -> list[bytes]:
        words = rows.split()
        if len(words) != atoms * len(self.names):
            lines = rows.splitlines()
            bad = next((k for k, line in enumerate(lines) if len(line.split()) != len(self.names)), None)
            if bad is None:
                raise self._location.error(f"{len(lines)} atom lines, the frame says {atoms} atoms.", HEADER)
            raise self._location.error(f"expected {len(self.names)} columns, found {quoted(lines[bad])}.", bad + HEADER)
        return words

    def _order(self, atoms: int) -> np.ndarray:
        if "id" not in self.names:
            return np.arange(atoms)
        ids = self.columns(("id",))[:, 0]
        order = np.argsort(ids, kind="stable")
        repeated = np.flatnonzero(np.diff(ids[order]) == 0)
        if len(repeated):
            raise self._location.error(f"atom {ids[order][repeated[0]]:g} is listed twice.", HEADER)
        return order

    def _column(self, name: str) -> list[bytes]:
        return self._words[self.names.index(name) :: len(self.names)]

    def columns(self, names: tuple[str, ...]) -> np.ndarray:
        """(atoms, names) numbers, in the order of the lines."""
        arrays = []
        for name in names:
            column = self._column(name)
            values = parse_words(column, len(column))
            if values is None:
                row = next(row for row, word in enumerate(column) if parse_words([word], 1) is None)
                raise self._location.error(
                    f"expected a number in column '{name}', found {quoted(column[row])}.", row + HEADER
                )
            arrays.append(values)
        return np.stack(arrays, axis=1)

    def masses(self, numbers: np.ndarray) -> np.ndarray | None:
        """(atoms,) u by id, from the column 'mass', which has that unit with metal and real units, or of isotopes.

        numbers: atomic numbers in the order of the lines.
        """
        values = self.columns(("mass",))[:, 0] if "mass" in self.names else isotope_masses(self.labels(), numbers)
        if values is not None and not (values > 0).all():
            raise self._location.error("a mass in the column 'mass' is not greater than zero.", HEADER)
        return None if values is None else values[self.order]

    @property
    def kind(self) -> str | None:
        """The column that names the atoms."""
        return next((name for name in _KINDS if name in self.names), None)

    def labels(self) -> list[str]:
        """What the frame calls each atom, in the order of the lines; types are no labels."""
        return [label.decode("ascii", "replace") for label in self._column(self.kind)] if self.kind else []

    def elements_by_default(self) -> bool:
        """Whether the column 'element' is what LAMMPS writes by itself: C for all of several types."""
        both = {"element", "type"} <= set(self.names)
        return both and set(self._column("element")) == {b"C"} and len(set(self._column("type"))) > 1

    def numbers(self, atom_types: dict[str, int]) -> np.ndarray:
        """Atomic numbers in the order of the lines, of the column `kind` and trajectory.species."""
        kind = self.kind
        if kind is None:
            raise self._location.error("neither a column 'element' nor 'type'; dump one of them.", HEADER - 1)
        labels = self._column(kind)
        known = {label: atomic_number(label.decode("ascii", "replace"), atom_types) for label in set(labels)}
        missing = sorted(label.decode("ascii", "replace") for label, number in known.items() if number is None)
        if missing and kind == "type" and not atom_types:
            raise self._location.error(
                f"the atoms have only types ({', '.join(missing)}); give the elements of types 1, 2, ... "
                "in trajectory.species.",
                HEADER,
            )
        if missing:
            raise self._location.error(
                f"no element is known for {kind} {', '.join(missing)}; complete trajectory.species.", HEADER
            )
        return np.array([known[label] for label in labels])


def _box(lines: list[bytes], location: FrameLocation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell (3, 3), its corner (3,) and periodic (3,); the bounds of a tilted box are those of what encloses it."""
    flags = [word for word in lines[0].split()[3:] if set(word) <= set(b"pfsm")]
    periodic = np.array([flag == b"pp" for flag in flags] if len(flags) == 3 else [True] * 3)
    width = len(lines[1].split())
    bounds = parse_numbers(b" ".join(lines[1:4]), 3 * width)
    if bounds is None or width not in (2, 3, 4):
        raise location.error(f"expected the bounds of the box, found {quoted(lines[1])}.", 5)
    bounds = bounds.reshape(3, width)
    if width == 4:  # general triclinic: vectors and origin
        return bounds[:, :3], bounds[:, 3], periodic
    xy, xz, yz = bounds[:, 2] if width == 3 else np.zeros(3)
    low = bounds[:, 0] - [min(0, xy, xz, xy + xz), min(0, yz), 0]
    high = bounds[:, 1] - [max(0, xy, xz, xy + xz), max(0, yz), 0]
    x, y, z = high - low
    return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), low, periodic
