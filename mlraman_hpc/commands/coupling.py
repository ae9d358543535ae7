"""`mlraman coupling`: Raman intensity over density of states -> coupling.h5, coupling.png. Root works."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra import errorbars
from mlraman_hpc.numerics.spectra.coupling import States
from mlraman_hpc.numerics.spectra.coupling import coupling as ratio_of
from mlraman_hpc.numerics.spectra.vdos import vdos_plan
from mlraman_hpc.pipeline.freshness import refuse_other_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.spectra import without_cell
from mlraman_hpc.pipeline.step import Output, Step, run_step
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.records.fields import fields_from
from mlraman_hpc.records.spectra import Coupling, PolarizabilitySeries
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.reports.wording import coupling_sentence
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin

CONTENT = "2"  # raised where the file holds more: an older one is made again


def coupling(job: Job) -> None:
    """Write coupling.h5 from alpha.h5 and dynamics.h5."""
    run_step(job, Coupling, _origin, _compute, root_alone=True)


def _origin(job: Job) -> Origin:
    parents = {}
    for record, command in ((PolarizabilitySeries, "predict"), (Dynamics, "dynamics")):
        path = job.output / record.file_name
        if not path.exists():
            raise DataError(f"{path}: not there yet; 'mlraman {command}' makes it")
        refuse_other_deck(job, path)
        parents[str(path)] = hdf5.content_of(path)
    history = hdf5.history_of(job.output / PolarizabilitySeries.file_name)
    section = job.deck.spectrum
    settings = [section.low_frequency, *([section.remove_cell] if section.remove_cell else [])]
    return job.origin("coupling", parents, CONTENT, *settings, history=history)


def _compute(step: Step) -> Output:
    job = step.job
    result = _coupling(job, job.deck.spectrum.low_frequency)
    figure = (figures.coupling_figure, result, job.deck.title)
    return Output(result, figures={"coupling.png": figure}, lines=[coupling_sentence(result)])


def _coupling(job: Job, cutoff: float) -> Coupling:
    series, _ = without_cell(job, hdf5.load(PolarizabilitySeries, job.output))
    motion = hdf5.load(Dynamics, job.output)
    _check(job, series, motion)
    blocks = job.deck.dynamics.blocks if job.deck.dynamics else 8
    plan = vdos_plan(len(series.value), series.frame_interval, motion.smoothing, blocks)
    states = States(motion.wavenumber, motion.vdos["total"], motion.vdos_error["total"], motion.temperature)
    ratio = ratio_of(series.value, plan, states, cutoff)
    members = [] if series.members is None else [series.members[:, k] for k in range(series.members.shape[1])]
    by_member = [ratio_of(member, plan, states, cutoff) for member in members]
    error, exponent_error = None, None
    if len(by_member) > 1:
        error = errorbars.committee_deviation(np.array([item.value for item in by_member]))
        exponent_error = float(errorbars.committee_deviation(np.array([item.exponent for item in by_member])))
    return Coupling(
        **fields_from(Coupling, ratio),
        wavenumber=states.wavenumber,
        coupling=ratio.value,
        vdos=states.g,
        vdos_error=states.error,
        cutoff=cutoff,
        temperature=states.temperature,
        smoothing=motion.smoothing,
        error_model=error,
        exponent_model_error=exponent_error,
    )


def _check(job: Job, series: PolarizabilitySeries, motion: Dynamics) -> None:
    if not motion.mass_weighted:
        raise DataError(
            f"{job.deck.location('dynamics.mass_weighted')}: the ratio of intensity and density of states "
            "needs the mass-weighted one; leave the key out and start 'mlraman dynamics' again"
        )
    length = len(series.value) * series.frame_interval
    if abs(length - motion.frames * motion.frame_interval) > series.frame_interval + motion.frame_interval:
        raise DataError(
            f"{job.output / 'alpha.h5'}: covers {length / 1000:.4g} ps, dynamics.h5 "
            f"{motion.frames * motion.frame_interval / 1000:.4g} ps; compute both with one deck"
        )
