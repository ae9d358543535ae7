"""NAME.partial.h5: what a step has finished, for the run that continues after it was stopped or killed.

The file is bound to the deck, model and data that it was begun with by the key of its origin. It is always replaced
as a unit, so that a kill at any moment leaves the one before.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mlraman_hpc.base import checksums
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.checksums import Damaged
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.storage.hdf5 import read_fields, write_fields
from mlraman_hpc.storage.provenance import Origin

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")


class CheckpointFile:
    """Finished records by name, which must not be changed any more: in memory, and after `commit` on disk."""

    def __init__(self, path: Path, origin: Origin):
        self.path, self._origin = Path(path), origin
        self._uncommitted: dict[str, object] = {}
        self._file = h5py.File(os.urandom(8).hex(), "w", driver="core", backing_store=False)

    @classmethod
    def resume(cls, path: Path, origin: Origin, sections: tuple[str, ...], what: str) -> CheckpointFile:
        """The records in `path`; none where there is no such file. DataError if it is of another deck or data.

        `sections` of the deck are compared to say what is different; `what` is interrupted, for messages.
        """
        checkpoint = cls(path, origin)
        if checkpoint.path.exists():
            check_same(checkpoint.path, origin, sections, what, checked=True)
            with reading(checkpoint.path, what), h5py.File(checkpoint.path, "r", locking=False) as file:
                for name in file:
                    file.copy(name, checkpoint._file)
        return checkpoint

    def __contains__(self, name: str) -> bool:
        return name in self._uncommitted or name in self._file

    def __len__(self) -> int:
        return len(self._uncommitted.keys() | self._file.keys())

    def get(self, name: str, record_type):
        if name in self._uncommitted:
            return self._uncommitted[name]
        with reading(self.path, "calculation"):
            return read_fields(self._file[name], record_type, self.path)

    def put(self, name: str, record) -> None:
        self._uncommitted[name] = record

    def commit(self) -> None:
        """To disk, if there is anything new."""
        if not self._uncommitted:
            return
        for name, record in self._uncommitted.items():
            if name in self._file:
                del self._file[name]
            write_fields(self._file.create_group(name), record)
        bind(self._file, self._origin)
        self._file.flush()
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(self._file.id.get_file_image())
            checksums.append(temporary)
        self._uncommitted = {}

    def remove(self) -> None:
        """The step is complete."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def bind(file: h5py.File, origin: Origin) -> None:
    """Note in an unfinished file what it is made from."""
    file.attrs.update(key=origin.key, deck=origin.deck, parents=json.dumps(origin.parents))


def check_same(path: Path, origin: Origin, sections: tuple[str, ...], what: str, *, checked: bool = False) -> None:
    """DataError unless the unfinished file is undamaged and was made from the same; the message names what differs.

    `checked`: it must have checksums at its end.
    """
    with reading(path, what):
        check_undamaged(path, checked)
    with reading(path, what), h5py.File(path, "r", locking=False) as file:
        key, deck, parents = (str(file.attrs[name]) for name in ("key", "deck", "parents"))
    if key == origin.key:
        return
    differences = "; ".join(_differences(deck, json.loads(parents), origin, sections)) or "made by another version"
    raise DataError(
        f"{path}: an interrupted {what} of another deck, model or trajectory: {differences}. Go on with what it "
        "was begun with, or use --force to drop it and start anew"
    )


def check_undamaged(path: Path, checked: bool = False) -> None:
    """Damaged unless the file's checksums hold, or it has none and need not; OSError where it cannot be read."""
    with checksums.opened(path) as handle:
        if checksums.check(handle) is None and checked:
            raise Damaged("its checksums are missing")


@contextmanager
def reading(path: Path, what: str):
    """What HDF5 says of a damaged file becomes one message."""
    try:
        yield
    except (Damaged, DataError, OSError, KeyError, ValueError, RuntimeError):
        raise DataError(
            f"{path}: the interrupted {what} cannot be read: the file is damaged, or of an older version; remove it or "
            "use --force to start anew"
        ) from None


def partial_path(path: Path) -> Path:
    """The unfinished file of the result `path`."""
    return path.with_name(f"{path.stem}.partial.h5")


def remove_stale(path: Path, key: str) -> None:
    """Remove the unfinished file of the result `path`, which is complete; `key` of its origin."""
    path = partial_path(path)
    try:
        check_undamaged(path)
        with h5py.File(path, "r", locking=False) as file:
            same = file.attrs.get("key") == key
    except (Damaged, OSError):
        return
    if same:
        path.unlink(missing_ok=True)


def _differences(deck: str, parents: dict, origin: Origin, sections: tuple[str, ...]) -> list[str]:
    """'trajectory.every was 10, is 5', 'model.h5 has changed'."""
    before, now = (_flat({name: yaml.safe_load(text).get(name) for name in sections}) for text in (deck, origin.deck))
    differences = [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
    old, new = ({Path(name).name: digest for name, digest in group.items()} for group in (parents, origin.parents))
    differences += [f"{name} has changed" for name in new if name in old and old[name] != new[name]]
    return differences + [f"{name} is new" for name in new if name not in old]


def _flat(values, prefix: str = "") -> dict:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()
    }
