"""`mlraman select`: the frames of the next round of labels -> labels.json, selected.extxyz."""

from __future__ import annotations

from mlraman_hpc.labelling.rounds import select_round
from mlraman_hpc.pipeline.job import Job


def select(job: Job) -> None:
    """Select the next round; while calculations of the one before are to be done, only say so."""
    with job.located():
        select_round(job)
