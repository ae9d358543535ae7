"""Numbers with their errors as text: as many digits as the error has, the same in figures, tables and logs."""

from __future__ import annotations

import math

ROUNDING = 1e-12  # an error as small as this, relative to the value, is none
NONE = "–"  # where there is no number
SMALLEST_POWER, LARGEST_POWER = -3, 5  # of ten, of numbers that are written without it
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, error: float = math.nan, plain: str = ".3g") -> str:
    """'0.2343 ± 0.0051'; by the format `plain` where there is no error, a dash where there is no value.

    Very small and very large numbers are written with a power of ten: '(0.0 ± 9.8) × 10⁻⁶'.
    """
    if not math.isfinite(value):
        return NONE
    if not (math.isfinite(error) and error > ROUNDING * abs(value)):
        return _plain(value, plain)
    power = _power(max(abs(value), error))
    if power < SMALLEST_POWER or power > LARGEST_POWER:
        return f"({_fixed(value / 10.0**power, error / 10.0**power)}) × {ten_to(power)}"
    return _fixed(value, error)


def scientific(value: float, error: float = math.nan) -> str:
    """'(2.31 ± 0.12) × 10⁻⁵', or '2.3 × 10⁻⁵' without an error; a dash unless the value is positive."""
    if not (math.isfinite(value) and value > 0):
        return NONE
    if not (math.isfinite(error) and error > ROUNDING * value):
        return _with_power(value, 2)
    power = _power(max(value, error))
    return f"({_fixed(value / 10.0**power, error / 10.0**power)}) × {ten_to(power)}"


def diffusion(value: float, error: float, upper: float) -> str:
    """'(3.03 ± 0.19) × 10⁻⁵', or '< 4.6 × 10⁻⁹' where no diffusion was found, or 'not determined'."""
    if math.isfinite(value):
        return scientific(value, error)
    return f"< {scientific(upper)}" if math.isfinite(upper) and upper > 0 else "not determined"


def r_squared(value: float, error: float = math.nan) -> str:
    """Two digits of 1 - R2: '0.55', '0.936', '0.99987'; as many as the error has where there is one."""
    if not math.isfinite(value) or (math.isfinite(error) and error > ROUNDING):
        return number(value, error)
    missing = abs(1 - value)
    return f"{value:.{min(6, max(2, 1 - _power(missing))) if missing > 0 else 2}f}"


def probability(value: float) -> str:
    """'0.68', and at the ends 'below 0.001', 'above 0.999'; a dash where there is none."""
    if not math.isfinite(value):
        return NONE
    if value < 0.001 or value > 0.999:
        return "below 0.001" if value < 0.5 else "above 0.999"
    return f"{value:.2f}" if 0.01 <= value <= 0.99 else f"{value:.3f}"


def _power(value: float) -> int:
    """Of ten, for two digits: 9.96 is 10."""
    return int(f"{value:.1e}".split("e")[1])


def _fixed(value: float, error: float) -> str:
    """Both with two digits of the error; at least whole numbers."""
    digits = max(0, 1 - _power(error))
    text = f"{value:.{digits}f}"
    return f"{text.removeprefix('-') if float(text) == 0 else text} ± {error:.{digits}f}"


def _plain(value: float, plain: str) -> str:
    """A number without an error; '2 × 10⁻⁷' instead of '2e-07'."""
    text = format(value, plain)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa} × {ten_to(int(power))}" if exponent else text


def _with_power(value: float, digits: int) -> str:
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × {ten_to(int(power))}"


def ten_to(power: int) -> str:
    """'10⁻⁵'"""
    return "10" + str(power).translate(_SUPERSCRIPT)


def percent(value: float) -> str:
    """'4.6 %', '100 %'; what is smaller than 1e-6 is none."""
    if not math.isfinite(value):
        return NONE
    value = 100 * value if value > 1e-6 else 0.0
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.2g} %"
