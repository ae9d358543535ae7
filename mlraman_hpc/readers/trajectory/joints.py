"""Where pieces of one run meet: frames that are there twice, and pieces that do not follow each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlraman_hpc.readers.text import Warn
from mlraman_hpc.records.frames import Frames

JUMP = 1.7  # times the displacements before and after; pieces in order keep below 1.1, a missing frame gives 2
_MOST = 200  # joints that are looked at

Read = Callable[[object, list[int]], Frames]


def without_repeats(index, joints: list[int], read: Read, warn: Warn):
    """The index without frames that repeat the last one before a joint, as a run writes that is started again.

    Also the numbers of the frames after the joints that are left.
    """
    repeats = [joint for joint in joints if _same_frame(read(index, [joint - 1, joint]))]
    for joint in repeats[:5]:
        warn(f"{index.location(joint).error('the frame repeats the one before it, at a joint of two runs; left out.')}")
    if len(repeats) > 5:
        warn(f"{len(repeats) - 5} more repeated frames at joints are left out.")
    if not repeats:
        return index, joints
    return index.without(repeats), [joint - sum(one < joint for one in repeats) for joint in joints]


def check_continuity(index, joints: list[int], read: Read, warn: Warn) -> None:
    """A warning for the first joint across which atoms move much farther than from frame to frame beside it."""
    for joint in joints[:_MOST]:
        if not 2 <= joint < len(index) - 1:
            continue
        frames = read(index, [joint - 2, joint - 1, joint, joint + 1])
        if (frames.numbers.reshape(4, -1) != frames.numbers[: len(frames.numbers) // 4]).any():
            continue  # the order of the atoms changes: who is who cannot be told
        before, across, after = (_displacement(frames.take([k, k + 1])) for k in range(3))
        if across > JUMP * max(before, after) + 1e-5:
            where = index.location(joint).error(
                f"atoms move {across:.3g} Angstrom (root mean square) from the frame before, at a joint of two pieces, "
                f"but {before:.3g} and {after:.3g} in the steps beside it: pieces in the wrong order, or frames "
                "missing between them?"
            )
            warn(str(where))
            return


def _same_frame(frames: Frames) -> bool:
    """Equal up to the last printed digits and to lattice vectors."""
    return np.allclose(frames.cells[0], frames.cells[1], atol=1e-5) and bool(np.abs(_shift(frames)).max() < 1e-5)


def _displacement(frames: Frames) -> float:
    shift = _shift(frames)
    return float(np.sqrt(((shift - shift.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _shift(frames: Frames) -> np.ndarray:
    """(atoms, 3) Angstrom, the shortest up to lattice vectors."""
    half = len(frames.positions) // 2
    shift = frames.positions[half:] - frames.positions[:half]
    if frames.periodic[0].any():
        shift = shift - np.round(shift @ np.linalg.pinv(frames.cells[0])) @ frames.cells[0]
    return shift
