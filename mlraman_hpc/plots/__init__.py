"""Figures: one module for each subject; `figure_of` finds the one that shows a record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.plots import spectra, training, transport
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.spectra import Coupling, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.records.transport import Dynamics, Jumps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = {
    RamanSpectrum: spectra.raman_figure,
    Coupling: spectra.coupling_figure,
    LearningCurve: training.learning_curve_figure,
    Convergence: training.convergence_figure,
    Forces: training.forces_figure,
    Dynamics: transport.msd_figure,
    Jumps: transport.jumps_figure,
}


def figure_of(record: Any, path: Path | None = None, **options: Any) -> Figure:
    """The main figure of a record; written where `path` (a PNG, with a PDF beside it) is given."""
    if type(record) not in _FIGURES:
        known = ", ".join(record_type.__name__ for record_type in _FIGURES)
        raise DataError(f"{type(record).__name__} has no figure; there is one of {known}")
    return _FIGURES[type(record)](path, record, **options)
