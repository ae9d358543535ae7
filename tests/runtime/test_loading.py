"""What ranks load: on a cluster every module is files that each of them opens."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import environment, launcher

pytestmark = pytest.mark.mpi
FEATOMIC = {"featomic", "scipy.sparse", "scipy.special", "ase.neighborlist"}  # and what it imports
FIRST_ONLY = {"h5py", "importlib.metadata"} | FEATOMIC
NEVER = {"ase.io", "numba", "matplotlib", "mlraman_hpc.plots"}


def loaded_by(folder: Path, output: Path, *arguments: str) -> list[set[str]]:
    """Names of the modules that each of two ranks has loaded at the end of a command."""
    output.mkdir()
    command = [*launcher(2), sys.executable, str(Path(__file__).with_name("loaded.py")), str(output), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(None), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [set((output / str(rank)).read_text().split()) for rank in range(2)]


def test_ranks_of_a_prediction_load_what_they_use(trained, expected, tmp_path):
    first, other = loaded_by(trained, tmp_path / "modules", "predict", "deck.yaml")
    assert first >= FIRST_ONLY and "llvmlite.binding" in other
    assert not other & FIRST_ONLY and not other & NEVER and not first & NEVER


def test_ranks_of_a_training_do_not_load_featomic(trained, tmp_path):
    first, other = loaded_by(trained, tmp_path / "modules", "train", "deck.yaml", "--force")
    assert first >= FEATOMIC and "numba" not in first
    assert "llvmlite.binding" in other and not other & {"featomic", "numba"}
