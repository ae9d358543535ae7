"""Many frames of an extended XYZ at once, where their rows have the same columns: the same bits as frame by frame."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.readers.text import FrameLocation
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.trajectory.fixed_width import three_numbers

BLANK = ord(" ")
_WORD = re.compile(rb"\S+")


def read_alike(texts: list[bytes], places: list[FrameLocation], table: dict[str, int]) -> list[tuple] | None:
    """The same as `extxyz.read` for each frame; None unless all frames have the same atoms in the same columns.

    Places are those of the frames, for messages about the comment lines.
    """
    heads, comments, bodies = zip(*(text.split(b"\n", 2) for text in texts))
    if len(set(heads)) > 1 or len({len(body) for body in bodies}) > 1 or any(b"CELL" in one for one in comments):
        return None
    _, numbers, *_ = extxyz.read(texts[0], places[0], table)
    declared = {extxyz.value(comment, "properties") for comment in comments}
    joined = b"".join(bodies)
    if len(declared) > 1 or len(bodies[0]) % len(numbers) or not joined.endswith(b"\n"):
        return None
    rows = np.frombuffer(joined, np.uint8).reshape(len(texts) * len(numbers), -1)
    layout, width = extxyz.columns(comments[0], rows[0].tobytes(), places[0])
    begin = layout[next(label for label in extxyz.POSITIONS if label in layout)][0]
    positions = _positions(rows, begin, width, len(texts))
    if positions is None:
        return None
    boxes = _cells(comments, places)
    return [(part, numbers, *box) for part, box in zip(positions.reshape(len(texts), -1, 3), boxes)]


def _positions(rows: np.ndarray, begin: int, width: int, frames: int) -> np.ndarray | None:
    """(rows, 3), from the columns that begin with word `begin` of `width`; None unless all else is as in frame 0."""
    words = list(_WORD.finditer(rows[0].tobytes()))
    if begin == 0 or len(words) != width:
        return None
    before, end = words[begin - 1].end(), words[begin + 2].end()
    blank = np.flatnonzero((rows[:, before:end] == BLANK).all(axis=0))
    if not len(blank):
        return None
    first = before + int(blank[0])
    labels = rows[:, :first].reshape(frames, -1)
    if not (labels == labels[0]).all() or not _has_words(rows[:, end:], width - begin - 3):
        return None
    return three_numbers(rows[:, first:end])


def _has_words(rest: np.ndarray, count: int) -> bool:
    """Whether the rest of each line is a blank or the line's end, and has so many words between blanks alone."""
    if not (rest[:, -1] == ord("\n")).all():
        return False
    inner = rest[:, :-1]
    if not count:
        return bool((inner == BLANK).all())
    letters = inner > BLANK
    starts = np.count_nonzero(letters[:, 1:] > letters[:, :-1], axis=1)
    return bool((starts == count).all() and not letters[:, 0].any() and inner.min() >= BLANK)


def _cells(comments: tuple[bytes, ...], places: list[FrameLocation]) -> list[tuple]:
    """Cell and periodic directions of each frame; most often they are all written alike."""
    known: dict[tuple, tuple] = {}
    found = []
    for comment, place in zip(comments, places):
        key = extxyz.value(comment, "lattice"), extxyz.value(comment, "pbc")
        if key not in known:
            known[key] = extxyz.cell(comment, place)
        found.append(known[key])
    return found
