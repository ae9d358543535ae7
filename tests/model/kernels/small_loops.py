"""A loop that is compiled in a second, for the tests of machine code."""

from typing import NamedTuple

import numpy as np

from mlraman_hpc.model.kernels.jit import jit_inline as inner


class Factors(NamedTuple):
    real: np.ndarray
    whole: np.ndarray


@inner
def scale(values, factors, out):
    """out[i, j] = real[j] whole[j] sqrt(values[i, j])"""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = factors.real[j] * factors.whole[j] * np.sqrt(values[i, j])


@inner
def needs_memory(values, out):
    out[:] = np.sin(values).copy()
