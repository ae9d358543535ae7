"""Labels that are frames of the trajectory, known by the number in their file's name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames, Labels

AGREE = 0.01  # Angstrom: some outputs have few digits
SURELY = 1e-4  # in 1 fs atoms move less than AGREE, so beyond this the frames beside are looked at too
_NEAR = (-1, 1, -2, 2)


def on_trajectory(labels: Labels, index: TrajectoryIndex, pattern: str, offset: int) -> tuple[Labels, str]:
    """The labels with the trajectory's positions and frame numbers, and a sentence for the user.

    Number n in a name is frame n + offset, from 0. Up to lattice vectors the positions must be those of the label.
    Errors: DeckError for a pattern that finds nothing, DataError where atoms, cell or positions differ.
    """
    chosen = np.array([_number(source, pattern) for source in labels.source]) + offset
    outside = np.flatnonzero((chosen < 0) | (chosen >= len(index)))
    if len(outside):
        raise DataError(
            f"{labels.source[outside[0]]}: would be frame {chosen[outside[0]]} of the trajectory, which "
            f"has frames 0 to {len(index) - 1}; check reference.frame_offset."
        )
    worst = 0.0
    for k, frame in enumerate(chosen):
        distance = _distance(labels.frames.take([k]), read_frames(index, [frame]), labels.source[k])
        if distance > SURELY:
            _check_neighbours(labels, index, k, int(frame), distance)
        worst = max(worst, distance)
    text = (
        f"{len(labels)} labels are frames {chosen.min()} to {chosen.max()} of the trajectory by the numbers in "
        f"their names; positions agree within {worst:.1e} Angstrom and are taken from the trajectory"
    )
    return replace(labels, frames=read_frames(index, chosen)), text


def _number(source: str, pattern: str) -> int:
    name = Path(source).name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise DeckError(f"reference.frame_from_name: not a regular expression ({error}).") from None
    if found is None or len(found.groups()) != 1 or not (found[1] or "").isdigit():
        raise DeckError(
            f"reference.frame_from_name: '{pattern}' finds no number in '{name}'; it needs one group, such "
            r"as '(\d+)\.OUTCAR'."
        )
    return int(found[1])


def _distance(label: Frames, frame: Frames, source: str) -> float:
    """Largest distance of an atom from itself, up to lattice vectors."""
    if not np.array_equal(label.numbers, frame.numbers) or not np.allclose(label.cells, frame.cells, atol=AGREE):
        raise DataError(
            f"{source}: other atoms, another order or another cell than in frame {frame.index[0]} of the trajectory."
        )
    shift = label.positions - frame.positions
    if frame.periodic.any():
        shift = shift - np.round(shift @ np.linalg.pinv(frame.cells[0])) @ frame.cells[0]
    return float(np.linalg.norm(shift, axis=1).max())


def _check_neighbours(labels: Labels, index: TrajectoryIndex, k: int, frame: int, distance: float) -> None:
    """Errors: DataError where a frame beside fits much better, or where none is near."""
    label, text = (
        labels.frames.take([k]),
        (f"{labels.source[k]}: an atom is {distance:.2g} Angstrom from where frame {frame} of the trajectory has it"),
    )
    for step in _NEAR:
        near = frame + step
        if 0 <= near < len(index) and _distance(label, read_frames(index, [near]), labels.source[k]) < 0.2 * distance:
            raise DataError(f"{text}. Frame {near} fits: change reference.frame_offset by {step}.")
    if distance > AGREE:
        raise DataError(f"{text}; check reference.frame_from_name and frame_offset.")
