"""Error bars of smoothed spectra from blocks of one trajectory, and the distance of its parts that they let expect.

A smoothed spectral value is a sum over blocks, s = sum_b s_b. The delete-one-block jackknife gives

    var(s) = (B - 1)/B sum_b (s_(-b) - mean)^2,        s_(-b) = (s - s_b) / (1 - 1/B).

It counts blocks as independent. Blocks not much longer than the smoothing time 1/(2 pi c sigma) share products of
frames, so their covariance V must be known; for a spectrum that is flat over the smoothing width,

    V_bc ~ sum_{t t'} g_b(t, t') g_c(t, t') h_t^2 h_t'^2 G(t - t')^2,

with the block weights g, the taper h and the Fourier transform G of the line shape. From V follow the factor that makes
the jackknife variance right in the mean, 1.V.1 / [B/(B-1) tr(M V)] with M = 1 - 1/B, its number of degrees of freedom
tr(MV)^2 / tr(MVMV) (Satterthwaite), and with these the factor of Student's distribution for 68.27 % bars.

Two estimates A and B from the same frames, each with its taper and line shape, have likewise the covariance

    cov(A, B) ~ Q_AB = sum_{t t'} h_A(t) h_A(t') h_B(t) h_B(t') G_A(t - t') G_B(t - t') / (W_A W_B),   W = sum_t h(t)^2,

so that the spectrum A of a part of the series is expected at the distance

    <(A - B)^2> = (Q_AA + Q_BB - 2 Q_AB) / Q_BB var(B)

from the spectrum B of all of it. For long series without tapers this is (1/p - 1) var(B), p being the part's share;
the variance of a part that is no longer than the smoothing time does not grow like 1/p. Equivalent degrees of freedom
of tapered and smoothed spectra: D. B. Percival, A. T. Walden, Spectral Analysis for Physical Applications (Cambridge
1993), chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import fft, special

from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.correlation import smooth_blocks
from mlraman_hpc.numerics.spectra.plan import SpectrumPlan

ONE_SIGMA = special.ndtr(1.0)
TIMES_PER_BLOCK = 32  # at which the covariance of blocks is summed


class BlockPlan(Protocol):
    """What a plan of a smoothed spectrum tells of its blocks: taper h (frames,), interval (fs), G at lags (fs)."""

    @property
    def h(self) -> Floats: ...
    @property
    def interval(self) -> float: ...
    @property
    def blocks(self) -> int: ...
    def line_shape(self, lag_times: Floats) -> Floats: ...


@dataclass(frozen=True)
class Calibration:
    """Factor on the jackknife's standard error, and its degrees of freedom."""

    factor: float
    degrees_of_freedom: float

    @property
    def student(self) -> float:
        """The part of the factor that makes a standard error a 68.27 % bar."""
        return student_factor(self.degrees_of_freedom)


def calibrate(plan: BlockPlan) -> Calibration:
    """Calibration of the errors of a spectrum with this plan: how much of what the smoothing needs its blocks share."""
    times = np.unique(np.linspace(0, len(plan.h) - 1, TIMES_PER_BLOCK * plan.blocks).astype(int))
    weights = np.array([block.at(times) for block in smooth_blocks(plan.h, plan.blocks)])
    lags = np.abs(times[:, None] - times[None, :]) * plan.interval
    return calibrate_blocks(plan.h[times], weights, plan.line_shape(lags))


def calibrate_blocks(h: Floats, weights: Floats, kernel: Floats) -> Calibration:
    """Factor and degrees of freedom from V.

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


def jackknife(without: Floats, factor: float = 1.0) -> Floats:
    """Standard error from delete-one-block values (blocks, ...), times a calibration factor."""
    error: Floats = factor * np.sqrt((len(without) - 1) * np.var(without, axis=0))
    return error


def committee_deviation(members: Floats) -> Floats:
    """Standard deviation over committee members (members, ...)."""
    deviation: Floats = np.std(members, axis=0, ddof=1)
    return deviation


def expected_distance(part: SpectrumPlan, full: SpectrumPlan) -> float:
    """Root mean square distance of the first frames' spectrum from that of all, in standard errors of the latter."""
    own, common, all_frames = _overlap(part, part), _overlap(part, full), _overlap(full, full)
    return float(np.sqrt(max(own + all_frames - 2 * common, 0.0) / all_frames))


def _overlap(a: SpectrumPlan, b: SpectrumPlan) -> float:
    """Q_AB of two plans whose frames begin together."""
    frames = min(len(a.h), len(b.h))
    lags = min(a.lags, b.lags, frames - 1)
    length = fft.next_fast_len(frames + lags, real=True)
    transform = fft.rfft(a.h[:frames] * b.h[:frames], length)
    pairs = fft.irfft(transform.real**2 + transform.imag**2, length)[: lags + 1]
    products = pairs * a.lag_kernel(lags) * b.lag_kernel(lags)
    return float(2 * products.sum() - products[0]) / (a.power * b.power)
