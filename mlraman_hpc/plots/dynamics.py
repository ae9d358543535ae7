"""Figures of the atoms' motion: vibrational density of states, mean squared displacement, non-Gaussian parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.style import BLACK, CYCLE, VERMILION, drawing
from mlraman_hpc.records.transport import Dynamics


def vdos_figure(path: Path, result: Dynamics, title: str = "") -> None:
    """Shares of the species and their total, with error bands of one standard error."""
    last = _visible_end(result)
    shown = result.wavenumber <= last
    nu = result.wavenumber[shown]
    with drawing(path) as figure:
        axes = figure.subplots()
        for name, colour in [("total", BLACK), *_colours(result).items()]:
            value, error = result.vdos[name][shown], result.vdos_error[name][shown]
            axes.fill_between(nu, np.maximum(value - error, 0), value + error, color=colour, alpha=0.3, linewidth=0)
            axes.plot(nu, value, color=colour, label=name)
        axes.set(xlim=(0, last), xlabel="Wavenumber (cm⁻¹)", ylabel="VDOS (states / cm⁻¹)")
        highest = np.max((result.vdos["total"] + result.vdos_error["total"])[shown])
        axes.set_ylim(0, 1.3 * highest)  # room for the legend
        axes.set_title(title, loc="left")
        weighting = "mass-weighted" if result.mass_weighted else "not mass-weighted"
        axes.legend(
            title=f"{weighting}, σ = {max(result.smoothing, result.resolution):.2g} cm⁻¹",
            title_fontsize=7,
            alignment="left",
            handlelength=1.4,
            ncols=1 if len(result.msd) < 3 else 2,
            columnspacing=1.0,
        )
        if last > 0.9 * result.nyquist:
            _mark_nyquist(axes, result.nyquist)


def _mark_nyquist(axes, nyquist: float) -> None:
    axes.axvline(nyquist, color=VERMILION, linestyle="--", linewidth=0.8)
    axes.annotate(
        " Nyquist",
        (nyquist, 0.5),
        xycoords=("data", "axes fraction"),
        rotation=90,
        va="center",
        fontsize=7,
        color=VERMILION,
    )
    axes.set_xlim(0, 1.07 * nyquist)


def msd_figure(path: Path, result: Dynamics, title: str = "") -> None:
    """MSD by species on logarithmic axes with the fitted lines; below, the non-Gaussian parameter."""
    with drawing(path, height=4.0) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        for name, colour in _colours(result).items():
            _msd_curve(top, result, name, colour)
            bottom.plot(result.lag_time / 1000, result.non_gaussian[name], color=colour, marker=".", markersize=3)
        half = result.frames // 2 * result.frame_interval / 1000
        top.set(xscale="log", yscale="log", xlim=(result.frame_interval / 1000, half), ylabel="MSD (Å²)")
        _reach(top, result)
        top.set_title(title, loc="left")
        top.legend(loc="upper left")
        bottom.axhline(0, color="0.6", linewidth=0.6)
        bottom.set(xlabel="Time (ps)", ylabel="α₂")


def _reach(axes, result: Dynamics) -> None:
    """Vertical range from the curves alone, with room for the legend."""
    half = slice(1, result.frames // 2 + 1)
    values = np.concatenate([msd[half] for msd in result.msd.values()])
    values = values[values > 0]
    if len(values):
        low, high = values.min(), values.max()
        axes.set_ylim(low / 1.5, high * (high / low) ** (0.16 * (1 + len(result.msd))))


def _msd_curve(axes, result: Dynamics, name: str, colour: str) -> None:
    half = slice(1, result.frames // 2 + 1)
    axes.plot(result.time[half] / 1000, result.msd[name][half], color=colour, label=_label(result, name))
    if np.isfinite(result.diffusion[name]):
        first, last = result.fit_window[name]
        lags = np.geomspace(first, last, 50)
        line = result.fit_offset[name] + 6 * result.diffusion[name] * 10 * lags  # 1 cm^2/s is 10 Angstrom^2/fs
        axes.plot(lags / 1000, line, color=BLACK, linestyle="--", linewidth=0.8, zorder=3)


def _label(result: Dynamics, name: str) -> str:
    """Element with D and its error to two digits, or why there is no D, or the rms displacement of the host."""
    value, error = result.diffusion[name], result.diffusion_error[name]
    if not np.isfinite(value) and name in result.mobile:
        return f"{name}: {result.verdict[name].split(':')[0]}"
    if not np.isfinite(value):
        return f"{name}: rms displacement {result.rms_displacement[name]:.2f} Å"
    power = int(np.floor(np.log10(value)))
    digits = max(0, power - int(np.floor(np.log10(error))) + 1)
    scaled = f"{value / 10.0**power:.{digits}f} ± {error / 10.0**power:.{digits}f}"
    return f"{name}: D = ({scaled}) × 10$^{{{power}}}$ cm²/s"


def _colours(result: Dynamics) -> dict[str, str]:
    cycle = [colour for colour in CYCLE if colour != BLACK]
    return {name: cycle[k % len(cycle)] for k, name in enumerate(result.msd)}


def _visible_end(result: Dynamics) -> float:
    """Where the total has vanished, and a little more."""
    total = result.vdos["total"]
    high = np.flatnonzero(total > 0.005 * total.max())
    last = result.wavenumber[high[-1]] if len(high) else result.nyquist
    return float(min(1.05 * last + 5, result.wavenumber[-1]))
