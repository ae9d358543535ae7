"""The deck's section 'md' as numbers: structure, calculator, plan, runs. For the commands md, check and forces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, DeckKeyError, first_line
from mlraman_hpc.base.named_objects import module_file, named_files
from mlraman_hpc.md import planning
from mlraman_hpc.md.calculators import Factory, calculator_factory, has_memory
from mlraman_hpc.md.integrators import make_integrator, start_velocities
from mlraman_hpc.md.planning import Plan
from mlraman_hpc.md.settings import Run, Settings
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.readers.structure import read_structure
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.storage.provenance import Origin, hash_of


def structure_file(job: Job) -> Path:
    """The file of 'md.structure'; DataError where it is missing."""
    job.section("md")
    return job.files("md.structure")[0]


def md_atoms(job: Job) -> Any:
    """The supercell as ase.Atoms, periodic in all directions, without calculator and constraints."""
    from ase import Atoms

    path, section = structure_file(job), job.deck.md
    try:
        cell, numbers, coordinates = read_structure(path)
    except DataError as error:
        raise job.deck.data_error("md.structure", f"{path}: {error}") from None
    atoms = Atoms(numbers=numbers, scaled_positions=coordinates, cell=cell, pbc=True).repeat(section.supercell)
    if len(atoms) < 2:
        raise DeckKeyError("md.supercell", "leaves one atom, whose centre of mass is all there is; at least 2")
    return atoms


def md_factory(job: Job) -> Factory:
    """Makes the calculator of 'md.calculator', on the rank that calls."""
    section = job.deck.md
    return calculator_factory(section.calculator, section.arguments, job.deck.folder, job.session.threads)


def md_plan(job: Job, atoms: Any, factory: Factory | None = None) -> Plan | None:
    """Time step, interval and length; None where the deck has all of them and nothing is to be planned.

    With `factory` there is always a plan. The highest band that was found first stays in the output folder where there
    is one, so that the last digits of a force field never change the plan of runs that have begun.
    """
    section = job.deck.md
    if factory is None and section.time_step and section.frame_interval and section.length:
        return None
    highest = section.highest_band or _highest_band_of_folder(job, atoms, factory)
    step = section.time_step
    if step is None and section.frame_interval:
        longest = planning.planned_time_step(highest)
        step = section.frame_interval / max(1, -(-section.frame_interval // longest))
    return planning.plan(
        highest,
        _sigma(job),
        time_step=step,
        frame_interval=section.frame_interval,
        length=section.length,
        replicas=section.replicas,
    )


def _highest_band_of_folder(job: Job, atoms: Any, factory: Factory | None) -> float:
    """cm^-1, from the file of an earlier plan of the same structure and force field, or found now."""
    section, path = job.deck.md, job.scratch / "highest_band.json"
    files = _parents(job)
    key = hash_of(list(hashes(files).values()), section.supercell, section.calculator, section.arguments)
    with suppress(OSError, ValueError, KeyError):
        return float(json.loads(path.read_text())[key])
    highest = _highest_band(atoms.copy(), factory or md_factory(job), job)
    if job.output.exists():
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps({key: highest}))
    return highest


def _parents(job: Job) -> list[Path]:
    """Files that the runs are made of: structure, files of the force field, its source if that lies beside the deck."""
    section, folder = job.deck.md, job.deck.folder
    return [structure_file(job), *named_files(section.arguments, folder), *module_file(section.calculator, folder)]


def _highest_band(atoms: Any, factory: Factory, job: Job) -> float:
    """cm^-1, to three digits."""
    atoms.calc = factory()
    with _errors_of_the_calculator(job):
        highest = planning.highest_wavenumber(atoms)
    if not highest > 1:
        raise DeckKeyError("md.highest_band", "must be given: the force field has no vibration at this structure")
    return float(f"{highest:.3g}")


@contextmanager
def _errors_of_the_calculator(job: Job) -> Iterator[None]:
    """The calculator is the user's: what it raises, of whatever kind, is one message."""
    try:
        yield
    except Exception as error:
        reason = first_line(error)
        raise job.deck.data_error(
            "md.calculator", f"the calculator raised {type(error).__name__} on the structure: {reason}"
        ) from None


def _seconds_per_step(job: Job, atoms: Any, settings: Settings) -> float:
    """s, from some steps of production; `atoms`, with its calculator, is changed."""
    random = np.random.default_rng(0)
    start_velocities(atoms, max(job.deck.md.temperature), random)
    with _errors_of_the_calculator(job):
        integrator = make_integrator(settings.ensemble, atoms, max(job.deck.md.temperature), settings, random)
        return planning.seconds_per_step(integrator.step)


def _sigma(job: Job) -> float:
    """cm^-1, about as wide as the smoothing of the spectrum."""
    spectrum = job.deck.spectrum
    return spectrum.smoothing if spectrum.smoothing_measure == "sigma" else spectrum.smoothing / 2.355


def md_settings(job: Job, plan: Plan | None) -> Settings:
    """Times of the deck and the plan in steps."""
    section = job.deck.md
    step = plan.time_step if plan else section.time_step
    interval = plan.frame_interval if plan else section.frame_interval
    length = section.length or plan.length
    renew = has_memory(section.calculator) if section.renew_calculator is None else section.renew_calculator
    return Settings(
        ensemble=section.ensemble,
        time_step=step,
        stride=max(1, round(interval / step)),
        frames=max(2, round(length / interval)),
        equilibration=round(section.equilibration / step),
        npt_steps=round(section.npt / step),
        pressure=section.pressure,
        thermostat_time=section.thermostat_time,
        checkpoint=section.checkpoint,
        renew=renew,
    )


def md_runs(job: Job, settings: Settings) -> list[tuple[Run, Path, Origin]]:
    """All runs with their files and what they are made from; for root alone."""
    section = job.deck.md
    parents = hashes(_parents(job))
    runs = [
        Run(temperature, replica, section.seed)
        for temperature in section.temperature
        for replica in range(section.replicas)
    ]
    physics = section.supercell, section.calculator, section.arguments, settings.as_dict()
    return [
        (run, job.output / run.file_name, job.origin("md", parents, *physics, run.temperature, run.replica, run.seed))
        for run in runs
    ]


def energies_differ(job: Job, atoms: int) -> str:
    """What runs at constant energy are, in a sentence."""
    scatter = float(f"{planning.energy_scatter(atoms, max(job.deck.md.temperature)):.2g}")
    return (
        f"md: each run has an energy of its own, drawn from NVT: temperatures differ by about {scatter:g} K between "
        "runs, and bands with them; the mean over replicas is canonical, one run and its error bars are not"
    )


def plan_report(job: Job, say: Callable[[str], None]) -> float:
    """Says what 'mlraman md' would do and what it would cost; returns seconds on one rank. For root alone."""
    section = job.deck.md
    atoms, factory = md_atoms(job), md_factory(job)
    plan = md_plan(job, atoms, factory)
    assert plan is not None
    settings = md_settings(job, plan)
    say(f"md: {len(atoms)} atoms ({atoms.get_chemical_formula()}), highest band {plan.highest:.0f} cm^-1")
    nyquist = planning.nyquist_wavenumber(settings.frame_interval)
    say(
        f"md: time step {settings.time_step:g} fs, a frame every {settings.frame_interval:g} fs (spectrum up to "
        f"{nyquist:.0f} cm^-1), {settings.frames * settings.frame_interval / 1000:.4g} ps in each of "
        f"{section.replicas * len(section.temperature)} runs; a lone component then scatters by "
        f"{100 * plan.scatter:.0f} %"
    )
    if settings.ensemble == "nve":
        say(energies_differ(job, len(atoms)))
    say(f"md: the time step moves the highest band up by {plan.shift:.1f} cm^-1")
    if job.deck.spectrum.time_step is None and plan.shift > 0.25 * _sigma(job):
        job.console.warn(f"spectrum.time_step: {settings.time_step:g} corrects the spectrum for the time step")
    if nyquist < 1.1 * plan.highest:
        job.console.warn(
            f"{job.deck.location('md.frame_interval')}: bands above {nyquist:.0f} cm^-1 are folded back; "
            f"{planning.planned_interval(plan.highest, settings.time_step):g} fs is enough"
        )
    if settings.time_step > 1.5 * planning.planned_time_step(plan.highest):
        job.console.warn(
            f"{job.deck.location('md.time_step')}: {settings.time_step:g} fs is long for {plan.highest:.0f} cm^-1; "
            f"{planning.planned_time_step(plan.highest):g} fs is usual"
        )
    if settings.frames * settings.frame_interval < plan.shortest:
        job.console.warn(
            f"{job.deck.location('md.length')}: runs shorter than {plan.shortest / 1000:.3g} ps broaden the spectrum "
            "beyond spectrum.smoothing"
        )
    atoms.calc = factory()
    seconds = _seconds_per_step(job, atoms, settings)
    runs = section.replicas * len(section.temperature)
    ranks = min(job.session.size, runs)
    total = seconds * settings.steps * runs
    elapsed = total / runs * -(-runs // ranks)
    rate = settings.time_step * 1e-6 * 86400 / seconds
    size = planning.file_bytes(len(atoms), settings.frames) / 1e6
    say(
        f"md: {1000 * seconds:.3g} ms a step, {rate:.3g} ns/day on a rank; {duration(elapsed)} on "
        f"{ranks} of at most {runs} ranks; {size:.3g} MB a run"
    )
    return total
