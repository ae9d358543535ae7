"""Comparison of floating-point numbers with a tolerance that has the scale of the data."""

from __future__ import annotations

import numpy as np


def assert_close(actual, expected, rtol: float = 1e-9, rounding: float = 1e-12) -> None:
    """|actual - expected| <= rtol |expected| + rounding max|expected|, element by element; NaN only where expected.

    Values that are small beside the largest one are known only as well as its last digits: how far they are off
    depends on the processor, since FFT and BLAS sum in another order on each.
    """
    expected = np.asarray(expected, float)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rounding * scale)
