"""Where the batches of a trajectory begin."""

import numpy as np
import pytest

from mlraman_hpc.pipeline.trajectory import BATCH_ATOMS, batches, even_batches


@pytest.mark.parametrize("atoms", [1, 3, 9, 128, BATCH_ATOMS - 1, BATCH_ATOMS, BATCH_ATOMS + 1, 3 * BATCH_ATOMS])
def test_even_batches_are_the_batches_of_frames_alike(atoms):
    for frames in (1, 2, 227, 228, 229, 455, 456, 5000):
        assert even_batches(frames, atoms).tolist() == batches(np.full(frames, atoms)).tolist()
