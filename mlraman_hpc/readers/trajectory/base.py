"""What every trajectory format provides, and the index of a trajectory that it works on.

A format is one module with a subclass of TextFormat or BinaryFormat, an instance of it named FORMAT, and one line in
records/formats.py. Nothing else in the package knows formats by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from mlraman_hpc.readers.text import Configuration, FrameLocation, Warn
from mlraman_hpc.readers.trajectory.byte_ranges import frame_texts
from mlraman_hpc.readers.trajectory.frame_table import SCAN_ROWS, FrameTable, column_of, rows_of


@dataclass(frozen=True)
class FileIndex:
    """The frames of one file.

    table      (frames,) of FRAME
    numbers    (atoms,) atomic numbers in the order in which the first frame lists the atoms
    masses     (atoms,) u, or None where the file has none
    has_steps, has_times   whether the columns `step` and `time` of the table are filled
    restarts   frames at which the file says that a run was started again
    """

    table: np.ndarray
    numbers: np.ndarray
    masses: np.ndarray | None = None
    has_steps: bool = False
    has_times: bool = False
    restarts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class TrajectoryIndex:
    """Where the frames of a trajectory lie.

    paths, names     (files,) files to read from (unpacked copies of .gz), and what the user calls them
    format           name of the format
    table            (frames,) of FRAME, memory-mapped where the trajectory is long
    numbers          (atoms,) atomic numbers of the first frame
    species          elements, by atomic number
    frame_interval   fs between frames where the files say it, else None
    has_steps        whether the files give time steps, rising from frame to frame
    stride           time steps between two frames, where it is the same throughout; else None
    time_step        fs of one of them and the file that says so, which lies beside the first one; None without
    masses           (atoms,) u in the first frame's order where the files have them, else None
    atom_types       what the files call an atom -> atomic number, from trajectory.species
    cell             (3, 3) Angstrom from trajectory.cell or a file beside, for frames that have none; None otherwise
    cells            (frames, 3, 3) Angstrom, where a file beside gives one that changes; None otherwise
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    format: str
    table: np.ndarray
    numbers: np.ndarray
    species: tuple[str, ...]
    frame_interval: float | None = None
    has_steps: bool = False
    stride: int | None = None
    time_step: tuple[float, str] | None = None
    masses: np.ndarray | None = None
    atom_types: dict[str, int] = field(default_factory=dict)
    cell: np.ndarray | None = None
    cells: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def atoms(self) -> np.ndarray:
        """(frames,) number of atoms, the same in all; takes no memory."""
        return np.broadcast_to(len(self.numbers), len(self))

    def steps(self, rows: ArrayLike) -> np.ndarray | None:
        """(rows,) time steps as the files give them, or None where they give none."""
        return column_of(self.table, "step", np.asarray(rows, dtype=np.int64)) if self.has_steps else None

    def location(self, row: int) -> FrameLocation:
        """The file, line and number of the frame in this row, for messages."""
        return self.take([row]).locations()[0]

    def locations(self) -> list[FrameLocation]:
        """Of all frames; for an index of a few."""
        columns = (self.table[name].tolist() for name in ("file", "line", "frame"))
        return [FrameLocation(self.names[file], line, frame) for file, line, frame in zip(*columns)]

    def take(self, rows: ArrayLike) -> TrajectoryIndex:
        """The index of just these frames, small enough to be sent to the rank that reads them."""
        rows = np.asarray(rows, dtype=np.int64).reshape(-1)
        return replace(self, table=rows_of(self.table, rows), cells=None if self.cells is None else self.cells[rows])

    def frames_within(self, rows: Sequence[int], path: str, parts: Sequence[tuple[int, int]]) -> np.ndarray:
        """(rows,) bool: whether the frame, or what its file says of all frames, may lie in these parts of a file.

        `parts` are (first byte, last byte), in order. All frames of a file without lines, whose places are not known.
        """
        starts = np.zeros(len(rows), dtype=bool)
        begins, ends = (np.array([part[side] for part in parts], dtype=np.int64) for side in (0, 1))
        for start in range(0, len(rows), SCAN_ROWS):
            table = rows_of(self.table, np.asarray(rows[start : start + SCAN_ROWS], dtype=np.int64))
            before = np.searchsorted(ends, table["first_byte"], side="right")  # parts that end before the frame
            inside = np.append(begins, np.iinfo(np.int64).max)[before] < table["last_byte"]
            headers = np.searchsorted(begins, table["header"], side="right") > np.searchsorted(
                ends, table["header"], side="right"
            )
            everywhere = (table["line"] == 0) | bool(len(begins) and begins[0] == 0)
            of_file = table["file"] == self.paths.index(path) if path in self.paths else np.ones(len(table), bool)
            starts[start : start + SCAN_ROWS] = of_file & (inside | headers | everywhere)
        return starts


class TrajectoryFormat(ABC):
    """A file format of trajectories.

    name        as in the deck's trajectory.format
    file_names  regular expression, searched in the name of a file whatever its case
    needs       keys of the deck's section `trajectory` that files of this format may leave open
    reorders    whether frames may list the same atoms in another order than the first frame
    """

    name: str
    file_names: str
    needs: tuple[str, ...] = ()
    reorders: bool = False

    def recognises(self, start: bytes) -> bool:
        """Whether a file with these first bytes has this format; used for files whose name says nothing."""
        return False

    def time_step_beside(self, path: str) -> tuple[float, str] | None:
        """fs of one time step as another file in the folder of this one says it, and that file; None without."""
        return None

    def cell_file(self, name: str) -> str | None:
        """The file in the folder of this one with the cell at its time steps; None without."""
        return None

    def read_cells(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) time steps, rising, and (rows, 3, 3) cells in Angstrom of such a file. Errors: DataError."""
        raise NotImplementedError

    @abstractmethod
    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Look through a file once, and append a row for each frame to `table`; the index has table.finish().

        `name` is what the user calls the file; `atom_types` what the file may call an atom -> atomic number. An
        incomplete last frame is left out with a warning. Errors: DataError for anything else that is damaged.
        """

    @abstractmethod
    def read(self, index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        """All frames of `index`, an index of just those; `velocities`: with them, where the file has them.

        Errors: DataError for what is not a frame, naming file, line and frame.
        """


class TextFormat(TrajectoryFormat):
    """A format whose frames are stretches of bytes, read by seeking to them."""

    def read(self, index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        return self.parse_frames(list(frame_texts(index)), index, velocities)

    @abstractmethod
    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        """All frames of `index` from their bytes."""


class BinaryFormat(TrajectoryFormat):
    """A format that a library reads, by the number of a frame in its file."""

    def read(self, index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        rows, configurations = np.arange(len(index)), []
        for part in np.split(rows, np.flatnonzero(np.diff(index.table["file"])) + 1) if len(rows) else []:
            frames = index.table[part]
            configurations += self.read_file(
                index.paths[frames["file"][0]],
                frames["first_byte"],
                lambda k, part=part: index.location(int(part[k])),
                index.numbers,
                velocities,
            )
        return configurations

    @abstractmethod
    def read_file(
        self,
        path: str,
        rows: np.ndarray,
        location: Callable[[int], FrameLocation],
        numbers: np.ndarray,
        velocities: bool,
    ) -> list[Configuration]:
        """Frames `rows` of a file; location(k) names the k-th of them for messages."""
