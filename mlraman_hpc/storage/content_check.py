"""python -m mlraman_hpc.storage.content_check FILE SECONDS: the hash of an HDF5 file's content, and the sealed one.

A process of its own, since HDF5 may not come back from a damaged file; it ends after SECONDS, whether or not whoever
started it still lives. It prints JSON: content, sealed ('' where there
is none), marked (whether the file had checksums at its end); or problem, where HDF5 does not open the file.
"""

from __future__ import annotations

import json
import resource
import signal
import sys

import h5py

from mlraman_hpc.base.checksums import MARK
from mlraman_hpc.base.errors import first_line
from mlraman_hpc.storage.hdf5 import content_hash

MEMORY = 1 << 33  # bytes of addresses; a damaged size must not take the machine's memory


def main(path: str, seconds: str) -> None:
    signal.alarm(int(seconds))  # ends the process inside HDF5 too, since Python does not handle the signal
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if limit == resource.RLIM_INFINITY else min(MEMORY, limit), limit))
    try:
        file = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        print(json.dumps({"problem": first_line(error)}))
        return
    with file:
        dict(file.attrs)  # whoever reads them after this will come back
        sealed = str(file.attrs.get("content", ""))
        content = None if file.attrs.get("kind") == "trajectory" else content_hash(file)
        print(json.dumps({"content": content or sealed, "sealed": sealed, "marked": MARK in file.attrs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
