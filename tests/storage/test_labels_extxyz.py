"""Labels written as extended XYZ are read back to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.storage.labels_extxyz import extended_xyz


@pytest.mark.parametrize("periodic", [(True, True, True), (False, False, False), (True, True, False)])
def test_labels_read_back_to_the_same_numbers(periodic, tmp_path):
    rng = np.random.default_rng(5)
    tensors = rng.normal(size=(3, 3, 3))
    cells = rng.normal(size=(3, 3, 3)) + 9 * np.eye(3)
    frames = Frames(
        positions=rng.normal(size=(6, 3)),
        numbers=np.array([11, 17, 11, 11, 17, 8]),
        first_atom=np.array([0, 2, 3, 6]),
        cells=cells * np.array(periodic)[:, None],
        periodic=np.array([periodic] * 3),
        index=np.arange(3),
    )
    labels = Labels(frames, tensors + tensors.transpose(0, 2, 1), ("a", "b", "c"))
    (tmp_path / "labels.extxyz").write_text(extended_xyz(labels))
    again = read_labels([tmp_path / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    np.testing.assert_array_equal(again.polarizability, labels.polarizability)
    for name in ("positions", "numbers", "first_atom", "cells", "periodic", "index"):
        np.testing.assert_array_equal(getattr(again.frames, name), getattr(frames, name))
