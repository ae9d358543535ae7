"""Displacements of atoms along a trajectory: unwrapping, mean squared displacement, non-Gaussian parameter.

Time is the last axis everywhere. Sums over atoms are returned, not means, so that blocks of atoms can be added up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from mlraman_hpc.numerics import Booleans, Floats, Integers


@dataclass(frozen=True)
class DisplacementSums:
    """Sums over the atoms of one species; Angstrom.

    atoms     how many
    second    (3, frames) sum of the mean squared displacement along each axis, at lags 0, 1, ...
    fourth    (3, lags) sum of <x^4> along each axis, at the chosen lags
    quartic   (lags,) sum of <r^4> at the chosen lags
    variance  (3,) sum of the variance of the position about its mean over time
    products  (4, lags, lags) sum of an atom's own mean squared displacement at one chosen lag times that at another,
              along each axis and, last, of all three axes together
    """

    atoms: int
    second: Floats
    fourth: Floats
    quartic: Floats
    variance: Floats
    products: Floats

    def __add__(self, other: DisplacementSums) -> DisplacementSums:
        return DisplacementSums(
            self.atoms + other.atoms,
            self.second + other.second,
            self.fourth + other.fourth,
            self.quartic + other.quartic,
            self.variance + other.variance,
            self.products + other.products,
        )

    @property
    def msd(self) -> Floats:
        """(frames,) Angstrom^2"""
        msd: Floats = self.second.sum(axis=0) / self.atoms
        return msd

    @property
    def rms(self) -> float:
        """Angstrom, root mean square displacement (all three axes) from the mean positions."""
        return float(np.sqrt(self.variance.sum() / self.atoms))

    def non_gaussian(self, lags: Integers) -> Floats:
        """alpha_2 = 3 <r^4> / (5 <r^2>^2) - 1 at the chosen lags, none of them 0; zero for Gaussian displacements."""
        square = self.msd[lags] ** 2
        alpha_2: Floats = 3 * (self.quartic / self.atoms) / (5 * np.where(square > 0, square, np.nan)) - 1
        return alpha_2


def unwrap(fractional: Floats, periodic: Booleans) -> Floats:
    """Fractional coordinates (atoms, 3, frames), made continuous in time, in place.

    Each step s from one frame to the next is taken as its minimum image, s - round(s), along periodic directions (3,).
    Coordinates that are continuous already stay what they were, to the last bit. Returns the largest step along each
    direction (3,) in cell vectors: close to 1/2 the minimum image is ambiguous.
    """
    largest = np.zeros(3)
    for atom in fractional:
        step = np.diff(atom, axis=-1)
        images = np.round(step) * periodic[:, None]
        np.maximum(largest, np.abs(step - images).max(axis=-1, initial=0), out=largest)
        if images.any():
            atom[:, 1:] -= np.cumsum(images, axis=-1)
    return np.where(periodic, largest, 0.0)


def log_lags(frames: int) -> Integers:
    """Lags 1 ... frames // 2, each about 1.5 times the one before, 1.2 times over the last factor of three."""
    last = max(1, frames // 2)
    count = int(np.log(last) / np.log(1.5)) + 2
    coarse = np.geomspace(1, last, count)
    return np.unique(
        np.round(np.concatenate([coarse[coarse < last / 3], np.geomspace(last / 3, last, 7)])).astype(int).clip(1, last)
    )


def displacement_sums(positions: Floats, lags: Integers) -> DisplacementSums:
    """Sums over atoms of positions (atoms, 3, frames), Angstrom, unwrapped, drift removed; `lags` in frames."""
    frames = positions.shape[-1]
    second, fourth = np.zeros((3, frames)), np.zeros((3, len(lags)))
    quartic, variance, products = np.zeros(len(lags)), np.zeros(3), np.zeros((4, len(lags), len(lags)))
    for atom in positions:
        centred = atom - atom.mean(axis=-1, keepdims=True)
        variance += np.mean(centred**2, axis=-1)
        own = mean_squared_displacement(centred)
        second += own
        chosen = np.concatenate([own, own.sum(axis=0, keepdims=True)])[:, lags]
        products += chosen[:, :, None] * chosen[:, None, :]
        for k, lag in enumerate(lags):
            square = (centred[:, lag:] - centred[:, :-lag]) ** 2
            fourth[:, k] += np.mean(square**2, axis=-1)
            quartic[k] += np.mean(square.sum(axis=0) ** 2)
    return DisplacementSums(len(positions), second, fourth, quartic, variance, products)


def own_displacements(positions: Floats, lags: Integers) -> Floats:
    """(atoms, lags) mean squared displacement (Angstrom^2, all three axes) of each of the atoms (atoms, 3, frames)."""
    return np.array(
        [mean_squared_displacement(atom - atom.mean(axis=-1, keepdims=True))[:, lags].sum(axis=0) for atom in positions]
    )


def mean_squared_displacement(series: Floats) -> Floats:
    """<[x(t + k) - x(t)]^2>_t over all time origins t, k = 0 ... frames - 1; series and result (..., frames).

    sum_t [x(t)^2 + x(t + k)^2] by cumulated sums, sum_t x(t) x(t + k) by a Fourier transform padded with zeros.
    """
    frames = series.shape[-1]
    length = fft.next_fast_len(2 * frames, real=True)
    transform = fft.rfft(series, length)
    products = fft.irfft(transform.real**2 + transform.imag**2, length)[..., :frames]
    square = np.cumsum(series**2, axis=-1)
    total = square[..., -1:]
    before = np.concatenate([np.zeros_like(total), square[..., :-1]], axis=-1)  # sum over t < k
    squares = square[..., ::-1] + (total - before)
    displacement: Floats = (squares - 2 * products) / (frames - np.arange(frames))
    displacement[..., 0] = 0.0
    never_negative: Floats = np.maximum(displacement, 0.0)
    return never_negative
