"""What the frames of a trajectory must have in common, and warnings where its files do not continue each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import FrameLocation, Warn, composition, valid_cells
from mlraman_hpc.readers.trajectory.base import FileIndex, TrajectoryIndex
from mlraman_hpc.readers.trajectory.frame_table import chunks, differences
from mlraman_hpc.records.frames import Frames

FARTHEST = 1e7  # Angstrom
UNEVEN = 1e-3  # relative, of times between frames
DENSEST = 0.5  # atoms in an Angstrom^3; 0.18 in diamond
JUMP = 1.7  # times the displacements before and after; files in order stay below 1.1, a missing frame gives 2
_MOST_JOINTS = 200  # that are examined

Read = Callable[[TrajectoryIndex, list[int]], Frames]


# the files of one run


def check_same_atoms(files: list[FileIndex], names: tuple[str, ...]) -> None:
    """Same atoms in the same order in every file, and as many in every frame. Errors: DataError."""
    numbers = files[0].numbers
    for file, name in zip(files, names):
        row = _first(chunks(file.table), lambda rows: rows["atoms"] != len(numbers))
        if row is not None:
            raise _location(file, name, row).error(
                f"{file.table['atoms'][row]} atoms, the first frame has {len(numbers)}; "
                "a trajectory must keep its atoms."
            )
        if not np.array_equal(file.numbers, numbers):
            raise DataError(
                f"{name}: {composition(file.numbers)}; {names[0]}: {composition(numbers)}. "
                "The files of a run must have the same atoms in the same order."
            )


def common_masses(files: list[FileIndex], names: tuple[str, ...], warn: Warn) -> np.ndarray | None:
    """(atoms,) u, of the files that have them where these agree; a warning where they do not."""
    with_masses = [file.masses for file in files if file.masses is not None]
    if not with_masses:
        return None
    masses = with_masses[0]
    if all(np.allclose(other, masses, rtol=1e-3) for other in with_masses):
        return masses
    warn(f"{', '.join(names)}: the files give the atoms different masses; standard ones are used.")
    return None


def common_stride(files: list[FileIndex]) -> int | None:
    """Time steps between two frames, where all files give them and they are the same throughout, but for restarts."""
    if not all(file.has_steps for file in files):
        return None
    seen: set[int] = set()
    for file in files:
        for row, strides in differences(file.table, "step"):
            restarts = [restart - row for restart in file.restarts if row <= restart < row + len(strides)]
            seen |= set(np.unique(np.delete(strides, restarts)).tolist())
            if len(seen) > 1:
                return None
    return seen.pop() if seen and min(seen) > 0 else None


def steps_rise(files: list[FileIndex]) -> bool:
    """Whether all files give time steps, which rise from frame to frame; at joints a frame may be repeated."""
    last = None
    for file in files:
        if not file.has_steps or (last is not None and file.table["step"][0] < last):
            return False
        if any((strides < 0).any() for _, strides in differences(file.table, "step")):
            return False
        last = file.table["step"][-1]
    return True


def check_even_steps(files: list[FileIndex], names: tuple[str, ...], warn: Warn) -> None:
    """A warning for the first time step of each file that does not follow as the ones before, with their number."""
    for file, name in zip(files, names):
        if not file.has_steps or len(file) < 2:
            continue
        steps, restarts = file.table["step"], set(file.restarts)
        usual = steps[1] - steps[0]
        rows = _rows(differences(file.table, "step"), lambda strides, usual=usual: (strides != usual) & (strides != 0))
        uneven = [row for row in rows if row not in restarts]
        if uneven:
            row, more = uneven[0], len(uneven) - 1
            warn(
                f"{_location(file, name, row).error('')}time step {steps[row]} follows "
                f"{steps[row - 1]}, where frames so far are {usual} steps apart; spectra need even spacing"
                + (f". So in {more} more places." if more else ".")
            )


def frame_interval(files: list[FileIndex], names: tuple[str, ...], warn: Warn) -> float | None:
    """fs between frames, from their times; None where a file has none or where they are uneven."""
    if not all(file.has_times for file in files) or not any(len(part) for part in _time_strides(files)):
        return None
    least = min(part.min() for part in _time_strides(files) if len(part))
    most = max(part.max() for part in _time_strides(files) if len(part))
    if not (least > 0 and most - least <= UNEVEN * least) and not _nearly_even(files, names, warn):
        return None
    # of all strides together the rounding of the printed times averages out
    sums, counts = zip(*((part.sum(), len(part)) for part in _time_strides(files)))
    return float(np.round(math.fsum(sums) / sum(counts), 9))


def _time_strides(files: list[FileIndex]) -> Iterator[np.ndarray]:
    """Times between frames and those before them, some at a time, but for restarts."""
    for file in files:
        restarts = np.array(file.restarts, dtype=int)
        for row, strides in differences(file.table, "time"):
            yield np.delete(strides, restarts[(restarts >= row) & (restarts < row + len(strides))] - row)


def _nearly_even(files: list[FileIndex], names: tuple[str, ...], warn: Warn) -> bool:
    """Whether all times between frames are as most are; if not, a warning names the first."""
    strides = [np.concatenate(list(_time_strides([file])) or [np.empty(0)]) for file in files]
    interval = float(np.median(np.concatenate(strides)))
    for name, stride in zip(names, strides):
        odd = np.flatnonzero(np.abs(stride - interval) > UNEVEN * abs(interval))
        if len(odd) or interval <= 0:
            row = int(odd[0]) + 1 if len(odd) else 1
            warn(
                f"{name}: frame {row} does not come {interval:g} fs after the one before, as most frames do; "
                "the times in the file are not used."
            )
            return False
    return True


def _first(blocks: Iterator[tuple[int, np.ndarray]], test: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """The first row whose value passes, or None."""
    return next(_rows(blocks, test), None)


def _rows(blocks: Iterator[tuple[int, np.ndarray]], test: Callable[[np.ndarray], np.ndarray]) -> Iterator[int]:
    """The rows whose values pass."""
    for start, values in blocks:
        yield from (start + np.flatnonzero(test(values))).tolist()


def _location(file: FileIndex, name: str, row: int) -> FrameLocation:
    return FrameLocation(name, int(file.table["line"][row]), row)


# frames that were read


def check_frames(index: TrajectoryIndex, frames: Frames, reorders: bool) -> None:
    """The atoms of the first frame, cells with a volume, no atom too far away. Errors: DataError.

    `reorders`: the same atoms may come in another order.
    """
    alike = np.array_equal(frames.numbers, np.tile(index.numbers, len(frames)))
    for k, (begin, end) in enumerate(() if alike else pairwise(frames.first_atom)):
        numbers = frames.numbers[begin:end]
        if np.array_equal(numbers, index.numbers):
            continue
        if not (reorders and np.array_equal(np.sort(numbers), np.sort(index.numbers))):
            raise index.location(k).error(
                f"{composition(numbers)}; the first frame has {composition(index.numbers)}, by id where there are ids."
            )
    if np.abs(frames.positions).max(initial=0) > FARTHEST:
        atom = int(np.abs(frames.positions).max(axis=1).argmax())
        raise index.location(int(frames.frame_of_atom[atom])).error(
            f"an atom at {frames.positions[atom].tolist()} Angstrom; the file is damaged."
        )
    for k in np.flatnonzero(~valid_cells(frames.cells, frames.periodic)):
        raise index.location(int(k)).error(
            f"the cell {np.round(frames.cells[k], 4).tolist()} has no volume although the frame is periodic."
        )


def check_positions(index: TrajectoryIndex, frames: Frames) -> None:
    """Errors: DataError where the first frame has more atoms in its space than matter has: no positions in Angstrom."""
    positions = frames.positions[: len(index.numbers)]
    extent = np.ptp(positions, axis=0) + 1.5
    if len(positions) >= 4 and len(positions) > DENSEST * np.prod(extent):
        raise index.location(0).error(
            f"{len(positions)} atoms within {' x '.join(f'{x:.2g}' for x in extent - 1.5)} Angstrom: are these "
            "velocities or forces, fractional coordinates, or positions in another unit?"
        )


# joints: where files of one run meet, or a run was started again


def joints_of(files: list[FileIndex]) -> list[int]:
    """Numbers of the frames that follow a joint, in all files together."""
    starts = np.cumsum([0] + [len(file) for file in files])
    restarts = [int(start) + restart for start, file in zip(starts, files) for restart in file.restarts]
    return sorted({*map(int, starts[1:-1]), *restarts})


def repeated_frames(index: TrajectoryIndex, joints: list[int], read: Read, warn: Warn) -> list[int]:
    """Frames that repeat the last one before a joint, as a run writes that is started again; each with a warning."""
    repeats = [joint for joint in joints if _same_frame(read(index, [joint - 1, joint]))]
    for joint in repeats[:5]:
        warn(f"{index.location(joint).error('the frame repeats the one before it, at a joint of two runs; left out.')}")
    if len(repeats) > 5:
        warn(f"{len(repeats) - 5} more repeated frames at joints are left out.")
    return repeats


def check_continuity(index: TrajectoryIndex, joints: list[int], read: Read, warn: Warn) -> None:
    """A warning for the first joint across which atoms move much farther than from frame to frame beside it."""
    for joint in joints[:_MOST_JOINTS]:
        if not 2 <= joint < len(index) - 1:
            continue
        frames = read(index, [joint - 2, joint - 1, joint, joint + 1])
        if (frames.numbers.reshape(4, -1) != frames.numbers[: len(frames.numbers) // 4]).any():
            continue  # the order of the atoms changes: which atom is which cannot be told
        before, across, after = (displacement(frames.take([k, k + 1])) for k in range(3))
        if across > JUMP * max(before, after) + 1e-5:
            error = index.location(joint).error(
                f"atoms move {across:.3g} Angstrom (root mean square) from the frame before, at a joint of two files, "
                f"but {before:.3g} and {after:.3g} in the steps beside it: files in the wrong order, or frames "
                "missing between them?"
            )
            warn(str(error))
            return


def _same_frame(frames: Frames) -> bool:
    """Equal up to the last printed digits and to lattice vectors."""
    return np.allclose(frames.cells[0], frames.cells[1], atol=1e-5) and bool(np.abs(_shift(frames)).max() < 1e-5)


def displacement(frames: Frames) -> float:
    """Root mean square (Angstrom) between two frames, about the mean."""
    shift = _shift(frames)
    return float(np.sqrt(((shift - shift.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _shift(frames: Frames) -> np.ndarray:
    """(atoms, 3) Angstrom between two frames, the shortest up to lattice vectors."""
    half = len(frames.positions) // 2
    shift = frames.positions[half:] - frames.positions[:half]
    if frames.periodic[0].any():
        shift = shift - np.round(shift @ np.linalg.pinv(frames.cells[0])) @ frames.cells[0]
    return shift
