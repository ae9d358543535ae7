"""`mlraman dynamics`: VDOS by species, MSD and diffusion -> dynamics.h5, vdos.png, msd.png.

Uses every stored frame between trajectory.first and trajectory.last; `every` thins out only what is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mlraman_hpc.base.cells import cartesian
from mlraman_hpc.base.elements import is_element
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.config.deck import DynamicsSection
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.numerics.spectra.vdos import (
    Vdos,
    VdosPlan,
    vdos,
    vdos_plan,
    velocities_from_positions,
    velocity_products,
)
from mlraman_hpc.numerics.transport import velocity_unit
from mlraman_hpc.numerics.transport.diffusion import AT_REST, DIFFUSIVE, Diffusion, diffusion
from mlraman_hpc.numerics.transport.displacements import DisplacementSums, displacement_sums, log_lags, unwrap
from mlraman_hpc.numerics.transport.zero_frequency import diffusion_from_spectrum, low_frequency_power
from mlraman_hpc.pipeline import jumps
from mlraman_hpc.pipeline.atom_motion import Layout, Motion, block_sums, collect, layout_of, place_for
from mlraman_hpc.pipeline.checkpointing import Kept, drop
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.trajectory import stored_frames, stored_interval, trajectory_index
from mlraman_hpc.plots import transport as figures
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

KIND = "dynamics"
SECTIONS = ("trajectory", "dynamics")
ESTIMATOR = "2"  # raised where the same input gives other numbers: what an older version wrote is made again
BLOCKS = "blocks"
LEAST_FRAMES = 16
LARGE_STEP, IMPOSSIBLE_STEP = 0.25, 0.45  # of a cell height, from one frame to the next
UNIT_FRAMES = 400  # enough to tell the unit of velocities
TOO_HOT = 1e4  # K
FOLDED = 0.02  # of the highest value, at the Nyquist wavenumber
DISAGREE = 3.0  # standard errors between D of the MSD and D of the velocities' spectrum


def _section(job: Job) -> DynamicsSection:
    return job.deck.dynamics or DynamicsSection()


@dataclass(frozen=True)
class Frame:
    """What is at rest: drift (3, frames) of the whole and of the chosen centre of mass, Angstrom, and the former's
    velocity (Angstrom/fs; None where velocities come from positions)."""

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
class Blocks:
    """How many blocks of atoms the sums hold that are kept."""

    done: int


def dynamics(job: Job) -> None:
    """Write dynamics.h5 and its figures; skipped where it is up to date."""
    session = job.session
    job.section("trajectory")
    path = job.output / "dynamics.h5"
    origin = session.on_root(_origin, job)
    if session.on_root(job.up_to_date, path, origin):
        session.only_on_root(drop, path, origin)
        job.console.say(f"{path} is up to date")
        return
    kept = Kept(job, path, origin, SECTIONS, KIND)
    session.enter_step("index")
    plan = session.only_on_root(_plan, job)
    layout = session.on_root(lambda: plan[0])
    drift = session.on_root(_drift, job, layout)
    session.only_on_root(jumps.check, job, drift)
    index, rows = plan[1:] if session.is_root else (None, None)
    session.enter_step("exchange")
    folder = place_for(job, layout, _section(job).memory)
    with job.console.progress("reading", layout.frames, "frames") as advance:
        motion = collect(session, layout, index, rows, advance, folder)
    _unwrap(job, motion)
    session.enter_step("frame")
    frame = _frame(job, motion, drift)
    on_sites = jumps.collect_stays(job, motion, frame.chosen)
    session.enter_step("blocks")
    sums = _analyse(job, motion, frame, kept)
    session.enter_step("write")
    session.on_root(_finish, job, layout, drift, frame.unit, sums, on_sites, path, origin)
    session.only_on_root(kept.end)


def _origin(job: Job) -> Origin:
    section, (parents, own) = job.deck.trajectory, jumps.origin_parts(job, _section(job))
    return job.origin(
        "dynamics",
        hashes(job.files("trajectory.files")) | parents,
        section.model_dump(exclude={"files", "every"}),
        own,
        ESTIMATOR,
    )


def _plan(job: Job):
    """(layout, index, rows of the index), on root."""
    index = trajectory_index(job)
    rows = stored_frames(job, index)
    interval = stored_interval(job, index)
    if len(rows) < LEAST_FRAMES:
        raise DataError(f"{index.names[0]}: {len(rows)} frames are too few for dynamics; at least {LEAST_FRAMES}")
    if len(index.numbers) < 2:
        raise DataError(f"{index.names[0]}: one atom moves with the centre of mass alone; dynamics needs two at least")
    layout = layout_of(index, rows, interval, _section(job).velocities != "positions")
    job.console.say(f"{layout.frames} frames of {len(layout.numbers)} atoms, {interval:g} fs apart")
    if _section(job).velocities not in ("auto", "positions") and not layout.velocities:
        raise DeckError(
            f"{job.deck.location('dynamics.velocities')}: {index.names[0]} has no velocities; leave the key out"
        )
    return layout, index, rows


def _drift(job: Job, layout: Layout) -> str:
    """'host' or 'total'; the elements of the deck are checked."""
    section = _section(job)
    for element in section.mobile:
        if element not in layout.species:
            kind = "not in the trajectory" if is_element(element) else "not an element"
            raise DeckError(
                f"{job.deck.location('dynamics.mobile')}: {element} is {kind}, which has {', '.join(layout.species)}"
            )
    host = [name for name in layout.species if name not in section.mobile]
    if section.drift == "host" and not host:
        raise DeckError(
            f"{job.deck.location('dynamics.drift')}: all elements are mobile, so there is no host lattice; use 'total'"
        )
    return section.drift or ("host" if host and section.mobile else "total")


def _unwrap(job: Job, motion: Motion) -> None:
    """Fractional to Cartesian coordinates, continuous in time; warns of steps too long to be followed."""
    largest = np.zeros(3)
    for number in motion.mine:
        block = motion.positions[number]
        largest = np.maximum(largest, unwrap(block, motion.layout.periodic))
        motion.positions[number] = cartesian(block, motion.mean_cell)
    step = float(np.max(job.session.allgather(largest)))
    job.session.on_root(_check_step, job, step)


def _check_step(job: Job, step: float) -> None:
    found = f"an atom moves by {step:.2f} of the cell's height from one frame to the next"
    if step > IMPOSSIBLE_STEP:
        raise DataError(
            f"{job.deck.location('trajectory.files')}: {found}, so its way cannot be followed across the "
            "cell's faces; store more frames, or check that the pieces follow one another"
        )
    if step > LARGE_STEP:
        job.console.warn(f"{found}; beyond half of it nobody can tell which way it went. Store more frames")


def _frame(job: Job, motion: Motion, drift: str) -> Frame:
    """Drift of the centre of mass, and the velocities' unit; the same on every rank."""
    session, layout = job.session, motion.layout
    host = [name for name in layout.species if drift == "total" or name not in _section(job).mobile]
    total, chosen, velocity, overlap = _Mean(), _Mean(), _Mean(), np.zeros(3)
    for block, found in block_sums(session, layout, lambda number: _moments(motion, number)):
        weight = block.mass * len(block.atoms)
        total.add(weight, block.mass * found[0])
        velocity.add(weight, block.mass * found[1] if layout.velocities else 0.0)
        overlap = overlap + found[2]
        if block.species in host:
            chosen.add(weight, block.mass * found[0])
    unit = session.on_root(_unit, job, layout, overlap)
    factor = VELOCITY_UNITS.get(unit)
    return session.on_root(
        lambda: Frame(
            total.mean - total.mean[:, :1],
            chosen.mean - chosen.mean[:, :1],
            velocity.mean * factor if unit else None,
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


def _moments(motion: Motion, number: int):
    """Sums over a block's atoms of positions and velocities (3, frames), and how displacements match velocities."""
    positions = motion.positions[number]
    if not motion.layout.velocities:
        return positions.sum(axis=0), None, np.zeros(3)
    velocities = motion.velocities[number]
    few = slice(0, UNIT_FRAMES)
    overlap = velocity_unit.overlaps(positions[..., few], velocities[..., few], motion.layout.interval)
    return positions.sum(axis=0), velocities.sum(axis=0), overlap


def _unit(job: Job, layout: Layout, overlap: np.ndarray) -> str | None:
    """The velocities' unit; None: they are not there or cannot be used."""
    given = _section(job).velocities
    if not layout.velocities:
        return None
    found = velocity_unit.unit_from(overlap)
    if given == "auto":
        if found is None:
            job.console.warn(
                "the velocities of the trajectory match the displacements between its frames in no unit; "
                "positions are used instead. dynamics.velocities gives the unit"
            )
        return found
    if found is not None and found != given:
        job.console.warn(
            f"{job.deck.location('dynamics.velocities')}: {given}, but displacements say {found}; the deck's "
            "unit is used"
        )
    return given


def _analyse(job: Job, motion: Motion, frame: Frame, kept: Kept) -> dict[str, SpeciesSums] | None:
    """Sums over the atoms of each species, on root. What is kept is the sums of the first blocks."""
    layout, session = motion.layout, job.session
    plan, lags = _vdos_plan(job, layout), log_lags(layout.frames)
    first, sums = session.on_root(_begun, kept.pieces, layout)
    atoms = sum(len(block.atoms) for block in layout.blocks[:first])
    work = partial(_block, motion, frame=frame, plan=plan, lags=lags)
    with kept.going(), job.console.progress("analysing", len(layout.numbers), "atoms", atoms) as advance:
        for block, found in block_sums(session, layout, work, first, kept.pause):
            sums[block.species] = sums[block.species] + found if block.species in sums else found
            first += 1
            kept.pieces.put(BLOCKS, Blocks(first))
            kept.pieces.put(block.species, sums[block.species])
            advance(len(block.atoms))
    return sums


def _begun(pieces, layout: Layout) -> tuple[int, dict[str, SpeciesSums]]:
    """Blocks that an interrupted run has added up, and their sums, in the order of species."""
    blocks = pieces.get(BLOCKS, Blocks).done if BLOCKS in pieces else 0
    return blocks, {name: pieces.get(name, SpeciesSums) for name in layout.species if name in pieces}


def _vdos_plan(job: Job, layout: Layout) -> VdosPlan:
    section = _section(job)
    return vdos_plan(layout.frames, layout.interval, section.smoothing, section.blocks)


def _block(motion: Motion, number: int, *, frame: Frame, plan: VdosPlan, lags: np.ndarray) -> SpeciesSums:
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


def _finish(
    job: Job,
    layout: Layout,
    drift: str,
    unit: str | None,
    sums: dict[str, SpeciesSums],
    on_sites: jumps.SiteSums | None,
    path: Path,
    origin: Origin,
) -> None:
    result = _result(job, layout, drift, unit, sums, on_sites)
    for text in result.warnings:
        job.console.warn(text)
    job.draw("vdos.png", figures.vdos_figure, result, job.deck.title)
    job.draw("msd.png", figures.msd_figure, result, job.deck.title)
    if result.jumps is not None:
        job.draw("jumps.png", figures.jumps_figure, result.jumps, job.deck.title)
    hdf5.save(path, result, KIND, origin)  # last: whoever finds it finds the figures too
    for line in [*summary(result), *jumps.lines(result.jumps)]:
        job.console.say(line)
    job.console.say(f"wrote {path}, vdos.png, msd.png" + (", jumps.png" if result.jumps is not None else ""))


def _result(
    job: Job,
    layout: Layout,
    drift: str,
    unit: str | None,
    sums: dict[str, SpeciesSums],
    on_sites: jumps.SiteSums | None,
) -> Dynamics:
    section, names = _section(job), list(sums)
    if not max(sums[name].displacement.msd.max() for name in names) > AT_REST:
        raise DataError(f"{job.deck.location('trajectory.files')}: no atom moves from frame to frame")
    plan, lags = _vdos_plan(job, layout), log_lags(layout.frames)
    mass = {block.species: block.mass for block in layout.blocks}
    states = vdos(
        [sums[name].products for name in names],
        [mass[name] for name in names],
        len(layout.numbers),
        plan,
        section.mass_weighted,
    )
    moved = {name: sums[name].displacement for name in names}
    found = {name: diffusion(moved[name], lags, layout.interval, section.fit_from, section.fit_to) for name in names}
    zero = {
        name: diffusion_from_spectrum(sums[name].power, moved[name].atoms, plan, found[name].jumps) for name in names
    }
    jumped, more = jumps.record(on_sites, layout, found)
    return Dynamics(
        **_states(names, states),
        **_fits(found),
        time=np.arange(layout.frames) * layout.interval,
        msd={name: moved[name].msd for name in names},
        lag_time=lags * layout.interval,
        non_gaussian={name: moved[name].non_gaussian(lags) for name in names},
        rms_displacement={name: moved[name].rms for name in names},
        diffusion_from_vdos={name: zero[name][0] for name in names},
        diffusion_from_vdos_error={name: zero[name][1] for name in names},
        frames=layout.frames,
        frame_interval=layout.interval,
        smoothing=section.smoothing,
        resolution=plan.resolution,
        nyquist=nyquist(layout.interval),
        mass_weighted=section.mass_weighted,
        drift=drift,
        mobile=tuple(section.mobile),
        source=f"velocities of the trajectory in {unit}" if unit else "positions, differentiated exactly",
        jumps=jumped,
        warnings=(*_warnings(section, found, zero, plan, states), *more),
    )


def _states(names: list[str], states: Vdos) -> dict:
    return {
        "wavenumber": states.wavenumber,
        "temperature": states.temperature,
        "vdos": {**dict(zip(names, states.share)), "total": states.total},
        "vdos_error": {**dict(zip(names, states.share_error)), "total": states.total_error},
        "degrees": {**{name: float(x) for name, x in zip(names, states.degrees)}, "total": float(states.degrees.sum())},
    }


def _fits(found: dict[str, Diffusion]) -> dict:
    def each(field):
        return {name: getattr(fit, field) for name, fit in found.items()}

    return {
        "diffusion": each("value"),
        "diffusion_error": each("error"),
        "diffusion_axes": each("axes"),
        "diffusion_axes_error": each("axes_error"),
        "diffusion_upper": each("upper"),
        "fit_offset": each("offset"),
        "fit_slope": each("slope"),
        "verdict": each("verdict"),
        "fit_window": {name: np.array([fit.first, fit.last]) for name, fit in found.items()},
    }


def _warnings(section, found: dict[str, Diffusion], zero: dict, plan: VdosPlan, states: Vdos) -> tuple[str, ...]:
    texts = []
    for name, fit in found.items():
        diffuses = fit.verdict == DIFFUSIVE
        if name in section.mobile and not diffuses:
            texts.append(f"{name}: {fit.verdict}")
        if section.mobile and name not in section.mobile and diffuses:
            texts.append(f"{name} diffuses, but is not in dynamics.mobile and counts as part of the host lattice")
        value, error = zero[name]
        if abs(value - fit.value) > DISAGREE * np.hypot(error, fit.error):
            texts.append(
                f"{name}: D is {fit.value:.2e} cm^2/s from the mean squared displacement, but {value:.2e} "
                "from the velocities' spectrum at zero; the trajectory is too short for one of them at least"
            )
    if plan.resolution > 0.5 * section.smoothing:
        texts.append(
            f"the trajectory is too short for a smoothing of {section.smoothing:g} cm^-1; it alone broadens "
            f"the density of states by {plan.resolution:.2g} cm^-1"
        )
    if states.total[-1] > FOLDED * states.total.max():
        texts.append(
            "the density of states has not vanished at the end of the axis "
            f"({states.wavenumber[-1]:.0f} cm^-1): what lies beyond is folded back; store frames more often"
        )
    if states.temperature > TOO_HOT:
        texts.append(
            f"the atoms' motion means a temperature of {states.temperature:.0f} K; check "
            "trajectory.frame_interval and dynamics.velocities"
        )
    return tuple(texts)


def summary(result: Dynamics) -> list[str]:
    """D of each mobile species with its error and fit window, and what the host lattice does."""
    lines = []
    for name in result.diffusion:
        if name in result.mobile or (not result.mobile and result.verdict[name] == DIFFUSIVE):
            lines.append(_sentence(result, name))
        else:
            lines.append(
                f"{name}: rms displacement {result.rms_displacement[name]:.3f} Angstrom about mean positions; "
                f"{result.verdict[name]}"
            )
    total = result.vdos["total"]
    unseen = ", at least (frames miss fast motion)" if total[-1] > FOLDED * total.max() else ""
    lines.append(f"temperature {result.temperature:.0f} K{unseen}; {result.source}")
    return lines


def _sentence(result: Dynamics, name: str) -> str:
    first, last = result.fit_window[name] / 1000
    if not result.diffusion_upper[name]:
        return f"{name}: {result.verdict[name]}; D = 0"
    if result.verdict[name] != DIFFUSIVE:
        return (
            f"{name}: {result.verdict[name]}; D below {result.diffusion_upper[name]:.1e} cm^2/s (two standard errors)"
        )
    text = (
        f"{name}: D = ({result.diffusion[name]:.2e} +- {result.diffusion_error[name]:.1e}) cm^2/s from lags of "
        f"{first:.3g} to {last:.3g} ps, drift of the {_DRIFT[result.drift]} removed"
    )
    if np.isfinite(result.diffusion_from_vdos[name]):
        text += (
            f"; from the velocities' spectrum at zero {result.diffusion_from_vdos[name]:.2e} +- "
            f"{result.diffusion_from_vdos_error[name]:.1e}"
        )
    return text


_DRIFT = {"host": "host lattice", "total": "centre of mass"}
