"""The part of `mlraman dynamics` on transport of charge: charges, their collective motion, ionic conductivity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.base.oxidation_states import neutral_charges
from mlraman_hpc.numerics.spectra.vdos import VdosPlan
from mlraman_hpc.numerics.transport.conductivity import ChargedSystem, conductivity
from mlraman_hpc.numerics.transport.diffusion import Diffusion
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.motion.atom_motion import AtomBlock, AtomBlocks, blocks_of
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Motion
from mlraman_hpc.reports.conductivity_wording import conductivity_sentences

KEY = "dynamics.charges"
NEUTRAL = 1e-6  # e for each atom
DISAGREE = 3.0  # standard errors between the two estimates of the same conductivity


@dataclass(frozen=True)
class Charges:
    """Charge (e) and number of atoms of each species; empty where none are known, and then why.

    source  'deck' or 'oxidation states'
    """

    charge: dict[str, float]
    atoms: dict[str, int]
    source: str
    absent: str = ""

    @property
    def total(self) -> float:
        """Of the cell, e."""
        return sum(self.atoms[name] * charge for name, charge in self.charge.items())

    @property
    def are_neutral(self) -> bool:
        return abs(self.total) < NEUTRAL * sum(self.atoms.values())


@dataclass
class ChargeSums:
    """P = sum_i q_i r_i and, from the trajectory's velocities, dP/dt, where the `resting` species are at rest.

    Added up block after block, on root; of a cell without net charge they are the same in any frame.
    """

    charges: Charges
    resting: list[str]
    _moment: np.ndarray | float = 0.0
    _current: np.ndarray | float = 0.0
    _weight: float = 0.0
    _rest: dict[str, np.ndarray | float] = field(default_factory=lambda: {"position": 0.0, "velocity": 0.0})

    def add(self, block: AtomBlock, position: np.ndarray, velocity: np.ndarray | None) -> None:
        """Sums over a block's atoms, (3, frames)."""
        charge = self.charges.charge.get(block.species, 0.0)
        if not self.charges.charge:
            return
        self._moment = self._moment + charge * position
        if velocity is not None:
            self._current = self._current + charge * velocity
        if block.species in self.resting and not self.charges.are_neutral:
            self._weight += block.mass * len(block.atoms)
            self._rest["position"] = self._rest["position"] + block.mass * position
            if velocity is not None:
                self._rest["velocity"] = self._rest["velocity"] + block.mass * velocity

    @property
    def moment(self) -> np.ndarray:
        """(3, frames) e Angstrom"""
        return self._in_frame(self._moment, "position")

    @property
    def current(self) -> np.ndarray | None:
        """(3, frames) in the trajectory's unit of velocity; None without velocities."""
        return self._in_frame(self._current, "velocity") if isinstance(self._current, np.ndarray) else None

    def _in_frame(self, values, kind: str) -> np.ndarray:
        moved = values - self.charges.total * self._rest[kind] / self._weight if self._weight else values
        return np.asarray(moved)


def charges_of(job: Job, blocks: AtomBlocks) -> Charges:
    """Those of the deck, and usual oxidation states for the species that it leaves out; on root."""
    section = job.deck.dynamics
    given = dict(section.charges) if section is not None else {}
    atoms = {name: sum(len(block.atoms) for block in blocks if block.species == name) for name in blocks.species}
    for element in given:
        if element not in atoms:
            raise DeckKeyError(KEY, f"{element} is not in the trajectory, which has {', '.join(atoms)}")
    if not blocks.periodic.all():
        return Charges({}, atoms, "", "the cell is not periodic in three directions, so that it has no volume")
    complete = set(given) == set(atoms)
    charge = {name: float(given[name]) for name in atoms} if complete else neutral_charges(atoms, given)
    if charge is None:
        missing = ", ".join(name for name in atoms if name not in given)
        if given:
            raise DeckKeyError(
                KEY, f"no usual oxidation states of {missing} make the cell neutral with these charges; give all"
            )
        absent = f"no one choice of usual oxidation states of {missing} makes the cell neutral; {KEY} gives them"
        return Charges({}, atoms, "", absent)
    if not any(charge.values()):
        return Charges({}, atoms, "", "all charges are zero")
    charges = Charges(charge, atoms, "deck" if given else "oxidation states")
    text = ", ".join(f"{name} {value:+g}" for name, value in charge.items())
    job.console.say(f"charges: {text} e ({charges.source}{', neutral cell' if charges.are_neutral else ''})")
    return charges


def preview(job: Job, index: TrajectoryIndex, rows: np.ndarray | range) -> None:
    """The charges, with the mistakes that the run itself would find; on root."""
    if job.deck.dynamics is not None:
        charges = charges_of(job, blocks_of(index, rows[:1], 1.0, False))
        if charges.absent:
            job.console.say(f"no ionic conductivity: {charges.absent}")


def record(
    job: Job,
    sums: ChargeSums,
    velocity_factor: float | None,
    volume: float,
    fits: dict[str, Diffusion],
    plan: VdosPlan,
    kinetic: float,
) -> Conductivity | None:
    """velocity_factor: Angstrom/fs in the trajectory's unit, None: no velocities; kinetic: the motion's temperature, K.

    None, and the log says why, where there are no charges or no temperature.
    """
    charges, section = sums.charges, job.deck.dynamics
    stated = (section.temperature if section is not None else None) or job.deck.spectrum.temperature
    temperature = stated or kinetic
    absent = charges.absent or ("" if temperature > 0 else "the atoms do not move, and the deck gives no temperature")
    if absent:
        job.console.say(f"no ionic conductivity: {absent}")
        return None
    system = ChargedSystem(
        charges.atoms,
        charges.charge,
        tuple(section.mobile) if section is not None else (),
        volume,
        temperature,
        charges.source,
        "deck" if stated else "kinetic energy",
    )
    current = sums.current if velocity_factor else None
    return conductivity(
        system,
        sums.moment,
        None if current is None else current * velocity_factor,
        fits,
        plan,
        section.fit_from if section is not None else None,
        section.fit_to if section is not None else None,
    )


def warnings_of(conductivity: Conductivity | None, folded: bool) -> list[str]:
    """folded: whether the frames miss fast motion, so that the kinetic temperature is too low."""
    if conductivity is None:
        return []
    texts = []
    if abs(conductivity.total_charge) > NEUTRAL * max(1.0, sum(abs(charge) for charge in conductivity.charge.values())):
        texts.append(
            f"the charges of the cell add up to {conductivity.total_charge:+.3g} e, so that the conductivity "
            f"depends on what is taken to be at rest; {KEY} should make the cell neutral"
        )
    if conductivity.temperature_source != "deck" and folded:
        texts.append(
            f"the conductivity is that at the kinetic temperature of {conductivity.temperature:.0f} K, which is too "
            "low (frames miss fast motion), so that it is too high; dynamics.temperature gives the temperature"
        )
    conducts = Motion.of(conductivity.verdict) is Motion.DIFFUSIVE
    if np.isfinite(conductivity.nernst_einstein) and not conducts:
        texts.append(
            f"ions diffuse, but of their collective displacement: {conductivity.verdict}; a longer run is needed"
        )
    distance = abs(conductivity.einstein - conductivity.green_kubo)
    if conducts and distance > DISAGREE * np.hypot(conductivity.einstein_error, conductivity.green_kubo_error):
        texts.append(
            f"the conductivity is {conductivity.einstein:.3g} S/cm from the collective displacement, but "
            f"{conductivity.green_kubo:.3g} S/cm from the current's spectrum at zero; the trajectory is too short "
            "for one of them at least"
        )
    return texts


def lines(conductivity: Conductivity | None) -> list[str]:
    """For the log."""
    return conductivity_sentences(conductivity) if conductivity is not None else []
