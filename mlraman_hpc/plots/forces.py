"""Predicted against reference forces, element by element."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import PAGE, drawing
from mlraman_hpc.records.forces import Forces

MOST_COLUMNS = 4
SMALL_ROW = 1.85  # inches


def forces_figure(path: Path, found: Forces, title: str = "") -> None:
    """One panel for each element; colour: components in a square, on one logarithmic scale for all panels."""
    names = list(found.density)
    columns = min(MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    most = max(int(counts.max()) for counts in found.density.values())
    with drawing(path, width=min(PAGE, 1.0 + SMALL_ROW * columns), height=0.4 + (SMALL_ROW + 0.1) * rows) as figure:
        from matplotlib.colors import LogNorm

        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(panels, names):
            image = _panel(axes, found, name, LogNorm(1, max(2, most)))
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel("Reference force (eV/Å)", fontsize=8)
        figure.supylabel("Predicted force (eV/Å)", fontsize=8)
        figure.colorbar(image, ax=list(panels), label="Components in a square", fraction=0.03, pad=0.02)
        if title:
            figure.suptitle(title, fontsize=8)


def _panel(axes, found: Forces, name: str, norm):
    known, made = found.edges_reference[name], found.edges_predicted[name]
    low, high = min(known[0], made[0]), max(known[-1], made[-1])
    margin = 0.04 * (high - low)
    limits = (low - margin, high + margin)
    counts = np.ma.masked_equal(found.density[name].T, 0)
    axes.plot(limits, limits, color="0.6", linewidth=0.6, zorder=1)
    image = axes.pcolormesh(known, made, counts, cmap="viridis", norm=norm, rasterized=True, zorder=2)
    text = f"RMSE {found.rmse[name]:.3f} eV/Å\nR² {found.r2[name]:.4f}"
    axes.text(0.05, 0.95, text, transform=axes.transAxes, va="top", fontsize=6.5)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=name)
    return image
