"""Means with errors, drifts and the end of equilibration, of a series that is correlated in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.numerics import Floats

BLOCKS = 10
FEWEST = 4 * BLOCKS  # values below which nothing is said
SIGMA = 3.0  # standard errors beyond which there is a drift


@dataclass(frozen=True)
class Mean:
    """Mean of a series and its standard error, NaN for series that are too short."""

    value: float
    error: float


def block_mean(series: Floats, blocks: int = BLOCKS) -> Mean:
    """Mean, and error from the scatter of `blocks` blocks; good where a block is longer than the correlation time."""
    if not len(series):
        return Mean(np.nan, np.nan)
    if len(series) < 2 * blocks:
        return Mean(float(np.mean(series)), np.nan)
    means = _block_means(series, blocks)
    return Mean(float(np.mean(series)), float(means.std(ddof=1) / np.sqrt(blocks)))


def _block_means(series: Floats, blocks: int) -> Floats:
    length = len(series) // blocks
    return series[len(series) - blocks * length :].reshape(blocks, length).mean(axis=1)


def drift(series: Floats, blocks: int = BLOCKS) -> Mean:
    """Change over the series by a straight line through its block means, and its standard error.

    With block means y_b at b = 0 ... B - 1, slope sum (b - <b>) y_b / S, S = sum (b - <b>)^2, and the error from the
    residuals, of B - 2 degrees of freedom.
    """
    if len(series) < 2 * blocks:
        return Mean(np.nan, np.nan)
    means, b = _block_means(series, blocks), np.arange(blocks) - (blocks - 1) / 2
    squares = float(np.sum(b * b))
    slope = float(np.sum(b * means)) / squares
    residual = means - means.mean() - slope * b
    error = np.sqrt(np.sum(residual**2) / (blocks - 2) / squares)
    return Mean(slope * blocks, float(error * blocks))


def drifts(series: Floats) -> bool:
    """Whether the series has a drift that is neither noise nor small against its own fluctuations."""
    if len(series) < FEWEST:
        return False
    change = drift(series)
    return bool(abs(change.value) > SIGMA * change.error and abs(change.value) > 0.5 * np.std(series))


def equilibrated_from(series: Floats) -> int:
    """First value of the stationary part, by the marginal standard error rule.

    The n that makes var(x_n ... x_N) / (N - n) smallest among the first half, in steps of a fiftieth of the series
    (White, Simulation 69, 323 (1997)); 0 where the second half does not differ.
    """
    count = len(series)
    if count < FEWEST:
        return 0
    starts = np.arange(0, count // 2, max(1, count // 50))
    errors = [np.var(series[start:]) / (count - start) for start in starts]
    best = int(starts[int(np.argmin(errors))])
    if best == 0:
        return 0
    rest = block_mean(series[best:])
    error = rest.error * np.sqrt(1 + (count - best) / best)  # of the difference, as if nothing relaxed
    return best if abs(float(np.mean(series[:best])) - rest.value) > SIGMA * error else 0
