"""Kernels that are compiled in a second, for the tests of the cache."""

from typing import NamedTuple

import numpy as np

from mlraman_hpc.model.kernels.jit import jit_inline


class Factors(NamedTuple):
    real: np.ndarray
    integer: np.ndarray


@jit_inline
def scale(values, factors, out):
    """out[i, j] = real[j] integer[j] sqrt(values[i, j])"""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = factors.real[j] * factors.integer[j] * np.sqrt(values[i, j])


@jit_inline
def needs_memory(values, out):
    out[:] = np.sin(values).copy()
