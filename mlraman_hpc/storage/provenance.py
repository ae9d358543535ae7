"""Where a result comes from: deck, parents by hash, package versions; hashes of files and settings."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.base.file_content import file_content
from mlraman_hpc.base.lazy_module import LazyModule

metadata = LazyModule("importlib.metadata")
_PACKAGES = ("numpy", "scipy", "h5py", "ase", "featomic", "metatensor-core", "numba", "mpi4py")


@dataclass(frozen=True)
class Origin:
    """Where a result comes from.

    task     the command that made it, such as 'train'
    deck     the resolved deck, YAML
    key      hash of everything the result depends on; equal keys: up to date
    parents  what it was made from -> hash
    history  one entry for each step, the oldest first
    warnings of the log so far, which grows while the result is made; before: those of earlier steps
    notes    further entries of this step's history, {name: what JSON can hold}
    """

    task: str
    deck: str
    key: str
    parents: dict[str, str]
    history: tuple[dict, ...] = ()
    warnings: Mapping[str, int] = field(default_factory=dict, compare=False)
    before: frozenset[str] = field(default=frozenset(), compare=False)
    notes: Mapping[str, object] = field(default_factory=dict, compare=False)

    def entry(self) -> dict:
        return {
            "task": self.task,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "mlraman_hpc": __version__,
            "packages": package_versions(),
            "parents": self.parents,
            "warnings": [text for text in self.warnings if text not in self.before],
            **self.notes,
        }


@functools.cache
def package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hash_of(*values) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:24]


def hash_of_file(path: Path, folder: Path | None = None) -> str:
    """Hash of a file's content, whatever its time stamp; of one over 16 MB by its blocks, which `folder` may keep."""
    if os.stat(path).st_size > 1 << 24:
        return file_content(path, folder).digest
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:24]
