"""`mlraman coupling`: Raman intensity over density of states -> coupling.h5, coupling.png. Root works."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra import errorbars
from mlraman_hpc.numerics.spectra.coupling import Ratio, States
from mlraman_hpc.numerics.spectra.coupling import coupling as ratio_of
from mlraman_hpc.numerics.spectra.vdos import vdos_plan
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.records.spectra import Coupling, PolarizabilitySeries
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.reports.wording import coupling_sentence
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import KIND as ALPHA

KIND = "coupling"


def coupling(job: Job) -> None:
    """Write coupling.h5 from alpha.h5 and dynamics.h5."""
    job.session.on_root(_coupling, job)


def _coupling(job: Job) -> None:
    path, parents = job.output / "coupling.h5", _parents(job)
    cutoff = job.deck.spectrum.low_frequency
    origin = job.origin("coupling", parents, cutoff, history=hdf5.read_origin(job.output / "alpha.h5").history)
    if job.up_to_date(path, origin):
        job.console.say(f"{path} is up to date")
        return
    result = _result(job, cutoff)
    job.draw("coupling.png", figures.coupling_figure, result, job.deck.title)
    hdf5.save(path, result, KIND, origin)  # last: what is up to date has its figure
    job.console.say(coupling_sentence(result))
    job.console.say(f"wrote {path} and {path.with_suffix('.png').name}")


def _parents(job: Job) -> dict[str, str]:
    made_by = {"alpha.h5": "predict", "dynamics.h5": "dynamics"}
    for name, command in made_by.items():
        if not (job.output / name).exists():
            raise DataError(f"{job.output / name}: not there yet; 'mlraman {command}' makes it")
    return {str(job.output / name): hdf5.content_of(job.output / name) for name in made_by}


def _result(job: Job, cutoff: float) -> Coupling:
    series = hdf5.load(job.output / "alpha.h5", PolarizabilitySeries, ALPHA)
    motion = hdf5.load(job.output / "dynamics.h5", Dynamics, "dynamics")
    _check(job, series, motion)
    blocks = job.deck.dynamics.blocks if job.deck.dynamics else 8
    plan = vdos_plan(len(series.value), series.frame_interval, motion.smoothing, blocks)
    states = States(motion.wavenumber, motion.vdos["total"], motion.vdos_error["total"], motion.temperature)
    found = ratio_of(series.value, plan, states, cutoff)
    members = [] if series.members is None else [series.members[:, k] for k in range(series.members.shape[1])]
    spread = [ratio_of(one, plan, states, cutoff).value for one in members]
    return _record(found, states, motion, cutoff, errorbars.spread(np.array(spread)) if len(spread) > 1 else None)


def _record(found: Ratio, states: States, motion: Dynamics, cutoff: float, model: np.ndarray | None) -> Coupling:
    return Coupling(
        wavenumber=states.wavenumber,
        coupling=found.value,
        error=found.error,
        activity=found.activity,
        activity_error=found.activity_error,
        vdos=states.g,
        vdos_error=states.error,
        mean=found.mean,
        cutoff=cutoff,
        low=found.low,
        low_error=found.low_error,
        spread=found.spread,
        temperature=states.temperature,
        smoothing=motion.smoothing,
        error_model=model,
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
