"""Error bars of smoothed spectra from blocks of one trajectory.

A smoothed spectral value is a sum over blocks, s = sum_b s_b. The delete-one-block jackknife gives

    var(s) = (B - 1)/B sum_b (s_(-b) - mean)^2,        s_(-b) = (s - s_b) / (1 - 1/B).

It counts blocks as independent. Blocks not much longer than the smoothing time 1/(2 pi c sigma) share products of
frames, so their covariance V must be known; for a spectrum that is flat over the smoothing width,

    V_bc ~ sum_{t t'} g_b(t, t') g_c(t, t') h_t^2 h_t'^2 G(t - t')^2,

with the block weights g, the taper h and the Fourier transform G of the line shape. From V follow the factor that makes
the jackknife variance right in the mean, 1.V.1 / [B/(B-1) tr(M V)] with M = 1 - 1/B, its number of degrees of freedom
tr(MV)^2 / tr(MVMV) (Satterthwaite), and with these the factor of Student's distribution for 68.27 % bars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

ONE_SIGMA = special.ndtr(1.0)


@dataclass(frozen=True)
class Calibration:
    """Factor on the jackknife's standard error, and its degrees of freedom."""

    factor: float
    degrees_of_freedom: float

    @property
    def student(self) -> float:
        """The share of the factor that makes a standard error a 68.27 % bar."""
        return student_factor(self.degrees_of_freedom)


def calibrate(h: np.ndarray, weights: np.ndarray, kernel: np.ndarray) -> Calibration:
    """Calibration of block errors.

    h (times,) and weights (blocks, times) on a coarse even grid of times, kernel (times, times) = G(t - t'). A kernel
    narrower than the grid makes V diagonal in time, which is then exact.
    """
    blocks = len(weights)
    pair = 0.5 * (weights[:, :, None] + weights[:, None, :])
    common = (h[:, None] * h[None, :] * kernel) ** 2
    covariance = np.einsum("btu,ctu,tu->bc", pair, pair, common, optimize=True)
    centred = covariance - covariance.mean(axis=0)
    trace = np.trace(centred)
    variance = covariance.sum() / (blocks / (blocks - 1) * trace)
    freedom = trace**2 / np.sum(centred * centred.T)
    return Calibration(float(np.sqrt(variance) * student_factor(freedom)), float(freedom))


def student_factor(degrees_of_freedom: float) -> float:
    """Half width of the central 68.27 % of Student's distribution."""
    return float(special.stdtrit(degrees_of_freedom, ONE_SIGMA))


def jackknife(without: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Standard error from delete-one-block values (blocks, ...), times a calibration factor."""
    blocks = len(without)
    return factor * np.sqrt((blocks - 1) * np.var(without, axis=0))


def spread(members: np.ndarray) -> np.ndarray:
    """Standard deviation over committee members (members, ...)."""
    return np.std(members, axis=0, ddof=1)
