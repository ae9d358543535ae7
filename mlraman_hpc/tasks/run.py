"""`mlraman run`: the chain of tasks that the deck has a section for. Each skips what is up to date."""

from __future__ import annotations

import importlib

from mlraman_hpc.tasks.job import Job

# name of module and function -> whether the deck asks for it
CHAIN = {
    "train": lambda deck: deck.reference,
    "learning_curve": lambda deck: deck.reference and deck.learning_curve,
    "predict": lambda deck: deck.trajectory,
    "spectrum": lambda deck: True,
    "dynamics": lambda deck: deck.dynamics,
    "converge": lambda deck: deck.convergence,
    "report": lambda deck: True,
}


def run(job: Job) -> None:
    for name, wanted in CHAIN.items():
        if wanted(job.deck):
            with job.stage(name.replace("_", "-")):
                getattr(importlib.import_module(f"mlraman_hpc.tasks.{name}"), name)(job)
