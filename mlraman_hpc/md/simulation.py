"""One run: cell at constant pressure, equilibration until the energy is steady, production, with checkpoints.

Where the calculator remembers earlier steps (a neighbour list that is renewed now and then), it is made anew at fixed
steps, and only there states are written, so that a restart sees the same history and gives the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.errors import UserError, first_line
from mlraman_hpc.base.units import VELOCITY_UNITS
from mlraman_hpc.md import statistics
from mlraman_hpc.md.calculators import Factory
from mlraman_hpc.md.integrators import (
    Stage,
    conserved_energy,
    degrees_of_freedom,
    integrator_state,
    kinetic_temperature,
    make_integrator,
    rest_centre_of_mass,
    set_integrator_state,
    start_velocities,
)
from mlraman_hpc.md.run_file import SUMMARY, RunFile, State, observables, random_state, set_random_state
from mlraman_hpc.md.settings import EXTENSIONS, SAMPLE_STEPS, Run, Settings
from mlraman_hpc.storage.provenance import Origin

# A canonical sample has more than ten times its mean kinetic energy, and 20 kT beside, with a chance below exp(-35).
HOT_TIMES, HOT_BESIDE = 10.0, 20.0


class RunFailed(Exception):
    """A run that cannot go on: which, in which step, and why. The other runs are not concerned."""

    def __init__(self, run: Run, stage: str, step: int, reason: str) -> None:
        super().__init__(run, stage, step, reason)
        self.run, self.stage, self.step, self.reason = run, stage, step, reason

    def __str__(self) -> str:
        return f"{self.run.name}: step {self.step} of {self.stage}: {self.reason}"


@dataclass(frozen=True)
class Summary:
    """A finished run: K, GPa, fs; energy_drift is the change of the conserved energy over production, in K."""

    run: Run
    temperature: float
    temperature_error: float
    energy_drift: float
    pressure: float
    equilibration: float
    equilibrated_from: int
    equilibration_drifts: bool


@dataclass
class Progress:
    """Where a run is. `at` and `until` are steps of its stage; steps_done counts all stages."""

    stage: Stage
    at: int = 0
    until: int = 0
    extensions: int = 0  # of equilibration
    steps_done: int = 0
    drifting: int = 0  # whether the energy did so at the end of the last equilibration
    samples: list[float] = field(default_factory=list)  # energies or volumes of the stage
    pressures: list[float] = field(default_factory=list)  # of production, at checkpoints

    def as_state(self) -> State:
        return {
            "stage": np.array(self.stage),
            "counts": np.array([self.at, self.until, self.extensions, self.steps_done, self.drifting]),
            "samples": np.array(self.samples),
            "pressures": np.array(self.pressures),
        }

    @classmethod
    def from_state(cls, state: State) -> Progress:
        stage: Any = str(state["stage"])
        at, until, extensions, steps_done, drifting = map(int, state["counts"])
        samples, pressures = state["samples"].tolist(), state["pressures"].tolist()
        return cls(stage, at, until, extensions, steps_done, drifting, samples, pressures)


class Simulation:
    """A run that is advanced for some seconds at a time. `atoms` is changed.

    Raises RunFailed from `advance` where the calculator fails, gives what is no number, or the system explodes.
    """

    def __init__(self, run: Run, settings: Settings, atoms: Any, factory: Factory, path: Path, origin: Origin):
        self.run, self.settings, self.atoms, self.factory = run, settings, atoms, factory
        self.file, self.origin = RunFile(path), origin
        self.random = np.random.default_rng(run.entropy)
        self.summary: Summary | None = None
        state = self.file.resume(origin.key)
        self.resumed = state is not None
        if state is None:
            self._begin()
        else:
            self._restore(state)

    def _begin(self) -> None:
        self.file.create(
            numbers=self.atoms.numbers,
            periodic=self.atoms.pbc,
            settings=self.settings,
            origin=self.origin,
            attributes={
                "ensemble": self.settings.ensemble,
                "temperature": self.run.temperature,
                "replica": self.run.replica,
                "seed": self.run.seed,
                "time_step": self.settings.time_step,
            },
        )
        start_velocities(self.atoms, self.run.temperature, self.random)
        self.progress = Progress("npt", until=self.settings.npt_steps)
        self.atoms.calc = self.factory()
        self._enter_stage()
        if not self.settings.npt_steps:
            self._next_stage()
        else:
            self._commit()

    def _restore(self, state: State) -> None:
        self.progress = Progress.from_state(state)
        self.atoms.set_cell(state["cell"])
        self.atoms.set_positions(state["positions"])
        self.atoms.set_momenta(state["momenta"])
        set_random_state(self.random, state["random"])
        self.atoms.calc = self.factory()
        self._enter_stage()
        prefix = "integrator."
        inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        set_integrator_state(self.progress.stage, self.integrator, inner)

    # running

    def advance(self, seconds: float) -> int:
        """Steps for about this long, at least one; returns how many."""
        end, before = time.monotonic() + seconds, self.progress.steps_done
        while self.summary is None:
            self._step()
            if time.monotonic() >= end:
                break
        return self.progress.steps_done - before

    def pause(self) -> None:
        """Before the program stops: writes the state where that does not change what follows."""
        if self.summary is None and not self.settings.renew:
            self._commit()
        self.file.close()

    def _guarded(self, work: Callable[[], Any]) -> Any:
        """What calls the calculator, whose errors are of many kinds and end this run alone."""
        try:
            with np.errstate(all="ignore"):
                return work()
        except (UserError, MemoryError):
            raise
        except Exception as error:
            reason = first_line(error)
            raise self._failure(f"the calculator raised {type(error).__name__}: {reason}") from error

    def _failure(self, reason: str) -> RunFailed:
        stage = self.progress.stage
        name = "production" if stage == self.settings.ensemble else stage
        return RunFailed(self.run, name, self.progress.at + 1, reason)

    def _step(self) -> None:
        progress = self.progress
        if progress.at >= progress.until:  # a production of one frame
            self._next_stage()
            return
        self._guarded(self.integrator.step)
        self._check()
        progress.at += 1
        progress.steps_done += 1
        producing = progress.stage == self.settings.ensemble
        if producing and progress.at % self.settings.stride == 0:
            self._store(progress.at // self.settings.stride)
        elif not producing and progress.at % SAMPLE_STEPS == 0:
            npt = progress.stage == "npt"
            progress.samples.append(
                float(self.atoms.get_volume() if npt else self._guarded(self.atoms.get_potential_energy))
            )
        if progress.at == progress.until:
            self._next_stage()
        elif progress.at % self.settings.checkpoint == 0:
            self._checkpoint()

    def _check(self) -> None:
        """Everything finite, and no more kinetic energy than a thermal sample can have."""
        momenta = self.atoms.arrays["momenta"]
        with np.errstate(all="ignore"):
            kinetic = 0.5 * float(np.sum(momenta * momenta / self._masses))
        if kinetic <= self._hottest and np.isfinite(self.atoms.arrays["positions"]).all():
            return
        results = getattr(self.atoms.calc, "results", {})
        if not all(np.isfinite(results.get(name, 0.0)).all() for name in ("forces", "energy")):
            raise self._failure("forces or energy of the calculator are not numbers (NaN or infinite)")
        temperature = f"{kinetic_temperature(self.atoms):.3g} K" if np.isfinite(kinetic) else "without bounds"
        raise self._failure(
            f"the system explodes: kinetic temperature {temperature}. Is the force field valid here, and the time step "
            "short enough?"
        )

    # stages

    def _enter_stage(self) -> None:
        from ase import units

        self._masses = self.atoms.get_masses()[:, None]
        thermal = units.kB * self.run.temperature
        mean = 0.5 * degrees_of_freedom(len(self.atoms)) * thermal
        self._hottest = HOT_TIMES * mean + HOT_BESIDE * thermal
        stage = self.progress.stage
        self.integrator = make_integrator(stage, self.atoms, self.run.temperature, self.settings, self.random)

    def _next_stage(self) -> None:
        """What follows the present stage, begun and on the disk."""
        progress, settings = self.progress, self.settings
        if progress.stage == settings.ensemble:
            self._finish()
        elif progress.stage == "npt":
            self._take_cell()
            self._begin_stage("equilibration", settings.equilibration)
        else:
            progress.drifting = statistics.drifts(np.array(progress.samples))
            if progress.drifting and progress.extensions < EXTENSIONS:
                progress.extensions += 1
                self._begin_stage("equilibration", settings.equilibration)
            else:
                rest_centre_of_mass(self.atoms)
                self._begin_stage(settings.ensemble, settings.production)

    def _begin_stage(self, stage: Stage, steps: int) -> None:
        progress = self.progress
        progress.stage, progress.at, progress.until, progress.samples = stage, 0, steps, []
        if self.settings.renew:
            self.atoms.calc = self.factory()
        self._enter_stage()
        if stage == self.settings.ensemble:
            self._store(0)
        self._commit()

    def _take_cell(self) -> None:
        """The mean volume of the second half of the run at constant pressure, atoms scaled with it."""
        volumes = np.array(self.progress.samples)
        if len(volumes):
            mean = volumes[len(volumes) // 2 :].mean()
            factor = (mean / self.atoms.get_volume()) ** (1 / 3)
            self.atoms.set_cell(self.atoms.get_cell() * factor, scale_atoms=True)

    def _checkpoint(self) -> None:
        self._watch_pressure()
        if self.settings.renew:
            self.atoms.calc = self.factory()
        self._commit()

    def _watch_pressure(self) -> None:
        """GPa, with the kinetic part, where the calculator has stresses."""
        from ase import units

        if self.progress.stage != self.settings.ensemble or not self.atoms.pbc.all():
            return
        try:
            stress = self.atoms.get_stress(include_ideal_gas=True, voigt=True)
        except Exception:  # many calculators have none
            return
        self.progress.pressures.append(float(-np.mean(stress[:3]) / units.GPa))

    def _commit(self) -> None:
        state = self.progress.as_state() | {
            "key": np.array(self.origin.key),
            "cell": np.array(self.atoms.get_cell()),
            "positions": self.atoms.get_positions(),
            "momenta": self.atoms.get_momenta(),
            "random": random_state(self.random),
        }
        inner = integrator_state(self.progress.stage, self.integrator)
        self.file.commit(state | {f"integrator.{name}": value for name, value in inner.items()})

    # results

    def _store(self, frame: int) -> None:
        atoms = self.atoms
        energy = self._guarded(atoms.get_potential_energy)
        if not np.isfinite(energy):
            raise self._failure("the energy of the calculator is not a number (NaN or infinite)")
        self.file.write_frame(
            frame,
            {
                "position": atoms.get_positions(),
                "velocity": atoms.get_velocities() * VELOCITY_UNITS["ase"],
                "cell": atoms.get_cell(),
                "temperature": kinetic_temperature(atoms),
                "potential_energy": energy,
                "kinetic_energy": atoms.get_kinetic_energy(),
                "conserved_energy": conserved_energy(self.progress.stage, self.integrator),
            },
        )

    def _finish(self) -> None:
        from ase import units

        settings, progress = self.settings, self.progress
        series = observables(self.file.partial, settings.frames)
        mean = statistics.block_mean(series["temperature"])
        change = statistics.drift(series["conserved_energy"]).value
        kelvin = 2 * change / (degrees_of_freedom(len(self.atoms)) * units.kB)
        self.summary = Summary(
            self.run,
            mean.value,
            mean.error,
            kelvin,
            float(np.mean(progress.pressures)) if progress.pressures else np.nan,
            settings.time_step * settings.equilibration * (1 + progress.extensions),
            statistics.equilibrated_from(series["potential_energy"]),
            bool(progress.drifting),
        )
        self.file.write_summary({name: float(getattr(self.summary, name)) for name in SUMMARY})
        self.file.finish()
