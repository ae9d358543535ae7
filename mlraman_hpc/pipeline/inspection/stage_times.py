"""How long the stages of a run take and what memory they need, from short trials: for `check` and job scripts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from mlraman_hpc.numerics.spectra.vdos import vdos_plan, velocity_products
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags
from mlraman_hpc.runtime.console import duration

FIT_TRIAL = 300  # rows of a matrix whose eigenvectors are timed
SPECTRUM_SECONDS, SPECTRUM_PER_FRAME = 10.0, 2e-4  # most of it fits to the lowest wavenumbers, whatever the length
REPORT_SECONDS, FIGURE_SECONDS = 1.0, 0.8
START_SECONDS = 60.0  # packages are loaded, and loops compiled the first time
MARGIN, ROUND_SECONDS, AIM_SECONDS = 1.5, 300.0, 600.0
MOST_RANKS = 1024
MB = 2.0**20


@dataclass(frozen=True)
class Stage:
    """One command of the chain.

    seconds    on one rank
    shared     whether ranks share the work
    memory     MB on each rank beside what a process takes by itself, in all over their number where `divided`
    root       MB on the first rank beside that
    """

    name: str
    seconds: float
    shared: bool = True
    memory: float = 0.0
    divided: bool = False
    root: float = 0.0

    def wall(self, ranks: int) -> float:
        """Seconds on so many ranks."""
        return self.seconds / ranks if self.shared else self.seconds


def fit_seconds(trial: float, labels: int) -> float:
    """Of a fit to so many labels, both orders; trial: seconds for FIT_TRIAL rows."""
    return trial * ((labels / FIT_TRIAL) ** 3 + (5 * labels / FIT_TRIAL) ** 3)


def fit_memory(labels: int) -> float:
    """MB of the matrices of a fit."""
    return 3 * 8 * (5 * labels) ** 2 / MB


def fit_trial() -> float:
    """Seconds for the eigenvectors of FIT_TRIAL rows."""
    matrix = np.random.default_rng(0).normal(size=(FIT_TRIAL, FIT_TRIAL))
    began = time.perf_counter()
    np.linalg.eigh(matrix + matrix.T)
    return time.perf_counter() - began


def motion_seconds(atoms: int, frames: int, interval: float, smoothing: float, blocks: int) -> float:
    """Of `dynamics` without reading, from one atom's."""
    tried = min(frames, 20000)
    walk = np.cumsum(np.random.default_rng(0).normal(size=(1, 3, tried)), axis=-1)
    plan, lags = vdos_plan(tried, interval, smoothing, blocks), log_lags(tried)
    began = time.perf_counter()
    velocity_products(walk, plan)
    displacement_sums(walk, lags)
    return (time.perf_counter() - began) * atoms * frames / tried


def spectrum_seconds(frames: int) -> float:
    """Of one spectrum with its errors and the fit to its lowest wavenumbers."""
    return SPECTRUM_SECONDS + SPECTRUM_PER_FRAME * frames


def table(stages: list[Stage], ranks: int, base: float) -> list[str]:
    """Lines of a table for the terminal; base: MB that a process takes by itself."""
    width = max(len(stage.name) for stage in stages)
    lines = []
    for stage in stages:
        shared = "" if ranks == 1 else f", {duration(stage.wall(ranks))} on {ranks}"
        memory = base + (stage.memory / ranks if stage.divided else stage.memory)
        root = f", {memory + stage.root:.0f} MB on the first" if stage.root >= 1 else ""
        lines.append(f"  {stage.name:<{width}}  {duration(stage.seconds)} on one rank{shared}; {memory:.0f} MB{root}")
    return lines


def proposal(stages: list[Stage], base: float) -> str:
    """Ranks, time limit and memory to ask for: so many ranks that they share at most AIM_SECONDS of work."""
    shared = sum(stage.seconds for stage in stages if stage.shared)
    alone = sum(stage.seconds for stage in stages if not stage.shared)
    ranks = 1
    while shared / ranks > max(AIM_SECONDS, alone) and ranks < MOST_RANKS:
        ranks *= 2
    wall = shared / ranks + alone + START_SECONDS
    hours, minutes = divmod(round(ROUND_SECONDS * math.ceil(MARGIN * wall / ROUND_SECONDS) / 60), 60)
    memory = base + max((s.memory / ranks if s.divided else s.memory) + s.root for s in stages)
    limit, megabytes = f"{hours:02d}:{minutes:02d}:00", 128 * math.ceil(1.3 * memory / 128)
    asked = f"--ntasks={ranks} --time={limit} --mem-per-cpu={megabytes}M"
    return f"proposal: {asked} (about {duration(wall)} with the start)"
