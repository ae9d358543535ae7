"""`mlraman report --text`: the numbers of a run for a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from mlraman_hpc.reports import wording

_WIDTH = 100


def text_report(title: str, folder: str, results: dict[str, Any]) -> str:
    """Numbers, what they allow to be said, and warnings; `results` are records by name of file."""
    spectrum, dynamics, model = (results.get(name) for name in ("raman.h5", "dynamics.h5", "model.h5"))
    lines = [f"{title or 'Raman spectrum'} ({folder})", "", *_table(_extent(spectrum) + _model(model))]
    lines += _table(wording.table(spectrum, dynamics))
    sentences = wording.sentences(spectrum, dynamics)
    warnings = [text for record in results.values() for text in getattr(record, "warnings", ())]
    lines += ["", *_items(sentences, "")] if sentences else []
    lines += ["", "warnings:", *_items(dict.fromkeys(warnings), "- ")] if warnings else []
    return "\n".join(lines)


def _extent(spectrum: Any) -> list[list[str]]:
    if spectrum is None:
        return []
    picoseconds = spectrum.frames * spectrum.frame_interval / 1000
    return [
        ["frames", f"{spectrum.frames}", "", f"{spectrum.frame_interval:g} fs apart, {picoseconds:.4g} ps"],
        ["smoothing", f"{spectrum.smoothing:g}", "", f"cm⁻¹, {spectrum.smoothing_kind}"],
    ]


def _model(model: Any) -> list[list[str]]:
    if model is None:
        return []
    rows = [["labels trained on, tested on", f"{len(model.train)}, {len(model.test)}", "", ""]]
    for part in ("diagonal", "off_diagonal"):
        if part in model.scores.get("r2", {}):
            name = part.replace("_", "-")
            rows.append([f"R² of {name} components", f"{model.scores['r2'][part]:.4f}", "", ""])
            rows.append([f"RMSE of {name} components", f"{model.scores['rmse'][part]:.3g}", "", "Å³"])
    return rows


def _table(rows: list[list[str]]) -> list[str]:
    """Quantity, value, error, unit; a long quantity takes several lines."""
    lines = []
    for quantity, value, error, unit in rows:
        number = f"{value} ± {error}" if error else value
        *above, last = textwrap.wrap(quantity, 58)
        lines += [*above, f"{last:<60}{number} {unit}".rstrip()]
    return lines


def _items(texts, sign: str) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, _WIDTH, initial_indent=sign, subsequent_indent=" " * len(sign))
    ]
