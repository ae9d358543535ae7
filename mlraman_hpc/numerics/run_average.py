"""Results of independent runs of one system as one result: means, and errors from the scatter between the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra.errorbars import student_factor
from mlraman_hpc.records.transport import Motion

R = TypeVar("R")
_ERRORS = {"intensity": "error_statistical", "geometry": "error_geometry"}  # field of the value -> of its error
_ADDED = ("frames",)
_GRIDS = ("wavenumber", "time", "lag_time", "fit_wavenumber")


def average_of_runs(runs: Sequence[R]) -> R:
    """The mean of records of one type; their statistical errors are t s/sqrt(n), s^2 the variance between the n runs.

    t is the half width of the central 68.27 % of Student's distribution with n - 1 degrees of freedom, without which
    the bars of two, three or four runs would hold the truth in 50, 58 and 61 % of all cases.
    Numbers of frames are added; texts are those of the first run, warnings those of all. What some run lacks is left
    out, and so are jumps between sites, which are in each run's own file. Raises DataError where the runs have other
    grids, as they do where their lengths differ.
    """
    first: Any = runs[0]
    names = [item.name for item in fields(first)]
    columns = {name: [getattr(run, name) for run in runs] for name in names}
    values = {name: _column(name, column) for name, column in columns.items()}
    for name in names:
        error = _ERRORS.get(name, f"{name}_error")
        if error in columns and values[name] is not None and values[error] is not None:
            values[error] = _combined(columns[name], _standard_error)
    averaged = replace(first, **values)
    result: R = averaged.derived() if hasattr(averaged, "derived") else averaged
    return result


def _column(name: str, column: list[Any]) -> Any:
    if name == "warnings":
        return tuple(dict.fromkeys(text for warnings in column for text in warnings))
    if name == "verdict" and isinstance(column[0], str):
        return _least_favourable(column)
    if name == "verdict" and isinstance(column[0], dict):
        return {species: _least_favourable([item[species] for item in column]) for species in column[0]}
    if name == "jumps" and is_dataclass(column[0]):
        return None
    if name in _ADDED:
        return sum(column)
    if name in _GRIDS and column[0] is not None:
        _check_grids(column)
        return column[0]
    return _combined(column, _mean)


def _least_favourable(verdicts: list[str]) -> str:
    """That of a run whose motion is not diffusive, if there is one: the mean of D is not a number then."""
    return next((verdict for verdict in verdicts if verdict != Motion.DIFFUSIVE), verdicts[0])


def _check_grids(grids: list[np.ndarray]) -> None:
    if any(grid is None or grid.shape != grids[0].shape or not np.allclose(grid, grids[0]) for grid in grids):
        raise DataError("the runs of trajectory.runs differ in length or in the time between frames")


def _combined(column: list[Any], function: Any) -> Any:
    """`function` of numbers and arrays, inside dictionaries and records too; the first of texts, integers and flags."""
    first = column[0]
    if any(item is None for item in column):
        return None
    if isinstance(first, dict):
        common = [name for name in first if all(name in item for item in column)]
        return {name: _combined([item[name] for item in column], function) for name in common}
    if is_dataclass(first):
        return average_of_runs(column)
    if isinstance(first, (float, np.floating)):
        return float(function(np.array(column)))
    if isinstance(first, np.ndarray) and first.dtype.kind == "f":
        same = all(item.shape == first.shape for item in column)
        return function(np.array(column)) if same else None
    return first


def _mean(values: np.ndarray) -> Any:
    return values.mean(axis=0)


def _standard_error(values: np.ndarray) -> Any:
    return values.std(axis=0, ddof=1) / np.sqrt(len(values)) * student_factor(len(values) - 1)
