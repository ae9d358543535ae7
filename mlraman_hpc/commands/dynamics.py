"""`mlraman dynamics`: VDOS by species, MSD, diffusion, conductivity -> dynamics.h5 and figures.

Uses every stored frame between trajectory.first and trajectory.last; `every` thins out only what is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.config.motion_sections import DynamicsSection
from mlraman_hpc.numerics.run_average import average_of_runs
from mlraman_hpc.numerics.spectra.correlation import nyquist
from mlraman_hpc.numerics.spectra.vdos import Vdos, VdosPlan, vdos, vdos_plan
from mlraman_hpc.numerics.transport.diffusion import AT_REST, Diffusion, diffusion
from mlraman_hpc.numerics.transport.displacements import log_lags
from mlraman_hpc.numerics.transport.velocities import diffusion_from_spectrum
from mlraman_hpc.pipeline.independent_runs import are_independent, average_runs
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.motion import charge_transport, jumps
from mlraman_hpc.pipeline.motion.atom_motion import AtomBlocks, blocks_of, exchange, scratch_folder
from mlraman_hpc.pipeline.motion.preview import temperature_warnings
from mlraman_hpc.pipeline.motion.settings import check_size, drift_frame, dynamics_section, element_masses
from mlraman_hpc.pipeline.motion.species_motion import (
    Frozen,
    SpeciesSums,
    reference_frame,
    species_sums,
    unwrap_positions,
)
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.pipeline.trajectory import stored_frames, stored_interval, trajectory_hashes, trajectory_index
from mlraman_hpc.plots import transport as figures
from mlraman_hpc.plots.conductivity import conductivity_figure
from mlraman_hpc.records.transport import Dynamics, Motion, misses_fast_motion
from mlraman_hpc.storage.provenance import Origin

SECTIONS = ("trajectory", "dynamics")
ESTIMATOR = "6"  # raised where the same input gives other numbers: what an older version wrote is made again
DISAGREE = 3.0  # standard errors between D of the MSD and D of the velocities' spectrum


def dynamics(job: Job) -> None:
    """Write dynamics.h5 and its figures; skipped where it is up to date."""
    job.section("trajectory")
    if are_independent(job):
        average_runs(job, dynamics, Dynamics, average_of_runs, _output_of)
    else:
        run_step(job, Dynamics, _origin, _compute)


def _compute(step: Step) -> Output | None:
    job, session, section = step.job, step.job.session, dynamics_section(step.job)
    checkpoint = step.checkpoint(SECTIONS, Dynamics.kind)
    session.enter_step("index")
    plan = session.only_on_root(_plan, job)
    blocks = session.on_root(lambda: plan[0])
    drift = session.on_root(drift_frame, job, blocks.species)
    session.only_on_root(jumps.check, job, drift)
    charges = session.only_on_root(charge_transport.charges_of, job, blocks)
    index, rows = plan[1:] if session.is_root else (None, None)
    session.enter_step("exchange")
    folder = scratch_folder(job, blocks, section.memory)
    with job.console.progress("reading", blocks.frames, "frames") as advance:
        motion = exchange(session, blocks, index, rows, advance, folder)
    session.only_on_root(_check_files, job)
    frozen = unwrap_positions(job, motion)
    session.enter_step("frame")
    resting = [name for name in blocks.species if drift == "total" or name not in section.mobile]
    charge = charge_transport.ChargeSums(charges, [] if frozen.any else resting) if session.is_root else None
    frame = reference_frame(job, motion, resting, section.velocities, frozen, charge)
    on_sites = jumps.collect_stays(job, motion, frame.chosen)
    session.enter_step("blocks")
    sums = species_sums(job, motion, frame, _vdos_plan(job, blocks), checkpoint)
    collected = _Collected(blocks, frozen, drift, frame.unit, motion.mean_cell, sums, on_sites, charge)
    return session.only_on_root(_output, job, collected)


def _origin(job: Job) -> Origin:
    trajectory, section = job.section("trajectory"), dynamics_section(job)
    parents, own = jumps.origin_parts(job, section)
    return job.origin(
        "dynamics",
        trajectory_hashes(job) | parents,
        trajectory.model_dump(exclude={"files", "every"}),
        own,
        ESTIMATOR,
        section.temperature or job.deck.spectrum.temperature,  # which the warnings depend on
    )


def _plan(job: Job):
    """(blocks, index, rows of the index), on root."""
    index = trajectory_index(job)
    rows = stored_frames(job, index)
    interval = stored_interval(job, index)
    check_size(index, len(rows))
    blocks = blocks_of(
        index, rows, interval, dynamics_section(job).velocities != "positions", element_masses(job, index)
    )
    job.console.say(f"{blocks.frames} frames of {len(blocks.numbers)} atoms, {interval:g} fs apart")
    if dynamics_section(job).velocities not in ("auto", "positions") and not blocks.velocities:
        raise DeckKeyError("dynamics.velocities", f"{index.names[0]} has no velocities; leave the key out")
    return blocks, index, rows


def _vdos_plan(job: Job, blocks: AtomBlocks) -> VdosPlan:
    section = dynamics_section(job)
    return vdos_plan(blocks.frames, blocks.interval, section.smoothing, section.blocks)


def _check_files(job: Job) -> None:
    """All frames have been read: from files that stayed as they were?"""
    for text in job.watched.check():
        job.console.warn(text)


@dataclass(frozen=True)
class _Collected:
    """What was added up over the atoms; of the sums, root's. unit: of the velocities that were used, None: none."""

    blocks: AtomBlocks
    frozen: Frozen
    drift: str
    unit: str | None
    mean_cell: np.ndarray
    sums: dict[str, SpeciesSums]
    on_sites: jumps.SiteSums | None
    charge: charge_transport.ChargeSums


def _output(job: Job, collected: _Collected) -> Output:
    return _output_of(job, _result(job, collected))


def _output_of(job: Job, result: Dynamics, origin: Origin | None = None) -> Output:
    lines = [*_summary(result), *jumps.lines(result.jumps), *charge_transport.lines(result.conductivity)]
    output = Output(result, lines=lines, warnings=[*result.warnings])
    output.figures["vdos.png"] = (figures.vdos_figure, result, job.deck.title)
    output.figures["msd.png"] = (figures.msd_figure, result, job.deck.title)
    if result.jumps is not None:
        output.figures["jumps.png"] = (figures.jumps_figure, result.jumps, job.deck.title)
    if result.conductivity is not None:
        output.figures["conductivity.png"] = (conductivity_figure, result, job.deck.title)
    return output


def _result(job: Job, collected: _Collected) -> Dynamics:
    blocks, frozen, sums, unit = collected.blocks, collected.frozen, collected.sums, collected.unit
    section, names = dynamics_section(job), list(sums)
    if not max(sums[name].displacement.msd.max() for name in names) > AT_REST:
        raise DataError(f"{job.deck.location('trajectory.files')}: no atom moves from frame to frame")
    plan, lags = _vdos_plan(job, blocks), log_lags(blocks.frames)
    mass = {block.species: block.mass for block in blocks}
    states = vdos(
        [sums[name].products for name in names],
        [mass[name] for name in names],
        len(blocks.numbers),
        plan,
        section.mass_weighted,
        frozen.degrees(len(blocks.numbers)),
    )
    moved = {name: sums[name].displacement for name in names}
    fits = {name: diffusion(moved[name], lags, blocks.interval, section.fit_from, section.fit_to) for name in names}
    zero = {
        name: diffusion_from_spectrum(sums[name].power, moved[name].atoms, plan, fits[name].jumps) for name in names
    }
    stated = section.temperature or job.deck.spectrum.temperature
    jumped, more = jumps.record(collected.on_sites, blocks, fits)
    factor, volume = VELOCITY_UNITS[unit] if unit else None, abs(float(np.linalg.det(collected.mean_cell)))
    charged = charge_transport.record(job, collected.charge, factor, volume, fits, plan, states.temperature)
    more = (*more, *charge_transport.warnings_of(charged, misses_fast_motion(states.total)))
    return Dynamics(
        **_states(names, states),
        **_fits(fits),
        time=np.arange(blocks.frames) * blocks.interval,
        msd={name: moved[name].msd for name in names},
        lag_time=lags * blocks.interval,
        non_gaussian={name: moved[name].non_gaussian(lags) for name in names},
        rms_displacement={name: moved[name].rms for name in names},
        diffusion_from_vdos={name: zero[name][0] for name in names},
        diffusion_from_vdos_error={name: zero[name][1] for name in names},
        frames=blocks.frames,
        frame_interval=blocks.interval,
        smoothing=section.smoothing,
        resolution=plan.resolution,
        nyquist=nyquist(blocks.interval),
        mass_weighted=section.mass_weighted,
        drift=collected.drift,
        mobile=tuple(section.mobile),
        source=f"velocities of the trajectory in {unit}" if unit else "positions, differentiated exactly",
        jumps=jumped,
        conductivity=charged,
        warnings=(*_warnings(section, fits, zero, plan, states, stated), *frozen.warnings(blocks), *more),
    )


def _states(names: list[str], states: Vdos) -> dict:
    return {
        "wavenumber": states.wavenumber,
        "temperature": states.temperature,
        "vdos": {**dict(zip(names, states.share)), "total": states.total},
        "vdos_error": {**dict(zip(names, states.share_error)), "total": states.total_error},
        "degrees": {**{name: float(x) for name, x in zip(names, states.degrees)}, "total": float(states.degrees.sum())},
    }


def _fits(fits: dict[str, Diffusion]) -> dict:
    def each(field):
        return {name: getattr(fit, field) for name, fit in fits.items()}

    return {
        "diffusion": each("value"),
        "diffusion_error": each("error"),
        "diffusion_axes": each("axes"),
        "diffusion_axes_error": each("axes_error"),
        "diffusion_upper": each("upper"),
        "fit_offset": each("offset"),
        "fit_slope": each("slope"),
        "verdict": each("verdict"),
        "fit_window": {name: np.array([fit.first, fit.last]) for name, fit in fits.items()},
    }


def _warnings(
    section: DynamicsSection, fits: dict[str, Diffusion], zero: dict, plan: VdosPlan, states: Vdos, stated: float | None
) -> tuple[str, ...]:
    texts = []
    for name, fit in fits.items():
        diffuses = fit.motion is Motion.DIFFUSIVE
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
    narrow = section.smoothing < states.wavenumber[-1] / 20  # a wide smoothing reaches the end of the axis by itself
    if narrow and misses_fast_motion(states.total):
        texts.append(
            "the density of states has not vanished at the end of the axis "
            f"({states.wavenumber[-1]:.0f} cm^-1): what lies beyond is folded back; store frames more often"
        )
    texts += temperature_warnings(states.temperature, stated, misses_fast_motion(states.total))
    return tuple(texts)


def _summary(result: Dynamics) -> list[str]:
    """D of each mobile species with its error and fit window, and what the host lattice does."""
    lines = []
    for name in result.diffusion:
        if name in result.mobile or (not result.mobile and result.verdict[name] == Motion.DIFFUSIVE):
            lines.append(_sentence(result, name))
        else:
            lines.append(
                f"{name}: rms displacement {result.rms_displacement[name]:.3f} Angstrom about mean positions; "
                f"{result.verdict[name]}"
            )
    unseen = ", at least (frames miss fast motion)" if result.misses_fast_motion else ""
    lines.append(f"temperature {result.temperature:.0f} K{unseen}; {result.source}")
    return lines


def _sentence(result: Dynamics, name: str) -> str:
    first, last = result.fit_window[name] / 1000
    if not result.diffusion_upper[name]:
        return f"{name}: {result.verdict[name]}; D = 0"
    if result.verdict[name] != Motion.DIFFUSIVE:
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
