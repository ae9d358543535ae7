"""How well predictions agree with references: R2 and root mean square errors, and Spearman's rank correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.tensors import COMPONENTS, components, to_spherical

T = TypeVar("T", float, Floats)
LEAST_PAIRS = 4  # with fewer, every order is likely
DRAWS = 2000


def r2(reference: Floats, predicted: Floats) -> float:
    """1 - sum (y - p)^2 / sum (y - mean y)^2; NaN where the reference does not vary."""
    variance = float(((reference - reference.mean()) ** 2).sum()) if reference.size else 0.0
    return 1 - float(((reference - predicted) ** 2).sum()) / variance if variance > 0 else float("nan")


def rmse(reference: Floats, predicted: Floats) -> float:
    """Root mean square error, in the unit of the arguments; NaN without any."""
    return float(np.sqrt(np.mean((reference - predicted) ** 2))) if reference.size else float("nan")


def weighted_norm(tensors: Floats) -> float:
    """sqrt(<a^2> + 7/45 <gamma^2>) of symmetric tensors (frames, 3, 3): what the Raman intensity makes of them.

    a = tr(alpha)/3; gamma^2 = 3/2 of the squared traceless part. NaN without any.
    """
    isotropic, anisotropic = to_spherical(tensors)
    squares = isotropic**2 / 3 + 7 / 30 * (anisotropic**2).sum(axis=-1)
    return float(np.sqrt(squares.mean())) if len(squares) else float("nan")


def relative_error(reference: Floats, predicted: Floats) -> float:
    """`weighted_norm` of the errors over that of the reference about its mean: what matters to a spectrum.

    NaN where the reference does not vary. 0.08 was about 4.5 % of the spectrum on real data, 0.2 about 20 %.
    """
    if not len(reference):
        return float("nan")
    fluctuation = weighted_norm(reference - reference.mean(axis=0))
    return weighted_norm(predicted - reference) / fluctuation if fluctuation > 0 else float("nan")


def worst_component(r2: Mapping[str, T]) -> str:
    """The tensor component (xx, ...) with the smallest R2 against its own mean; for arrays, at their last place."""
    known = [name for name in COMPONENTS if np.isfinite(np.ravel(r2[name])[-1])]
    return min(known, key=lambda name: float(np.ravel(r2[name])[-1]), default=COMPONENTS[0])


def tensor_scores(reference: Floats, predicted: Floats) -> dict[str, dict[str, float]]:
    """{'r2': {'diagonal', 'off_diagonal', 'xx', ...}, 'rmse': {...}} of symmetric tensors (frames, 3, 3).

    'diagonal' and 'off_diagonal' pool three components each (R2 against their common mean); each component's R2 is
    against its own mean.
    """
    y, p = components(reference), components(predicted)
    columns = {"diagonal": slice(0, 3), "off_diagonal": slice(3, 6)}
    columns |= {name: slice(k, k + 1) for k, name in enumerate(COMPONENTS)}
    return {
        measure.__name__: {name: measure(y[:, which], p[:, which]) for name, which in columns.items()}
        for measure in (r2, rmse)
    }


def spearman(x: Floats, y: Floats) -> Floats:
    """rho = correlation of the ranks of x and y (..., pairs), ties sharing their mean rank.

    NaN where one is constant.
    """
    from scipy import stats  # its import takes long and few commands need it

    x, y = (stats.rankdata(values, axis=-1) for values in (x, y))
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        rho: Floats = (x * y).sum(axis=-1) / scale
    return rho


def spearman_with_interval(
    x: npt.ArrayLike, y: npt.ArrayLike, level: float = 0.95, seed: int = 0
) -> tuple[float, Floats]:
    """(rho, (2,) ends of its interval): percentiles over pairs drawn with replacement (Efron's bootstrap).

    NaN for fewer than `LEAST_PAIRS` pairs. Draws in which a quantity is constant are left out.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < LEAST_PAIRS:
        return np.nan, np.full(2, np.nan)
    rows = np.random.default_rng(seed).integers(len(x), size=(DRAWS, len(x)))
    draws = spearman(x[rows], y[rows])
    draws = draws[np.isfinite(draws)]
    ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) if len(draws) else np.full(2, np.nan)
    return float(spearman(x, y)), ends
