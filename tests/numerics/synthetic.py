"""Series whose spectral density is known in closed form, sampled exactly (no time-step error)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm
from scipy.signal import lfilter

from mlraman_hpc.base.units import LIGHT_CM_PER_FS, RAD_PER_FS_PER_WAVENUMBER


@dataclass(frozen=True)
class Oscillator:
    """x'' = -omega_0^2 x - gamma x' + noise with unit variance; wavenumber and damping (FWHM) in cm^-1."""

    wavenumber: float
    damping: float

    def series(self, count: int, frames: int, interval: float, rng) -> np.ndarray:
        """(count, frames)"""
        omega = self.wavenumber * RAD_PER_FS_PER_WAVENUMBER
        gamma = self.damping * RAD_PER_FS_PER_WAVENUMBER
        step = expm(np.array([[0.0, 1.0], [-1.0, -gamma / omega]]) * omega * interval)  # for x and x'/omega
        noise = np.linalg.cholesky(np.eye(2) - step @ step.T) @ rng.normal(size=(frames, 2, count))
        state, out = rng.normal(size=(2, count)), np.empty((frames, count))
        for t in range(frames):
            state = step @ state + noise[t]
            out[t] = state[0]
        return out.T

    def density(self, nu: np.ndarray, interval: float) -> np.ndarray:
        """One-sided density per cm^-1 of the sampled series, aliases included."""
        omega = self.wavenumber * RAD_PER_FS_PER_WAVENUMBER
        half = 0.5 * self.damping * RAD_PER_FS_PER_WAVENUMBER
        shifted = np.sqrt(omega**2 - half**2)
        return _geometric(1 - 1j * half / shifted, np.exp((-half + 1j * shifted) * interval), nu, interval)


@dataclass(frozen=True)
class Relaxator:
    """Ornstein-Uhlenbeck process of unit variance; its density is a Lorentzian of half width `width` (cm^-1)."""

    width: float

    def series(self, count: int, frames: int, interval: float, rng) -> np.ndarray:
        decay = np.exp(-self.width * RAD_PER_FS_PER_WAVENUMBER * interval)
        noise = rng.normal(size=(count, frames)) * np.sqrt(1 - decay**2)
        noise[:, 0] = rng.normal(size=count)
        return lfilter([1.0], [1.0, -decay], noise, axis=1)

    def density(self, nu: np.ndarray, interval: float) -> np.ndarray:
        return _geometric(1.0, np.exp(-self.width * RAD_PER_FS_PER_WAVENUMBER * interval), nu, interval)


@dataclass(frozen=True)
class Telegraph:
    """Eight signals that jump between two values after `residence` fs on average, scaled to unit variance."""

    residence: float

    def series(self, count: int, frames: int, interval: float, rng) -> np.ndarray:
        """(count, frames)"""
        stays = 0.5 * (1 + np.exp(-2 * interval / self.residence))
        jumps = rng.random((count, 8, frames)) > stays
        jumps[..., 0] = rng.random((count, 8)) < 0.5
        return (1 - 2 * (np.cumsum(jumps, axis=-1) % 2)).sum(axis=1) / np.sqrt(8)


def _geometric(amplitude, ratio, nu, interval):
    """2 c Delta sum over all k of Re(amplitude ratio^|k|) cos(k theta)."""
    theta = 2 * np.pi * LIGHT_CM_PER_FS * nu * interval
    return (
        2
        * LIGHT_CM_PER_FS
        * interval
        * np.real(amplitude * (1 - ratio**2) / (1 - 2 * ratio * np.cos(theta) + ratio**2))
    )


def isotropic(x: np.ndarray) -> np.ndarray:
    """(frames,) to (frames, 3, 3): mean polarizability x, no anisotropy."""
    return x[:, None, None] * np.eye(3)


def anisotropic(x: np.ndarray) -> np.ndarray:
    """(frames,) to (frames, 3, 3): no trace, gamma^2 = x^2."""
    return x[:, None, None] * np.diag([-1.0, -1.0, 2.0]) / 3


def six_channels(x: np.ndarray) -> np.ndarray:
    """(6, frames) to (frames, 3, 3): six orthonormal tensors, so that series of one kind make an isotropic process."""
    pairs = [np.outer(e, f) + np.outer(f, e) for e, f in ((np.eye(3)[i], np.eye(3)[i - 1]) for i in range(3))]
    channels = [
        np.eye(3) / np.sqrt(3),
        np.diag([1.0, -1.0, 0.0]) / np.sqrt(2),
        np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6),
        *(pair / np.sqrt(2) for pair in pairs),
    ]
    return np.einsum("cn,cij->nij", x, np.array(channels))


def oscillators(wavenumbers, amplitudes, frames: int, interval: float):
    """Positions and velocities (1, 3, frames), one oscillator along each axis."""
    omega = RAD_PER_FS_PER_WAVENUMBER * np.array(wavenumbers, dtype=float)[:, None]
    phase = omega * interval * np.arange(frames) + np.arange(3)[:, None]
    amplitudes = np.array(amplitudes)[:, None]
    return (amplitudes * np.sin(phase))[None], (amplitudes * omega * np.cos(phase))[None]


def random_rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def gaussian_mean(nu: np.ndarray, values: np.ndarray, at: np.ndarray, sigma: float) -> np.ndarray:
    """Convolution with a Gaussian by direct summation, the values continued evenly below zero; for comparison."""
    step = nu[1] - nu[0]
    kernel = np.exp(-0.5 * ((at[:, None] - nu) / sigma) ** 2) + np.exp(-0.5 * ((at[:, None] + nu) / sigma) ** 2)
    kernel[:, nu == 0] /= 2
    return kernel @ values * step / (sigma * np.sqrt(2 * np.pi))
