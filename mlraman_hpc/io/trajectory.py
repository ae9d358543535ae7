"""Trajectories: where each frame lies, and reading any frames by seeking to them.

A format is a module with `scan(path, name, table, warn) -> Piece`. A text format reads a frame from its bytes, with
`read(text, place, ...)`; the others, in BINARY, read rows of a file, with `read(path, rows, place, numbers)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from ..errors import DataError, DeckError
from ..schema.records import Frames
from . import asetraj, extxyz, extxyz_alike, h5md, index_cache, joints, lammps, vaspout, vasprun, xdatcar
from .pieces import Piece, Place, Warn, described, frames_of, good_cells, species_table, unpack
from .seeking import texts

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
FARTHEST = 1e7  # Angstrom
_STARTS = {b"ITEM:": "lammps-dump", b"- of Ulm": "ase-traj", b"\x89HDF": "h5md", b"<?xml": "vasprun"}


@dataclass(frozen=True)
class TrajectoryIndex:
    """Where the frames of a trajectory lie; arrays and strings only.

    paths, names     (files,) files to read from (unpacked copies of .gz), and what the user calls them
    frame            (frames,) number of each frame in the whole trajectory, from 0
    file_of_frame, first_byte, last_byte, line, atoms   (frames,); line is the frame's first one, counted from 1;
                     in files that are not text first_byte is the number of the frame in its file and line 0
    numbers          (atoms,) atomic numbers of the first frame
    species          elements, by atomic number
    frame_interval   fs between frames where the files say it, else None
    steps            (frames,) time steps as the files give them, or None
    cells, header    (headers, 3, 3) Angstrom and (frames,), for formats that keep the cell outside the frame
    labels           what the files call an atom -> atomic number, from trajectory.species
    given_cell       (3, 3) Angstrom from trajectory.cell, for frames that have none; None otherwise
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    format: str
    frame: np.ndarray
    file_of_frame: np.ndarray
    first_byte: np.ndarray
    last_byte: np.ndarray
    line: np.ndarray
    atoms: np.ndarray
    numbers: np.ndarray
    species: tuple[str, ...]
    frame_interval: float | None
    steps: np.ndarray | None
    cells: np.ndarray
    header: np.ndarray
    labels: tuple[tuple[str, int], ...]
    given_cell: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first_byte)

    def place(self, row: int) -> Place:
        """The file, line and number of the frame in this row, for messages."""
        return Place(self.names[self.file_of_frame[row]], int(self.line[row]), int(self.frame[row]))

    def take(self, rows) -> TrajectoryIndex:
        """The index of just these frames, small enough to be sent to whoever reads them."""
        rows = np.asarray(rows, dtype=np.int64)
        fields = ("frame", "file_of_frame", "first_byte", "last_byte", "line", "atoms")
        used, header = np.unique(self.header[rows], return_inverse=True) if len(self.header) else ([], self.header)
        return replace(
            self, **{field: getattr(self, field)[rows] for field in fields}, header=np.asarray(header, np.int32),
            cells=self.cells[used] if len(self.header) else self.cells,
            steps=None if self.steps is None else self.steps[rows],
        )


def build_index(
    files: list[Path], format: str, scratch: Path, species: list[str] | dict | None, warn: Warn,
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
    paths = tuple(str(unpack(Path(file), scratch, warn)) for file in files)
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
    which = _rows(index, which)
    if index.format in BINARY:
        module = BINARY[index.format]
        parts = [part for path, rows, place in _by_file(index, which)
                 for part in module.read(path, rows, place, index.numbers)]
    else:
        parts = _parsed(index, which)
    frames = _in_given_cell(index, frames_of(parts, index.frame[which]))
    _check_frames(index, which, frames)
    return frames


def _rows(index: TrajectoryIndex, which) -> np.ndarray:
    which = np.asarray(which, dtype=np.int64).reshape(-1)
    outside = which[(which < 0) | (which >= len(index))]
    if len(outside):
        raise DataError(f"{index.names[0]}: frame {outside[0]} was asked for; there are frames 0 to {len(index) - 1}.")
    return which


def _by_file(index: TrajectoryIndex, which: np.ndarray):
    """(path, rows in the file, place of the k-th of them), one for each run of frames of one file."""
    for part in np.split(which, np.flatnonzero(np.diff(index.file_of_frame[which])) + 1) if len(which) else []:
        path = index.paths[index.file_of_frame[part[0]]]
        yield path, index.first_byte[part], lambda k, part=part: index.place(int(part[k]))


def read_velocities(index: TrajectoryIndex, which) -> np.ndarray | None:
    """(frames, atoms, 3) velocities in the file's own unit, or None where the trajectory has none."""
    module = {"extxyz": extxyz, "lammps-dump": lammps, "h5md": h5md, "ase-traj": asetraj}.get(index.format)
    which = _rows(index, which)
    if module is None:
        return None
    if index.format in BINARY:
        found = [module.velocities(path, rows, place) for path, rows, place in _by_file(index, which)]
        parts = [one for part in found for one in ([None] if part is None else part)]
    else:
        parts = [module.velocities(text, index.place(frame)) for frame, text in texts(index, which)]
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


def _piece(path: str, name: str, format: str, table: dict[str, int], scratch: Path, warn: Warn) -> Piece:
    module = FORMATS[format]
    if format in BINARY:
        return module.scan(path, name, table, warn)
    return index_cache.piece(path, name, [format, sorted(table.items())], scratch, warn,
                             lambda tell: module.scan(path, name, table, tell))


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
    return replace(frames, cells=np.where(without[:, None, None], index.given_cell, frames.cells),
                   periodic=frames.periodic | without[:, None])


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


def _check_same_atoms(pieces: list[Piece], names: tuple[str, ...]) -> None:
    """Same atoms in the same order in every piece, and as many in every frame."""
    for piece, name in zip(pieces, names):
        odd = np.flatnonzero(piece.atoms != len(pieces[0].numbers))
        if len(odd):
            raise Place(name, int(piece.line[odd[0]]), int(odd[0])).fault(
                f"{piece.atoms[odd[0]]} atoms, the first frame has {len(pieces[0].numbers)}; "
                "a trajectory must keep its atoms.")
        if not np.array_equal(piece.numbers, pieces[0].numbers):
            raise DataError(f"{name}: {described(piece.numbers)}; {names[0]}: {described(pieces[0].numbers)}. "
                            "The pieces of a run must have the same atoms in the same order.")


def _check_even_steps(pieces: list[Piece], names: tuple[str, ...], warn: Warn) -> None:
    for piece, name in zip(pieces, names):
        strides = np.diff(piece.steps) if piece.steps is not None else np.empty(0)
        odd = np.flatnonzero((strides != strides[0]) & (strides != 0)) if len(strides) else []
        if len(odd):
            k = int(odd[0])
            warn(f"{Place(name, int(piece.line[k + 1]), k + 1).fault('')}time step {piece.steps[k + 1]} follows "
                 f"{piece.steps[k]}, where frames so far are {strides[0]} steps apart; spectra need even spacing.")


def _interval(pieces: list[Piece], names: tuple[str, ...], warn: Warn) -> float | None:
    """fs between frames, from their times; None where a piece has none or where they are uneven."""
    if any(piece.times is None for piece in pieces):
        return None
    strides = [np.delete(np.diff(piece.times), np.array(piece.joints, dtype=int) - 1) for piece in pieces]
    every = np.concatenate(strides)
    if not len(every):
        return None
    interval = float(np.median(every))
    for name, stride in zip(names, strides):
        odd = np.flatnonzero(np.abs(stride - interval) > 1e-3 * abs(interval))
        if len(odd) or interval <= 0:
            where = int(odd[0]) + 1 if len(odd) else 1
            warn(f"{name}: frame {where} does not come {interval:g} fs after the one before, as most frames do; "
                 "the times in the file are not used.")
            return None
    # of all strides together the rounding of the printed times averages out
    return float(np.round(every.mean(), 9))


def _joined(pieces, paths, names, format, table, interval) -> TrajectoryIndex:
    def joined(field):
        return np.concatenate([getattr(piece, field) for piece in pieces])

    count = [len(piece) for piece in pieces]
    headers = [0 if piece.cells is None else len(piece.cells) for piece in pieces]
    offsets = np.repeat(np.cumsum([0, *headers[:-1]]), count)
    outside = all(piece.cells is not None for piece in pieces)
    kinds = np.unique(pieces[0].numbers)
    return TrajectoryIndex(
        paths, names, format, np.arange(sum(count)), np.repeat(np.arange(len(pieces), dtype=np.int32), count),
        joined("first_byte"), joined("last_byte"), joined("line"), joined("atoms").astype(np.int32),
        numbers=pieces[0].numbers, species=tuple(chemical_symbols[kind] for kind in kinds), frame_interval=interval,
        steps=joined("steps") if all(piece.steps is not None for piece in pieces) else None,
        cells=joined("cells") if outside else np.empty((0, 3, 3)),
        header=(joined("header") + offsets).astype(np.int32) if outside else np.empty(0, np.int32),
        labels=tuple(sorted(table.items())),
    )


def _joints(pieces: list[Piece]) -> list[int]:
    """Global numbers of the frames that follow a joint, before anything is left out."""
    starts = np.cumsum([0] + [len(piece) for piece in pieces])
    inner = [int(start) + joint for start, piece in zip(starts, pieces) for joint in piece.joints]
    return sorted({*map(int, starts[1:-1]), *inner})


def _parsed(index: TrajectoryIndex, which: np.ndarray) -> list[tuple]:
    """(positions, numbers, cell, periodic) of each frame of a text format, all at once where they are alike."""
    found, parts = list(texts(index, which)), None
    if index.format == "xdatcar":
        parts = xdatcar.read_alike([text for _, text in found], index.numbers, index.cells[index.header[which]])
    elif index.format == "extxyz" and len(found) > 1:
        places = [index.place(frame) for frame, _ in found]
        parts = extxyz_alike.read_alike([text for _, text in found], places, dict(index.labels))
    parse = _reader(index)
    return parts or [parse(text, frame) for frame, text in found]


def _reader(index: TrajectoryIndex) -> Callable:
    """The function that turns the bytes of a frame into positions, numbers, cell and periodic."""
    table, module = dict(index.labels), TEXT[index.format]
    if index.format == "xdatcar":
        return lambda text, frame: xdatcar.read(
            text, index.place(frame), index.numbers, index.cells[index.header[frame]])
    if index.format == "vasprun":
        return lambda text, frame: vasprun.read(text, index.place(frame), index.numbers)
    return lambda text, frame: module.read(text, index.place(frame), table)


def _check_frames(index: TrajectoryIndex, which: np.ndarray, frames: Frames) -> None:
    """The atoms of the first frame, cells with a volume, no atom out of this world."""
    alike = np.array_equal(frames.numbers, np.tile(index.numbers, len(frames)))
    for k, (begin, end) in enumerate(() if alike else pairwise(frames.first_atom)):
        numbers = frames.numbers[begin:end]
        if not _same_atoms(index, numbers):
            raise index.place(int(which[k])).fault(
                f"{described(numbers)}; the first frame has {described(index.numbers)}, by id where there are ids.")
    if np.abs(frames.positions).max(initial=0) > FARTHEST:
        atom = int(np.abs(frames.positions).max(axis=1).argmax())
        raise index.place(int(which[frames.frame_of_atom[atom]])).fault(
            f"an atom at {frames.positions[atom].tolist()} Angstrom; the file is damaged.")
    for k in np.flatnonzero(~good_cells(frames.cells, frames.periodic)):
        raise index.place(int(which[k])).fault(
            f"the cell {np.round(frames.cells[k], 4).tolist()} has no volume although the frame is periodic.")


def _same_atoms(index: TrajectoryIndex, numbers: np.ndarray) -> bool:
    """In XYZ the order may change from frame to frame; with LAMMPS ids it may not."""
    if np.array_equal(numbers, index.numbers):
        return True
    return index.format == "extxyz" and np.array_equal(np.sort(numbers), np.sort(index.numbers))
