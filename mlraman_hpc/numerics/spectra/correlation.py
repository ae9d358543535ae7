"""Power spectra of sampled series by the Wiener-Khinchin theorem.

One pass over the series collects, for every pair of channels, the lagged products

    C_ij(k) = sum_t h_t h_{t+k} [a_i(t) a_j(t+k) + a_j(t) a_i(t+k)] / 2,     k = 0 ... K,

with a taper h that brings the series to zero at both ends: without it the jump between the last frame and the first
leaks from every band as 1/nu^2, which a Raman spectrum multiplies by nu. The one-sided spectral density

    S_ij(nu) = 2 c Delta / W [C_ij(0) + 2 sum_k C_ij(k) lambda(k) cos(2 pi c nu k Delta)],      W = sum_t h_t^2,

integrates over 0 <= nu <= Nyquist to C_ij(0)/W, the (weighted) variance. With all lags and lambda = 1 it is the
tapered periodogram, never negative. The products are summed over pieces of the series, so that memory is bounded by
the piece and the lags, and over blocks of it, for error bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.base.units import LIGHT_CM_PER_FS

PIECE = 2**19  # frames transformed at a time


@dataclass(frozen=True)
class Block:
    """Smooth part of a series: frames start to start + len(weight), each with a weight between 0 and 1."""

    start: int
    weight: np.ndarray

    def at(self, frames: np.ndarray) -> np.ndarray:
        """Weights of these frames of the series."""
        inside = (frames >= self.start) & (frames < self.start + len(self.weight))
        return np.where(inside, self.weight[np.clip(frames - self.start, 0, len(self.weight) - 1)], 0.0)


def taper(frames: int, ramp: int) -> np.ndarray:
    """Split cosine bell: 1 in the middle, raised-cosine ramps of `ramp` frames at both ends. (frames,)"""
    h = np.ones(frames)
    ramp = min(ramp, frames // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))
    h[:ramp] = rise
    h[frames - ramp :] = rise[::-1]
    return h


def taper_width(h: np.ndarray, interval: float) -> float:
    """Root mean square width (cm^-1) of the taper's spectral kernel |H|^2: sqrt(int h'^2 / int h^2) / (2 pi c)."""
    slope = np.diff(h, prepend=0.0, append=0.0)
    return float(np.sqrt(np.dot(slope, slope) / np.dot(h, h)) / (2 * np.pi * LIGHT_CM_PER_FS * interval))


def taper_resolution(h: np.ndarray, interval: float) -> float:
    """sigma (cm^-1) of the Gaussian as wide as the taper's kernel |H|^2: sum h^2 / (sum h)^2 / (c dt sqrt(2 pi))."""
    width = np.dot(h, h) / h.sum() ** 2 / (LIGHT_CM_PER_FS * interval)
    return float(width / np.sqrt(2 * np.pi))


def smooth_blocks(h: np.ndarray, blocks: int, overlap: float = 0.5) -> Iterator[Block]:
    """Partition of unity into blocks of equal sum_t g_b h^2, neighbours sharing sin^2 flanks.

    The flanks (`overlap` of a block long) keep a block's edges from leaking into the gaps between bands.
    """
    cumulated = np.cumsum(h * h)
    place = (cumulated - 0.5 * h * h) / cumulated[-1] * blocks  # block b covers b <= place < b + 1
    for b in range(blocks):
        start, stop = np.searchsorted(place, (b - overlap / 2, b + 1 + overlap / 2))
        weight = np.ones(stop - start)
        if b > 0:
            weight *= _rise((place[start:stop] - b) / overlap)
        if b < blocks - 1:
            weight *= 1 - _rise((place[start:stop] - b - 1) / overlap)
        yield Block(int(start), weight)


def _rise(x: np.ndarray) -> np.ndarray:
    """0 below -1/2, 1 above 1/2, sin^2 between."""
    return np.sin(np.pi / 2 * np.clip(x + 0.5, 0.0, 1.0)) ** 2


def lagged_products(
    read: Callable[[int, int], np.ndarray], h: np.ndarray, pairs: list[tuple[int, int]], lags: int, block: Block
) -> np.ndarray:
    """Block's part of C_ij(k), k = 0 ... lags; the parts of a partition of unity add up to the whole.

    A pair of frames (t, t + k) belongs to the block with weight [g(t) + g(t + k)]/2.
    read(start, stop) gives the channels (channels, stop - start), means removed. Returns (pairs, lags + 1).
    """
    pieces = list(_pieces(block, len(h), lags))
    length = fft.next_fast_len(max(_length(*piece, lags) for piece in pieces), real=True)
    power = np.zeros((len(pairs), length // 2 + 1))
    for start, stop, low, high in pieces:
        whole = read(low, high) * h[low:high]
        part = np.zeros_like(whole)
        inner = slice(start - low, stop - low)
        part[:, inner] = whole[:, inner] * block.weight[start - block.start : stop - block.start]
        _add_cross_power(power, fft.rfft(part, length), fft.rfft(whole, length), pairs)
    return np.array([fft.irfft(row, length)[: lags + 1] for row in power])


def _pieces(block: Block, frames: int, lags: int) -> Iterator[tuple[int, int, int, int]]:
    """First members start to stop of the pairs, and the frames low to high that hold the second members."""
    size = max(PIECE - 2 * lags, PIECE // 2)
    end = block.start + len(block.weight)
    for start in range(block.start, end, size):
        stop = min(start + size, end)
        yield start, stop, max(0, start - lags), min(frames, stop + lags)


def _length(start: int, stop: int, low: int, high: int, lags: int) -> int:
    """Shortest transform in which lags up to `lags` do not wrap around."""
    return max(high + lags - start, stop - low + lags)


def _add_cross_power(power, part, whole, pairs) -> None:
    for row, (i, j) in zip(power, pairs):
        if i == j:
            row += _real_product(part[i], whole[i])
        else:
            row += 0.5 * (_real_product(part[i], whole[j]) + _real_product(part[j], whole[i]))


def _real_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Re(x* y)"""
    return x.real * y.real + x.imag * y.imag


def grid_wavenumbers(points: int, interval: float) -> np.ndarray:
    """(points + 1,) wavenumbers (cm^-1) from 0 to the Nyquist wavenumber 1 / (2 c Delta)."""
    return np.arange(points + 1) * (nyquist(interval) / points)


def nyquist(interval: float) -> float:
    """Nyquist wavenumber (cm^-1) of frames `interval` fs apart."""
    return 1 / (2 * LIGHT_CM_PER_FS * interval)


def spectral_density(products: np.ndarray, points: int, interval: float) -> np.ndarray:
    """One-sided spectral density of C(k)/W given as `products` (..., lags + 1), lags < points.

    Returns (..., points + 1), in the products' unit per cm^-1, at `grid_wavenumbers`. The trapezoidal sum over the
    grid is C(0)/W exactly.
    """
    padded = np.zeros((*products.shape[:-1], points + 1))
    padded[..., : products.shape[-1]] = products
    return 2 * LIGHT_CM_PER_FS * interval * fft.dct(padded, type=1, axis=-1)


def integrate(spectrum: np.ndarray, step: float) -> np.ndarray:
    """Trapezoidal integral over the last axis, an evenly spaced grid."""
    return (spectrum.sum(axis=-1) - 0.5 * (spectrum[..., 0] + spectrum[..., -1])) * step


def power_spectral_density(series: np.ndarray, interval: float, ramp: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers (cm^-1) and one-sided spectral density of real series, means removed.

    series (..., frames), `interval` fs apart. Without a ramp the integral over wavenumber is the variance of each
    series; with one, its variance weighted with h^2. The density of d(series)/dt is (2 pi c nu)^2 times this, exactly.
    """
    series = np.asarray(series, float)
    rows = series.reshape(-1, series.shape[-1])
    frames = rows.shape[-1]
    h = taper(frames, ramp)
    rows = rows - (rows @ h)[:, None] / h.sum()
    products = lagged_products(
        lambda start, stop: rows[:, start:stop],
        h,
        [(i, i) for i in range(len(rows))],
        frames - 1,
        Block(0, np.ones(frames)),
    )
    points = fft.next_fast_len(frames, real=True)
    density = spectral_density(products / np.dot(h, h), points, interval)
    return grid_wavenumbers(points, interval), density.reshape(*series.shape[:-1], points + 1)


def autocorrelation(series: np.ndarray, lags: int) -> np.ndarray:
    """Unbiased <a(t) a(t + k)>_t, k = 0 ... lags, of real series (..., frames), means removed."""
    series = np.asarray(series, float)
    rows = series.reshape(-1, series.shape[-1])
    rows = rows - rows.mean(axis=-1, keepdims=True)
    frames = rows.shape[-1]
    products = lagged_products(
        lambda start, stop: rows[:, start:stop],
        np.ones(frames),
        [(i, i) for i in range(len(rows))],
        lags,
        Block(0, np.ones(frames)),
    )
    return (products / (frames - np.arange(lags + 1))).reshape(*series.shape[:-1], lags + 1)
