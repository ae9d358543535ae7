"""Atoms' motion in memory or in a file."""

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.pipeline.motion.atom_motion import ArraysInFile


def test_a_full_disk_is_told(tmp_path):
    """/dev/full takes nothing."""
    arrays = ArraysInFile({0: (2, 3, 5)}, tmp_path)
    arrays._file.close()
    full = pytest.raises(DataError, match="cannot be stored in a file there: No space left")
    with open("/dev/full", "r+b", buffering=0) as arrays._file, full:
        arrays.add(0, 0, np.zeros((2, 3, 5)))
    with pytest.raises(DataError, match="cannot be stored in a file there: No such file"):
        ArraysInFile({0: (2, 3, 5)}, tmp_path / "none")
