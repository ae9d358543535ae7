"""Power spectra of sampled series by the Wiener-Khinchin theorem.

One pass over the series collects, for every pair of channels, the lagged products

    C_ij(k) = sum_t h_t h_{t+k} [a_i(t) a_j(t+k) + a_j(t) a_i(t+k)] / 2,     k = 0 ... K,

with a taper h that brings the series to zero at both ends: without it the jump between the last frame and the first
leaks from every band as 1/nu^2, which a Raman spectrum multiplies by nu. The one-sided spectral density

    S_ij(nu) = 2 c Delta / W [C_ij(0) + 2 sum_k C_ij(k) lambda(k) cos(2 pi c nu k Delta)],      W = sum_t h_t^2,

integrates over 0 <= nu <= Nyquist to C_ij(0)/W, the (weighted) variance. With all lags and lambda = 1 it is the
tapered periodogram, never negative. The products are summed over segments of the series, so that memory is bounded by
the segment and the lags, and over blocks of it, for error bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics import Complexes, Floats, Integers

ReadChannels = Callable[[int, int], Floats]  # (start, stop) -> (channels, stop - start)

SEGMENT = 2**19  # frames transformed at a time
MOST_POINTS = 2**22  # of a grid that is finer than an eighth of what the lags resolve


@dataclass(frozen=True)
class Block:
    """Smooth block of a series: frames start to start + len(weight), each with a weight between 0 and 1."""

    start: int
    weight: Floats

    def at(self, frames: Integers) -> Floats:
        """Weights of these frames of the series."""
        inside = (frames >= self.start) & (frames < self.start + len(self.weight))
        return np.where(inside, self.weight[np.clip(frames - self.start, 0, len(self.weight) - 1)], 0.0)

    @classmethod
    def of_all(cls, frames: int) -> Block:
        """The only block of a series."""
        return cls(0, np.ones(frames))


def taper(frames: int, ramp: int) -> Floats:
    """Split cosine bell: 1 in the middle, raised-cosine ramps of `ramp` frames at both ends. (frames,)"""
    h = np.ones(frames)
    ramp = min(ramp, frames // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))
    h[:ramp] = rise
    h[frames - ramp :] = rise[::-1]
    return h


def taper_width(h: Floats, interval: float) -> float:
    """Root mean square width (cm^-1) of the taper's spectral kernel |H|^2: sqrt(int h'^2 / int h^2) / (2 pi c)."""
    slope = np.diff(h, prepend=0.0, append=0.0)
    return float(np.sqrt(np.dot(slope, slope) / np.dot(h, h)) / (2 * np.pi * LIGHT_CM_PER_FS * interval))


def taper_resolution(h: Floats, interval: float) -> float:
    """sigma (cm^-1) of the Gaussian as wide as the taper's kernel |H|^2: sum h^2 / (sum h)^2 / (c dt sqrt(2 pi))."""
    width = np.dot(h, h) / h.sum() ** 2 / (LIGHT_CM_PER_FS * interval)
    return float(width / np.sqrt(2 * np.pi))


def smooth_blocks(h: Floats, blocks: int, overlap: float = 0.5) -> Iterator[Block]:
    """Partition of unity into blocks of equal sum_t g_b h^2, neighbours sharing sin^2 flanks.

    The flanks (`overlap` of a block long) keep a block's edges from leaking into the gaps between bands.
    """
    cumulated = np.cumsum(h * h)
    position = (cumulated - 0.5 * h * h) / cumulated[-1] * blocks  # block b covers b <= position < b + 1
    for b in range(blocks):
        start, stop = np.searchsorted(position, (b - overlap / 2, b + 1 + overlap / 2))
        weight = np.ones(stop - start)
        if b > 0:
            weight *= _rise((position[start:stop] - b) / overlap)
        if b < blocks - 1:
            weight *= 1 - _rise((position[start:stop] - b - 1) / overlap)
        yield Block(int(start), weight)


def _rise(x: Floats) -> Floats:
    """0 below -1/2, 1 above 1/2, sin^2 between."""
    rise: Floats = np.sin(np.pi / 2 * np.clip(x + 0.5, 0.0, 1.0)) ** 2
    return rise


def lagged_products(read: ReadChannels, h: Floats, pairs: list[tuple[int, int]], lags: int, block: Block) -> Floats:
    """C_ij(k) of one block, k = 0 ... lags; those of a partition of unity add up to that of the series.

    A pair of frames (t, t + k) belongs to the block with weight [g(t) + g(t + k)]/2.
    read(start, stop) returns the channels (channels, stop - start), means removed. Returns (pairs, lags + 1).
    """
    segments = list(_segments(block, len(h), lags))
    length = fft.next_fast_len(max(_length(*segment, lags) for segment in segments), real=True)
    power = np.zeros((len(pairs), length // 2 + 1))
    for start, stop, low, high in segments:
        second = read(low, high) * h[low:high]
        first = np.zeros_like(second)
        inner = slice(start - low, stop - low)
        first[:, inner] = second[:, inner] * block.weight[start - block.start : stop - block.start]
        _add_cross_power(power, fft.rfft(first, length), fft.rfft(second, length), pairs)
    return np.array([fft.irfft(row, length)[: lags + 1] for row in power])


def _segments(block: Block, frames: int, lags: int) -> Iterator[tuple[int, int, int, int]]:
    """First members start to stop of the pairs, and the frames low to high that hold the second members."""
    size = max(SEGMENT - 2 * lags, SEGMENT // 2)
    end = block.start + len(block.weight)
    for start in range(block.start, end, size):
        stop = min(start + size, end)
        yield start, stop, max(0, start - lags), min(frames, stop + lags)


def _length(start: int, stop: int, low: int, high: int, lags: int) -> int:
    """Shortest transform in which lags up to `lags` do not wrap around."""
    return max(high + lags - start, stop - low + lags)


def _add_cross_power(power: Floats, first: Complexes, second: Complexes, pairs: list[tuple[int, int]]) -> None:
    for row, (i, j) in zip(power, pairs):
        if i == j:
            row += _real_product(first[i], second[i])
        else:
            row += 0.5 * (_real_product(first[i], second[j]) + _real_product(first[j], second[i]))


def _real_product(x: Complexes, y: Complexes) -> Floats:
    """Re(x* y)"""
    return x.real * y.real + x.imag * y.imag


def grid_wavenumbers(points: int, interval: float) -> Floats:
    """(points + 1,) wavenumbers (cm^-1) from 0 to the Nyquist wavenumber 1 / (2 c Delta)."""
    return np.arange(points + 1) * (nyquist(interval) / points)


def nyquist(interval: float) -> float:
    """Nyquist wavenumber (cm^-1) of frames `interval` fs apart."""
    return 1 / (2 * LIGHT_CM_PER_FS * interval)


def grid_points(lags: int, interval: float, spacing: float) -> int:
    """Intervals of a grid from 0 to the Nyquist wavenumber, at most `spacing` (cm^-1) wide and more than `lags`."""
    wanted = nyquist(interval) / spacing
    if wanted > max(MOST_POINTS, 8 * lags):
        raise DataError(
            f"a grid of {wanted:.1g} wavenumbers up to {nyquist(interval):.0f} cm^-1 is finer than the frames can tell "
            "and than memory holds; take a larger 'smoothing' or 'step'"
        )
    return int(fft.next_fast_len(max(lags + 1, int(np.ceil(wanted))), real=True))


def spectral_density(products: Floats, points: int, interval: float) -> Floats:
    """One-sided spectral density S(nu) of `products` C(k)/W (..., lags + 1), lags < points, `interval` fs apart.

    Returns (..., points + 1), in the products' unit per cm^-1, at `grid_wavenumbers`. The trapezoidal sum over the
    grid is C(0)/W exactly.
    """
    padded = np.zeros((*products.shape[:-1], points + 1))
    padded[..., : products.shape[-1]] = products
    density: Floats = 2 * LIGHT_CM_PER_FS * interval * fft.dct(padded, type=1, axis=-1)
    return density


def integrate(spectrum: Floats, step: float) -> Floats:
    """Trapezoidal integral over the last axis, an evenly spaced grid."""
    integral: Floats = (spectrum.sum(axis=-1) - 0.5 * (spectrum[..., 0] + spectrum[..., -1])) * step
    return integral


def power_spectral_density(series: Floats, interval: float, ramp: int = 0) -> tuple[Floats, Floats]:
    """Wavenumbers (cm^-1) and one-sided spectral density of real series, means removed.

    series (..., frames), `interval` fs apart. Without a ramp the integral over wavenumber is the variance of each
    series; with one, its variance weighted with h^2. The density of d(series)/dt is (2 pi c nu)^2 times this, exactly.
    """
    series = np.asarray(series, float)
    rows = series.reshape(-1, series.shape[-1])
    frames = rows.shape[-1]
    h = taper(frames, ramp)
    rows = rows - (rows @ h)[:, None] / h.sum()
    products = _own_products(rows, h, frames - 1)
    points = fft.next_fast_len(frames, real=True)
    density = spectral_density(products / np.dot(h, h), points, interval)
    return grid_wavenumbers(points, interval), density.reshape(*series.shape[:-1], points + 1)


def autocorrelation(series: Floats, lags: int) -> Floats:
    """Unbiased <a(t) a(t + k)>_t, k = 0 ... lags, of real series (..., frames), means removed."""
    series = np.asarray(series, float)
    rows = series.reshape(-1, series.shape[-1])
    rows = rows - rows.mean(axis=-1, keepdims=True)
    frames = rows.shape[-1]
    means: Floats = _own_products(rows, np.ones(frames), lags) / (frames - np.arange(lags + 1))
    return means.reshape(*series.shape[:-1], lags + 1)


def _own_products(rows: Floats, h: Floats, lags: int) -> Floats:
    """(rows, lags + 1) C_ii(k) of each row (rows, frames)."""
    pairs = [(row, row) for row in range(len(rows))]
    return lagged_products(lambda start, stop: rows[:, start:stop], h, pairs, lags, Block.of_all(len(h)))
