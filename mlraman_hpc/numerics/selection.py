"""Scores by which frames are chosen one after another: farthest points, and expected variance of a linear model.

Every number of a candidate is computed from its own rows and from what was chosen, with the same operations whatever
other candidates there are, so that candidates may be shared over ranks without a change in any bit.
"""

from __future__ import annotations

import numpy as np

from mlraman_hpc.numerics import Floats


class FarthestPoints:
    """The candidate that is farthest from all that were chosen is next: score_n = min_chosen |x_n - x|^2.

    points (n, D). Before anything is chosen, the score is the squared distance from `centre` (D,).
    """

    def __init__(self, points: Floats, centre: Floats) -> None:
        self._points = points
        self._nearest = _squares(points - centre)
        self._chosen = 0

    @property
    def scores(self) -> Floats:
        """(n,)"""
        return self._nearest

    def add(self, point: Floats) -> None:
        """`point` (D,) is chosen."""
        distances = _squares(self._points - point)
        self._nearest = np.minimum(self._nearest, distances) if self._chosen else distances
        self._chosen += 1


def _squares(points: Floats) -> Floats:
    return np.asarray((points * points).sum(axis=-1))


class ExpectedVariance:
    """I-optimal design of y = x w + noise: the mean variance of a prediction, and what each candidate would take off.

    With prior precision mu s of each weight (s = mean |x|^2, noise variance 1) and chosen rows x_k,

        Sigma = (mu s + sum_k x_k^T x_k)^-1,    variance = tr(Sigma C),    C = <x^T x>,
        reduction by X (r, M) = tr[(1 + X Sigma X^T)^-1 X Sigma C Sigma X^T].

    rows      (n, r, M) of the candidates, in coordinates in which C is diagonal
    spectrum  (M,) the diagonal of C
    ridge     mu
    """

    def __init__(self, rows: Floats, spectrum: Floats, ridge: float) -> None:
        self._rows, self._spectrum = rows, spectrum
        precision = ridge * (float(spectrum.sum()) or 1.0)
        self._sigma = np.eye(len(spectrum)) / precision
        self._projected = rows / precision
        self.prior = float(spectrum.sum()) / precision

    @property
    def variance(self) -> float:
        """tr(Sigma C)"""
        return float(np.diag(self._sigma) @ self._spectrum)

    @property
    def scores(self) -> Floats:
        """(n,) what the variance would fall by."""
        if not len(self._rows):
            return np.zeros(0)
        inner = np.matmul(self._projected, np.swapaxes(self._rows, 1, 2))
        outer = np.matmul(self._projected * self._spectrum, np.swapaxes(self._projected, 1, 2))
        inner += np.eye(inner.shape[-1])
        return np.asarray(np.trace(np.linalg.solve(inner, outer), axis1=1, axis2=2))

    def add(self, rows: Floats) -> None:
        """`rows` (r, M) are chosen."""
        spread = self._sigma @ rows.T
        gain = np.linalg.inv(np.eye(len(rows)) + rows @ spread) @ spread.T
        if len(self._rows):
            self._projected -= np.matmul(np.matmul(self._rows, spread), gain)
        self._sigma -= spread @ gain


def decay_time(lags: Floats, correlation: Floats, level: float = 1 / np.e) -> float:
    """The time after which a sampled correlation function stays below `level`, interpolated; 0 where it starts there.

    lags (n,) rising; correlation (n,). The last lag where it never falls.
    """
    above = np.flatnonzero(correlation >= level)
    if not len(above):
        return 0.0
    last = int(above[-1])
    if last + 1 == len(lags):
        return float(lags[-1])
    fall = correlation[last] - correlation[last + 1]
    return float(lags[last] + (lags[last + 1] - lags[last]) * (correlation[last] - level) / fall)
