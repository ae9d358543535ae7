"""Which materials of a campaign are computed, in which order, by which ranks."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mlraman_hpc.base.errors import DeckError, KeyLocations, Location, UserError
from mlraman_hpc.config.campaign_deck import Campaign, Material
from mlraman_hpc.config.deck import Deck
from mlraman_hpc.config.deck_reader import input_files
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session

PACKED = 4  # a compressed text is about so much shorter


@dataclass
class Run:
    """The campaign and how it is computed; `complete`: all materials, by this job alone."""

    plan: Campaign
    chosen: list[Material]
    session: Session
    console: Console
    groups: int
    force: bool
    complete: bool

    @property
    def job(self) -> Job:
        """A job of the campaign itself, for header and limits."""
        keys = self.plan.keys
        deck = Deck(title=keys.title, output=str(self.plan.output), walltime=keys.walltime)
        deck.set_source(KeyLocations({(): Location(self.plan.name)}))
        return Job(deck, self.session, self.console, self.force)


def chosen_names(plan: Campaign, only: list[str], array: bool, env=os.environ) -> list[str]:
    """All materials, those named, or this array task's: every n-th, n being the number of tasks."""
    names = [material.name for material in plan.materials]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise DeckError(f"--only {unknown[0]}: there is no such material in {plan.name}; there are: {', '.join(names)}")
    if only:
        return only
    if not array:
        return names
    task = env.get("SLURM_ARRAY_TASK_ID", "")
    if not task.isdigit():
        raise DeckError("--array: SLURM_ARRAY_TASK_ID is not set; it is for job arrays (sbatch --array)")
    first, count = int(env.get("SLURM_ARRAY_TASK_MIN", 0)), int(env.get("SLURM_ARRAY_TASK_COUNT", len(names)))
    return names[int(task) - first :: count]


def largest_first(chosen: list[Material]) -> list[str]:
    """Names by size of the trajectory's files; those that cannot be found come first and fail at once."""

    def size(material: Material) -> float:
        deck = material.deck
        files = deck.trajectory.files if deck.trajectory else [deck.series.file]
        try:
            paths = input_files(deck, "trajectory.files", files)
            return sum(path.stat().st_size * (PACKED if path.suffix == ".gz" else 1) for path in paths)
        except (UserError, OSError):
            return float("inf")

    return [material.name for material in sorted(chosen, key=size, reverse=True)]
