"""Numbers with their errors as text: as many digits as the error has, the same in figures, tables and logs."""

from __future__ import annotations

import math

ROUNDING = 1e-12  # an error as small as this, relative to the value, is none
NONE = "–"  # where there is no number
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, error: float = math.nan, plain: str = ".3g") -> str:
    """'0.2343 ± 0.0051'; by the format `plain` where there is no error, a dash where there is no value."""
    if not math.isfinite(value):
        return NONE
    if not (math.isfinite(error) and error > ROUNDING * abs(value)):
        return format(value, plain)
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def scientific(value: float, error: float = math.nan) -> str:
    """'(2.31 ± 0.12) × 10⁻⁵', or '2.3 × 10⁻⁵' without an error; a dash unless the value is positive."""
    if not (math.isfinite(value) and value > 0):
        return NONE
    power = math.floor(math.log10(value))
    text = number(value / 10.0**power, error / 10.0**power, ".2g")
    return f"({text}) × {ten_to(power)}" if "±" in text else f"{text} × {ten_to(power)}"


def ten_to(power: int) -> str:
    """'10⁻⁵'"""
    return "10" + str(power).translate(_SUPERSCRIPT)


def percent(value: float) -> str:
    """'4.6 %'"""
    return f"{100 * value if value > 1e-6 else 0:.2g} %" if math.isfinite(value) else NONE
