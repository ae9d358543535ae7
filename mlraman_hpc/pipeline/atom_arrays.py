"""Time series of blocks of atoms: in memory, or in a file of the output folder where there is too little of it.

Both hold arrays (atoms, 3, frames) by block number, and give the same numbers in the same layout.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError

Shapes = dict[int, tuple[int, int, int]]


def size_of(shapes: Shapes) -> int:
    """Bytes of all arrays."""
    return 8 * sum(int(np.prod(shape)) for shape in shapes.values())


class InMemory(dict):
    """{block number: array}."""

    def __init__(self, shapes: Shapes):
        super().__init__((number, np.empty(shape)) for number, shape in shapes.items())

    def add(self, number: int, frame: int, values: np.ndarray) -> None:
        """Frames from `frame` on, (atoms, 3, frames)."""
        self[number][..., frame : frame + values.shape[-1]] = values

    def __setitem__(self, number: int, values: np.ndarray) -> None:
        super().__setitem__(number, np.ascontiguousarray(values))


class InFile:
    """The same in a file without a name, which is gone with the process however that ends.

    What is added lies one part after another, so that no part is cut up; reading a block puts its parts together.
    """

    _file = None

    def __init__(self, shapes: Shapes, folder: Path):
        self._shapes, self._folder = shapes, folder
        sizes = np.array([size_of({0: shape}) for shape in shapes.values()], dtype=np.int64)
        self._begin = dict(zip(shapes, (np.cumsum(sizes) - sizes).tolist()))
        self._parts: dict[int, list[tuple[int, int]]] = {number: [] for number in shapes}
        with self._writing():
            self._file = tempfile.TemporaryFile(dir=folder, prefix=".motion.", suffix=".tmp")  # noqa: SIM115

    def __del__(self):
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._folder}: the atoms' motion cannot be kept in a file there: {error.strerror}; free "
                "space, use more ranks, or raise dynamics.memory"
            ) from None

    def add(self, number: int, frame: int, values: np.ndarray) -> None:
        with self._writing():
            self._file.seek(self._begin[number] + 8 * int(np.prod(self._shapes[number][:2])) * frame)
            self._file.write(np.ascontiguousarray(values).data)
        self._parts[number].append((frame, values.shape[-1]))

    def __setitem__(self, number: int, values: np.ndarray) -> None:
        self._parts[number] = []
        self.add(number, 0, values)

    def __getitem__(self, number: int) -> np.ndarray:
        shape = self._shapes[number]
        values = np.empty(shape)
        for frame, count in self._parts[number]:
            part = np.empty((*shape[:2], count))
            self._file.seek(self._begin[number] + 8 * shape[0] * shape[1] * frame)
            if self._file.readinto(part.data) != part.nbytes:
                raise DataError(f"{self._folder}: the file of the atoms' motion has become shorter; start again")
            values[..., frame : frame + count] = part
        return values

    def pop(self, number: int) -> np.ndarray:
        """The array; its place in the file is given back at the end."""
        return self[number]


def held(shapes: Shapes, folder: Path | None) -> InMemory | InFile:
    """In memory, or in a file of `folder` where there is one."""
    return InMemory(shapes) if folder is None else InFile(shapes, folder)
