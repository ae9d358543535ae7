"""Random motion of ions whose conductivity and Haven ratio are known."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from mlraman_hpc.base.units import BOLTZMANN_EV_PER_K, S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV
from mlraman_hpc.numerics.spectra.vdos import vdos_plan
from mlraman_hpc.numerics.transport.conductivity import ChargedSystem, conductivity
from mlraman_hpc.numerics.transport.diffusion import diffusion
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags

STEP = 0.3  # Angstrom, along one axis in one frame: D = STEP^2/2 for each frame
INTERVAL = 20.0  # fs
IONS = 16
VOLUME, TEMPERATURE = 1000.0, 500.0


def brownian(rng, frames, ions=IONS):
    """(ions, 3, frames) independent walks."""
    return np.cumsum(STEP * rng.normal(size=(ions, 3, frames)), axis=-1)


def together(rng, frames):
    """Pairs that move as one: H = 1/2."""
    return np.repeat(brownian(rng, frames, IONS // 2), 2, axis=0)


def backflow(rng, frames):
    """Independent steps less a half of all ions' mean step: H = 4, as 1/H = (1 - 1/2)^2."""
    walks = brownian(rng, frames)
    return walks - 0.5 * walks.mean(axis=0)


def hopping(rng, frames, residence=40, length=3.0):
    """Rare jumps with vibrations of 0.3 Angstrom."""
    jumps = rng.random((IONS, 1, frames)) < 1 / residence
    direction = rng.normal(size=(IONS, 3, frames))
    direction *= length / np.linalg.norm(direction, axis=1, keepdims=True)
    return np.cumsum(jumps * direction, axis=-1) + swinging(rng, frames)


def liquid(rng, frames, lasts=15):
    """Velocities that last for 15 frames, with vibrations."""
    a = np.exp(-1 / lasts)
    noise = np.sqrt(1 - a * a) * rng.normal(size=(IONS, 3, frames))
    velocity = lfilter([1], [1, -a], noise, axis=-1) * STEP * np.sqrt((1 - a) / (1 + a))
    return np.cumsum(velocity, axis=-1) + swinging(rng, frames)


def swinging(rng, frames, amplitude=0.3, period=12.0, damping=0.05):
    """(IONS, 3, frames) damped oscillations."""
    radius = np.exp(-damping)
    filter_ = [1, -2 * radius * np.cos(2 * np.pi / period), radius**2]
    swing = lfilter([1], filter_, rng.normal(size=(IONS, 3, frames + 200)), axis=-1)[..., 200:]
    return swing * (amplitude / swing.std())


PROCESSES = {  # name -> (process, D in Angstrom^2 for each frame, Haven ratio)
    "independent, Brownian": (brownian, STEP**2 / 2, 1.0),
    "pairs that move as one": (together, STEP**2 / 2, 0.5),
    "backflow": (backflow, STEP**2 / 2 * (1 - 0.75 / IONS), (1 - 0.75 / IONS) * 4),
    "independent hops, vibrations": (hopping, 9.0 / 240, 1.0),
    "independent, velocity lasts, vibrations": (liquid, STEP**2 / 2, 1.0),
}


def found_in(process, rng, frames):
    """The Conductivity of one draw."""
    cations, anions, lags = process(rng, frames), swinging(rng, frames), log_lags(frames)
    fits = {
        name: diffusion(displacement_sums(part, lags), lags, INTERVAL) for name, part in (("A", cations), ("B", anions))
    }
    system = ChargedSystem({"A": IONS, "B": IONS}, {"A": 1.0, "B": -1.0}, ("A",), VOLUME, TEMPERATURE, "deck", "deck")
    plan = vdos_plan(frames, INTERVAL, 4.0, 8)
    return conductivity(system, cations.sum(axis=0) - anions.sum(axis=0), None, fits, plan)


def truth_of(diffusion_per_frame, haven):
    """sigma, S/cm."""
    factor = S_PER_CM_PER_E2_PER_ANGSTROM_FS_EV / (VOLUME * BOLTZMANN_EV_PER_K * TEMPERATURE)
    return factor * IONS * diffusion_per_frame / INTERVAL / haven
