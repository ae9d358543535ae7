"""Figures about the model: learning curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import LogFormatter

from mlraman_hpc.io.canvas import BLUE, VERMILION, drawing
from mlraman_hpc.schema.records import LearningCurve

PAGE_WIDTH = 5.2


def learning_curve_figure(path: Path, curve: LearningCurve, title: str = "") -> None:
    """R2 and RMSE against N_T, diagonal and off-diagonal; bands are one standard deviation over draws."""
    with drawing(path, width=PAGE_WIDTH, height=2.6) as figure:
        left, right = figure.subplots(1, 2)
        for axes, mean, spread in ((left, curve.r2, curve.r2_spread), (right, curve.rmse, curve.rmse_spread)):
            for name, colour in (("diagonal", BLUE), ("off_diagonal", VERMILION)):
                value, error = mean[name], spread[name]
                axes.plot(curve.train_size, value, "o-", markersize=3, color=colour, label=name.replace("_", "-"))
                axes.fill_between(curve.train_size, value - error, value + error, color=colour, alpha=0.25, linewidth=0)
            axes.set_xlabel("Training set size $N_T$")
            axes.set_xlim(left=0)
        lowest = min(float(np.min(curve.r2[name])) for name in ("diagonal", "off_diagonal"))
        left.set(ylabel="R²", ylim=(max(-0.05, lowest - 0.05 * (1 - lowest)), 1 + 0.02 * (1 - max(lowest, 0))))
        right.set(ylabel="RMSE (Å³)", yscale="log")
        for ticks in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
            ticks(LogFormatter(minor_thresholds=(1.5, 0.6)))
        left.legend(loc="lower right")
        if title:
            figure.suptitle(title, fontsize=8)
