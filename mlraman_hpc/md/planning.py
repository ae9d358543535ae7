"""Time step, stride and length of a run from the spectrum that is wanted, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlraman_hpc.base.units import LIGHT_CM_PER_FS, RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.numerics import Floats

MARGIN = 1.5  # the Nyquist wavenumber lies at least so much above the highest band of the structure at rest
STEPS_PER_PERIOD = 15  # of the highest band; Verlet's shift is then 0.7 %
TIME_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # fs
SCATTER = 0.05  # standard error that the length is planned for, of the intensity of a lone component
ROOMY_RUN = 4.0  # a run's own resolution is this much finer than the smoothing
_DISPLACEMENT = 0.01  # Angstrom, of the atom that moves most


@dataclass(frozen=True)
class Plan:
    """fs and cm^-1.

    highest        highest band of the spectrum
    shift          by which Verlet's algorithm moves it up
    scatter        relative standard error of a smoothed intensity, of one component without averages over atoms
    shortest       length of a run below which it broadens the spectrum
    """

    highest: float
    time_step: float
    frame_interval: float
    length: float
    shift: float
    scatter: float
    shortest: float


def plan(
    highest: float,
    smoothing: float,
    *,
    time_step: float | None = None,
    frame_interval: float | None = None,
    length: float | None = None,
    replicas: int = 1,
) -> Plan:
    """What is not given follows from the highest band and the width of the smoothing (sigma, both cm^-1)."""
    step = time_step or planned_time_step(highest)
    interval = frame_interval or planned_interval(highest, step)
    shortest = shortest_run(smoothing)
    total = (length or 0) * replicas or max(planned_total(smoothing), shortest * replicas)
    return Plan(
        highest,
        step,
        interval,
        interval * float(np.ceil(total / replicas / interval - 1e-9)),
        verlet_shift(highest, step),
        scatter(total, smoothing),
        shortest,
    )


def planned_time_step(highest: float) -> float:
    """fs: the longest of the usual ones with STEPS_PER_PERIOD steps in a period of the highest band."""
    longest = 1 / (LIGHT_CM_PER_FS * highest) / STEPS_PER_PERIOD
    return max([step for step in TIME_STEPS if step <= longest], default=TIME_STEPS[0])


def planned_interval(highest: float, time_step: float) -> float:
    """fs between frames: the most steps with 1/(2 c dt) >= MARGIN times the highest band."""
    longest = 1 / (2 * LIGHT_CM_PER_FS * MARGIN * highest)
    return time_step * max(1, int(longest / time_step + 1e-9))


def nyquist_wavenumber(interval: float) -> float:
    """cm^-1, of frames `interval` fs apart."""
    return 1 / (2 * LIGHT_CM_PER_FS * interval)


def verlet_shift(wavenumber: float, time_step: float) -> float:
    """cm^-1 by which Verlet's algorithm moves a band up: omega = (2/dt) arcsin(omega_0 dt/2)."""
    half = 0.5 * RAD_PER_FS_PER_WAVENUMBER * wavenumber * time_step
    return float("inf") if half >= 1 else wavenumber * (float(np.arcsin(half)) / half - 1)


def scatter(duration: float, smoothing: float) -> float:
    """Relative standard error of a spectrum that is smoothed with a Gaussian: (2 sqrt(pi) sigma c T)^(-1/2).

    Ordinates of a periodogram are 1/(c T) apart, independent, and scatter as much as they are large; a Gaussian
    averages 2 sqrt(pi) sigma c T of them.
    """
    return float((2 * np.sqrt(np.pi) * smoothing * LIGHT_CM_PER_FS * duration) ** -0.5)


def planned_total(smoothing: float) -> float:
    """fs of all runs of a temperature together, for SCATTER."""
    return float(1 / (2 * np.sqrt(np.pi) * smoothing * LIGHT_CM_PER_FS * SCATTER**2))


def shortest_run(smoothing: float) -> float:
    """fs whose own resolution, sigma = 1/(sqrt(2 pi) c T), is the smoothing's over ROOMY_RUN."""
    return float(ROOMY_RUN / (np.sqrt(2 * np.pi) * LIGHT_CM_PER_FS * smoothing))


def energy_scatter(atoms: int, temperature: float) -> float:
    """K: standard deviation among the mean temperatures of runs at constant energies that were drawn from NVT.

    T/sqrt(3 N - 3) of a harmonic crystal, whose energy of 3 N - 3 modes has the variance (3 N - 3)(kT)^2 and whose
    temperature is proportional to it.
    """
    return temperature / float(np.sqrt(max(3 * atoms - 3, 3)))


def highest_wavenumber(atoms: Any, iterations: int = 16) -> float:
    """cm^-1 of the highest vibration, by Lanczos' method with forces alone.

    D = M^(-1/2) (-dF/dx) M^(-1/2) acts on a vector by the difference of the forces at two displacements along it;
    the largest eigenvalue of the tridiagonal matrix converges first. Costs 2 `iterations` forces. `atoms` is left as
    it was; its calculator is used.
    """
    from ase import units

    start, masses = atoms.get_positions(), atoms.get_masses()[:, None]
    vector = np.random.default_rng(0).standard_normal(start.shape)
    vector /= np.linalg.norm(vector)
    basis: list[Floats] = []
    diagonal, beside = [], []
    for _ in range(min(iterations, start.size)):
        basis.append(vector)
        product = _curvature(atoms, start, vector / np.sqrt(masses)) / np.sqrt(masses)
        diagonal.append(float(np.sum(vector * product)))
        for other in basis:  # twice is as good as exact
            product = product - other * np.sum(other * product)
        for other in basis:
            product = product - other * np.sum(other * product)
        length = float(np.linalg.norm(product))
        if length < 1e-6 * max(map(abs, diagonal)):
            break
        beside.append(length)
        vector = product / length
    atoms.set_positions(start)
    size = len(diagonal)
    matrix = np.diag(diagonal) + np.diag(beside[: size - 1], 1) + np.diag(beside[: size - 1], -1)
    largest = float(np.linalg.eigvalsh(matrix)[-1])
    angular = np.sqrt(max(largest, 0.0)) * units.fs  # rad/fs
    return float(angular / RAD_PER_FS_PER_WAVENUMBER)


def _curvature(atoms: Any, start: Floats, direction: Floats) -> Floats:
    """-dF/dx along `direction`, by central differences."""
    scale = _DISPLACEMENT / float(np.abs(direction).max())
    forces = []
    for sign in (1, -1):
        atoms.set_positions(start + sign * scale * direction)
        forces.append(atoms.get_forces())
    difference: Floats = (forces[1] - forces[0]) / (2 * scale)
    return difference


def seconds_per_step(step: Callable[[], Any], seconds: float = 1.0, most: int = 50) -> float:
    """s, of `step`, the integrator's; the first call, which compiles and allocates, is not counted."""
    step()
    began, done = time.perf_counter(), 0
    while done < most and (done == 0 or time.perf_counter() - began < seconds):
        step()
        done += 1
    return (time.perf_counter() - began) / done


def file_bytes(atoms: int, frames: int) -> int:
    """Of a trajectory: positions, velocities, cell and observables."""
    return frames * (48 * atoms + 72 + 48)
