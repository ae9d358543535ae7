"""Files of older versions: what is done to them, in memory, before they are read.

When the format of a record changes, its class gets the next `version`, and this table an entry

    (kind, version that it starts from): function on the open h5py file that makes it the next version

Result files of released versions lie in tests/storage/released for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.lazy_module import LazyModule
from mlraman_hpc.records.fields import Record

if TYPE_CHECKING:
    import h5py
else:
    h5py = LazyModule("h5py")

UPGRADES: dict[tuple[str, int], Callable[[h5py.File], None]] = {}


@contextmanager
def upgraded(file: h5py.File, record_type: type[Record]) -> Iterator[h5py.File]:
    """A copy in memory that has the record's version. DataError where the table has no entry."""
    with h5py.File(os.urandom(8).hex(), "w", driver="core", backing_store=False) as copy:
        for name in file:
            file.copy(name, copy)
        copy.attrs.update(file.attrs)
        for version in range(int(file.attrs.get("format_version", 0)), record_type.version):
            upgrade = UPGRADES.get((record_type.kind, version))
            if upgrade is None:
                raise DataError(
                    f"{file.filename}: of a version of mlraman_hpc that is too old (format {version}); make it again"
                )
            upgrade(copy)
        yield copy
