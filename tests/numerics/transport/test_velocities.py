"""Diffusion from the zero-frequency limit of velocity spectra, and the unit of velocities."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.numerics.spectra.vdos import vdos_plan
from mlraman_hpc.numerics.transport.velocities import (
    diffusion_from_spectrum,
    displacement_overlaps,
    low_frequency_power,
    velocity_unit,
)
from tests.numerics.synthetic import oscillators


def langevin(seed: int, atoms: int, frames: int, memory: float) -> np.ndarray:
    """(atoms, 3, frames) velocities with <v^2> = 1 along each axis and correlation memory^k."""
    rng = np.random.default_rng(seed)
    velocities = rng.normal(size=(atoms, 3, frames))
    velocities[..., 1:] *= np.sqrt(1 - memory**2)
    for k in range(1, frames):
        velocities[..., k] += memory * velocities[..., k - 1]
    return velocities


def test_zero_frequency_limit_is_the_diffusion_coefficient():
    """D = 1/2 sum_k <v(0) v(k)> of a discrete series; the bars cover it as often as they say."""
    frames, interval, atoms, memory = 1500, 50.0, 8, 0.6
    plan = vdos_plan(frames, interval, 4.0, 8)
    truth = 0.5 * (1 + memory) / (1 - memory) * interval * 0.1
    inside = []
    for seed in range(60):
        power = low_frequency_power(langevin(seed, atoms, frames, memory), plan)
        value, error = diffusion_from_spectrum(power, atoms, plan)
        inside.append(abs(value - truth) < error)
    assert 0.55 < np.mean(inside) < 0.8


@pytest.mark.parametrize("unit", VELOCITY_UNITS)
def test_unit_of_velocities_is_told_from_displacements(unit):
    x, v = oscillators([60, 90, 20], [0.3, 0.1, 0.3], 300, 20.0)
    assert velocity_unit(displacement_overlaps(x, v / VELOCITY_UNITS[unit], 20.0)) == unit


def test_unit_of_other_velocities_is_not_guessed():
    x, v = oscillators([60, 90, 20], [0.3, 0.1, 0.3], 300, 20.0)
    assert velocity_unit(displacement_overlaps(x, np.roll(v, 97, axis=-1) * 0.3, 20.0)) is None
    assert velocity_unit(displacement_overlaps(x, np.zeros_like(v), 20.0)) is None
    assert velocity_unit(displacement_overlaps(x, 3.0 * v, 20.0)) is None
