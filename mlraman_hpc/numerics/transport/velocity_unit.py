"""Which unit the velocities of a trajectory have, told from the displacements between its frames."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.units import VELOCITY_UNITS

_AGREE = 0.5  # squared correlation between displacements and velocities below which nothing can be told
_FACTOR = 2.0


def overlaps(positions: np.ndarray, velocities: np.ndarray, interval: float) -> np.ndarray:
    """(3,) sums of x.u, u.u, x.x: displacements x from frame to frame, u mean velocity of both times `interval`.

    positions and velocities (atoms, 3, frames), of which a few hundred frames are enough.
    """
    x = np.diff(positions, axis=-1)
    u = 0.5 * interval * (velocities[..., 1:] + velocities[..., :-1])
    return np.array([np.sum(x * u), np.sum(u * u), np.sum(x * x)])


def unit_from(sums: np.ndarray) -> str | None:
    """Name of the unit from added-up `overlaps`; None where displacements and velocities do not match any."""
    xu, uu, xx = sums
    if not uu * xx > 0 or xu <= 0 or xu**2 < _AGREE * uu * xx:
        return None
    slope = xu / uu
    name = min(VELOCITY_UNITS, key=lambda unit: abs(np.log(slope / VELOCITY_UNITS[unit])))
    return name if 1 / _FACTOR < slope / VELOCITY_UNITS[name] < _FACTOR else None
