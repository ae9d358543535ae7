"""Motion of each species: coordinates without jumps across the cell, what is at rest, sums over atoms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from mlraman_hpc.base.cells import cartesian
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.numerics.spectra.vdos import VdosPlan, velocities_from_positions, velocity_products
from mlraman_hpc.numerics.transport.displacements import DisplacementSums, displacement_sums, log_lags, unwrap
from mlraman_hpc.numerics.transport.velocities import displacement_overlaps, low_frequency_power, velocity_unit
from mlraman_hpc.pipeline.checkpointing import Checkpoint
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.motion.atom_motion import AtomBlocks, AtomTrajectories, map_blocks
from mlraman_hpc.pipeline.motion.charge_transport import ChargeSums
from mlraman_hpc.storage.checkpoint import CheckpointFile

PROGRESS = "blocks"  # name in the checkpoint
LARGE_STEP, IMPOSSIBLE_STEP = 0.25, 0.45  # of a cell height, from one frame to the next
AT_REST = 1e-9  # range of a fractional coordinate of an atom that never moves
UNIT_FRAMES = 400  # enough to tell the unit of velocities


@dataclass(frozen=True)
class ReferenceFrame:
    """What is at rest.

    total, chosen  (3, frames) drift of the centre of mass of all atoms, and of the chosen elements, Angstrom
    velocity       (3, frames) of the former, Angstrom/fs; None where velocities come from positions
    unit           of the trajectory's velocities; None likewise
    """

    total: np.ndarray
    chosen: np.ndarray
    velocity: np.ndarray | None
    unit: str | None


@dataclass(frozen=True)
class SpeciesSums:
    """Sums over atoms of one species, of a block or of all blocks."""

    displacement: DisplacementSums
    products: np.ndarray
    power: np.ndarray

    def __add__(self, other: SpeciesSums) -> SpeciesSums:
        return SpeciesSums(
            self.displacement + other.displacement, self.products + other.products, self.power + other.power
        )


@dataclass(frozen=True)
class Progress:
    """Number of blocks of atoms that the sums of a checkpoint cover."""

    done: int


@dataclass(frozen=True)
class Frozen:
    """Atoms that never move, which are no degrees of freedom: {species: how many}, without species that have none."""

    atoms: dict[str, int]

    @property
    def any(self) -> bool:
        """Whether there are some: then nothing drifts, and no motion of the centre of mass is to be taken off."""
        return bool(self.atoms)

    def degrees(self, atoms: int) -> int:
        """Degrees of freedom of `atoms` atoms: three for each that moves, less those of a free centre of mass."""
        return 3 * (atoms - sum(self.atoms.values())) - (0 if self.any else 3)

    def warnings(self, blocks: AtomBlocks) -> tuple[str, ...]:
        """What is to be told."""
        if not self.any:
            return ()
        total = {name: sum(len(block.atoms) for block in blocks if block.species == name) for name in self.atoms}
        named = " and ".join(f"{count} of {total[name]} {name}" for name, count in self.atoms.items())
        return (
            f"frozen: {named} never move. They are no degrees of freedom, and no drift is removed; mean squared "
            "displacements and D are means over all atoms of a species",
        )


def unwrap_positions(job: Job, motion: AtomTrajectories) -> Frozen:
    """Fractional to Cartesian coordinates, continuous in time; warns of steps too long to be followed."""
    largest, fixed = np.zeros(3), dict[int, int]()
    for number in motion.numbers:
        block = motion.positions[number]
        largest = np.maximum(largest, unwrap(block, motion.blocks.periodic))
        fixed[number] = int((np.ptp(block, axis=-1) < AT_REST).all(axis=1).sum())
        motion.positions[number] = cartesian(block, motion.mean_cell)
    step = float(np.max(job.session.allgather(largest)))
    job.session.on_root(check_step, job, step)
    return _frozen(motion.blocks, {k: v for part in job.session.allgather(fixed) for k, v in part.items()})


def _frozen(blocks: AtomBlocks, fixed: dict[int, int]) -> Frozen:
    atoms: dict[str, int] = {}
    for number, block in enumerate(blocks):
        if fixed[number]:
            atoms[block.species] = atoms.get(block.species, 0) + fixed[number]
    return Frozen(atoms)


def check_step(job: Job, step: float) -> None:
    """A warning for a long step from frame to frame, in cell heights. Errors: DataError where it cannot be followed."""
    text = f"an atom moves by {step:.2f} of the cell's height from one frame to the next"
    if step > IMPOSSIBLE_STEP:
        raise DataError(
            f"{job.deck.location('trajectory.files')}: {text}, so its path cannot be followed across the "
            "cell's faces; store more frames, or check that the files follow one another"
        )
    if step > LARGE_STEP:
        job.console.warn(f"{text}; beyond half of it the direction is ambiguous. Store more frames")


def reference_frame(
    job: Job,
    motion: AtomTrajectories,
    chosen_elements: list[str],
    wanted_unit: str,
    frozen: Frozen,
    charge: ChargeSums | None,
) -> ReferenceFrame:
    """Drift of the centre of mass, and the velocities' unit; the same on every rank.

    `wanted_unit` is the deck's dynamics.velocities; `charge` is root's, and is added to. Where atoms are frozen nothing
    drifts.
    """
    session, blocks = job.session, motion.blocks
    total, chosen, velocity, overlap = _Mean(), _Mean(), _Mean(), np.zeros(3)
    for block, (position, speed, match) in map_blocks(session, blocks, partial(_moments, motion)):
        weight = block.mass * len(block.atoms)
        total.add(weight, block.mass * position)
        velocity.add(weight, block.mass * speed if blocks.velocities else 0.0)
        overlap = overlap + match
        if block.species in chosen_elements:
            chosen.add(weight, block.mass * position)
        if charge is not None:
            charge.add(block, position, speed)
    unit = session.on_root(_unit, job, blocks, overlap, wanted_unit)
    factor, free = VELOCITY_UNITS.get(unit), 0.0 if frozen.any else 1.0
    return session.on_root(
        lambda: ReferenceFrame(
            (total.mean - total.mean[:, :1]) * free,
            (chosen.mean - chosen.mean[:, :1]) * free,
            velocity.mean * factor * free if unit else None,
            unit,
        )
    )


class _Mean:
    """Weighted mean, added up in order."""

    def __init__(self):
        self.weight, self.sum = 0.0, 0.0

    def add(self, weight: float, value) -> None:
        self.weight, self.sum = self.weight + weight, self.sum + value

    @property
    def mean(self):
        return self.sum / self.weight


def _moments(motion: AtomTrajectories, number: int):
    """Sums over a block's atoms of positions and velocities (3, frames), and how displacements match velocities."""
    positions = motion.positions[number]
    if not motion.blocks.velocities:
        return positions.sum(axis=0), None, np.zeros(3)
    velocities = motion.velocities[number]
    first = slice(0, UNIT_FRAMES)
    overlap = displacement_overlaps(positions[..., first], velocities[..., first], motion.blocks.interval)
    return positions.sum(axis=0), velocities.sum(axis=0), overlap


def _unit(job: Job, blocks: AtomBlocks, overlap: np.ndarray, wanted: str) -> str | None:
    """The velocities' unit; None: they are not there or cannot be used."""
    if not blocks.velocities:
        return None
    likely = velocity_unit(overlap)
    if wanted == "auto":
        if likely is None:
            job.console.warn(
                "the velocities of the trajectory match the displacements between its frames in no unit; "
                "positions are used instead. dynamics.velocities gives the unit"
            )
        return likely
    if likely is not None and likely != wanted:
        job.console.warn(
            f"{job.deck.location('dynamics.velocities')}: {wanted}, but displacements say {likely}; the deck's "
            "unit is used"
        )
    return wanted


def species_sums(
    job: Job, motion: AtomTrajectories, frame: ReferenceFrame, plan: VdosPlan, checkpoint: Checkpoint
) -> dict[str, SpeciesSums] | None:
    """Sums over the atoms of each species, on root; the checkpoint holds those of the first blocks.

    Positions and velocities of each block are freed when it is done.
    """
    session, blocks, lags = job.session, motion.blocks, log_lags(motion.blocks.frames)
    first, sums = session.on_root(_begun, checkpoint.file, blocks)
    atoms = sum(len(block.atoms) for block in blocks[:first])
    work = partial(_block_sums, motion, frame=frame, plan=plan, lags=lags)
    with checkpoint.guard(), job.console.progress("analysing", len(blocks.numbers), "atoms", atoms) as advance:
        for block, part in map_blocks(session, blocks, work, first, checkpoint.commit_if_due):
            sums[block.species] = sums[block.species] + part if block.species in sums else part
            first += 1
            checkpoint.file.put(PROGRESS, Progress(first))
            checkpoint.file.put(block.species, sums[block.species])
            advance(len(block.atoms))
    return sums


def _begun(checkpoint: CheckpointFile, blocks: AtomBlocks) -> tuple[int, dict[str, SpeciesSums]]:
    """Blocks that an interrupted run has added up, and their sums, in the order of species."""
    done = checkpoint.get(PROGRESS, Progress).done if PROGRESS in checkpoint else 0
    return done, {name: checkpoint.get(name, SpeciesSums) for name in blocks.species if name in checkpoint}


def _block_sums(
    motion: AtomTrajectories, number: int, *, frame: ReferenceFrame, plan: VdosPlan, lags: np.ndarray
) -> SpeciesSums:
    positions = motion.positions.pop(number)
    if frame.unit is None:
        velocities = velocities_from_positions(positions - frame.total, plan)
    else:
        velocities = motion.velocities.pop(number) * VELOCITY_UNITS[frame.unit] - frame.velocity
    products = velocity_products(velocities, plan)
    positions -= frame.chosen
    # at low wavenumbers positions are better than sampled velocities: what lies beyond Nyquist hardly folds back
    power = low_frequency_power(velocities_from_positions(positions, plan), plan)
    return SpeciesSums(displacement_sums(positions, lags), products, power)
