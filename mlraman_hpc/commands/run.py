"""`mlraman run`: the chain of tasks that the deck has a section for. Each skips what is up to date."""

from __future__ import annotations

import importlib

from mlraman_hpc.labelling.evaluation import job_of_labels
from mlraman_hpc.pipeline.job import Job


def _labels_to_compute(deck) -> bool:
    """Whether the model is to come from calculations: it has no labels and no other source."""
    return bool(deck.labelling and deck.trajectory and not (deck.reference or deck.model.file or deck.model.predictor))


def _polarizabilities(deck) -> bool:
    """Whether there are any: a series, or a trajectory and a model. Without a model, dynamics stands alone."""
    model = deck.reference or deck.model.file or deck.model.predictor or _labels_to_compute(deck) or not deck.dynamics
    return bool(deck.series or (deck.trajectory and model))


def _one_run(deck) -> bool:
    """Whether alpha.h5 and dynamics.h5 are of one trajectory, and not means of several."""
    return bool(deck.trajectory and not deck.trajectory.runs)


# name of module and function -> whether the deck asks for it
CHAIN = {
    "md": lambda deck: deck.md,
    "label": _labels_to_compute,
    "train": lambda deck: deck.reference,
    "learning_curve": lambda deck: deck.reference and deck.learning_curve,
    "predict": lambda deck: deck.trajectory and _polarizabilities(deck),
    "spectrum": _polarizabilities,
    "compare": lambda deck: deck.comparison,
    "forces": lambda deck: deck.forces,
    "dynamics": lambda deck: deck.dynamics,
    "coupling": lambda deck: (
        deck.dynamics and deck.dynamics.mass_weighted and _one_run(deck) and _polarizabilities(deck)
    ),
    "converge": lambda deck: deck.convergence and (_one_run(deck) or not deck.trajectory),
    "report": lambda deck: True,
}


def run(job: Job) -> None:
    deck = job.deck
    for name, wanted in CHAIN.items():
        if wanted(deck):
            with job.stage(name.replace("_", "-")):
                getattr(importlib.import_module(f"mlraman_hpc.commands.{name}"), name)(job)
            if name == "label":
                job = job_of_labels(job)
