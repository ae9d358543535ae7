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


@dataclass(frozen=True)
class Jumps:
    """Jumps between lattice sites (/jumps of dynamics.h5); dicts go by species.

    jumps               number; rate: for each atom, an upper bound (95 %) where there are none
    residence, flight   mean times on a site and between two; transit: share of the time between two
    outside             share of all time in no core; outside_volume: of the cell's volume
    returns             share of the jumps that lead back to the site before
    lengths, counts     of each kind of jump
    survival            share of stays that outlast `time`; expected: with one rate; one_rate: 1 yes, 0 no, -1 too few
    diffusion           of a random walk with these jumps; correlation: f = D / that
    position            (sites, 3) in the trajectory's mean cell; radius: of the cores; occupancy: mean number of atoms
    misfit              rms distance of the host's mean positions from the reference's
    """

    jumps: dict[str, int] = stored("number", "1")
    rate: dict[str, float] = stored("rate", "1/ps")
    rate_error: dict[str, float] = stored("error/rate", "1/ps")
    residence: dict[str, float] = stored("residence_time", "ps")
    residence_error: dict[str, float] = stored("error/residence_time", "ps")
    flight: dict[str, float] = stored("flight_time", "ps")
    transit: dict[str, float] = stored("transit", "1")
    outside: dict[str, float] = stored("outside", "1")
    outside_volume: dict[str, float] = stored("outside_volume", "1")
    returns: dict[str, float] = stored("returns", "1")
    lengths: dict[str, np.ndarray] = stored("length/value", "Angstrom")
    counts: dict[str, np.ndarray] = stored("length/number", "1")
    time: dict[str, np.ndarray] = stored("survival/time", "ps")
    survival: dict[str, np.ndarray] = stored("survival/share", "1")
    expected: dict[str, np.ndarray] = stored("survival/one_rate", "1")
    one_rate: dict[str, int] = stored("one_rate", "1")
    diffusion: dict[str, float] = stored("diffusion", "cm^2/s")
    diffusion_error: dict[str, float] = stored("error/diffusion", "cm^2/s")
    correlation: dict[str, float] = stored("correlation", "1")
    correlation_error: dict[str, float] = stored("error/correlation", "1")
    position: dict[str, np.ndarray] = stored("site/position", "Angstrom")
    radius: dict[str, np.ndarray] = stored("site/radius", "Angstrom")
    occupancy: dict[str, np.ndarray] = stored("site/occupancy", "1")
    cell: np.ndarray = stored("site/cell", "Angstrom")
    verdict: dict[str, str] = stored("verdict", "1")
    misfit: float = stored("misfit", "Angstrom")
