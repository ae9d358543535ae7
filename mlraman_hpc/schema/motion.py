"""Records of what the atoms' motion means for light and for transport."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.schema.stored import stored


@dataclass(frozen=True)
class Coupling:
    """Raman intensity over density of states (coupling.h5), (n,) on the grid of the density of states.

    coupling        C(nu), mean Raman activity of a degree of freedom; NaN where the density of states is not clear of 0
    activity        C g: the density of d(alpha)/dt over k_B T; vdos: g, the total
    error_model     one standard deviation of C over the committee's members
    mean            of C over all states; low: over those below `cutoff`, relative to it
    spread          standard deviation of C over the states relative to its mean, noise deducted; 0: all scatter alike
    """

    wavenumber: np.ndarray = stored("wavenumber", "cm^-1")
    coupling: np.ndarray = stored("coupling", "Angstrom^4/u")
    error: np.ndarray = stored("error/coupling", "Angstrom^4/u")
    activity: np.ndarray = stored("activity", "Angstrom^4 cm/u")
    activity_error: np.ndarray = stored("error/activity", "Angstrom^4 cm/u")
    vdos: np.ndarray = stored("vdos", "cm")
    vdos_error: np.ndarray = stored("error/vdos", "cm")
    mean: float = stored("mean", "Angstrom^4/u")
    cutoff: float = stored("cutoff", "cm^-1")
    low: float = stored("low_over_mean", "1")
    low_error: float = stored("error/low_over_mean", "1")
    spread: float = stored("spread", "1")
    temperature: float = stored("temperature", "K")
    smoothing: float = stored("smoothing", "cm^-1")
    error_model: np.ndarray | None = stored("error/model", "Angstrom^4/u", default=None)
