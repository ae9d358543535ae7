"""Labels whose structures are frames of the trajectory: tensors of a table, and files named after their frame."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.base.time_limits import TookTooLong, processor_time
from mlraman_hpc.readers.series.cp2k_run import POLAR_FILE
from mlraman_hpc.readers.series.formats import read_any
from mlraman_hpc.readers.tensors.base import FileError, Request
from mlraman_hpc.readers.tensors.components import check_order, labels_of
from mlraman_hpc.readers.text import Warn
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames, Labels

POSITION_TOLERANCE = 0.01  # Angstrom: some outputs have few digits
ROUNDING_TOLERANCE = (
    1e-4  # Angstrom: atoms move less than POSITION_TOLERANCE in 1 fs, so beyond this neighbours compete
)
PATTERN_SECONDS = 2.0  # of processor time for one file name
_NEIGHBOURS = (-1, 1, -2, 2)  # frames, in the order in which they are compared


def are_along_trajectory(files: list[Path], format: str) -> bool:
    """Whether the files hold tensors alone, whose structures are frames of the trajectory."""
    by_name = len(files) == 1 and re.search(POLAR_FILE, Path(files[0]).name, re.IGNORECASE) is not None
    return format == "table" or (format == "auto" and by_name)


def read_table_labels(
    table: Path,
    order: list[str] | None,
    quantity: str | None,
    unit: str | None,
    index: TrajectoryIndex,
    first: int,
    every: int,
    warn: Warn,
) -> Labels:
    """Structures from a trajectory, tensors from a table of six or nine columns: line k is of frame first + k every.

    Tensors that CP2K wrote along the run (.polar) name their components and time steps, by which frames are found.
    Frames are counted from 0, comments and empty lines of the table not at all. Errors: DataError for a table that is
    damaged or longer than the trajectory; DeckKeyError where quantity, unit or order are missing.
    """
    is_polar = are_along_trajectory([table], "auto")
    quantity = quantity or ("polarizability" if is_polar else None)
    if quantity is None:
        raise DeckKeyError(
            "reference.quantity",
            "a table does not say what it holds; give polarizability, dielectric or susceptibility.",
        )
    if not is_polar:
        order = check_order(order, "reference.order")
    request = Request("reference", quantity, unit, order=order)
    factor, series = read_any(Path(table), "cp2k" if is_polar else "table", request)
    tensors = series.tensors
    if is_polar and series.steps is not None and index.has_steps:
        rows, chosen = _at_steps(table, series.steps, index, warn)
        tensors = tensors[rows]
    else:
        chosen = first + every * np.arange(len(tensors))
    if chosen[-1] >= len(index):
        lines = max(0, -(-(len(index) - first) // every))
        raise FileError(
            table,
            f"{len(tensors)} lines from frame {first} on every {every} frames end at frame {chosen[-1]}, the "
            f"trajectory has {len(index)} frames; only {lines} lines fit. Check reference.first and reference.every.",
        )
    sources = tuple(f"{table}, row {k + 1} (frame {frame})" for k, frame in enumerate(chosen))
    return labels_of(read_frames(index, chosen), tensors, [quantity] * len(tensors), {quantity: factor}, sources, warn)


def _at_steps(table: Path, steps: np.ndarray, index: TrajectoryIndex, warn: Warn) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the table, and the frames at their time steps; of a step that a new start wrote again the last row."""
    own = index.steps(np.arange(len(index)))
    assert own is not None
    unique, last = np.unique(steps[::-1], return_index=True)
    rows = (len(steps) - 1 - last)[np.isin(unique, own)]
    if not len(rows):
        raise FileError(
            table,
            f"its time steps, {steps.min()} to {steps.max()}, are none of the trajectory's, {own[0]} to {own[-1]}; do "
            "the two belong to one run?",
        )
    if len(rows) < len(unique):
        warn(f"{table}: {len(unique) - len(rows)} of {len(unique)} time steps have no frame; the others are used")
    return rows, np.searchsorted(own, steps[rows])


def on_trajectory(labels: Labels, index: TrajectoryIndex, pattern: str, offset: int) -> tuple[Labels, str]:
    """The labels with the trajectory's positions and frame numbers, and a sentence for the user.

    Number n in a file's name is frame n + offset, from 0. Up to lattice vectors the positions must be those of the
    label. Errors: DeckKeyError for a pattern that matches no number, DataError where atoms, cell or positions differ.
    """
    chosen = np.array([_number_in_name(source, pattern) for source in labels.source]) + offset
    outside = np.flatnonzero((chosen < 0) | (chosen >= len(index)))
    if len(outside):
        raise FileError(
            labels.source[outside[0]],
            f"would be frame {chosen[outside[0]]} of the trajectory, which has frames 0 to {len(index) - 1}; check "
            "reference.frame_offset.",
        )
    largest = 0.0
    for k, frame in enumerate(chosen):
        distance = _distance(labels.frames.take([k]), read_frames(index, [frame]), labels.source[k])
        if distance > ROUNDING_TOLERANCE:
            _check_neighbours(labels, index, k, int(frame), distance)
        largest = max(largest, distance)
    text = (
        f"{len(labels)} labels are frames {chosen.min()} to {chosen.max()} of the trajectory by the numbers in "
        f"their names; positions agree within {largest:.1e} Angstrom and are taken from the trajectory"
    )
    return replace(labels, frames=read_frames(index, chosen)), text


def _number_in_name(source: str, pattern: str) -> int:
    name = Path(source).name
    try:
        with processor_time(PATTERN_SECONDS):
            match = re.search(pattern, name)
    except (re.error, OverflowError, RecursionError) as error:
        raise DeckKeyError("reference.frame_from_name", f"not a regular expression ({error}).") from None
    except TookTooLong:
        raise DeckKeyError(
            "reference.frame_from_name",
            f"'{pattern}' takes longer than {PATTERN_SECONDS:g} s on '{name}': it has repetitions within repetitions",
        ) from None
    if match is None or len(match.groups()) != 1 or not (match[1] or "").isdigit():
        raise DeckKeyError(
            "reference.frame_from_name",
            f"'{pattern}' finds no number in '{name}'; it needs one group, such as " r"'(\d+)\.OUTCAR'.",
        )
    return int(match[1])


def _distance(label: Frames, frame: Frames, source: str) -> float:
    """Largest distance (Angstrom) of an atom of the label from the same atom of the frame, up to lattice vectors."""
    if not np.array_equal(label.numbers, frame.numbers) or not np.allclose(
        label.cells, frame.cells, atol=POSITION_TOLERANCE
    ):
        raise FileError(
            source, f"other atoms, another order or another cell than in frame {frame.index[0]} of the trajectory."
        )
    shift = label.positions - frame.positions
    if frame.periodic.any():
        shift = shift - np.round(shift @ np.linalg.pinv(frame.cells[0])) @ frame.cells[0]
    return float(np.linalg.norm(shift, axis=1).max())


def _check_neighbours(labels: Labels, index: TrajectoryIndex, k: int, frame: int, distance: float) -> None:
    """Errors: DataError where a neighbouring frame fits much better, or where `frame` does not fit."""
    label, source = labels.frames.take([k]), labels.source[k]
    text = f"an atom is {distance:.2g} Angstrom from where frame {frame} of the trajectory has it"
    for step in _NEIGHBOURS:
        other = frame + step
        if 0 <= other < len(index) and _distance(label, read_frames(index, [other]), source) < 0.2 * distance:
            raise FileError(source, f"{text}. Frame {other} fits: change reference.frame_offset by {step}.")
    if distance > POSITION_TOLERANCE:
        raise FileError(source, f"{text}; check reference.frame_from_name and frame_offset.")
