"""Spectra of several materials, one above another, with the low-frequency region magnified beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.plots.spectra import SHIFT
from mlraman_hpc.plots.style import CYCLE, PAGE, drawing

LOW_PANEL = 2.0  # times the cutoff: end of the magnified panel
STEP = 1.15  # height of one spectrum in the stack


@dataclass(frozen=True)
class StackRow:
    """One spectrum relative to its highest value, with its low-frequency weight below `cutoff` (NaN: none)."""

    name: str
    wavenumber: np.ndarray
    intensity: np.ndarray
    error: np.ndarray
    weight: float
    weight_error: float
    cutoff: float


def stack_figure(path: Path, rows: list[StackRow]) -> None:
    """The first row on top; right, below twice the largest cutoff.

    In the right panel each spectrum is magnified by a factor of its own, which is written beside it with the weight.
    """
    last = max(row.wavenumber[-1] for row in rows)
    cutoffs = [row.cutoff for row in rows if np.isfinite(row.cutoff)]
    low = min(LOW_PANEL * max(cutoffs, default=0.5 * last / LOW_PANEL), last)
    with drawing(path, width=PAGE, height=0.9 + 0.55 * len(rows)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        for k, row in enumerate(rows):
            place, colour, factor = len(rows) - 1 - k, CYCLE[k % len(CYCLE)], _magnification(row, low)
            _curve(left, row, place, colour, 1.0, last)
            _curve(right, row, place, colour, factor, low)
            left.text(0.99 * last, STEP * place + 0.4, row.name, ha="right", va="bottom", color=colour, fontsize=7)
            text = f"{_number(row.weight, row.weight_error)}\n× {factor:g}"
            right.text(1.03, STEP * place + 0.1, text, transform=right.get_yaxis_transform(), fontsize=6, color=colour)
        left.set(
            xlim=(0, last),
            ylim=(-0.05, STEP * len(rows) + 0.1),
            xlabel=SHIFT,
            ylabel="Intensity (arb. units)",
            yticks=[],
        )
        right.set(xlim=(0, low), xlabel=SHIFT)
        right.text(1.03, 1.02, "weight", transform=right.transAxes, fontsize=6)
        for axes in (left, right):
            axes.tick_params(left=False, right=False, which="both")


def _number(value: float, error: float) -> str:
    if not np.isfinite(value):
        return ""
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if np.isfinite(error) and error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _curve(axes, row: StackRow, place: int, colour: str, factor: float, end: float) -> None:
    base, top, shown = STEP * place, 0.98 * STEP, row.wavenumber <= 1.05 * end
    wavenumber, intensity, error = row.wavenumber[shown], factor * row.intensity[shown], factor * row.error[shown]
    axes.axhline(base, color="0.8", linewidth=0.4)
    low, high = (base + np.clip(edge, 0, top) for edge in (intensity - error, intensity + error))
    axes.fill_between(wavenumber, low, high, color=colour, alpha=0.3, linewidth=0)
    axes.plot(wavenumber, np.where(intensity <= top, base + intensity, np.nan), color=colour)


def _magnification(row: StackRow, low: float) -> float:
    """1, 2, 5, 10, ... so that the spectrum below `low` about fills its row."""
    highest = max(float(row.intensity[row.wavenumber <= low].max(initial=0.0)), 1e-4)
    steps = [scale * 10.0**power for power in range(4) for scale in (1, 2, 5)]
    return max(step for step in steps if step == 1 or step * highest <= 1)
