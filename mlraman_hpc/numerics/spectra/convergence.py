"""How far spectra of a trajectory's parts are expected to lie from that of the whole, by chance.

For a Gaussian series whose spectrum is flat over the smoothing width, two tapered and smoothed estimates A and B from
the same frames have the covariance

    cov(A, B) ~ Q_AB = sum_{t t'} h_A(t) h_A(t') h_B(t) h_B(t') G_A(t - t') G_B(t - t') / (W_A W_B),

with the tapers h (zero outside of a part), W = sum_t h(t)^2, and the transforms G of the line shapes, so that the
distance of the part A from the whole B is

    <(A - B)^2> = (Q_AA + Q_BB - 2 Q_AB) / Q_BB var(B).

For long series without tapers this is (1/p - 1) var(B), p being the part's share; the variance of a part that is no
longer than the smoothing time does not grow like 1/p. Equivalent degrees of freedom of tapered and smoothed spectra:
D. B. Percival, A. T. Walden, Spectral Analysis for Physical Applications (Cambridge 1993), chapter 6.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from mlraman_hpc.numerics.spectra.plan import Plan
from mlraman_hpc.numerics.spectra.smoothing import line_shape_lags


def expected_distance(part: Plan, whole: Plan) -> float:
    """Root mean square distance of the spectrum of the first frames, in standard errors of the whole's spectrum."""
    own, common, all_frames = _overlap(part, part), _overlap(part, whole), _overlap(whole, whole)
    return float(np.sqrt(max(own + all_frames - 2 * common, 0.0) / all_frames))


def _overlap(a: Plan, b: Plan) -> float:
    """Q_AB of two plans whose frames begin together."""
    frames = min(len(a.h), len(b.h))
    lags = min(a.lags, b.lags, frames - 1)
    length = fft.next_fast_len(frames + lags, real=True)
    transform = fft.rfft(a.h[:frames] * b.h[:frames], length)
    pairs = fft.irfft(transform.real**2 + transform.imag**2, length)[: lags + 1]
    products = pairs * _kernel(a, lags) * _kernel(b, lags)
    return float(2 * products.sum() - products[0]) / (a.power * b.power)


def _kernel(setup: Plan, lags: int) -> np.ndarray:
    """G(k), what multiplies the correlation function up to `lags`."""
    times = np.arange(lags + 1) * setup.interval
    return setup.window[: lags + 1] * line_shape_lags(times, setup.remaining, setup.options.smoothing_kind)
