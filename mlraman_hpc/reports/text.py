"""`mlraman report --text`: the numbers of a run for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from mlraman_hpc.base.numbers import r_squared

_WIDTH = 100


def text_report(
    title: str,
    folder: str,
    records: dict[str, Any],
    summary: Sequence[tuple[str, ...]],
    sentences: Sequence[str],
    warnings: Sequence[str],
) -> str:
    """Numbers, what they allow to be said, and warnings; `records` by name of file, such as 'raman'."""
    said = [text for text in sentences if text]
    lines = [f"{title or 'Raman spectrum'} ({folder})", ""]
    lines += _table([*_extent(records["raman"]), *_model(records["model"]), *summary])
    lines += ["", *_items(said, "")] if said else []
    lines += ["", "warnings:", *_items(warnings, "- ")] if warnings else []
    return "\n".join(lines)


def _extent(spectrum: Any) -> list[tuple[str, ...]]:
    if spectrum is None:
        return []
    picoseconds = spectrum.frames * spectrum.frame_interval / 1000
    return [
        ("length", f"{picoseconds:.4g}", f"ps, {spectrum.frames} frames {spectrum.frame_interval:g} fs apart"),
        ("smoothing", f"{spectrum.smoothing:g}", f"cm⁻¹, {spectrum.smoothing_kind}"),
    ]


def _model(model: Any) -> list[tuple[str, ...]]:
    if model is None:
        return []
    rows = [("labels trained on, tested on", f"{len(model.train)}, {len(model.test)}", "")]
    for part in model.scores.get("r2", {}).keys() & {"diagonal", "off_diagonal"}:
        name = part.replace("_", "-")
        rows.append((f"R² of {name} components", r_squared(model.scores["r2"][part]), ""))
        rows.append((f"RMSE of {name} components", f"{model.scores['rmse'][part]:.3g}", "Å³"))
    return [rows[0], *sorted(rows[1:])]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Quantity, and value with unit; a long quantity takes several lines, a long value lines of its own."""
    lines = []
    for quantity, *values in rows:
        value = " ".join(filter(None, values))
        if len(value) > _WIDTH - 50:
            lines += [quantity, *_items([value], "    ")]
            continue
        *above, last = textwrap.wrap(quantity, 58)
        lines += [*above, f"{last:<60}{value}"]
    return lines


def _items(texts: Sequence[str], sign: str) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(text, _WIDTH, initial_indent=sign, subsequent_indent=" " * len(sign))
    ]
