"""The trajectory of one run while it is written, and the state that a restart goes on from.

The H5MD file is complete, with its attributes, before the first step; frames are then written to where their numbers
lie on the disk, so that nothing which HDF5 needs to open the file is ever half-written. The order is: numbers of the
frames, synced; then the state with the count of steps, under a temporary name, synced and moved. A frame counts when
the state says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base import checksums
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.checksums import Damaged
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.fences import check_fences
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.md.settings import Settings
from mlraman_hpc.numerics import Floats
from mlraman_hpc.storage.h5md_writer import ROOM, TrajectoryFile, add_checksums, reserve
from mlraman_hpc.storage.provenance import Origin

h5py = LazyModule("h5py")
OBSERVABLES = {"temperature": "K", "potential_energy": "eV", "kinetic_energy": "eV", "conserved_energy": "eV"}
SUMMARY = {
    "temperature": "K",
    "temperature_error": "K",
    "energy_drift": "K",
    "pressure": "GPa",
    "equilibration": "fs",
    "equilibrated_from": "frame",
    "equilibration_drifts": "1",
}
_GROUP = "particles/trajectory"
State = dict[str, np.ndarray]


class RunFile:
    """`path` while it is not finished: path.partial and path.state. Raises DataError where the disk is full."""

    def __init__(self, path: Path):
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.state_path = path.with_name(path.name + ".state")
        self._descriptor = -1
        self._extent: dict[str, tuple[int, int]] = {}
        self._rows: dict[str, int] = {}

    def resume(self, key: str) -> State | None:
        """The state of an interrupted run with this key, whose file is opened; None where there is none.

        Raises DataError where the file is damaged.
        """
        try:
            with checksums.opened(self.partial) as handle:
                checksums.check(handle)
        except Damaged as error:
            raise DataError(f"{self.partial}: damaged: {error}; remove it or use --force to start anew") from None
        except OSError:
            return None
        try:
            with h5py.File(self.partial, "r", locking=False) as file:
                same = file.attrs.get("key") == key
            with np.load(self.state_path, allow_pickle=False) as archive:
                state = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, KeyError, EOFError):
            return None
        if not same or str(state.get("key")) != key:
            return None
        self._open()
        if any(offset is None for offset, _ in self._extent.values()):  # made by a version that wrote otherwise
            self.close()
            return None
        return state

    def create(
        self,
        *,
        numbers: np.ndarray,
        periodic: np.ndarray,
        settings: Settings,
        origin: Origin,
        attributes: Mapping[str, Any],
    ) -> None:
        """A new file with room for all frames."""
        self.state_path.unlink(missing_ok=True)
        try:
            with atomic_write(self.partial) as temporary:
                frames = settings.frames
                writer = TrajectoryFile(
                    temporary,
                    numbers=numbers,
                    periodic=periodic,
                    steps=settings.stride * np.arange(frames),
                    times=settings.frame_interval * np.arange(frames),
                    velocities=True,
                    target=self.path,
                )
                writer.seal(origin)
                reserve(temporary, os.path.getsize(temporary) + 8 * len(OBSERVABLES) * frames + ROOM)
                with h5py.File(temporary, "r+") as file:
                    self._add_observables(file, frames)
                    file.require_group("md").attrs.update(attributes)
                self._find(temporary)
                checksums.append(temporary, self._growing(), open_ranges=True)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error}; check free space and quota") from None
        self._open()

    @staticmethod
    def _add_observables(file: Any, frames: int) -> None:
        position = file[f"{_GROUP}/position"]
        for name, unit in OBSERVABLES.items():
            group = file.create_group(f"observables/{name}")
            _early(group, "value", (frames,), unit)
            group["step"], group["time"] = position["step"], position["time"]
        for name, unit in SUMMARY.items():
            _early(file, f"md/{name}", (1,), unit)  # a scalar gets no space early

    def _find(self, path: Path) -> None:
        """Where the numbers lie in the file."""
        names = {"position": f"{_GROUP}/position/value", "velocity": f"{_GROUP}/velocity/value"}
        names |= {"cell": f"{_GROUP}/box/edges/value"}
        names |= {name: f"observables/{name}/value" for name in OBSERVABLES}
        names |= {f"md/{name}": f"md/{name}" for name in SUMMARY}
        with h5py.File(path, "r", locking=False) as file:
            for name, inside in names.items():
                if inside in file:
                    data = file[inside]
                    self._extent[name] = data.id.get_offset(), 8 * int(np.prod(data.shape[1:], dtype=np.int64))
                    self._rows[name] = len(data)

    def _growing(self) -> list[tuple[int, int]]:
        """(offset, bytes) of all that is written to while the run goes on."""
        return [(offset, size * self._rows[name]) for name, (offset, size) in self._extent.items()]

    def _open(self) -> None:
        self._find(self.partial)
        self._descriptor = os.open(self.partial, os.O_RDWR)

    def write_frame(self, frame: int, values: Mapping[str, Any]) -> None:
        """{'position': (atoms, 3) Angstrom, 'velocity': Angstrom/fs, 'cell': (3, 3), 'temperature': K, ...}"""
        for name, value in values.items():
            self._write(name, frame, value)

    def write_summary(self, values: Mapping[str, float]) -> None:
        """What SUMMARY names, once."""
        for name, value in values.items():
            self._write(f"md/{name}", 0, value)

    def _write(self, name: str, row: int, value: Any) -> None:
        if name not in self._extent:  # the cell of what is not periodic
            return
        offset, size = self._extent[name]
        data = np.ascontiguousarray(value, dtype=np.float64).tobytes()
        try:
            while data:
                written = os.pwrite(self._descriptor, data, offset + row * size)
                offset, data = offset + written, data[written:]
        except OSError as error:
            raise self._problem(error) from None

    def commit(self, state: State) -> None:
        """All frames written so far are on the disk, then the state."""
        try:
            os.fsync(self._descriptor)
            with atomic_write(self.state_path) as temporary, open(temporary, "wb") as stream:
                np.savez(stream, **state)  # type: ignore[arg-type]
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._problem(error) from None

    def finish(self) -> None:
        """The file gets its name; the state goes."""
        try:
            if (sealed := checksums.read(self._descriptor)) is not None:
                os.truncate(self._descriptor, sealed.size)  # what comes now has checksums of the numbers too
            self.close()
            add_checksums(self.partial)
            _sync(self.partial)
            check_fences(self.path)
            os.replace(self.partial, self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._problem(error) from None
        self.state_path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """What an interrupted run has left."""
        for path in (self.partial, self.state_path):
            path.unlink(missing_ok=True)

    def _problem(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be written: {error.strerror or error}; check free space and quota")


def _early(group: Any, name: str, shape: tuple[int, ...], unit: str) -> None:
    """A dataset that lies on the disk from the beginning, filled with NaN."""
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_value(np.array(np.nan))
    group.create_dataset(name, shape=shape, dtype=np.float64, dcpl=early).attrs["unit"] = unit


def _sync_folder(folder: Path) -> None:
    """The new name of a file survives a crash of the machine."""
    with suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def observables(path: Path, frames: int) -> dict[str, Floats]:
    """{name: (frames,)} of a file that is finished or being written."""
    with h5py.File(path, "r", locking=False) as file:
        return {name: np.asarray(file[f"observables/{name}/value"][:frames]) for name in OBSERVABLES}


def random_state(random: np.random.Generator) -> np.ndarray:
    """Of the random numbers, as an array that a file can hold."""
    return np.array(json.dumps(random.bit_generator.state))


def set_random_state(random: np.random.Generator, state: np.ndarray) -> None:
    """The inverse of `random_state`."""
    random.bit_generator.state = json.loads(str(state))
