"""Figures of a campaign: stacked spectra with the low-frequency region magnified, and diffusion against weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.stack import StackRow, stack_figure
from mlraman_hpc.plots.style import BLACK, BLUE, COLUMN, drawing
from mlraman_hpc.records.campaign import Ranking

NAMED = 30  # points beyond which names would cover one another


def spectra_figure(path: Path, ranking: Ranking, most: int) -> None:
    """The first `most` spectra, one above another with the highest weight on top."""
    shown = [(k, name) for k, name in enumerate(ranking.name) if name in ranking.spectrum][:most]
    stack_figure(
        path,
        [
            StackRow(
                name,
                **ranking.spectrum[name],
                weight=ranking.weight[k],
                weight_error=ranking.weight_error[k],
                cutoff=ranking.cutoff[k],
            )
            for k, name in shown
        ],
    )


def diffusion_figure(path: Path, ranking: Ranking) -> None:
    """D of the fastest element against low-frequency weight; arrows: upper ends where no diffusion was found."""
    with drawing(path, width=COLUMN, height=2.8) as figure:
        axes = figure.subplots()
        there = np.isfinite(ranking.weight) & np.isfinite(ranking.diffusion)
        _points(axes, ranking, there)
        bounded = np.isfinite(ranking.weight) & ~there & (ranking.diffusion_upper > 0)
        axes.errorbar(
            ranking.weight[bounded],
            ranking.diffusion_upper[bounded],
            xerr=ranking.weight_error[bounded],
            fmt="none",
            ecolor="0.5",
            elinewidth=0.7,
        )
        axes.plot(
            ranking.weight[bounded],
            ranking.diffusion_upper[bounded],
            "v",
            color="0.5",
            markersize=4,
            label="upper bound" if bounded.any() else None,
        )
        axes.set(yscale="log", xlabel="Low-frequency Raman weight", ylabel="D (cm²/s)")
        if there.sum() + bounded.sum() <= NAMED:
            for k in np.flatnonzero(there | bounded):
                value = ranking.diffusion[k] if there[k] else ranking.diffusion_upper[k]
                axes.annotate(
                    ranking.name[k],
                    (ranking.weight[k], value),
                    xytext=(3, 3),
                    textcoords="offset points",
                    fontsize=5.5,
                    color="0.25",
                )
        axes.margins(x=0.18, y=0.12)
        if bounded.any():
            axes.legend(loc="best")


def _points(axes, ranking: Ranking, there: np.ndarray) -> None:
    error = ranking.diffusion_error[there]
    below = np.minimum(error, 0.9 * ranking.diffusion[there])  # the axis is logarithmic
    axes.errorbar(
        ranking.weight[there],
        ranking.diffusion[there],
        xerr=ranking.weight_error[there],
        yerr=np.array([below, error]),
        fmt="o",
        markersize=3.5,
        color=BLUE,
        ecolor=BLACK,
        elinewidth=0.7,
    )
