"""Figure of the ionic conductivity: collective displacement of charge, and the current's spectrum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlraman_hpc.base.numbers import number
from mlraman_hpc.plots.style import BLACK, GREY, band, drawing, legend_above, line_styles, logarithmic_errors
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Dynamics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH = 1e-3  # of the highest sigma(nu): the lowest that is drawn
FAINT = 0.01  # of the highest sigma(nu): the figure ends where no more than this is left


def conductivity_figure(path: Path | None, dynamics: Dynamics, title: str = "") -> Figure:
    """Top: square displacement of charge for each carrier, beside that of the ions. Bottom: sigma(nu) and its limit."""
    conductivity = dynamics.conductivity
    assert conductivity is not None
    with drawing(path, title, height=4.2) as figure:
        top, bottom = figure.subplots(2, 1)
        _displacement(top, dynamics, conductivity)
        _spectrum(bottom, conductivity)
        legend_above(top)
        legend_above(bottom, f"σ = {max(dynamics.smoothing, dynamics.resolution):.2g} cm⁻¹")
    return figure


def _displacement(axes, dynamics: Dynamics, conductivity: Conductivity) -> None:
    half = slice(1, len(dynamics.time) // 2 + 1)
    time = dynamics.time[half] / 1000
    share = 1 / conductivity.square_charge if np.isfinite(conductivity.square_charge) else 1.0
    for name, style in line_styles(conductivity.carriers).items():
        axes.plot(time, dynamics.msd[name][half], label=f"{name}, each ion", **style)
    label = "charge, for each carrier" if conductivity.carriers else "charge of the cell"
    axes.plot(time, conductivity.square_displacement[half] * share, color=BLACK, label=label)
    if np.isfinite(conductivity.einstein):
        lags = np.geomspace(*conductivity.fit_window, 50)
        line = (conductivity.fit_offset + 6 * conductivity.fit_slope * lags) * share
        axes.plot(lags / 1000, line, color=GREY, linestyle="--", linewidth=1.2, zorder=3)
    unit = "Å²" if conductivity.carriers else "e² Å²"
    axes.set(xscale="log", yscale="log", xlim=(time[0], time[-1]), xlabel="Time (ps)", ylabel=f"MSD ({unit})")


def _spectrum(axes, conductivity: Conductivity) -> None:
    high = np.flatnonzero(conductivity.spectrum > FAINT * conductivity.spectrum.max())
    last = (
        float(conductivity.wavenumber[min(high[-1] + 1, len(conductivity.wavenumber) - 1)])
        if len(high)
        else conductivity.wavenumber[-1]
    )
    visible = conductivity.wavenumber <= last
    limits = (conductivity.nernst_einstein, conductivity.einstein, conductivity.green_kubo)
    nu, value = conductivity.wavenumber[visible], conductivity.spectrum[visible]
    lowest = max(0.5 * np.nanmin([*value[value > 0], *(x for x in limits if x > 0)]), DEPTH * value.max())
    band(axes, nu, value, conductivity.spectrum_error[visible], BLACK, lowest=lowest)
    axes.plot(nu, value, color=BLACK)
    points = (
        (conductivity.nernst_einstein, conductivity.nernst_einstein_error, "s", "independent ions"),
        (conductivity.einstein, conductivity.einstein_error, "o", "collective displacement"),
        (conductivity.green_kubo, conductivity.green_kubo_error, "^", "current"),
    )
    for rank, (limit, error, marker, name) in enumerate(points):
        if np.isfinite(limit) and limit > 0:
            bar = {"linestyle": "none", "marker": marker, "markersize": 3.5, "elinewidth": 0.8, "zorder": 4}
            colour = ("#0072B2", "#D55E00", "#009E73")[rank]
            label = f"{name}: {number(limit, error)} S/cm"
            error_bar = logarithmic_errors(np.array([limit]), np.array([error]))
            axes.errorbar([last * 0.012 * (rank + 1)], [limit], error_bar, color=colour, label=label, **bar)
    axes.set(xlim=(0, last), yscale="log", ylim=(lowest, None), xlabel="Wavenumber (cm⁻¹)", ylabel="σ(ν) (S/cm)")
