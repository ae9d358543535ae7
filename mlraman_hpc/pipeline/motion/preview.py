"""A look at some hundred frames before anything is computed: kinetic temperature, and motion too fast for the frames.

The kinetic energy of positions that are differentiated, of frames `interval` apart, misses what moves faster than the
Nyquist wavenumber 1/(2 c interval), and so does every spectrum along the same frames: such bands appear folded back,
nu as |nu - 2 n nu_Nyquist|. Velocities in the file, or the frames in between that trajectory.every passes over, say how
much that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.cells import cartesian, completed, flips, fractional
from mlraman_hpc.base.elements import masses as standard_masses
from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.units import BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K, LIGHT_CM_PER_FS, VELOCITY_UNITS
from mlraman_hpc.config.motion_sections import DynamicsSection
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.numerics.spectra.vdos import VdosPlan, vdos_plan, velocities_from_positions
from mlraman_hpc.numerics.transport.displacements import unwrap
from mlraman_hpc.numerics.transport.velocities import displacement_overlaps, velocity_unit
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.motion.species_motion import AT_REST
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames
from mlraman_hpc.records.transport import misses_fast_motion

MOST_FRAMES, LEAST_FRAMES, BUDGET = 512, 16, 1 << 18  # frames, and positions, that are read
SMOOTHING = 20.0  # cm^-1, of the density of states that is looked at
TOO_HOT = 1e4  # K
TOO_COLD = 30.0  # K, unless the deck says so
AGREES = 1.2  # ratio of the kinetic temperature and the one of the deck
MISSED = 0.03  # share of the kinetic energy beyond the Nyquist wavenumber of the frames that are used
SLOWER = 0.85  # ratio of kinetic energies of positions and of velocities


@dataclass(frozen=True)
class MotionPreview:
    """Motion in consecutive stored frames.

    frames, interval   how many, and fs between them
    temperature        K, of positions; of_velocities: K, of the file's velocities in `unit`; None without
    wavenumber, share  (bins,) cm^-1, and the share of the kinetic energy in each
    largest_step       of an atom from frame to frame, in cell heights along periodic directions
    frozen             {element: number of its atoms that do not move in these frames}, without those that have none
    """

    frames: int
    interval: float
    temperature: float
    of_velocities: float | None
    unit: str | None
    wavenumber: np.ndarray
    share: np.ndarray
    largest_step: float
    frozen: dict[str, int]

    @property
    def kinetic(self) -> float:
        """K, the better of the two temperatures."""
        return self.temperature if self.of_velocities is None else self.of_velocities

    @property
    def misses_fast_motion(self) -> bool:
        """Whether stored frames are too rare: their density of states has not vanished at its end."""
        return misses_fast_motion(_smoothed(self.share, self.wavenumber))

    def beyond(self, every: int) -> float:
        """Share of the kinetic energy beyond the Nyquist wavenumber of every n-th frame."""
        return float(self.share[self.wavenumber > nyquist(self.interval * every)].sum())

    def fastest(self, every: int) -> tuple[float, float]:
        """Where beyond that most energy is, and where it appears in the spectrum (cm^-1)."""
        end = nyquist(self.interval * every)
        at = float(self.wavenumber[np.argmax(np.where(self.wavenumber > end, self.share, 0.0))])
        return at, abs(at - 2 * end * round(at / (2 * end)))


def preview_motion(
    index: TrajectoryIndex, rows: np.ndarray, interval: float, masses_of: dict[int, float] | None = None
) -> MotionPreview | None:
    """Of frames in the middle of `rows`, stored `interval` fs apart; None where these are too few.

    masses_of: atomic number -> u, where they are not those of the files or the standard ones. To be called on root.
    """
    atoms = len(index.numbers)
    count = min(len(rows), MOST_FRAMES, max(BUDGET // atoms, 4 * LEAST_FRAMES))
    if count < LEAST_FRAMES or atoms < 2:
        return None
    start = (len(rows) - count) // 2
    frames = read_frames(index, rows[start : start + count], velocities=True)
    if (frames.numbers.reshape(count, -1) != index.numbers).any() or (frames.periodic != frames.periodic[0]).any():
        return None  # dynamics says what is wrong with these
    positions, largest, still = _followed(frames)
    mass = standard_masses(index.numbers) if frames.masses is None else frames.masses[:atoms]
    for number, value in (masses_of or {}).items():
        mass = np.where(index.numbers == number, value, mass)
    plan = vdos_plan(count, interval, SMOOTHING, 2)
    degrees = 3 * (atoms - int(still.sum())) - (0 if still.any() else 3)
    moving = _less_drift(positions, mass, still)
    differentiated = velocities_from_positions(moving, plan)
    unit, own = _own_velocities(frames, positions, interval)
    wavenumber, share = _spectrum(differentiated if own is None else _less_drift(own, mass, still), mass, plan)
    return MotionPreview(
        count,
        interval,
        _temperature(differentiated, mass, plan, degrees),
        None if own is None else _temperature(_less_drift(own, mass, still), mass, plan, degrees),
        unit,
        wavenumber,
        share,
        float(largest.max()),
        {symbols([z])[0]: int(still[index.numbers == z].sum()) for z in np.unique(index.numbers[still])},
    )


def _followed(frames: Frames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unwrapped positions (atoms, 3, frames), the largest step along each direction, and which atoms do not move."""
    shape, periodic = (len(frames), -1, 3), frames.periodic[0]
    cells = completed(frames.cells, periodic)
    turned = flips(cells)
    cells = cells if turned is None else turned @ cells
    coordinates = np.ascontiguousarray(fractional(frames.positions.reshape(shape), cells).transpose(1, 2, 0))
    largest = unwrap(coordinates, periodic)
    return cartesian(coordinates, cells.mean(axis=0)), largest, (np.ptp(coordinates, axis=-1) < AT_REST).all(axis=1)


def _less_drift(values: np.ndarray, mass: np.ndarray, still: np.ndarray) -> np.ndarray:
    """(atoms, 3, frames) in the frame of the centre of mass, unless atoms are frozen."""
    return values if still.any() else values - np.tensordot(mass / mass.sum(), values, axes=(0, 0))


def _own_velocities(frames: Frames, positions: np.ndarray, interval: float) -> tuple[str | None, np.ndarray | None]:
    """Unit of the file's velocities, told from displacements, and the velocities (atoms, 3, frames) in Angstrom/fs."""
    if frames.velocities is None:
        return None, None
    velocities = frames.velocities.reshape(len(frames), -1, 3).transpose(1, 2, 0)
    unit = velocity_unit(displacement_overlaps(positions, velocities, interval))
    return unit, None if unit is None else velocities * VELOCITY_UNITS[unit]


def _temperature(velocities: np.ndarray, mass: np.ndarray, plan: VdosPlan, degrees: int) -> float:
    """K, of the taper's mean kinetic energy."""
    energy = mass @ ((velocities * plan.h) ** 2).sum(axis=(1, 2)) / np.dot(plan.h, plan.h)
    return float(energy / (degrees * BOLTZMANN_AMU_ANGSTROM2_PER_FS2_PER_K)) if degrees > 0 else 0.0


def _spectrum(velocities: np.ndarray, mass: np.ndarray, plan: VdosPlan) -> tuple[np.ndarray, np.ndarray]:
    """(bins,) cm^-1 and the share of the kinetic energy in each."""
    power = np.zeros(velocities.shape[-1] // 2 + 1)
    for own, atom in zip(mass, velocities):
        power += own * (np.abs(np.fft.rfft(atom * plan.h)) ** 2).sum(axis=0)
    total = power.sum()
    wavenumber = np.fft.rfftfreq(velocities.shape[-1], plan.interval) / LIGHT_CM_PER_FS
    return wavenumber, power / total if total > 0 else power


def _smoothed(share: np.ndarray, wavenumber: np.ndarray) -> np.ndarray:
    """A running mean over about SMOOTHING."""
    width = max(1, round(SMOOTHING / wavenumber[1]))
    return np.convolve(share, np.ones(width) / width, mode="valid")


def temperature_warnings(kinetic: float, stated: float | None, folded: bool) -> list[str]:
    """Where the kinetic energy says that the time between frames, or the masses, cannot be right.

    stated: K, by the deck; folded: whether frames are too rare to see all kinetic energy.
    """
    hint = "check trajectory.frame_interval, dynamics.masses and dynamics.velocities"
    if stated is not None and (kinetic > AGREES * stated or (kinetic < stated / AGREES and not folded)):
        factor = np.sqrt(kinetic / stated)
        return [
            f"the atoms' motion means a temperature of {kinetic:.0f} K, the deck says {stated:g} K; {hint} (an "
            f"interval that is {factor:.2g} times the one used would explain it)"
        ]
    if kinetic > TOO_HOT:
        return [
            f"the atoms' motion means a temperature of {kinetic:.0f} K; check trajectory.frame_interval and "
            "dynamics.velocities"
        ]
    if 0 < kinetic < TOO_COLD and not stated:
        return [f"the atoms' motion means a temperature of {kinetic:.0f} K only; {hint}"]
    return []


def folding_warnings(motion: MotionPreview, every: int) -> list[str]:
    """Where every n-th of the stored frames is too rarely for the fastest motion."""
    if every > 1 and (share := motion.beyond(every)) > MISSED:
        at, folded = motion.fastest(every)
        enough = next((n for n in range(every - 1, 1, -1) if motion.beyond(n) <= MISSED), 1)
        return [
            f"trajectory.every: {every} leaves frames {motion.interval * every:g} fs apart, which see up to "
            f"{nyquist(motion.interval * every):.0f} cm^-1, but {100 * share:.0f} % of the kinetic energy is in "
            f"faster motion: bands there are folded into the spectrum, from {at:.0f} to {folded:.0f} cm^-1; use "
            f"every: {enough}"
        ]
    if motion.of_velocities is not None and motion.temperature < SLOWER * motion.of_velocities:
        return [
            f"frames {motion.interval:g} fs apart are too rare: their positions show {motion.temperature:.0f} K of the "
            f"{motion.of_velocities:.0f} K of the velocities. What moves faster than {nyquist(motion.interval):.0f} "
            "cm^-1 is folded into the spectrum at lower wavenumbers; store frames more often"
        ]
    if every == 1 and motion.misses_fast_motion:
        return [
            f"the atoms' motion has not vanished at {nyquist(motion.interval):.0f} cm^-1, where the spectrum of frames "
            f"{motion.interval:g} fs apart ends: what lies beyond is folded back; store frames more often"
        ]
    return []


def stated_temperature(job: Job) -> float | None:
    """K, of the run as the deck says it."""
    return (job.deck.dynamics or DynamicsSection()).temperature or job.deck.spectrum.temperature
