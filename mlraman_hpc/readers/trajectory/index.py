"""Trajectories: where each frame lies, and reading any frames by seeking to them.

A format is a module with `scan(path, name, table, warn) -> Piece`. A text format reads a frame from its bytes, with
`read(text, place, ...)`; the others, in BINARY, read rows of a file, with `read(path, rows, place, numbers)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.text import (
    FileIndex,
    FrameLocation,
    Warn,
    build_frames,
    composition,
    species_table,
    unpacked_copy,
    valid_cells,
)
from mlraman_hpc.readers.trajectory import ase_traj as asetraj
from mlraman_hpc.readers.trajectory import (
    extxyz,
    extxyz_alike,
    h5md,
    index_cache,
    joints,
    lammps,
    vaspout,
    vasprun,
    xdatcar,
)
from mlraman_hpc.readers.trajectory.byte_ranges import texts
from mlraman_hpc.readers.trajectory.column import Column
from mlraman_hpc.records.frames import Frames

TEXT = {"xdatcar": xdatcar, "extxyz": extxyz, "lammps-dump": lammps, "vasprun": vasprun}
BINARY = {"vaspout": vaspout, "h5md": h5md, "ase-traj": asetraj}
FORMATS = {**TEXT, **BINARY}
_NAMES = {
    "xdatcar": re.compile(r"xdatcar", re.IGNORECASE),
    "vasprun": re.compile(r"vasprun.*xml", re.IGNORECASE),
    "vaspout": re.compile(r"vaspout.*\.h5", re.IGNORECASE),
    "extxyz": re.compile(r"\.(ext)?xyz(\.gz)?$", re.IGNORECASE),
    "lammps-dump": re.compile(r"\.(lammpstrj|lammpsdump|dump)(\.gz)?$|^dump\.", re.IGNORECASE),
    "ase-traj": re.compile(r"\.traj$", re.IGNORECASE),
    "h5md": re.compile(r"\.(h5|h5md|hdf5)$", re.IGNORECASE),
}
PLACES = ("frame", "file_of_frame", "first_byte", "last_byte", "line", "atoms")
FARTHEST = 1e7  # Angstrom
UNEVEN = 1e-3  # relative, of times between frames
_STARTS = {b"ITEM:": "lammps-dump", b"- of Ulm": "ase-traj", b"\x89HDF": "h5md", b"<?xml": "vasprun"}


@dataclass(frozen=True)
class TrajectoryIndex:
    """Where the frames of a trajectory lie; columns, arrays and strings only. A part of it has arrays for columns.

    paths, names     (files,) files to read from (unpacked copies of .gz), and what the user calls them
    frame            (frames,) number of each frame in the whole trajectory, from 0
    file_of_frame, first_byte, last_byte, line, atoms   (frames,); line is the frame's first one, counted from 1;
                     in files that are not text first_byte is the number of the frame in its file and line 0
    numbers          (atoms,) atomic numbers of the first frame
    species          elements, by atomic number
    frame_interval   fs between frames where the files say it, else None
    steps            (frames,) time steps as the files give them, or None
    header           (frames,) first byte of the header with the cell, for formats that keep it outside the frame
    labels           what the files call an atom -> atomic number, from trajectory.species
    given_cell       (3, 3) Angstrom from trajectory.cell, for frames that have none; None otherwise
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    format: str
    frame: Column | np.ndarray
    file_of_frame: Column | np.ndarray
    first_byte: Column | np.ndarray
    last_byte: Column | np.ndarray
    line: Column | np.ndarray
    atoms: Column | np.ndarray
    numbers: np.ndarray
    species: tuple[str, ...]
    frame_interval: float | None
    steps: Column | np.ndarray | None
    header: Column | np.ndarray
    labels: tuple[tuple[str, int], ...]
    given_cell: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first_byte)

    def location(self, row: int) -> FrameLocation:
        """The file, line and number of the frame in this row, for messages."""
        return FrameLocation(self.names[self.file_of_frame[row]], int(self.line[row]), int(self.frame[row]))

    def take(self, rows) -> TrajectoryIndex:
        """The index of just these frames, small enough to be sent to whoever reads them."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            **{field: getattr(self, field)[rows] for field in PLACES},
            header=self.header[rows] if len(self.header) else np.empty(0, np.int64),
            steps=None if self.steps is None else self.steps[rows],
        )

    def without(self, rows: list[int]) -> TrajectoryIndex:
        """The whole index, counted anew, but for these frames."""
        kept = {field: getattr(self, field).without(rows) for field in (*PLACES, "header")}
        kept["frame"] = Column.progression(0, 1, len(self) - len(set(rows)))
        return replace(self, **kept, steps=None if self.steps is None else self.steps.without(rows))


def build_index(
    files: list[Path],
    format: str,
    scratch: Path,
    species: list[str] | dict | None,
    warn: Warn,
    cell: np.ndarray | None = None,
) -> TrajectoryIndex:
    """Look through the files, pieces of one run in order, once.

    `species` maps LAMMPS types (a list: types 1, 2, ...) or labels to elements; `scratch` takes unpacked copies of .gz
    and the places of the frames of long files, used again while the file stays as it is; `cell` (3, 3) Angstrom is for
    frames without one. A frame that repeats the one before at a joint of two
    pieces is left out, and a joint across which atoms jump is told, both as warnings.
    Errors: DataError for damaged or unlike pieces, naming file, line and frame.
    """
    if not files:
        raise DataError("trajectory.files: no file matches; check the path.")
    table = species_table(h5md.species_per_atom(species) if isinstance(species, list) else species)
    names = tuple(str(file) for file in files)
    paths = tuple(str(unpacked_copy(Path(file), scratch, warn)) for file in files)
    format = _one_format(paths, names, format)
    pieces = [_piece(path, name, format, table, scratch, warn) for path, name in zip(paths, names)]
    _check_same_atoms(pieces, names)
    _check_even_steps(pieces, names, warn)
    index = _joined(pieces, paths, names, format, table, _interval(pieces, names, warn))
    if table and not set(table.values()) >= set(index.numbers.tolist()):
        warn(f"trajectory.species is not used: {names[0]} names its elements ({', '.join(index.species)}).")
    if cell is not None:
        index = _with_cell(index, np.asarray(cell, dtype=float), warn)
    kept = joints.without_repeats(index, _joints(pieces), read_frames, warn)
    joints.check_continuity(*kept, read_frames, warn)
    return kept[0]


def read_frames(index: TrajectoryIndex, which) -> Frames:
    """The frames in these rows of the index, in this order; only their bytes are read.

    Positions are Cartesian, Angstrom, as in the file (unwrapped stays unwrapped).
    Errors: DataError for anything that is not a frame of this system, naming file, line and frame.
    """
    index, which = _few(index, _rows(index, which))
    if index.format in BINARY:
        module = BINARY[index.format]
        parts = [
            part
            for path, rows, place in _by_file(index, which)
            for part in module.read(path, rows, place, index.numbers)
        ]
    else:
        parts = _parsed(index, which)
    frames = _in_given_cell(index, build_frames(parts, index.frame[which]))
    _check_frames(index, which, frames)
    return frames


def _rows(index: TrajectoryIndex, which) -> np.ndarray:
    which = np.asarray(which, dtype=np.int64).reshape(-1)
    outside = which[(which < 0) | (which >= len(index))]
    if len(outside):
        raise DataError(f"{index.names[0]}: frame {outside[0]} was asked for; there are frames 0 to {len(index) - 1}.")
    return which


def _few(index: TrajectoryIndex, which: np.ndarray) -> tuple[TrajectoryIndex, np.ndarray]:
    """An index of arrays, and these rows in it."""
    if isinstance(index.first_byte, Column):
        return index.take(which), np.arange(len(which))
    return index, which


def _by_file(index: TrajectoryIndex, which: np.ndarray):
    """(path, rows in the file, place of the k-th of them), one for each run of frames of one file."""
    for part in np.split(which, np.flatnonzero(np.diff(index.file_of_frame[which])) + 1) if len(which) else []:
        path = index.paths[index.file_of_frame[part[0]]]
        yield path, index.first_byte[part], lambda k, part=part: index.location(int(part[k]))


def read_velocities(index: TrajectoryIndex, which) -> np.ndarray | None:
    """(frames, atoms, 3) velocities in the file's own unit, or None where the trajectory has none."""
    module = {"extxyz": extxyz, "lammps-dump": lammps, "h5md": h5md, "ase-traj": asetraj}.get(index.format)
    index, which = _few(index, _rows(index, which))
    if module is None:
        return None
    if index.format in BINARY:
        found = [module.velocities(path, rows, place) for path, rows, place in _by_file(index, which)]
        parts = [one for part in found for one in ([None] if part is None else part)]
    else:
        parts = [module.velocities(text, index.location(frame)) for frame, text in texts(index, which)]
    return None if any(part is None for part in parts) else np.array(parts).reshape(len(parts), -1, 3)


def detect(path: str, name: str) -> str:
    """Format by file name and, failing that, by the first bytes."""
    for format, pattern in _NAMES.items():
        if pattern.search(Path(name).name):
            return format
    with open(path, "rb") as file:
        start = file.read(2000)
    for mark, format in _STARTS.items():
        if start.startswith(mark):
            return format
    lines = start.split(b"\n")
    if lines[0].strip().isdigit():
        return "extxyz"
    if any(line.startswith(xdatcar.MARK) for line in lines):
        return "xdatcar"
    raise DataError(f"{name}: unknown format. Give trajectory.format, one of {', '.join(FORMATS)}.")


def _piece(path: str, name: str, format: str, table: dict[str, int], scratch: Path, warn: Warn) -> FileIndex:
    module = FORMATS[format]
    if format in BINARY:
        return module.scan(path, name, table, warn)
    return index_cache.piece(
        path, name, [format, sorted(table.items())], scratch, warn, lambda tell: module.scan(path, name, table, tell)
    )


def _with_cell(index: TrajectoryIndex, cell: np.ndarray, warn: Warn) -> TrajectoryIndex:
    """With trajectory.cell, unless the first frame has its own."""
    if read_frames(index, [0]).periodic.any():
        warn(f"trajectory.cell is not used: {index.names[0]} has the cell in the file.")
        return index
    return replace(index, given_cell=cell)


def _in_given_cell(index: TrajectoryIndex, frames: Frames) -> Frames:
    if index.given_cell is None:
        return frames
    without = ~frames.periodic.any(axis=1)
    return replace(
        frames,
        cells=np.where(without[:, None, None], index.given_cell, frames.cells),
        periodic=frames.periodic | without[:, None],
    )


def _one_format(paths: tuple[str, ...], names: tuple[str, ...], format: str) -> str:
    if format != "auto" and format not in FORMATS:
        raise DeckError(f"trajectory.format: '{format}' is not one of auto, {', '.join(FORMATS)}.")
    for path, name in zip(paths, names):
        if not Path(path).is_file():
            raise DataError(f"{name}: there is no such file.")
    if format != "auto":
        return format
    found = [detect(path, name) for path, name in zip(paths, names)]
    for name, other in zip(names, found):
        if other != found[0]:
            raise DataError(f"{name} is {other} but {names[0]} is {found[0]}; pieces of a run must have one format.")
    return found[0]


def _check_same_atoms(pieces: list[FileIndex], names: tuple[str, ...]) -> None:
    """Same atoms in the same order in every piece, and as many in every frame."""
    for piece, name in zip(pieces, names):
        odd = _first(piece.atoms.blocks(), lambda atoms: atoms != len(pieces[0].numbers))
        if odd is not None:
            raise FrameLocation(name, piece.line[odd], odd).error(
                f"{piece.atoms[odd]} atoms, the first frame has {len(pieces[0].numbers)}; "
                "a trajectory must keep its atoms."
            )
        if not np.array_equal(piece.numbers, pieces[0].numbers):
            raise DataError(
                f"{name}: {composition(piece.numbers)}; {names[0]}: {composition(pieces[0].numbers)}. "
                "The pieces of a run must have the same atoms in the same order."
            )


def _first(blocks: Iterator[tuple[int, np.ndarray]], test: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """The first row whose value passes, or None."""
    for row, values in blocks:
        found = np.flatnonzero(test(values))
        if len(found):
            return row + int(found[0])
    return None


def _check_even_steps(pieces: list[FileIndex], names: tuple[str, ...], warn: Warn) -> None:
    for piece, name in zip(pieces, names):
        if piece.steps is None or len(piece) < 2:
            continue
        steps, usual = piece.steps, piece.steps[1] - piece.steps[0]
        odd = _first(steps.strides(), lambda strides, usual=usual: (strides != usual) & (strides != 0))
        if odd is not None:
            warn(
                f"{FrameLocation(name, piece.line[odd], odd).error('')}time step {steps[odd]} follows "
                f"{steps[odd - 1]}, where frames so far are {usual} steps apart; spectra need even spacing."
            )


def _interval(pieces: list[FileIndex], names: tuple[str, ...], warn: Warn) -> float | None:
    """fs between frames, from their times; None where a piece has none or where they are uneven."""
    if any(piece.times is None for piece in pieces) or not any(len(part) for part in _time_strides(pieces)):
        return None
    least = min(part.min() for part in _time_strides(pieces) if len(part))
    most = max(part.max() for part in _time_strides(pieces) if len(part))
    if not (least > 0 and most - least <= UNEVEN * least) and not _nearly_even(pieces, names, warn):
        return None
    # of all strides together the rounding of the printed times averages out
    sums, counts = zip(*((part.sum(), len(part)) for part in _time_strides(pieces)))
    return float(np.round(math.fsum(sums) / sum(counts), 9))


def _time_strides(pieces: list[FileIndex]) -> Iterator[np.ndarray]:
    """Times between frames and those before them, some at a time, but for joints."""
    for piece in pieces:
        joints = np.array(piece.joints, dtype=int)
        for row, strides in piece.times.strides():
            yield np.delete(strides, joints[(joints >= row) & (joints < row + len(strides))] - row)


def _nearly_even(pieces: list[FileIndex], names: tuple[str, ...], warn: Warn) -> bool:
    """Whether all times between frames are as most are; if not, a warning names the first."""
    strides = [np.concatenate(list(_time_strides([piece])) or [np.empty(0)]) for piece in pieces]
    interval = float(np.median(np.concatenate(strides)))
    for name, stride in zip(names, strides):
        odd = np.flatnonzero(np.abs(stride - interval) > UNEVEN * abs(interval))
        if len(odd) or interval <= 0:
            where = int(odd[0]) + 1 if len(odd) else 1
            warn(
                f"{name}: frame {where} does not come {interval:g} fs after the one before, as most frames do; "
                "the times in the file are not used."
            )
            return False
    return True


def _joined(pieces, paths, names, format, table, interval) -> TrajectoryIndex:
    def joined(field):
        return Column.joined([getattr(piece, field) for piece in pieces])

    outside = all(piece.header is not None for piece in pieces)
    kinds = np.unique(pieces[0].numbers)
    return TrajectoryIndex(
        paths,
        names,
        format,
        Column.progression(0, 1, sum(map(len, pieces))),
        Column.joined([Column.progression(k, 0, len(piece)) for k, piece in enumerate(pieces)]),
        joined("first_byte"),
        joined("last_byte"),
        joined("line"),
        joined("atoms"),
        numbers=pieces[0].numbers,
        species=tuple(chemical_symbols[kind] for kind in kinds),
        frame_interval=interval,
        steps=joined("steps") if all(piece.steps is not None for piece in pieces) else None,
        header=joined("header") if outside else Column.progression(0, 0, 0),
        labels=tuple(sorted(table.items())),
    )


def _joints(pieces: list[FileIndex]) -> list[int]:
    """Global numbers of the frames that follow a joint, before anything is left out."""
    starts = np.cumsum([0] + [len(piece) for piece in pieces])
    inner = [int(start) + joint for start, piece in zip(starts, pieces) for joint in piece.joints]
    return sorted({*map(int, starts[1:-1]), *inner})


def _parsed(index: TrajectoryIndex, which: np.ndarray) -> list[tuple]:
    """(positions, numbers, cell, periodic) of each frame of a text format, all at once where they are alike."""
    found, parts = list(texts(index, which)), None
    if index.format == "xdatcar":
        cells = xdatcar.cells(index, which)
        return xdatcar.read_alike([text for _, text in found], index.numbers, cells) or [
            xdatcar.read(text, index.location(frame), index.numbers, cell) for (frame, text), cell in zip(found, cells)
        ]
    if index.format == "extxyz" and len(found) > 1:
        places = [index.location(frame) for frame, _ in found]
        parts = extxyz_alike.read_alike([text for _, text in found], places, dict(index.labels))
    parse = _reader(index)
    return parts or [parse(text, frame) for frame, text in found]


def _reader(index: TrajectoryIndex) -> Callable:
    """The function that turns the bytes of a frame into positions, numbers, cell and periodic."""
    table, module = dict(index.labels), TEXT[index.format]
    if index.format == "vasprun":
        return lambda text, frame: vasprun.read(text, index.location(frame), index.numbers)
    return lambda text, frame: module.read(text, index.location(frame), table)


def _check_frames(index: TrajectoryIndex, which: np.ndarray, frames: Frames) -> None:
    """The atoms of the first frame, cells with a volume, no atom out of this world."""
    alike = np.array_equal(frames.numbers, np.tile(index.numbers, len(frames)))
    for k, (begin, end) in enumerate(() if alike else pairwise(frames.first_atom)):
        numbers = frames.numbers[begin:end]
        if not _same_atoms(index, numbers):
            raise index.location(int(which[k])).error(
                f"{composition(numbers)}; the first frame has {composition(index.numbers)}, by id where there are ids."
            )
    if np.abs(frames.positions).max(initial=0) > FARTHEST:
        atom = int(np.abs(frames.positions).max(axis=1).argmax())
        raise index.location(int(which[frames.frame_of_atom[atom]])).error(
            f"an atom at {frames.positions[atom].tolist()} Angstrom; the file is damaged."
        )
    for k in np.flatnonzero(~valid_cells(frames.cells, frames.periodic)):
        raise index.location(int(which[k])).error(
            f"the cell {np.round(frames.cells[k], 4).tolist()} has no volume although the frame is periodic."
        )


def _same_atoms(index: TrajectoryIndex, numbers: np.ndarray) -> bool:
    """In XYZ the order may change from frame to frame; with LAMMPS ids it may not."""
    if np.array_equal(numbers, index.numbers):
        return True
    return index.format == "extxyz" and np.array_equal(np.sort(numbers), np.sort(index.numbers))
