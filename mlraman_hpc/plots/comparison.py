"""The spectrum against other spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlraman_hpc.plots.spectra import INTENSITY, SHIFT
from mlraman_hpc.plots.style import BLACK, BLUE, VERMILION, drawing
from mlraman_hpc.records.spectra import Comparison


def comparison_figure(path: Path, found: Comparison, end: float, label: str = "", title: str = "") -> None:
    """Predicted (black, with its statistical error), reference tensors (blue), measured (red), on one scale."""
    with drawing(path) as figure:
        axes = figure.subplots()
        scale = 1 / found.ours.max()
        if found.error is not None:
            axes.fill_between(
                found.wavenumber,
                np.maximum(found.ours - found.error, 0) * scale,
                (found.ours + found.error) * scale,
                color="0.8",
                linewidth=0,
            )
        axes.plot(found.wavenumber, found.ours * scale, color=BLACK, label="predicted")
        if found.reference is not None:
            axes.plot(found.wavenumber, found.reference * scale, color=BLUE, linestyle="--", label="reference tensors")
        if found.experiment is not None:
            axes.plot(
                found.experiment_wavenumber,
                found.experiment * scale,
                color=VERMILION,
                linewidth=0.8,
                label=label or "measured",
            )
        axes.set(xlabel=SHIFT, ylabel=INTENSITY, xlim=(0, end), ylim=(0, None))
        axes.set_title(title, loc="left")
        axes.legend(loc="best")
