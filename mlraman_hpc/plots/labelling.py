"""Figures of labels that are computed: error bars against their number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.plots.style import BLACK, BLUE, VERMILION, WIDE, drawing, legend_above
from mlraman_hpc.records.labelling import LabellingHistory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TICKS = 8


def labelling_figure(path: Path | None, history: LabellingHistory, title: str = "") -> Figure:
    """Relative error bars of the spectrum against labels, the stop, and the CPU time of the labels above."""
    with drawing(path, title, width=WIDE, height=3.0) as figure:
        axes = figure.subplots()
        axes.plot(history.labels, 100 * history.model_error, "o-", color=VERMILION, label="model (committee)")
        axes.plot(history.labels, 100 * history.statistical_error, "s-", color=BLUE, label="trajectory (blocks)")
        axes.plot(
            history.labels,
            100 * history.share * history.statistical_error,
            ":",
            color=BLUE,
            label=f"{history.share:g} of the trajectory's: stop",
        )
        if np.isfinite(history.change).any():
            axes.plot(history.labels, 100 * history.change, "x", color=BLACK, label="change by the round")
        axes.set(xlabel="frames trained on", ylabel="error of the spectrum (%)")
        axes.set_ylim(bottom=0)
        legend_above(axes, f"{history.low:g} to {history.high:.4g} cm$^{{-1}}$: {history.verdict}")
        _cpu_time(axes, history)
    return figure


def _cpu_time(axes, history: LabellingHistory) -> None:
    """CPU time under the numbers of labels, of which no more are written than there is room for."""
    step = -(-len(history) // MOST_TICKS)
    shown = range(len(history) - 1, -1, -step)
    ticks = [f"{history.labels[k]}\n{_duration(history.cpu_seconds[k])}" for k in shown]
    axes.set_xticks(history.labels[list(shown)], ticks)
    if np.isfinite(history.cpu_seconds).any():
        axes.set_xlabel("frames trained on, and CPU time of all labels")


def _duration(seconds: float) -> str:
    if not np.isfinite(seconds):
        return ""
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.2g} min"
