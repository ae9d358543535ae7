"""LAMMPS text dumps: any box, wrapped or unwrapped or scaled columns, atoms in any order."""

from __future__ import annotations

import mmap

import numpy as np

from mlraman_hpc.readers.text import (
    FileIndex,
    FrameLocation,
    Rows,
    Warn,
    atomic_number,
    incomplete_frame,
    memory_mapped,
    parse_numbers,
    parse_words,
    quoted,
    release_pages,
)

MARK = b"ITEM: TIMESTEP"
HEADER = 9  # lines from TIMESTEP to ATOMS
_COLUMNS = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"), ("x", "y", "z"), ("xs", "ys", "zs"))
_FS_PER_TIME = {"real": 1.0, "metal": 1e3}


def scan(path: str, name: str, table: dict[str, int], warn: Warn) -> FileIndex:
    """Where the frames of a dump lie. Errors: DataError for frames cut short and for units without Angstrom."""
    with memory_mapped(path, name) as text:
        begin = _next_mark(text, 0)
        if begin < 0:
            raise FrameLocation(name, 1, 0).error("no line 'ITEM: TIMESTEP' in the file; is it a LAMMPS text dump?")
        fs = _time_unit(text[:begin], name)
        rows, times = _bounds(text, begin, name, fs, warn)
        if not len(rows):
            raise FrameLocation(name, 1, 0).error("no complete frame in the file.")
        first, last, line, atoms, steps = rows.columns()
        frame = text[first[0] : last[0]]
    place = FrameLocation(name, int(line[0]), 0)
    if "id" not in _head(frame, place)[2]:
        warn(f"{name}: no column 'id'; atoms are taken in the order of the file, which LAMMPS does not keep by itself.")
    return FileIndex(
        first,
        last,
        line,
        atoms,
        read(frame, place, table)[1],
        steps=steps,
        times=times,
        joints=tuple(row + int(k) for row, strides in steps.strides() for k in np.flatnonzero(strides == 0)),
    )


def _next_mark(text: mmap.mmap, begin: int) -> int:
    at = text.find(MARK, begin)
    while at > 0 and text[at - 1 : at] != b"\n":
        at = text.find(MARK, at + 1)
    return at


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


def _bounds(text: mmap.mmap, begin: int, name: str, fs: float | None, warn: Warn):
    """Rows of first and last byte, line, atoms and time step; times (fs) where 'ITEM: TIME' is before each frame."""
    rows, times, since = Rows(5), Rows(1, real=True), 0
    line, before = text[:begin].count(b"\n") + 1, text[:begin]
    while begin >= 0:
        since = release_pages(text, begin, since)
        following = _next_mark(text, begin + 1)
        block = text[begin : following if following >= 0 else len(text)]
        lines = block.count(b"\n")
        place = FrameLocation(name, line, len(rows))
        step, atoms = _step_and_atoms(block, place, following < 0)
        if atoms is None or lines < HEADER + atoms:
            if following >= 0:
                raise place.error(
                    f"the frame has {max(lines - HEADER, 0)} atom lines and says {atoms} atoms. "
                    "Remove the damaged frame, or list the parts of the run as separate files."
                )
            warn(incomplete_frame(name, len(rows), line))
            break
        rows.add((begin, begin + len(block), line, atoms, step))
        moment = _time(before) if fs else None
        if moment is not None:
            times.add((moment * fs,))
        begin, line, before = following, line + lines, block[-200:]
    return rows, times.columns()[0] if len(times) == len(rows) else None


def _step_and_atoms(block: bytes, place: FrameLocation, last: bool) -> tuple[int | None, int | None]:
    lines = block[:200].split(b"\n", 5)
    if len(lines) > 4 and lines[1].strip().isdigit() and lines[3].strip().isdigit() and int(lines[3]):
        step = int(lines[1])
        if step < 1 << 63:
            return step, int(lines[3])
    if last and len(lines) < 5:
        return None, None
    raise place.error("expected a time step and a number of atoms after 'ITEM: TIMESTEP'.", 1)


def _time(before: bytes) -> float | None:
    at = before.rfind(b"ITEM: TIME\n")
    value = None if at < 0 else parse_numbers(before[at + 11 :].split(b"\n")[0], 1)
    return None if value is None else float(value[0])


def read(text: bytes, place: FrameLocation, table: dict[str, int]):
    """(positions (atoms, 3) Angstrom from the corner of the cell, numbers, cell, periodic), atoms ordered by id.

    x y z with ix iy iz are unwrapped with them; xs and xsu are multiples of the cell vectors.
    """
    atoms, box, names, rows = _head(text, place)
    cell, origin, periodic = _box(box, place)
    words, order = _ordered(rows, names, atoms, place)
    labels = next((columns for columns in _COLUMNS if set(columns) <= set(names)), None)
    if labels is None:
        raise place.error("no columns x y z, xu yu zu, xs ys zs or xsu ysu zsu; dump one of them.", HEADER - 1)
    positions = _numeric(words, names, labels, place)
    positions = positions @ cell if labels[0].startswith("xs") else positions - origin
    images = ("ix", "iy", "iz")
    if labels[0] in ("x", "xs") and set(images) <= set(names):
        positions = positions + _numeric(words, names, images, place) @ (cell * periodic[:, None])
    return positions[order], _numbers(words, names, table, place)[order], cell * periodic[:, None], periodic


def velocities(text: bytes, place: FrameLocation) -> np.ndarray | None:
    """(atoms, 3) as in the file, or None where the frame has none."""
    atoms, _, names, rows = _head(text, place)
    if not {"vx", "vy", "vz"} <= set(names):
        return None
    words, order = _ordered(rows, names, atoms, place)
    return _numeric(words, names, ("vx", "vy", "vz"), place)[order]


def _head(text: bytes, place: FrameLocation) -> tuple[int, list[bytes], list[str], bytes]:
    """Number of atoms, the four lines of the box, names of columns and the atom lines."""
    lines = text.split(b"\n", HEADER)
    if not lines[4].startswith(b"ITEM: BOX BOUNDS") or not lines[8].startswith(b"ITEM: ATOMS"):
        raise place.error("expected 'ITEM: BOX BOUNDS' and 'ITEM: ATOMS' after the number of atoms.", 4)
    rows = lines[9]
    end = rows.find(b"ITEM:")
    return int(lines[3]), lines[4:8], lines[8].decode("ascii", "replace").split()[2:], rows[: end if end >= 0 else None]


def _ordered(rows: bytes, names: list[str], atoms: int, place: FrameLocation):
    """The words of the atom lines, and the order of the lines by id."""
    words = rows.split()
    if len(words) != atoms * len(names):
        lines = rows.splitlines()
        bad = next((k for k, line in enumerate(lines) if len(line.split()) != len(names)), None)
        if bad is None:
            raise place.error(f"{len(lines)} atom lines, the frame says {atoms} atoms.", HEADER)
        raise place.error(f"expected {len(names)} columns, found {quoted(lines[bad])}.", bad + HEADER)
    if "id" not in names:
        return words, np.arange(atoms)
    ids = _numeric(words, names, ("id",), place)[:, 0]
    order = np.argsort(ids, kind="stable")
    if (np.diff(ids[order]) == 0).any():
        twice = ids[order][np.flatnonzero(np.diff(ids[order]) == 0)[0]]
        raise place.error(f"atom {twice:g} stands there twice.", HEADER)
    return words, order


def _numeric(words: list[bytes], names: list[str], wanted: tuple[str, ...], place: FrameLocation) -> np.ndarray:
    parts = []
    for name in wanted:
        column = words[names.index(name) :: len(names)]
        part = parse_words(column, len(column))
        if part is None:
            row = next(row for row, word in enumerate(column) if parse_words([word], 1) is None)
            raise place.error(f"expected a number in column '{name}', found {quoted(column[row])}.", row + HEADER)
        parts.append(part)
    return np.stack(parts, axis=1)


def _numbers(words: list[bytes], names: list[str], table: dict[str, int], place: FrameLocation) -> np.ndarray:
    """Atomic numbers from the column 'element', else from 'type' and trajectory.species."""
    kind = next((name for name in ("element", "type") if name in names), None)
    if kind is None:
        raise place.error("neither a column 'element' nor 'type'; dump one of them.", HEADER - 1)
    labels = words[names.index(kind) :: len(names)]
    known = {label: atomic_number(label.decode("ascii", "replace"), table) for label in set(labels)}
    missing = sorted(label.decode("ascii", "replace") for label, number in known.items() if number is None)
    if missing and kind == "type" and not table:
        raise place.error(
            f"the atoms have only types ({', '.join(missing)}); give the elements of types 1, 2, ... "
            "in trajectory.species.",
            HEADER,
        )
    if missing:
        raise place.error(f"no element is known for {kind} {', '.join(missing)}; complete trajectory.species.", HEADER)
    return np.array([known[label] for label in labels])


def _box(lines: list[bytes], place: FrameLocation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell (3, 3), its corner (3,) and periodic (3,); the bounds of a tilted box are those of what encloses it."""
    flags = [word for word in lines[0].split()[3:] if set(word) <= set(b"pfsm")]
    periodic = np.array([flag == b"pp" for flag in flags] if len(flags) == 3 else [True] * 3)
    width = len(lines[1].split())
    bounds = parse_numbers(b" ".join(lines[1:4]), 3 * width)
    if bounds is None or width not in (2, 3, 4):
        raise place.error(f"expected the bounds of the box, found {quoted(lines[1])}.", 5)
    bounds = bounds.reshape(3, width)
    if width == 4:  # general triclinic: vectors and origin
        return bounds[:, :3], bounds[:, 3], periodic
    xy, xz, yz = bounds[:, 2] if width == 3 else np.zeros(3)
    low = bounds[:, 0] - [min(0, xy, xz, xy + xz), min(0, yz), 0]
    high = bounds[:, 1] - [max(0, xy, xz, xy + xz), max(0, yz), 0]
    x, y, z = high - low
    return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), low, periodic
