"""What ranks load: on a cluster every module is files that each of them opens."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import environment, launcher

pytestmark = pytest.mark.mpi
FIRST_ONLY = {"h5py", "featomic", "importlib.metadata"}
NEVER = {"scipy.sparse", "scipy.special", "ase.neighborlist", "ase.io", "numba", "matplotlib", "mlraman_hpc.plots"}


def test_ranks_of_a_prediction_load_what_they_use(trained, expected, tmp_path):
    script, folder = Path(__file__).with_name("loaded.py"), tmp_path / "loaded"
    folder.mkdir()
    command = [*launcher(2), sys.executable, str(script), str(folder), "predict", "deck.yaml"]
    done = subprocess.run(command, cwd=trained, env=environment(None), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, other = (set((folder / str(rank)).read_text().split()) for rank in range(2))
    assert first >= FIRST_ONLY and "llvmlite.binding" in other
    assert not other & FIRST_ONLY and not other & NEVER and not first & NEVER
