"""Numerical methods on plain arrays: no files, no deck, no ranks. Mistakes in the data are raised as DataError."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Complexes = NDArray[np.complexfloating[Any, Any]]
Booleans = NDArray[np.bool_]
