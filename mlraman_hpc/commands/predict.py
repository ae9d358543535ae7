"""`mlraman predict`: alpha along the trajectory -> alpha.h5."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mlraman_hpc.pipeline.freshness import refuse_other_deck
from mlraman_hpc.pipeline.independent_runs import are_independent, jobs_of_runs
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.prediction import (
    existing_model,
    load_model,
    predict_along_trajectory,
    predict_with_other_model,
)
from mlraman_hpc.pipeline.step import run_step
from mlraman_hpc.pipeline.trajectory import trajectory_hashes
from mlraman_hpc.records.spectra import PolarizabilitySeries
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.provenance import Origin


def predict(job: Job) -> None:
    """Predict every selected frame; continues where an earlier run stopped."""
    job.section("trajectory")
    if are_independent(job):
        with job.located():
            runs = jobs_of_runs(job)
        for each in runs:
            predict(each)
        return
    if job.deck.model.predictor:
        run_step(job, PolarizabilitySeries, _origin_of_other_model, predict_with_other_model)
    else:
        run_step(job, PolarizabilitySeries, _origin, partial(predict_along_trajectory, model=load_model))


def _origin_of_other_model(job: Job) -> Origin:
    from mlraman_hpc.pipeline.predictors import predictor_origin  # and ASE with it

    parents, predictor, notes = predictor_origin(job)
    parents = trajectory_hashes(job) | parents
    settings = job.section("trajectory").model_dump(exclude={"files"})
    return replace(job.origin("predict", parents, settings, predictor), notes=notes)


def _origin(job: Job) -> Origin:
    model = existing_model(job)
    refuse_other_deck(job, model)
    parents = trajectory_hashes(job) | {str(model): hdf5.content_of(model)}
    settings = job.section("trajectory").model_dump(exclude={"files"})
    return job.origin("predict", parents, settings, history=hdf5.history_of(model))
