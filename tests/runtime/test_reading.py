"""Each rank reads its own part of the trajectory, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_system as small
from tests.helpers import environment, launcher

pytestmark = pytest.mark.mpi
LOOKED_AT = 40 * 4096  # frames, and the buffer of each, that the first rank compares with the training set


def counts(ranks: int, command: str, folder: Path, *settings: str) -> list[int]:
    """Bytes of the trajectory that each rank read."""
    log = folder / f"counts_{command}_{ranks}_{len(settings)}"
    log.mkdir()
    script = Path(__file__).with_name("counted.py")
    done = subprocess.run(
        [*launcher(ranks), sys.executable, str(script), str(log), command, "deck.yaml", *settings],
        cwd=folder,
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return sorted(int(path.read_text()) for path in log.iterdir())


def test_four_ranks_read_a_quarter_each(mlraman, tmp_path):
    small.write(tmp_path, count=4000)
    mlraman(0, "train", "deck.yaml")
    size = (tmp_path / "XDATCAR").stat().st_size
    converted = counts(4, "convert", tmp_path)
    assert len(converted) == 4 and all(0.24 < size_read / size < 0.26 for size_read in converted)
    predicted = counts(4, "predict", tmp_path)
    assert len(predicted) == 4 and sum(predicted) < 1.02 * size + LOOKED_AT
    shares = [size_read / size for size_read in predicted]
    assert min(shares) > 0.05 and max(shares) < 0.4 + LOOKED_AT / size, shares  # only 40 batches, which are not divided
    some = counts(4, "predict", tmp_path, "--set", "trajectory.every=20", "--force")
    assert sum(some) < 0.06 * size + LOOKED_AT
