"""Figures of a campaign: stacked spectra with the low-frequency region magnified, and diffusion against weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.plots.spectra import StackRow, stack_figure
from mlraman_hpc.plots.style import COLUMN, colour_of, drawing, legend_above, logarithmic_errors
from mlraman_hpc.records.campaign import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMES = 30  # points beyond which names would cover one another
MARKERS = ("o", "s", "D", "P")
_DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
LABEL_OFFSETS = [(x * distance, y * distance) for distance in (4, 9, 14, 20) for x, y in _DIRECTIONS]  # points


def spectra_figure(path: Path | None, ranking: Ranking, most: int) -> Figure:
    """The first `most` spectra, one above another in the order of the ranking."""
    rows = [
        StackRow(
            name,
            **ranking.spectrum[name],
            weight=ranking.weight[k],
            weight_error=ranking.weight_error[k],
            cutoff=ranking.cutoff[k],
        )
        for k, name in enumerate(ranking.name)
        if name in ranking.spectrum
    ]
    return stack_figure(path, rows[:most])


def diffusion_figure(path: Path | None, ranking: Ranking) -> Figure:
    """D of the fastest element against relaxing variance; triangles: what D is at most where none was found.

    Beside the points stand the materials' names or, where these would cover one another, their ranks.
    """
    measured = ranking.ranked & np.isfinite(ranking.diffusion)
    bounded = ranking.ranked & ~measured & (ranking.diffusion_upper > 0)
    with drawing(path, width=COLUMN, height=2.7) as figure:
        axes = figure.subplots()
        axes.set(yscale="log", xlabel="Relaxing variance, per atom and relative", ylabel="$D$ (cm²/s)")
        elements = np.array(ranking.diffusing)
        colours: list[str] = []
        for element in sorted(set(elements[measured | bounded])):
            colours.append(colour_of(element))
            marker = MARKERS[(colours.count(colours[-1]) - 1) % len(MARKERS)]  # elements of one colour differ in it
            _points(axes, ranking, measured & (elements == element), element, marker)
            _points(axes, ranking, bounded & (elements == element), element, "v")
        axes.margins(x=0.18, y=0.12)
        legend_above(axes)
        if measured.sum() + bounded.sum() <= MOST_NAMES:
            rows = np.flatnonzero(measured | bounded)
            value = np.where(measured, ranking.diffusion, ranking.diffusion_upper)
            points = np.column_stack([ranking.relaxing, value])[rows]
            texts, covered = _write(axes, [ranking.name[k] for k in rows], points)
            if covered:
                for text in texts:
                    text.remove()
                _write(axes, [f"{k + 1}" for k in rows], points)
    return figure


def _points(axes, ranking: Ranking, rows: np.ndarray, element: str, marker: str) -> None:
    """Materials in which D of `element` was measured, or only bounded (v)."""
    if not rows.any():
        return
    measured = marker != "v"
    value = (ranking.diffusion if measured else ranking.diffusion_upper)[rows]
    axes.errorbar(
        ranking.relaxing[rows],
        value,
        xerr=ranking.relaxing_error[rows],
        yerr=logarithmic_errors(value, ranking.diffusion_error[rows]) if measured else None,
        fmt=marker,
        markersize=3.5,
        color=colour_of(element),
        markerfacecolor=None if measured else "white",
        elinewidth=0.7,
        label=element if measured else f"{element}, upper bound",
    )


def _write(axes, labels: list[str], points: np.ndarray) -> tuple[list, float]:
    """Labels beside (n, 2) points, at the first offset where each covers no point, error bar or other label.

    Returns their texts, and how many things are covered nevertheless.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    bars = [bar for collection in axes.collections for bar in collection.get_paths()]
    occupied = [Bbox([point, point]).padded(3) for point in axes.transData.transform(points)]
    occupied += [axes.transData.transform_path(bar).get_extents().padded(1) for bar in bars]
    texts, covered = [], 0.0
    for label, point in zip(labels, points):
        text = axes.annotate(label, point, (0, 0), textcoords="offset points", fontsize=6, parse_math=False)
        text.set_in_layout(False)
        overlaps = [_overlaps(text, offset, axes.bbox, occupied) for offset in LABEL_OFFSETS]
        covered += _overlaps(text, LABEL_OFFSETS[int(np.argmin(overlaps))], axes.bbox, occupied)
        occupied.append(text.get_window_extent())
        texts.append(text)
    return texts, covered


def _overlaps(text, offset: tuple[int, int], frame, occupied: list) -> float:
    """Moves the text to this offset from its point; how many of the occupied boxes it covers there."""
    x, y = offset
    side = "left" if x > 0 else "right" if x < 0 else "center"
    text.set(position=offset, ha=side, va="bottom" if y > 0 else "top")
    extent = text.get_window_extent()
    inside = frame.x0 < extent.x0 and extent.x1 < frame.x1 and frame.y0 < extent.y0 and extent.y1 < frame.y1
    return extent.count_overlaps(occupied) if inside else np.inf
