"""mlraman, with the names of the modules written that each rank has loaded at its end; run by test_loading.py."""

import atexit
import os
import sys
from pathlib import Path

from mlraman_hpc import cli

atexit.register(
    lambda: Path(sys.argv[1], os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"]).write_text(
        " ".join(sys.modules)
    )
)
cli.main(sys.argv[2:])
