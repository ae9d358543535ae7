"""`mlraman md`: molecular dynamics of the deck's structure -> trajectory_<T>K_<replica>.h5, H5MD with velocities.

Every run (temperature, replica) is one rank's. The ranks meet every few seconds, so that all hear of a stop, and a run
that fails ends alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.md.calculators import Factory
from mlraman_hpc.md.engines import engine_files, trajectory_section, without_barostat
from mlraman_hpc.md.run_file import RunFile
from mlraman_hpc.md.settings import Run, Settings
from mlraman_hpc.md.simulation import RunFailed, Simulation, Summary
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.molecular_dynamics import energies_differ, md_atoms, md_factory, md_plan, md_runs, md_settings
from mlraman_hpc.runtime.console import duration
from mlraman_hpc.storage.provenance import Origin

SLICE = 2.0  # s between two meetings of the ranks
FIRST_LINE, LONGEST_SILENCE = 5.0, 600.0  # s
NOTICED_DRIFT = 0.01  # of the temperature, over a run
NOTICED_ERRORS = 4.0  # standard errors of the temperature
Task = tuple[Run, Path, Origin]


@dataclass
class _Report:
    """What a rank tells the others at a meeting: steps since the last one and steps that are left, of its runs."""

    steps: int = 0
    left: int = 0
    lines: list[str] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def md(job: Job, engine: str | None = None) -> None:
    """All runs that are not finished; with `engine`, that program's input instead."""
    job.section("md")
    session = job.session
    session.enter_step("plan")
    with job.located():
        if engine:
            session.on_root(_write_input, job, engine)
            return
        atoms, settings, tasks = session.on_root(_prepare, job)
        session.enter_step("runs")
        failures = _compute(job, atoms, settings, tasks) if tasks else []
    if failures:
        others = "; the others are finished" if len(failures) < len(tasks) else ""
        session.raise_if_any(
            DataError(
                "\n".join(failures) + f"\n{len(failures)} of {_plural(len(tasks))} failed{others}. "
                "The same command tries again, from the last checkpoint"
            )
        )


def _prepare(job: Job) -> tuple[Any, Settings, list[Task]]:
    """Structure, settings and the runs that are not up to date."""
    atoms = md_atoms(job)
    settings = md_settings(job, md_plan(job, atoms))
    tasks = []
    for run, path, origin in md_runs(job, settings):
        if job.up_to_date(path, origin):
            job.console.say(f"{path} is up to date")
            continue
        if job.force:
            RunFile(path).discard()
        tasks.append((run, path, origin))
    if tasks:
        job.console.say(
            f"{_plural(len(tasks))} of {len(atoms)} atoms: time step {settings.time_step:g} fs, "
            f"{settings.frames} frames {settings.frame_interval:g} fs apart, {settings.ensemble.upper()}"
        )
        if settings.ensemble == "nve":
            job.console.say(energies_differ(job, len(atoms)))
    return atoms, settings, tasks


def _plural(runs: int) -> str:
    return f"{runs} run" + ("s" if runs > 1 else "")


def _compute(job: Job, atoms: Any, settings: Settings, tasks: list[Task]) -> list[str]:
    """Failures of all runs, the same on every rank. Raises StoppedEarly on every rank where one was asked to stop."""
    session = job.session
    worker = _Worker(job, atoms, settings, tasks[session.rank :: session.size])
    meter = _Meter(job, settings, len(tasks))
    failures: list[str] = []
    with session.stop.deferred():
        while True:
            report = _Report()
            with session.collective_errors():
                worker.advance(SLICE, report)
            reports = session.allgather(report)
            failures += [text for each in reports for text in each.failures]
            meter.tell(reports)
            if not any(each.left for each in reports):
                return failures
            if (stop := session.stop_requested()) is not None:
                with session.collective_errors():
                    worker.pause()
                raise stop


class _Worker:
    """The runs of this rank, one after another."""

    def __init__(self, job: Job, atoms: Any, settings: Settings, tasks: list[Task]):
        self.job, self.atoms, self.settings, self.tasks = job, atoms, settings, list(tasks)
        self.simulation: Simulation | None = None
        self._factory: Factory | None = None

    def advance(self, seconds: float, report: _Report) -> None:
        end = time.monotonic() + seconds
        while self.tasks and (report.steps == 0 or time.monotonic() < end):
            self._run(max(end - time.monotonic(), 0.0), report)
        report.left = len(self.tasks) * self.settings.steps
        if self.simulation is not None:
            progress = self.simulation.progress
            prolonged = progress.extensions * self.settings.equilibration
            report.left += max(1 - self.settings.steps, prolonged - progress.steps_done)

    def _run(self, seconds: float, report: _Report) -> None:
        """Some steps of the present run; when it ends, or fails, the next one is to come."""
        run, path, origin = self.tasks[0]
        try:
            if self.simulation is None:
                self.simulation = Simulation(run, self.settings, self.atoms.copy(), self._calculators(), path, origin)
                if self.simulation.resumed:
                    report.lines.append(f"{run.name}: goes on after {self.simulation.progress.steps_done} steps")
            report.steps += self.simulation.advance(seconds)
            if self.simulation.summary is None:
                return
            report.summaries.append(self.simulation.summary)
        except RunFailed as error:
            report.failures.append(str(error))
            self._factory = None  # a calculator that has failed is not used again
            if self.simulation is not None:
                self.simulation.file.close()
        self.simulation = None
        del self.tasks[0]

    def _calculators(self) -> Factory:
        """Makes a new one each time or, where the calculator has no memory, is one and the same for all runs."""
        if self._factory is None:
            make = md_factory(self.job)
            if self.settings.renew:
                self._factory = make
            else:
                calculator = make()
                self._factory = lambda: calculator
        return self._factory

    def pause(self) -> None:
        if self.simulation is not None:
            self.simulation.pause()


class _Meter:
    """Lines with the rate in ns/day and the time that is left; results of the runs as they end."""

    def __init__(self, job: Job, settings: Settings, runs: int):
        self.job, self.settings, self.runs = job, settings, runs
        self.began = self.last = time.monotonic()
        self.steps, self.silence = 0, FIRST_LINE

    def tell(self, reports: list[_Report]) -> None:
        for report in reports:
            for text in report.lines:
                self.job.console.say(text)
            for summary in report.summaries:
                self._result(summary)
            for text in report.failures:
                self.job.console.warn(text)
        self.steps += sum(report.steps for report in reports)
        left, now = sum(report.left for report in reports), time.monotonic()
        rate = self.steps / max(now - self.began, 1e-9)
        if left == 0:
            self.job.console.say(f"md: {self.steps} steps in {duration(now - self.began)}, {self._speed(rate)}")
        elif rate > 0:
            self._show(reports, left, rate, now)

    def _show(self, reports: list[_Report], left: int, rate: float, now: float) -> None:
        working = sum(report.left > 0 for report in reports)
        remaining = max(report.left for report in reports) / (rate / working)  # of the rank that has most to do
        total = self.settings.steps * self.runs
        done = max(total - left, 0)
        if self.job.console.status:
            self.job.console.status.progress("md", done, total, "steps", remaining)
        if now - self.last >= self.silence:
            self.last, self.silence = now, min(1.5 * self.silence, LONGEST_SILENCE)
            self.job.console.say(
                f"md: {100 * done // total} % of {_plural(self.runs)}, {self._speed(rate)}, {duration(remaining)} left"
            )

    def _speed(self, rate: float) -> str:
        return f"{rate * self.settings.time_step * 1e-6 * 86400:.3g} ns/day over all ranks"

    def _result(self, result: Summary) -> None:
        run, warn = result.run, self.job.console.warn
        pressure = f", pressure {result.pressure:.3g} GPa" if result.pressure == result.pressure else ""
        self.job.console.say(
            f"{run.name}: {result.temperature:.1f} +- {result.temperature_error:.1f} K, conserved energy drifts by "
            f"{result.energy_drift:.2g} K{pressure}; equilibrated for {result.equilibration:g} fs; wrote "
            f"{run.file_name}"
        )
        if result.equilibration_drifts:
            warn(
                f"{run.name}: the energy still drifted after {result.equilibration:g} fs of equilibration; lengthen "
                "md.equilibration"
            )
        if result.equilibrated_from:
            warn(
                f"{run.name}: frames before {result.equilibrated_from} differ from the rest; trajectory.first: "
                f"{result.equilibrated_from} leaves them out"
            )
        if abs(result.energy_drift) > NOTICED_DRIFT * run.temperature:
            warn(
                f"{run.name}: the conserved energy drifts by {result.energy_drift:.3g} K over the run; shorten "
                "md.time_step, or look at the force field's precision"
            )
        off = abs(result.temperature - run.temperature)
        if (
            self.settings.ensemble == "nvt"
            and off > NOTICED_ERRORS * result.temperature_error + 0.005 * run.temperature
        ):
            warn(f"{run.name}: the mean temperature is {result.temperature:.4g} K")


def _write_input(job: Job, engine: str) -> None:
    """The engine's files, in a folder for each run."""
    atoms = md_atoms(job)
    settings = md_settings(job, md_plan(job, atoms))
    if settings.npt_steps and without_barostat(engine):
        job.console.warn(
            f"md.npt: the input for {engine} has no run at constant pressure; its cell is that of md.structure"
        )
    for run, _, _ in md_runs(job, settings):
        folder = job.output / engine / f"{run.temperature:g}K_{run.replica}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in engine_files(engine, atoms, settings, run).items():
            (folder / name).write_text(text, encoding="utf-8")
        job.console.say(f"wrote {folder}; a deck reads it with\n  {trajectory_section(engine, settings, str(folder))}")
