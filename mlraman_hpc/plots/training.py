"""Figures about how much is enough: learning curves, and spectra on the way to the final one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.spectra import INTENSITY, SHIFT
from mlraman_hpc.plots.style import BLACK, BLUE, VERMILION, drawing
from mlraman_hpc.records.training import Convergence, LearningCurve

PAGE_WIDTH = 5.2
STEP = 1.08  # height of one spectrum in a stack


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
        lowest = min(
            float(np.min(curve.r2[name] - np.nan_to_num(curve.r2_spread[name])))
            for name in ("diagonal", "off_diagonal")
        )
        left.set(ylabel="R²", ylim=(max(-0.05, lowest - 0.05 * (1 - lowest)), 1 + 0.02 * (1 - max(lowest, 0))))
        right.set(ylabel="RMSE (Å³)", yscale="log")
        for ticks in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
            ticks(_plain)
        left.legend(loc="lower right")
        if title:
            figure.suptitle(title, fontsize=8)


def _plain(value: float, place: int) -> str:
    """0.02 rather than 2e-02, at 1, 2 and 5 of each decade."""
    mantissa = value / 10.0 ** np.floor(np.log10(value) + 1e-9)
    return f"{value:g}" if min(abs(mantissa - digit) for digit in (1, 2, 5)) < 1e-6 else ""


def convergence_figure(path: Path, found: Convergence, title: str = "") -> None:
    """Spectra of fewer labels and of shorter trajectories, one above another, with their distance to the final one.

    The final spectrum, at the top, is drawn in grey behind each.
    """
    rows = []
    if found.train_size is not None:
        rows.append(
            [
                (f"$N_T$ = {size}", values, distance)
                for size, values, distance in zip(found.train_size, found.train_spectra, found.train_distance)
            ]
        )
    rows.append(
        [
            (f"{length:.3g} ps", values, distance)
            for length, values, distance in zip(found.length, found.length_spectra, found.length_distance)
        ]
    )
    tallest = max(len(row) for row in rows)
    with drawing(path, width=PAGE_WIDTH, height=1.0 + 0.6 * tallest) as figure:
        for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows):
            _stack(axes, found.wavenumber, row)
        if title:
            figure.suptitle(title, fontsize=8)


def _stack(axes, wavenumber: np.ndarray, row: list) -> None:
    scale = 1 / max((values.max() for _, values, _ in row), default=1.0)
    for place, (name, values, distance) in enumerate(row):
        final = place == len(row) - 1
        shade = BLACK if final else BLUE
        if not final:
            axes.plot(wavenumber, row[-1][1] * scale + STEP * place, color="0.75", linewidth=1.6)
        axes.plot(wavenumber, values * scale + STEP * place, color=shade, linewidth=0.9)
        text = name if final else f"{name}\n{100 * distance:.2g} %"
        axes.annotate(text, (0.98 * wavenumber[-1], STEP * place + 0.12), ha="right", fontsize=6.5, color=shade)
    axes.set(xlabel=SHIFT, ylabel=INTENSITY, xlim=(0, wavenumber[-1]), ylim=(-0.08, STEP * len(row) + 0.05), yticks=[])
