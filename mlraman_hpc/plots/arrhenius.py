"""Diffusion coefficients against inverse temperature."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import BLACK, CYCLE, drawing
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.transport import Arrhenius

MARKS = "osD^pXvP"


def arrhenius_figure(path: Path, ranking: Ranking) -> None:
    """D on a logarithmic axis against 1000/T, with the fitted lines to 300 K and their errors."""
    found = ranking.arrhenius
    colours = [colour for colour in CYCLE if colour != BLACK]
    with drawing(path, height=3.2) as figure:
        axes = figure.subplots()
        for k, name in enumerate(name for name in found.energy if len(found.temperature[name])):
            _series(axes, found, name, colours[k % len(colours)], MARKS[k % len(MARKS)])
        axes.set(yscale="log", xlabel="1000 K / T", ylabel="D (cm²/s)")
        axes.margins(x=0.06, y=0.1)
        axes.legend(loc="best", handlelength=1.2)
        axes.tick_params(axis="x", which="both", top=False)
        top = axes.secondary_xaxis("top", functions=(_inverse, _inverse))
        top.set_xlabel("T (K)")
        low, high = sorted(_inverse(np.array(axes.get_xlim())))
        step = next(step for step in (20, 50, 100, 200, 500, 1000) if (high - low) / step < 8)
        top.set_xticks(np.arange(np.ceil(low / step) * step, high, step))
        top.minorticks_off()


def _inverse(x):
    return 1000 / np.maximum(np.asarray(x, float), 1e-3)


def _series(axes, found: Arrhenius, name: str, colour: str, mark: str) -> None:
    x, value, error = 1000 / found.temperature[name], found.diffusion[name], found.error[name]
    known = np.isfinite(value)
    label = f"{name}: no fit"
    if found.points[name]:
        label = f"{name}: {found.energy[name]:.3f} ± {found.energy_error[name]:.3f} eV"
        line = 1000 / found.line_temperature[name], found.line[name]
        width = np.exp(found.line_error[name])
        axes.fill_between(line[0], line[1] / width, line[1] * width, color=colour, alpha=0.2, linewidth=0)
        axes.plot(*line, color=colour, linewidth=0.8)
        room, low, high = found.room[name]
        axes.errorbar(
            [1000 / 300],
            [room],
            [[room - low], [high - room]],
            fmt=mark,
            color=colour,
            markersize=4,
            markerfacecolor="white",
            elinewidth=0.8,
        )
    low = np.minimum(error[known], 0.9 * value[known])  # the axis is logarithmic
    axes.errorbar(
        x[known],
        value[known],
        np.array([low, error[known]]),
        fmt=mark,
        color=colour,
        markersize=4,
        elinewidth=0.8,
        label=label,
    )
    axes.plot(x[~known], found.upper[name][~known], "v", color=colour, markersize=5, markerfacecolor="none")
