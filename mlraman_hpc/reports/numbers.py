"""Numbers with errors, in words: as many digits as the error has."""

from __future__ import annotations

import math


def number(value: float, error: float) -> str:
    """'0.2343 ± 0.0051'; a dash where there is no value."""
    if not math.isfinite(value):
        return "–"
    if not math.isfinite(error) or error <= 0:
        return f"{value:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def pair(value: float, error: float) -> list[str]:
    """Value and error for two cells of a table."""
    parts = number(value, error).split(" ± ")
    return parts if len(parts) == 2 else [*parts, ""]


def scientific(value: float, error: float) -> str:
    """'(2.31 ± 0.12)e-05'"""
    if not math.isfinite(value) or value <= 0:
        return "–"
    power = math.floor(math.log10(value))
    return f"({number(value / 10.0**power, error / 10.0**power)})e{power:03d}"
