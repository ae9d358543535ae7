"""What was computed: material, temperature, length, labels, scores and date, for the top of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlraman_hpc.base.numbers import r_squared

Row = tuple[str, ...]  # quantity, value, unit or remark

METHOD = (
    "Method: M. Grumet et al., Revealing Fast Ionic Conduction in Solid Electrolytes through Machine Learning "
    "Accelerated Raman Calculations; equations S1 to S3 of its Supporting Information give the intensity."
)


def calculation_rows(records: Mapping[str, Any], stated_temperature: float | None, date: str) -> list[Row]:
    """`records` by name of file, such as 'raman', None for those that are not there.

    stated_temperature  K, of the deck; that of the kinetic energy is in the record of the dynamics
    date                of the newest result
    """
    rows = [
        *_material(records["raman"]),
        *_temperature(stated_temperature, records["dynamics"]),
        *_extent(records["raman"] or records["dynamics"]),
        *_model(records["model"]),
    ]
    return [*rows, ("computed", date, "UTC")] if date else rows


def _material(spectrum: Any) -> list[Row]:
    if spectrum is None or not spectrum.composition:
        return []
    return [("composition", " ".join(f"{name}{count}" for name, count in spectrum.composition.items()), "of the cell")]


def _temperature(stated: float | None, dynamics: Any) -> list[Row]:
    rows = [
        ("temperature given in the deck", f"{stated:g}", "K") if stated else ("temperature in the deck", "none", "")
    ]
    if dynamics is not None and dynamics.temperature > 0:
        rows.append(("temperature of the kinetic energy", f"{dynamics.temperature:.0f}", "K"))
    return rows


def _extent(record: Any) -> list[Row]:
    if record is None:
        return []
    return [
        ("length", f"{record.frames * record.frame_interval / 1000:.4g}", "ps"),
        ("frames", f"{record.frames}", f"every {record.frame_interval:g} fs"),
    ]


def _model(model: Any) -> list[Row]:
    if model is None:
        return []
    rows: list[Row] = [("labels trained on, tested on", f"{len(model.train)}, {len(model.test)}", "")]
    for part in ("diagonal", "off_diagonal"):
        if part in model.scores.get("r2", {}):
            name = part.replace("_", "-")
            rows.append((f"R² of {name} components", r_squared(model.scores["r2"][part]), ""))
            rows.append((f"RMSE of {name} components", f"{model.scores['rmse'][part]:.3g}", "Å³"))
    return rows
