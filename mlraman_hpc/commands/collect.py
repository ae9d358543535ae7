"""`mlraman collect`: results of the calculations -> labels.extxyz, derivatives.extxyz, and what became of each."""

from __future__ import annotations

from mlraman_hpc.labelling.collection import collect_calculations
from mlraman_hpc.labelling.converged_settings import report_trials
from mlraman_hpc.pipeline.job import Job


def collect(job: Job, converge: bool = False) -> None:
    """Look at every calculation that was prepared; may be called at any time, also while some still run.

    converge: instead, those of 'prepare --converge', as a table.
    """
    with job.located():
        job.session.only_on_root(report_trials if converge else collect_calculations, job)
