"""Figures about how much is enough: learning curves, and spectra on the way to the final one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import LogFormatter

from mlraman_hpc.io.canvas import BLACK, BLUE, VERMILION, drawing
from mlraman_hpc.io.figures import INTENSITY, SHIFT
from mlraman_hpc.schema.records import Convergence, LearningCurve

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


def convergence_figure(path: Path, found: Convergence, title: str = "") -> None:
    """Spectra of fewer labels and of shorter trajectories, one above another, the final one at the top of each."""
    rows = []
    if found.train_size is not None:
        rows.append([(f"$N_T$ = {size}", values) for size, values in zip(found.train_size, found.train_spectra)])
    rows.append([(f"{length:.3g} ps", values) for length, values in zip(found.length, found.length_spectra)])
    tallest = max(len(row) for row in rows)
    with drawing(path, width=PAGE_WIDTH, height=1.2 + 0.45 * tallest) as figure:
        for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows):
            _stack(axes, found.wavenumber, row)
        if title:
            figure.suptitle(title, fontsize=8)


def _stack(axes, wavenumber: np.ndarray, row: list) -> None:
    scale = 1 / max((values.max() for _, values in row), default=1.0)
    for place, (name, values) in enumerate(row):
        shade = BLACK if place == len(row) - 1 else BLUE
        axes.plot(wavenumber, values * scale + 0.6 * place, color=shade, linewidth=0.9)
        axes.annotate(name, (wavenumber[-1], 0.6 * place + 0.08), ha="right", fontsize=6.5, color=shade)
    axes.set(xlabel=SHIFT, ylabel=INTENSITY, xlim=(0, wavenumber[-1]), yticks=[])
