"""Trajectories: finding every frame once, and reading any of them."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mlraman_hpc.base.elements import ELEMENTS, ISOTOPES, symbols
from mlraman_hpc.base.elements import masses as standard_masses
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.readers.text import Warn, build_frames, isotope_element, numbers_of_atom_types
from mlraman_hpc.readers.trajectory import checks
from mlraman_hpc.readers.trajectory.base import TrajectoryIndex
from mlraman_hpc.readers.trajectory.formats import format_named, format_of_files
from mlraman_hpc.readers.trajectory.frame_table import TableNotWritten, column_of, concatenated
from mlraman_hpc.readers.trajectory.index_cache import cached_index
from mlraman_hpc.readers.trajectory.restarts import without_superseded
from mlraman_hpc.readers.unpacking import unpacked_copy
from mlraman_hpc.records.formats import TRAJECTORY_FORMATS
from mlraman_hpc.records.frames import Frames

CELL_CHANGES = 1e-6  # Angstrom; the digits of files of cells are 1e-10
MEMORY_ROWS = 1 << 16  # a longer table of several files is written to a file and memory-mapped


def build_index(
    files: list[Path],
    format: str,
    scratch: Path,
    species: list[str] | dict | None,
    warn: Warn,
    cell: np.ndarray | None = None,
) -> TrajectoryIndex:
    """Look through the files of one run, in order, once.

    `species` maps LAMMPS types (a list: types 1, 2, ...) or labels to elements; `scratch` takes unpacked copies of .gz
    and the indices of long files, used again while a file stays as it is; `cell` (3, 3) Angstrom is for frames without
    one. A frame that repeats the one before where two files meet is left out, and a joint across which atoms jump
    is reported, both as warnings.
    Errors: DataError for files that are damaged or do not fit together, naming file, line and frame.
    """
    if not files:
        raise DataError("trajectory.files: no file matches; check the path.")
    atom_types = numbers_of_atom_types(species)
    names = tuple(str(file) for file in files)
    paths = tuple(str(unpacked_copy(Path(file), scratch, warn)) for file in files)
    chosen = format_of_files(paths, names, format)
    settings = [chosen.name, sorted(atom_types.items())]
    parts = [
        cached_index(path, name, settings, scratch, warn, partial(chosen.scan, path, name, atom_types))
        for path, name in zip(paths, names)
    ]
    checks.check_same_atoms(parts, names)
    parts = without_superseded(parts, (paths, names), chosen.name, atom_types, read_frames, warn)
    checks.check_even_steps(parts, names, warn)
    index = TrajectoryIndex(
        paths,
        names,
        chosen.name,
        _joined([part.table for part in parts], [], scratch),
        numbers=parts[0].numbers,
        species=tuple(symbols(np.unique(parts[0].numbers))),
        frame_interval=checks.frame_interval(parts, names, warn),
        has_steps=checks.steps_rise(parts),
        stride=checks.common_stride(parts),
        time_step=chosen.time_step_beside(str(files[0])),
        masses=_isotope_masses(checks.common_masses(parts, names, warn), parts[0].numbers, species),
        atom_types=atom_types,
    )
    if atom_types and not set(atom_types.values()) & set(index.numbers.tolist()):
        warn(f"trajectory.species is not used: {names[0]} names its elements ({', '.join(index.species)}).")
    checks.check_positions(index, read_frames(index, [0]))
    if cell is not None:
        index = _with_cell(index, np.asarray(cell, dtype=float), warn)
    else:
        index = _with_cells_beside(index, warn)
    joints = checks.joints_of(parts)
    repeats = checks.repeated_frames(index, joints, read_frames, warn)
    if repeats:
        cells = None if index.cells is None else np.delete(index.cells, repeats, axis=0)
        index = replace(index, table=_joined([index.table], repeats, scratch), cells=cells)
        joints = [joint - sum(repeat < joint for repeat in repeats) for joint in joints]
    checks.check_continuity(index, joints, read_frames, warn)
    return index


def files_beside(files: list[Path], format: str) -> list[Path]:
    """Further files that the frames depend on although the deck does not name them: those with the cells."""
    formats = [format_named(name) for name in TRAJECTORY_FORMATS if format in ("auto", name)]
    beside = (other.cell_file(str(file)) for file in files for other in formats)
    return sorted({Path(file) for file in beside if file is not None})


def read_frames(index: TrajectoryIndex, rows: ArrayLike, velocities: bool = False) -> Frames:
    """The frames in these rows of the index, in this order; only their bytes are read.

    Positions are Cartesian, Angstrom, as in the file (unwrapped stays unwrapped). `velocities`: with them, where all
    these frames have them. Masses are those of the first frame, for frames that list their atoms in its order.
    Errors: DataError for anything that is not a frame of this system, naming file, line and frame.
    """
    index = index.take(_checked_rows(index, rows))
    format = format_named(index.format)
    frames = build_frames(format.read(index, velocities), index.table["frame"].copy())
    frames = _with_masses(index, _in_cell(index, frames))
    checks.check_frames(index, frames, format.reorders)
    return frames


def _isotope_masses(
    masses: np.ndarray | None, numbers: np.ndarray, species: list[str] | dict | None
) -> np.ndarray | None:
    """(atoms,) u: of the files, or where these have none of the isotope that trajectory.species names.

    Errors: DeckKeyError where it names an element and its isotope, which the atoms do not tell apart.
    """
    words = {str(word) for word in (species.values() if isinstance(species, dict) else species or [])}
    named = sorted(words & set(ISOTOPES))
    if masses is not None or not named:
        return masses
    if len({word for word in words if isotope_element(word) == "H"}) > 1:
        raise DeckKeyError(
            "trajectory.species", f"{' and '.join(named)} beside other atoms of hydrogen; give one of them, and masses"
        )
    element, mass = ISOTOPES[named[0]]
    return np.where(numbers == ELEMENTS.index(element), mass, standard_masses(numbers))


def _joined(tables: list[np.ndarray], left_out: list[int], scratch: Path) -> np.ndarray:
    """A table of all rows but some; in a file where it is long."""
    if len(tables) == 1 and not left_out:
        return tables[0]
    path = Path(scratch) / f"trajectory.{os.getpid()}.frames" if sum(map(len, tables)) > MEMORY_ROWS else None
    rows = np.array(left_out, dtype=np.int64)
    try:
        return concatenated(tables, rows, path)
    except TableNotWritten:
        return concatenated(tables, rows, None)


def _checked_rows(index: TrajectoryIndex, rows: ArrayLike) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.int64).reshape(-1)
    outside = rows[(rows < 0) | (rows >= len(index))]
    if len(outside):
        raise DataError(f"{index.names[0]}: frame {outside[0]} was asked for; there are frames 0 to {len(index) - 1}.")
    return rows


def _with_cell(index: TrajectoryIndex, cell: np.ndarray, warn: Warn) -> TrajectoryIndex:
    """With trajectory.cell, unless the first frame has its own."""
    if read_frames(index, [0]).periodic.any():
        warn(f"trajectory.cell is not used: {index.names[0]} has the cell in the file.")
        return index
    return replace(index, cell=cell)


def _with_cells_beside(index: TrajectoryIndex, warn: Warn) -> TrajectoryIndex:
    """With the cells of files beside the trajectory's, where all have one and the first frame has none.

    Errors: DataError where they change, and a time step of the trajectory is not among theirs.
    """
    format = format_named(index.format)
    files = [file for name in index.names if (file := format.cell_file(name)) is not None]
    if len(files) < len(index.names) or read_frames(index, [0]).periodic.any():
        return index
    of_file = [format.read_cells(file) for file in files]
    first = of_file[0][1][:1]
    if len(first) and all(np.allclose(cells, first, atol=CELL_CHANGES, rtol=0) for _, cells in of_file):
        index = replace(index, cell=first[0])
    else:
        numbers, wanted = (column_of(index.table, name, np.arange(len(index))) for name in ("file", "step"))
        cells = np.empty((len(index), 3, 3))
        for number, (steps, values) in enumerate(of_file):
            rows = np.flatnonzero(numbers == number)
            missing = rows[~np.isin(wanted[rows], steps)]
            if len(missing):
                raise index.location(int(missing[0])).error(
                    f"{files[number]} has no cell of time step {wanted[missing[0]]}: it has to be printed as often as "
                    "the positions. Without that file trajectory.cell gives one cell for all frames."
                )
            cells[rows] = values[np.searchsorted(steps, wanted[rows])]
        index = replace(index, cells=cells)
    named = ", ".join(files)
    warn(f"{index.names[0]}: periodic in all directions, with the cell in {named}; trajectory.cell overrules it.")
    return index


def _in_cell(index: TrajectoryIndex, frames: Frames) -> Frames:
    """Frames without a cell get that of the deck, or of a file beside theirs."""
    cells = index.cell if index.cells is None else index.cells
    if cells is None:
        return frames
    without = ~frames.periodic.any(axis=1)
    return replace(
        frames, cells=np.where(without[:, None, None], cells, frames.cells), periodic=frames.periodic | without[:, None]
    )


def _with_masses(index: TrajectoryIndex, frames: Frames) -> Frames:
    if index.masses is None or not np.array_equal(frames.numbers, np.tile(index.numbers, len(frames))):
        return frames
    return replace(frames, masses=np.tile(index.masses, len(frames)))
