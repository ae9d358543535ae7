"""Runs that were started again from a state before their last frame, and wrote some time steps twice.

CP2K appends to the files that are there; LAMMPS and others write the next piece from the state of their last restart
file. What was written after that state and before the new start belongs to no path of the atoms that goes on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.readers.text import Warn
from mlraman_hpc.readers.trajectory.base import FileIndex, TrajectoryIndex
from mlraman_hpc.readers.trajectory.checks import Read, displacement
from mlraman_hpc.readers.trajectory.frame_table import concatenated, differences

SAME = 0.5  # of the displacement from one frame to the next: frames of one time step that are closer are the same state


def without_superseded(
    parts: list[FileIndex],
    files: tuple[tuple[str, ...], tuple[str, ...]],
    format: str,
    atom_types: dict[str, int],
    read: Read,
    warn: Warn,
) -> list[FileIndex]:
    """The files of a run without the frames that a new start has written again, each start with a warning.

    A new start is where the time steps fall back to one that is there already, with the atoms where they were then. A
    run that counts its time steps from the start again, or lies elsewhere, is left as it is. `files`: paths and names.
    """
    starts = np.cumsum([0, *map(len, parts)])
    falls = _falls(parts, starts)
    if not falls:
        return parts
    index = TrajectoryIndex(
        *files,
        format,
        concatenated([part.table for part in parts], np.empty(0, np.int64), None),
        numbers=parts[0].numbers,
        species=tuple(symbols(np.unique(parts[0].numbers))),
        atom_types=atom_types,
    )
    steps, left_out = index.table["step"], np.zeros(len(index), dtype=bool)
    for fall in falls:
        kept = np.flatnonzero(~left_out[:fall])
        same = kept[int(np.searchsorted(steps[kept], steps[fall]))] if len(kept) else fall
        superseded = kept[kept >= same]
        if same < fall and steps[same] == steps[fall] and _same_state(index, kept, same, fall, read):
            left_out[superseded] = True
            warn(
                f"{index.location(fall).error('')}the run was started again at time step {steps[fall]}: "
                f"{len(superseded)} frames before, of time steps {steps[same]} to {steps[superseded[-1]]}, are left out"
            )
    return [_taken(part, ~left_out[begin : begin + len(part)]) for part, begin in zip(parts, starts)]


def _falls(parts: list[FileIndex], starts: np.ndarray) -> list[int]:
    """Rows of all files together at which the time step is smaller than one row before."""
    if not all(part.has_steps for part in parts):
        return []
    falls = [
        int(start) + row + int(k)
        for part, start in zip(parts, starts)
        for row, strides in differences(part.table, "step")
        for k in np.flatnonzero(strides < 0)
    ]
    joints = [
        int(start)
        for before, part, start in zip(parts, parts[1:], starts[1:])
        if len(before) and len(part) and part.table["step"][0] < before.table["step"][-1]
    ]
    return sorted(falls + joints)


def _same_state(index: TrajectoryIndex, kept: np.ndarray, same: int, fall: int, read: Read) -> bool:
    """Whether the atoms at the new start are where they were at that time step."""
    earlier = kept[kept < same]
    if not len(earlier):  # the first frame of all: a count that begins again
        return False
    frames = read(index, [int(earlier[-1]), same, fall])
    if (frames.numbers.reshape(3, -1) != index.numbers).any():
        return False
    return displacement(frames.take([1, 2])) <= SAME * displacement(frames.take([0, 1]))


def _taken(part: FileIndex, keep: np.ndarray) -> FileIndex:
    """A file's index with some of its frames."""
    if keep.all():
        return part
    table, row = part.table[keep], np.cumsum(keep) - 1  # what a kept row's number becomes
    table["frame"] = np.arange(len(table))
    return replace(part, table=table, restarts=tuple(int(row[k]) for k in part.restarts if keep[k]))
