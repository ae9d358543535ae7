"""`mlraman report --text`: the numbers of a run for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mlraman_hpc.reports.calculation import Row

_WIDTH = 100


def text_report(title: str, folder: str, rows: Sequence[Row], sentences: Sequence[str], warnings: Sequence[str]) -> str:
    """Numbers, what they allow to be said, and warnings; `rows` of `calculation_rows` and of `wording.summary`."""
    statements = [text for text in sentences if text]
    lines = [f"{title or 'Raman spectrum'} ({folder})", ""]
    lines += _table(rows)
    lines += ["", *_items(statements, "")] if statements else []
    lines += ["", "warnings:", *_items(warnings, "- ")] if warnings else []
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
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
