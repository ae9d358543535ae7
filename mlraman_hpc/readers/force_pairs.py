"""Reference and predicted forces of the same structures: two arrays of one extended XYZ file, or of two files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.text import FrameLocation, Warn, composition, memory_mapped, unpacked_copy
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.trajectory.byte_ranges import texts

SAME_PLACE = 0.01  # Angstrom, within which two files have the same structure


@dataclass(frozen=True)
class ForceFrames:
    """Where the frames of extended XYZ files lie; numbers of atoms may vary.

    number         (frames,) of each frame in all files together, from 0; frame: in its file
    file_of_frame, first_byte, last_byte, line, atoms   (frames,)
    array          name of the forces
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    number: np.ndarray
    frame: np.ndarray
    file_of_frame: np.ndarray
    first_byte: np.ndarray
    last_byte: np.ndarray
    line: np.ndarray
    atoms: np.ndarray
    array: str

    def __len__(self) -> int:
        return len(self.first_byte)

    def location(self, row: int) -> FrameLocation:
        return FrameLocation(self.names[self.file_of_frame[row]], int(self.line[row]), int(self.frame[row]))

    def take(self, rows) -> ForceFrames:
        fields = ("number", "frame", "file_of_frame", "first_byte", "last_byte", "line", "atoms")
        return replace(self, **{field: getattr(self, field)[rows] for field in fields})


@dataclass(frozen=True)
class ForcePairs:
    """Atoms of some frames laid end to end: atomic numbers and number of the frame (atoms,), forces (atoms, 3)."""

    numbers: np.ndarray
    frame: np.ndarray
    reference: np.ndarray
    predicted: np.ndarray


def find_frames(files: list[Path], array: str, scratch: Path, warn: Warn) -> ForceFrames:
    """Look through the files once; the first frame of each must have `array`. Frames are numbered in each file."""
    names = tuple(map(str, files))
    paths = tuple(str(unpacked_copy(file, scratch, warn)) for file in files)
    rows = [_bounds(path, name, warn) for path, name in zip(paths, names)]
    first, last, line, atoms = np.concatenate(rows).T
    found = ForceFrames(
        paths,
        names,
        np.arange(len(first)),
        np.concatenate([np.arange(len(part)) for part in rows]),
        np.repeat(np.arange(len(rows)), list(map(len, rows))),
        first,
        last,
        line,
        atoms,
        array,
    )
    starts = np.cumsum([0, *map(len, rows[:-1])])
    for row, text in texts(found, starts):
        _array(text, found.location(row), array)
    return found


def _bounds(path: str, name: str, warn: Warn) -> np.ndarray:
    with memory_mapped(path, name) as text:
        rows, _ = extxyz.frame_bounds(text, name, warn)
    if not len(rows):
        raise FrameLocation(name, 1, 0).error("no complete frame; the last line must be whole, with its line end.")
    return rows


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


def _array(text: bytes, place: FrameLocation, name: str) -> np.ndarray:
    found = extxyz.vectors(text, place, name)
    if found is None:
        there = ", ".join(_vectors(text)) or "none"
        raise place.error(
            f"no array '{name}' of three columns in Properties; there: {there}. The deck's "
            "forces.reference and forces.predicted name the arrays.",
            1,
        )
    return found


def check_alike(reference: ForceFrames, predicted: ForceFrames) -> None:
    """As many frames in both; the frames themselves are compared when they are read."""
    if len(reference) != len(predicted):
        raise DeckError(
            f"forces.predicted_files: {len(predicted)} frames, but {len(reference)} in forces.files; both "
            "must hold the same structures in the same order"
        )


def read_pairs(reference: ForceFrames, predicted: ForceFrames) -> ForcePairs:
    """All frames of both, which are the same structures: two arrays of one file, or two files.

    Errors: DataError with file, line and frame for missing or damaged arrays and for structures that differ.
    """
    rows = np.arange(len(reference))
    same = predicted.paths == reference.paths
    others = texts(predicted, rows) if not same else None
    parts = []
    for row, text in texts(reference, rows):
        place = reference.location(row)
        positions, numbers, cell, periodic = extxyz.read(text, place, {})
        other = text
        if others is not None:
            other = next(others)[1]
            _check_same(
                predicted.location(row),
                place,
                extxyz.read(other, predicted.location(row), {}),
                positions,
                numbers,
                cell,
                periodic,
            )
        parts.append(
            (numbers, _array(text, place, reference.array), _array(other, predicted.location(row), predicted.array))
        )
    if not parts:
        return ForcePairs(np.empty(0, int), np.empty(0, int), np.empty((0, 3)), np.empty((0, 3)))
    numbers, known, made = (np.concatenate(values) for values in zip(*parts))
    return ForcePairs(numbers, np.repeat(reference.number, reference.atoms), known, made)


def _check_same(place: FrameLocation, other: FrameLocation, found, positions, numbers, cell, periodic) -> None:
    where = f"{other.file} (frame {other.frame})"
    if not np.array_equal(found[1], numbers):
        raise place.error(
            f"{composition(found[1])}, but {where} has {composition(numbers)}"
            + (" in another order" if np.array_equal(np.sort(found[1]), np.sort(numbers)) else "")
            + "; both files must hold the same structures in the same order."
        )
    away = _away(found[0] - positions, cell, periodic)
    if away.max() > SAME_PLACE:
        atom = int(away.argmax())
        raise place.error(
            f"atom {atom + 1} lies {away[atom]:.3g} Angstrom from where {where} has it; both files must "
            "hold the same structures in the same order.",
            atom + 2,
        )


def _away(step: np.ndarray, cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Lengths of the steps (atoms, 3), up to lattice vectors."""
    if periodic.any():
        vectors = np.where(periodic[:, None], cell, np.eye(3))
        if abs(np.linalg.det(vectors)) < 1e-9:
            raise DataError("forces.files: a cell without volume")
        inside = step @ np.linalg.inv(vectors)
        step = (inside - np.round(inside) * periodic) @ vectors
    return np.linalg.norm(step, axis=1)
