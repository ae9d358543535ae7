"""A format for test_adding_a_format.py: a title, the elements in one line, then the coordinates of a frame in each."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.readers.text import Configuration, Warn, atomic_number, parse_numbers, quoted
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable

TITLE = b"TOY\n"


class Toy(TextFormat):
    name = "toy"
    file_names = r"\.toy$"
    needs = ("cell", "frame_interval")

    def recognises(self, start: bytes) -> bool:
        return start.startswith(TITLE)

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        with open(path, "rb") as file:
            lines = file.readlines()
        numbers = np.array([atomic_number(word.decode(), atom_types) for word in lines[1].split()])
        position = len(lines[0]) + len(lines[1])
        for row, line in enumerate(lines[2:]):
            table.add(position, position + len(line), row + 3, len(numbers), step=5 * row, time=2.5 * row)
            position += len(line)
        return FileIndex(table.finish(), numbers, has_steps=True, has_times=True)

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        frames = []
        for text, location in zip(texts, index.locations()):
            values = parse_numbers(text, 3 * len(index.numbers))
            if values is None:
                raise location.error(f"expected coordinates, found {quoted(text)}.")
            frames.append(Configuration(values.reshape(-1, 3), index.numbers, np.zeros((3, 3)), np.zeros(3, bool)))
        return frames


FORMAT = Toy()
