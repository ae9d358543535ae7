"""Reference and predicted forces of the same structures: two arrays of one extended XYZ file, or of two files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.readers.text import FrameLocation, Warn, composition, memory_mapped
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.trajectory.byte_ranges import frame_texts
from mlraman_hpc.readers.trajectory.frame_table import FRAME
from mlraman_hpc.readers.unpacking import unpacked_copy

SAME_POSITION = 0.01  # Angstrom, within which two files have the same structure


@dataclass(frozen=True)
class ForceFrames:
    """Where the frames of extended XYZ files lie; numbers of atoms may vary.

    table    (frames,) of FRAME; `frame` is the number of a frame in its file
    number   (frames,) of each frame in all files together, from 0
    array    name of the forces
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    table: np.ndarray
    number: np.ndarray
    array: str

    def __len__(self) -> int:
        return len(self.table)

    @property
    def atoms(self) -> np.ndarray:
        """(frames,) number of atoms."""
        return self.table["atoms"].astype(np.int64)

    def location(self, row: int) -> FrameLocation:
        """The file, line and number of the frame in this row, for messages."""
        frame = self.table[row]
        return FrameLocation(self.names[frame["file"]], int(frame["line"]), int(frame["frame"]))

    def take(self, rows: np.ndarray) -> ForceFrames:
        """Just these frames."""
        return replace(self, table=self.table[rows], number=self.number[rows])


@dataclass(frozen=True)
class ForcePairs:
    """Atoms of some frames laid end to end: atomic numbers and number of the frame (atoms,), forces (atoms, 3)."""

    numbers: np.ndarray
    frame: np.ndarray
    reference: np.ndarray
    predicted: np.ndarray


def find_frames(files: list[Path], array: str, scratch: Path, warn: Warn) -> ForceFrames:
    """Look through the files once; the first frame of each must have `array`. Frames are numbered in each file.

    Errors: DataError for damaged files and where the array is missing.
    """
    names = tuple(map(str, files))
    paths = tuple(str(unpacked_copy(file, scratch, warn)) for file in files)
    tables = [_table(path, name, number, warn) for number, (path, name) in enumerate(zip(paths, names))]
    table = np.concatenate(tables)
    frames = ForceFrames(paths, names, table, np.arange(len(table)), array)
    first = frames.take(np.flatnonzero(table["frame"] == 0))
    for row, text in enumerate(frame_texts(first)):
        _array(text, first.location(row), array)
    return frames


def _table(path: str, name: str, number: int, warn: Warn) -> np.ndarray:
    with memory_mapped(path, name) as text:
        bounds, _ = extxyz.frame_bounds(text, name, warn)
    if not len(bounds):
        raise FrameLocation(name, 1, 0).error("no complete frame; the last line must be whole, with its line end.")
    table = np.zeros(len(bounds), FRAME)
    table["frame"], table["file"] = np.arange(len(bounds)), number
    for column, values in zip(("first_byte", "last_byte", "line", "atoms"), bounds.T):
        table[column] = values
    return table


def vectors_in(file: Path, scratch: Path, warn: Warn) -> list[str]:
    """Names of the arrays of three columns in the first frame, other than positions."""
    path = str(unpacked_copy(file, scratch, warn))
    with memory_mapped(path, str(file)) as text:
        rows, _ = extxyz.frame_bounds(text[: _first_frame(text)], str(file), warn)
        if not len(rows):
            raise FrameLocation(str(file), 1, 0).error("no complete frame.")
        return _vectors(text[rows[0, 0] : rows[0, 1]])


def _first_frame(text) -> int:
    """Bytes that hold the first frame: its number of atoms, comment and atoms."""
    head = text[: text.find(b"\n")].strip()
    end = -1
    for _ in range(int(head) + 2 if head.isdigit() else 2):
        end = text.find(b"\n", end + 1)
        if end < 0:
            return len(text)
    return end + 1


def _vectors(text: bytes) -> list[str]:
    declared = extxyz.value(text.split(b"\n", 2)[1], "properties")
    fields = declared.decode("utf-8", "replace").split(":") if declared else []
    return [
        label
        for label, width in zip(fields[0::3], fields[2::3])
        if width == "3" and label.lower() not in extxyz.POSITIONS
    ]


def _array(text: bytes, location: FrameLocation, name: str) -> np.ndarray:
    """(atoms, 3) of the array of this name."""
    array = extxyz.vectors(text, location, name)
    if array is None:
        raise location.error(
            f"no array '{name}' of three columns in Properties; there: {', '.join(_vectors(text)) or 'none'}. The "
            "deck's forces.reference and forces.predicted name the arrays.",
            1,
        )
    return array


def check_alike(reference: ForceFrames, predicted: ForceFrames) -> None:
    """As many frames in both; the frames themselves are compared when they are read."""
    if len(reference) != len(predicted):
        raise DeckKeyError(
            "forces.predicted_files",
            f"{len(predicted)} frames, but {len(reference)} in forces.files; both "
            "must hold the same structures in the same order",
        )


def read_pairs(reference: ForceFrames, predicted: ForceFrames) -> ForcePairs:
    """All frames of both, which are the same structures: two arrays of one file, or two files.

    Errors: DataError with file, line and frame for missing or damaged arrays and for structures that differ.
    """
    two_files = predicted.paths != reference.paths
    others = frame_texts(predicted)
    parts = []
    for row, text in enumerate(frame_texts(reference)):
        location, other_location = reference.location(row), predicted.location(row)
        structure, other = extxyz.read(text, location, {}), text
        if two_files:
            other = next(others)
            _check_same(other_location, location, extxyz.read(other, other_location, {}), structure)
        parts.append(
            (structure[1], _array(text, location, reference.array), _array(other, other_location, predicted.array))
        )
    if not parts:
        return ForcePairs(np.empty(0, int), np.empty(0, int), np.empty((0, 3)), np.empty((0, 3)))
    numbers, known, computed = (np.concatenate(values) for values in zip(*parts))
    return ForcePairs(numbers, np.repeat(reference.number, reference.atoms), known, computed)


def _check_same(location: FrameLocation, other: FrameLocation, structure: tuple, expected: tuple) -> None:
    """Of (positions, numbers, cell, periodic) each: the same atoms, up to lattice vectors in the same positions."""
    positions, numbers, *_ = structure
    expected_positions, expected_numbers, cell, periodic = expected
    reference = f"{other.file} (frame {other.frame})"
    if not np.array_equal(numbers, expected_numbers):
        raise location.error(
            f"{composition(numbers)}, but {reference} has {composition(expected_numbers)}"
            + (" in another order" if np.array_equal(np.sort(numbers), np.sort(expected_numbers)) else "")
            + "; both files must hold the same structures in the same order."
        )
    distances = _distances(positions - expected_positions, cell, periodic)
    if distances.max() > SAME_POSITION:
        atom = int(distances.argmax())
        raise location.error(
            f"atom {atom + 1} lies {distances[atom]:.3g} Angstrom from where {reference} has it; both files must "
            "hold the same structures in the same order.",
            atom + 2,
        )


def _distances(steps: np.ndarray, cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Lengths of the steps (atoms, 3), up to lattice vectors."""
    if periodic.any():
        vectors = np.where(periodic[:, None], cell, np.eye(3))
        if abs(np.linalg.det(vectors)) < 1e-9:
            raise DataError("forces.files: a cell without volume")
        coordinates = steps @ np.linalg.inv(vectors)
        steps = (coordinates - np.round(coordinates) * periodic) @ vectors
    return np.linalg.norm(steps, axis=1)
