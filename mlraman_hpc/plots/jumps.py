"""Jumps between lattice sites: residence times, and occupancies of sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import BLACK, CYCLE, drawing
from mlraman_hpc.records.transport import Jumps


def jumps_figure(path: Path, found: Jumps, title: str = "") -> None:
    """Top: share of stays that outlast a time, dashed with one rate. Bottom: number of jumps by length."""
    colours = dict(zip(found.jumps, [colour for colour in CYCLE if colour != BLACK]))
    with drawing(path, height=3.8) as figure:
        top, bottom = figure.subplots(2, 1, height_ratios=(1.5, 1))
        for name, colour in colours.items():
            _survival(top, found, name, colour)
            _lengths(bottom, found, name, colour)
        drawn = [found.survival[name][found.survival[name] > 0].min(initial=1) for name in colours]
        top.set(
            yscale="log", ylim=(0.6 * min([*drawn, 0.1]), 1.4), xlabel="Time on a site (ps)", ylabel="Share of stays"
        )
        top.set_xlim(left=0)
        top.set_title(title, loc="left")
        top.legend(loc="upper right")
        bottom.set(xlabel="Jump length (Å)", ylabel="Jumps", ylim=(0, None))
        bottom.set_xlim(left=0)


def _survival(axes, found: Jumps, name: str, colour: str) -> None:
    label = f"{name}: no jumps"
    if found.jumps[name]:
        error = found.residence_error[name]
        digits = max(0, 1 - int(np.floor(np.log10(error))))
        label = f"{name}: mean {found.residence[name]:.{digits}f} ± {error:.{digits}f} ps"
    time, share = found.time[name], found.survival[name]
    axes.plot(
        np.concatenate([[0], time]),
        np.where(np.append(1, share) > 0, np.append(1, share), np.nan),
        color=colour,
        drawstyle="steps-post",
        label=label,
    )
    if len(time):
        axes.plot(
            np.concatenate([[0], time]),
            np.append(1, found.expected[name]),
            color=BLACK,
            linestyle="--",
            linewidth=0.8,
            label="one rate" if name == list(found.jumps)[-1] else None,
        )


def _lengths(axes, found: Jumps, name: str, colour: str) -> None:
    if len(found.lengths[name]):
        axes.vlines(found.lengths[name], 0, found.counts[name], color=colour, linewidth=2.5)
