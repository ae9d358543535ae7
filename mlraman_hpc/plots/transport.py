"""Figures of the atoms' motion: density of states, mean squared displacement, jumps between sites, activation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.base.units import CM2_PER_S_PER_ANGSTROM2_PER_FS
from mlraman_hpc.plots.style import (
    BLACK,
    GREY,
    band,
    drawing,
    legend_above,
    line_styles,
    logarithmic_errors,
    mark_nyquist,
)
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.transport import Arrhenius, Dynamics, Jumps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def vdos_figure(path: Path | None, dynamics: Dynamics, title: str = "") -> Figure:
    """Shares of the species and their total, with error bands of one standard error."""
    last = _visible_end(dynamics)
    visible = dynamics.wavenumber <= last
    nu = dynamics.wavenumber[visible]
    with drawing(path, title) as figure:
        axes = figure.subplots()
        for name, style in line_styles(["total", *dynamics.msd]).items():
            value = dynamics.vdos[name][visible]
            band(axes, nu, value, dynamics.vdos_error[name][visible], style["color"])
            axes.plot(nu, value, label=name, **style)
        axes.set(xlim=(0, last), xlabel="Wavenumber (cm⁻¹)", ylabel="VDOS (states / cm⁻¹)", ylim=(0, None))
        if last > 0.9 * dynamics.nyquist:
            mark_nyquist(axes, dynamics.nyquist)
        weighting = "mass-weighted" if dynamics.mass_weighted else "not mass-weighted"
        legend_above(axes, f"{weighting}, σ = {max(dynamics.smoothing, dynamics.resolution):.2g} cm⁻¹")
    return figure


def _visible_end(dynamics: Dynamics) -> float:
    """Where the total has vanished, and a little more."""
    total = dynamics.vdos["total"]
    high = np.flatnonzero(total > 0.005 * total.max())
    last = dynamics.wavenumber[high[-1]] if len(high) else dynamics.nyquist
    return float(min(1.05 * last + 5, dynamics.wavenumber[-1]))


def msd_figure(path: Path | None, dynamics: Dynamics, title: str = "") -> Figure:
    """MSD by species on logarithmic axes with the fitted lines; below, the non-Gaussian parameter."""
    half = len(dynamics.time) // 2 * dynamics.frame_interval / 1000  # of one run where there are several
    with drawing(path, title, height=3.8) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        top.set(xscale="log", yscale="log", xlim=(dynamics.frame_interval / 1000, half), ylabel="MSD (Å²)")
        for name, style in line_styles(dynamics.msd).items():
            _msd_curve(top, dynamics, name, style)
            bottom.plot(dynamics.lag_time / 1000, dynamics.non_gaussian[name], marker=".", markersize=3, **style)
        bottom.axhline(0, color="0.6", linewidth=0.6)
        bottom.set(xlabel="Time (ps)", ylabel="non-Gaussian\n$α_2$")
        legend_above(top)
    return figure


def _msd_curve(axes, dynamics: Dynamics, name: str, style: dict) -> None:
    half = slice(1, len(dynamics.time) // 2 + 1)
    axes.plot(dynamics.time[half] / 1000, dynamics.msd[name][half], label=_motion(dynamics, name), **style)
    if np.isfinite(dynamics.diffusion[name]):
        lags = np.geomspace(*dynamics.fit_window[name], 50)
        slope = 6 * dynamics.diffusion[name] / CM2_PER_S_PER_ANGSTROM2_PER_FS
        line = dynamics.fit_offset[name] + slope * lags
        axes.plot(lags / 1000, line, color=BLACK, linestyle="--", linewidth=0.8, zorder=3)


def _motion(dynamics: Dynamics, name: str) -> str:
    """Element with D, or what D is at most, or the rms displacement of the host."""
    if np.isfinite(dynamics.diffusion[name]):
        return f"{name}: $D$ = {scientific(dynamics.diffusion[name], dynamics.diffusion_error[name])} cm²/s"
    if name not in dynamics.mobile:
        return f"{name}: rms displacement {dynamics.rms_displacement[name]:.2f} Å"
    if dynamics.diffusion_upper[name] > 0:
        return f"{name}: $D$ < {scientific(dynamics.diffusion_upper[name])} cm²/s"
    return f"{name}: $D$ not determined"


def jumps_figure(path: Path | None, jumps: Jumps, title: str = "") -> Figure:
    """Top: share of stays that outlast a time, dashed with one rate. Bottom: number of jumps by length."""
    with drawing(path, title, height=3.6) as figure:
        top, bottom = figure.subplots(2, 1, height_ratios=(1.5, 1))
        lowest = 0.1
        for name, style in line_styles(jumps.jumps).items():
            _survival(top, jumps, name, style)
            lowest = min(lowest, jumps.survival[name][jumps.survival[name] > 0].min(initial=1))
            if len(jumps.lengths[name]):
                bottom.vlines(jumps.lengths[name], 0, jumps.counts[name], color=style["color"], linewidth=2.5)
        top.plot([], [], color=GREY, linestyle="--", linewidth=0.8, label="one rate")
        top.set(yscale="log", ylim=(0.6 * lowest, 1.4), xlabel="Time on a site (ps)", ylabel="Share of stays")
        top.set_xlim(left=0)
        bottom.set(xlabel="Jump length (Å)", ylabel="Jumps", ylim=(0, None))
        bottom.set_xlim(left=0)
        legend_above(top)
    return figure


def _survival(axes, jumps: Jumps, name: str, style: dict) -> None:
    label = f"{name}: no jumps"
    if jumps.jumps[name]:
        label = f"{name}: mean {number(jumps.residence[name], jumps.residence_error[name])} ps"
    time, share = np.append(0, jumps.time[name]), np.append(1, jumps.survival[name])
    axes.plot(time, np.where(share > 0, share, np.nan), drawstyle="steps-post", label=label, **style)
    if len(time) > 1:
        axes.plot(time, np.append(1, jumps.expected[name]), color=GREY, linestyle="--", linewidth=0.8)


MARKERS = "osD^pXvP"


def arrhenius_figure(path: Path | None, ranking: Ranking) -> Figure:
    """D on a logarithmic axis against 1000/T, with the fitted lines to 300 K and their errors."""
    arrhenius = ranking.arrhenius
    names = [name for name in arrhenius.energy if len(arrhenius.temperature[name])]
    styles = line_styles(names)
    with drawing(path, height=2.9) as figure:
        axes = figure.subplots()
        for k, name in enumerate(names):
            _series(axes, arrhenius, name, styles[name], MARKERS[k % len(MARKERS)])
        axes.set(yscale="log", xlabel="1000 / $T$ (K⁻¹)", ylabel="$D$ (cm²/s)")
        axes.margins(x=0.06, y=0.1)
        axes.tick_params(axis="x", which="both", top=False)
        _temperature_axis(axes)
        legend_above(axes)
    return figure


def _temperature_axis(axes) -> None:
    """T above, where there are no more than eight ticks."""
    top = axes.secondary_xaxis("top", functions=(_inverse, _inverse))
    top.set_xlabel("$T$ (K)")
    low, high = sorted(_inverse(np.array(axes.get_xlim())))
    step = next(step for step in (20, 50, 100, 200, 500, 1000) if (high - low) / step < 8)
    top.set_xticks(np.arange(np.ceil(low / step) * step, high, step))
    top.minorticks_off()


def _inverse(x):
    return 1000 / np.maximum(np.asarray(x, float), 1e-3)


def _series(axes, arrhenius: Arrhenius, name: str, style: dict, marker: str) -> None:
    points = {"linestyle": "none", "marker": marker, "color": style["color"], "markersize": 4, "elinewidth": 0.8}
    label = f"{name}: no fit"
    if arrhenius.points[name]:
        label = f"{name}: {number(arrhenius.energy[name], arrhenius.energy_error[name])} eV"
        x, height = 1000 / arrhenius.line_temperature[name], arrhenius.line[name]
        factor = np.exp(arrhenius.line_error[name])
        axes.fill_between(x, height / factor, height * factor, color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(x, height, linewidth=0.8, **style)
        value, low, high = arrhenius.room[name]
        axes.errorbar([1000 / 300], [value], [[value - low], [high - value]], markerfacecolor="white", **points)
    x, value, error = 1000 / arrhenius.temperature[name], arrhenius.diffusion[name], arrhenius.error[name]
    known = np.isfinite(value)
    axes.errorbar(x[known], value[known], logarithmic_errors(value[known], error[known]), label=label, **points)
    upper = arrhenius.upper[name][~known]
    axes.plot(x[~known], upper, "v", color=style["color"], markersize=5, markerfacecolor="none")
