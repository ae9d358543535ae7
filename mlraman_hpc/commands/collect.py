"""`mlraman collect`: results of the calculations -> labels.extxyz, derivatives.extxyz, and what became of each."""

from __future__ import annotations

from mlraman_hpc.labelling.collection import collect_calculations
from mlraman_hpc.pipeline.job import Job


def collect(job: Job) -> None:
    """Look at every calculation that was prepared; may be called at any time, also while some still run."""
    with job.located():
        job.session.only_on_root(collect_calculations, job)
