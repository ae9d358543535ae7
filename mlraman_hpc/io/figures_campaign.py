"""Figures of a campaign: stacked spectra with the low-frequency region magnified, and diffusion against weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.io.canvas import BLACK, BLUE, COLUMN, CYCLE, PAGE, drawing
from mlraman_hpc.io.figures import SHIFT
from mlraman_hpc.schema.ranking import Ranking

LOW_PANEL = 2.0   # times the cutoff: end of the magnified panel
STEP = 1.15       # height of one spectrum in the stack
NAMED = 30        # points beyond which names would cover one another


def spectra_figure(path: Path, ranking: Ranking, most: int) -> None:
    """The first `most` spectra, one above another with the highest weight on top; right, below twice the cutoff.

    In the right panel each spectrum is magnified by a factor of its own, which is written beside it with the weight.
    """
    shown = [(k, name) for k, name in enumerate(ranking.name) if name in ranking.spectrum][:most]
    last = max(ranking.spectrum[name]["wavenumber"][-1] for _, name in shown)
    cutoffs = [ranking.cutoff[k] for k, _ in shown if np.isfinite(ranking.cutoff[k])]
    low = min(LOW_PANEL * max(cutoffs, default=0.5 * last / LOW_PANEL), last)
    with drawing(path, width=PAGE, height=0.9 + 0.55 * len(shown)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        for row, (k, name) in enumerate(reversed(shown)):
            colour = CYCLE[(len(shown) - 1 - row) % len(CYCLE)]
            factor = _magnification(ranking.spectrum[name], low)
            _curve(left, ranking.spectrum[name], row, colour, 1.0)
            _curve(right, ranking.spectrum[name], row, colour, factor)
            left.text(0.99 * last, STEP * row + 0.4, name, ha="right", va="bottom", color=colour, fontsize=7)
            text = f"{_number(ranking.weight[k], ranking.weight_error[k])}\n× {factor:g}"
            right.text(1.03, STEP * row + 0.1, text, transform=right.get_yaxis_transform(), fontsize=6, color=colour)
        left.set(xlim=(0, last), ylim=(-0.05, STEP * len(shown) + 0.1), xlabel=SHIFT, ylabel="Intensity (arb. units)",
                 yticks=[])
        right.set(xlim=(0, low), xlabel=SHIFT)
        right.text(1.03, 1.02, "weight", transform=right.transAxes, fontsize=6)
        for axes in (left, right):
            axes.tick_params(left=False, right=False, which="both")


def _number(value: float, error: float) -> str:
    if not np.isfinite(value):
        return ""
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if np.isfinite(error) and error > 0 else 3
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _curve(axes, spectrum: dict[str, np.ndarray], row: int, colour: str, factor: float) -> None:
    nu, value, error = (spectrum[name] for name in ("wavenumber", "intensity", "error"))
    base, top = STEP * row, 0.98 * STEP
    axes.axhline(base, color="0.8", linewidth=0.4)
    low, high = (base + np.clip(edge * factor, 0, top) for edge in (value - error, value + error))
    axes.fill_between(nu, low, high, color=colour, alpha=0.3, linewidth=0)
    inside = value * factor <= top
    axes.plot(nu, np.where(inside, base + value * factor, np.nan), color=colour)


def _magnification(spectrum: dict[str, np.ndarray], low: float) -> float:
    """1, 2, 5, 10, ... so that the spectrum below `low` about fills its row."""
    below = spectrum["intensity"][spectrum["wavenumber"] <= low]
    highest = max(float(below.max(initial=0.0)), 1e-4)
    steps = [scale * 10.0**power for power in range(4) for scale in (1, 2, 5)]
    return max(step for step in steps if step == 1 or step * highest <= 1)


def diffusion_figure(path: Path, ranking: Ranking) -> None:
    """D of the fastest element against low-frequency weight; arrows: upper ends where no diffusion was found."""
    with drawing(path, width=COLUMN, height=2.8) as figure:
        axes = figure.subplots()
        there = np.isfinite(ranking.weight) & np.isfinite(ranking.diffusion)
        _points(axes, ranking, there)
        bounded = np.isfinite(ranking.weight) & ~there & (ranking.diffusion_upper > 0)
        axes.errorbar(ranking.weight[bounded], ranking.diffusion_upper[bounded], xerr=ranking.weight_error[bounded],
                      fmt="none", ecolor="0.5", elinewidth=0.7)
        axes.plot(ranking.weight[bounded], ranking.diffusion_upper[bounded], "v", color="0.5", markersize=4,
                  label="upper bound" if bounded.any() else None)
        axes.set(yscale="log", xlabel="Low-frequency Raman weight", ylabel="D (cm²/s)")
        if there.sum() + bounded.sum() <= NAMED:
            for k in np.flatnonzero(there | bounded):
                value = ranking.diffusion[k] if there[k] else ranking.diffusion_upper[k]
                axes.annotate(ranking.name[k], (ranking.weight[k], value), xytext=(3, 3), textcoords="offset points",
                              fontsize=5.5, color="0.25")
        axes.margins(x=0.18, y=0.12)
        if bounded.any():
            axes.legend(loc="best")


def _points(axes, ranking: Ranking, there: np.ndarray) -> None:
    error = ranking.diffusion_error[there]
    below = np.minimum(error, 0.9 * ranking.diffusion[there])  # the axis is logarithmic
    axes.errorbar(ranking.weight[there], ranking.diffusion[there], xerr=ranking.weight_error[there],
                  yerr=np.array([below, error]), fmt="o", markersize=3.5, color=BLUE, ecolor=BLACK, elinewidth=0.7)
