"""The Raman coupling coefficient, and the two densities that it is the ratio of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.spectra import SHIFT
from mlraman_hpc.plots.style import BLACK, BLUE, VERMILION, drawing
from mlraman_hpc.records.spectra import Coupling


def coupling_figure(path: Path, found: Coupling, title: str = "") -> None:
    """Top: density of states and C g, which they would equal if C were its mean. Bottom: C with its error."""
    there = np.isfinite(found.coupling)
    error = found.error if found.error_model is None else np.hypot(found.error, found.error_model)
    last = found.wavenumber[there][-1] if there.any() else found.wavenumber[-1]
    shown = found.wavenumber <= min(1.05 * last + 5, found.wavenumber[-1])
    nu = found.wavenumber[shown]
    with drawing(path, height=3.8) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
        _curve(top, nu, found.vdos[shown], found.vdos_error[shown], BLUE, "VDOS g")
        if found.mean > 0:
            _curve(
                top,
                nu,
                found.activity[shown] / found.mean,
                found.activity_error[shown] / found.mean,
                VERMILION,
                "Raman C g / mean C",
            )
        top.set(ylabel="States / cm⁻¹", ylim=(0, None))
        top.set_title(title, loc="left")
        top.legend(loc="best", handlelength=1.4)
        _curve(bottom, nu, found.coupling[shown], error[shown], BLACK, "C")
        bottom.axhline(found.mean, color="0.5", linestyle="--", linewidth=0.8)
        bottom.annotate(
            "mean",
            (1, found.mean),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
            color="0.35",
        )
        bottom.set(xlabel=SHIFT, ylabel="Coupling C (Å⁴/u)", xlim=(0, nu[-1]), ylim=(0, _top(found, error)))


def _curve(axes, nu, value, error, colour: str, label: str) -> None:
    axes.fill_between(nu, np.maximum(value - error, 0), value + error, color=colour, alpha=0.3, linewidth=0)
    axes.plot(nu, value, color=colour, label=label)


def _top(found: Coupling, error: np.ndarray) -> float:
    """Above every value that is well known: what lies in a gap between bands may be large and uncertain."""
    known = np.isfinite(found.coupling) & (error < 0.5 * found.coupling)
    return 1.15 * float(np.max((found.coupling + error)[known], initial=0)) or 1.0
