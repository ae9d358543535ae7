"""Damaged files of our own, of every kind: one message that names the file, or the very same content.

`python tests/storage/fuzz.py [CASES] [FIRST_SEED]`, 2,000 cases by default; pytest runs a few of them. Kinds: every
record as today's version writes it and as a released one did, alpha.h5 and trajectory.h5 with checksums of blocks, and
unfinished files. No traceback, no hang, no other number.
"""

from __future__ import annotations

import faulthandler
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.storage import hdf5, upgrades
from mlraman_hpc.storage.alpha_file import AlphaFile
from mlraman_hpc.storage.checkpoint import CheckpointFile
from mlraman_hpc.storage.h5md_writer import TrajectoryFile
from mlraman_hpc.storage.provenance import Origin
from tests.readers.fuzz import damaged
from tests.storage.test_released import NUMBERS, RECORDS, unpacked, values_of

ORIGIN = Origin("test", "output: out\n", "key", {"a.xyz": "abc"})
STARTS = np.arange(0, 4097, 512)
SECONDS = 120


@dataclass(frozen=True)
class Sample:
    """`read(path)` gives the content of a file called `name`, or raises DataError."""

    name: str
    content: bytes
    read: Callable[[Path], bytes]
    strict: bool = True  # whatever is done to its bytes is noticed, even what changes no number


def samples(released: bool = True) -> list[Sample]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*(_released(folder) if released else ()), *_today(folder), *_unfinished(folder)]


def _released(folder: Path) -> list[Sample]:
    version = max(NUMBERS)
    return [
        Sample(name, unpacked(version, name, folder).read_bytes(), _record_reader(RECORDS[name]), strict=False)
        for name in _readable(folder)
    ]


def _readable(folder: Path) -> list[str]:
    """Released files that this version reads; tests/storage/test_released.py says so where one is not."""
    found = []
    for name in NUMBERS[max(NUMBERS)]:
        with suppress(DataError):
            _loaded(name, folder)
            found.append(name)
    return found


def _today(folder: Path) -> list[Sample]:
    found = []
    for name in _readable(folder):
        record = _loaded(name, folder)
        hdf5.save(record, folder / name, ORIGIN)
        found.append(Sample(name, (folder / name).read_bytes(), _record_reader(RECORDS[name])))
    _alpha(folder, finished=True)
    found.append(Sample("alpha.h5", (folder / "alpha.h5").read_bytes(), _record_reader(PolarizabilitySeries)))
    file = TrajectoryFile(
        folder / "trajectory.h5",
        numbers=np.full(200, 14),
        periodic=np.ones(3, bool),
        steps=np.arange(64),
        times=0.5 * np.arange(64),
        velocities=True,
    )
    rng = np.random.default_rng(3)
    file.write(
        slice(0, 64), 30 * rng.random((64, 200, 3)), np.tile(30 * np.eye(3), (64, 1, 1)), rng.random((64, 200, 3))
    )
    file.finish(ORIGIN)
    return [*found, Sample("trajectory.h5", (folder / "trajectory.h5").read_bytes(), _read_trajectory)]


def _loaded(name: str, folder: Path):
    """A record of a released file, without the check of an older file, which takes a process of its own."""
    path = unpacked(max(NUMBERS), name, folder)
    with h5py.File(path, "r") as file, upgrades.upgraded(file, RECORDS[name]) as newer:
        return hdf5.read_fields(newer, RECORDS[name], path)


def _unfinished(folder: Path) -> list[Sample]:
    _alpha(folder, finished=False)
    checkpoint = CheckpointFile(folder / "raman.partial.h5", ORIGIN)
    checkpoint.put("first", _loaded("model.h5", folder))
    checkpoint.commit()
    return [
        Sample("alpha.partial.h5", (folder / "alpha.partial.h5").read_bytes(), _read_partial, strict=False),
        Sample("raman.partial.h5", (folder / "raman.partial.h5").read_bytes(), _read_checkpoint),
    ]


def _alpha(folder: Path, *, finished: bool) -> None:
    """4096 frames, in batches of 512; unfinished, the last two are missing."""
    rng, path = np.random.default_rng(5), folder / "alpha.partial.h5"
    file = AlphaFile.create(
        path,
        frames=4096,
        steps=np.arange(4096).__getitem__,
        times=(np.arange(4096) * 10.0).__getitem__,
        species=("Ag", "I"),
        members=3,
        batches=8,
        origin=ORIGIN,
    )
    for batch in range(8 if finished else 6):
        shares, members = rng.normal(size=(512, 2, 3, 3)), rng.normal(size=(512, 3, 3, 3))
        rows = slice(int(STARTS[batch]), int(STARTS[batch + 1]))
        file.write(slice(batch, batch + 1), rows, shares, members, rng.integers(3, size=512))
    file.commit()
    file.finish(folder / "alpha.h5", ORIGIN) if finished else file.close()


# readers: bytes that differ where any number differs


def _record_reader(record_type) -> Callable[[Path], bytes]:
    def read(path: Path) -> bytes:
        values = values_of(hdf5.load(record_type, path))
        hdf5.read_origin(path)  # must not fail on what can be loaded
        return pickle.dumps({name: _plain(values[name]) for name in sorted(values)})

    return read


def _plain(value):
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    return repr(value)


def _read_trajectory(path: Path) -> bytes:
    index = build_index([path], "auto", path.parent / "scratch", None, lambda text: None)
    parts = [read_frames(index, np.arange(first, first + 8), velocities=True) for first in range(0, len(index), 8)]
    return pickle.dumps([_plain(array) for part in parts for array in (part.positions, part.velocities, part.cells)])


def _read_partial(path: Path) -> bytes:
    """The batches that count as done; a damaged one is computed anew, so it may be missing."""
    file = AlphaFile.resume(path, ORIGIN, ("trajectory",))
    try:
        whole = file.whole(STARTS)
        rows = [slice(*STARTS[batch : batch + 2]) for batch in np.flatnonzero(whole)]
        return pickle.dumps({int(row.start): [_plain(part[row]) for part in _columns(file)] for row in rows})
    finally:
        file.close()


def _columns(file: AlphaFile) -> list[np.ndarray]:
    return [
        file._read(f"observables/{name}")
        for name in (
            "polarizability/value",
            "polarizability_by_species/value",
            "polarizability_committee/value",
            "outliers/value",
            "polarizability/step",
            "polarizability/time",
        )
    ]


def _read_checkpoint(path: Path) -> bytes:
    checkpoint = CheckpointFile.resume(path, ORIGIN, ("trajectory",), "calculation")
    return pickle.dumps([_plain(value) for value in values_of(checkpoint.get("first", RECORDS["model.h5"])).values()])


def verdict(sample: Sample, right: bytes, content: bytes, folder: Path) -> str:
    """'refused', 'the same', 'fewer batches', or what is wrong."""
    path = folder / sample.name
    path.write_bytes(content)
    try:
        found = sample.read(path)
    except DataError as error:
        return "refused" if sample.name in str(error) and "\n" not in str(error) else f"wrong: message {error!r}"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if found == right:
        return "the same" if not sample.strict or content == sample.content else "wrong: damage was not noticed"
    if sample.name == "alpha.partial.h5":
        expected, found = pickle.loads(right), pickle.loads(found)
        if all(expected.get(row) == values for row, values in found.items()):
            return "fewer batches"
    return "wrong: other numbers"


def run(cases: int, first: int = 0, *, released: bool = True) -> tuple[Counter[str], list[str]]:
    """Counts of verdicts, and a line for each wrong one."""
    everything, counts, faults = samples(released), Counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = []
        for sample in everything:
            (folder / sample.name).write_bytes(sample.content)
            right.append(sample.read(folder / sample.name))
        for seed in range(first, first + cases):
            which = seed % len(everything)
            sample = everything[which]
            content, touched, kind = damaged(sample.content, np.random.default_rng(seed))
            faulthandler.dump_traceback_later(SECONDS, exit=True)  # HDF5 does not let Python's signals through
            found = verdict(sample, right[which], content, folder)
            faulthandler.cancel_dump_traceback_later()
            counts[found.split(":")[0]] += 1
            if found.startswith("wrong"):
                faults.append(f"seed {seed}, {sample.name}, {kind} at {touched[:3]}: {found}")
    return counts, faults


if __name__ == "__main__":
    began = time.monotonic()
    found, wrong = run(*([int(word) for word in sys.argv[1:]] or [2000]))
    print(*wrong, sep="\n")
    print(dict(found), f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(wrong))
