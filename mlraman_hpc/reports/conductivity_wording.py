"""Ionic conductivity in rows of a table and in sentences."""

from __future__ import annotations

import math

from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Motion

Row = tuple[str, str, str]  # quantity, value with its error, unit


def conductivity_rows(conductivity: Conductivity) -> list[Row]:
    """Conductivities, collective diffusion coefficient, Haven ratio."""
    unit = "S/cm"
    independent = _or_below(
        conductivity.nernst_einstein, conductivity.nernst_einstein_error, conductivity.nernst_einstein_upper
    )
    collective = _or_below(conductivity.einstein, conductivity.einstein_error, conductivity.einstein_upper)
    current = _or_below(conductivity.green_kubo, conductivity.green_kubo_error, conductivity.green_kubo_upper)
    rows = [
        (
            f"ionic conductivity of independent ions (Nernst-Einstein), {conductivity.temperature:.0f} K",
            independent,
            unit,
        ),
        ("ionic conductivity from the collective displacement (Einstein)", collective, unit),
        ("ionic conductivity from the current's spectrum at zero (Green-Kubo)", current, unit),
    ]
    if math.isfinite(conductivity.diffusion):
        value = scientific(conductivity.diffusion, conductivity.diffusion_error)
        rows.append(
            (f"collective diffusion coefficient of the charge of {', '.join(conductivity.carriers)}", value, "cm²/s")
        )
    for value, error, name in (
        (conductivity.haven, conductivity.haven_error, "Einstein"),
        (conductivity.haven_green_kubo, conductivity.haven_green_kubo_error, "Green-Kubo"),
    ):
        if math.isfinite(value):
            rows.append((f"Haven ratio, Nernst-Einstein over {name}", number(value, error), ""))
    return rows


def _or_below(value: float, error: float, upper: float) -> str:
    if math.isfinite(value) and value > 0:
        return number(value, error) if value > 0.01 else scientific(value, error)
    if not math.isfinite(upper):
        return "not determined"
    return f"below {scientific(upper)}" if upper > 0 else "0"


def conductivity_sentences(conductivity: Conductivity) -> list[str]:
    """The same in words, and whether ions move independently."""
    independent = _or_below(
        conductivity.nernst_einstein, conductivity.nernst_einstein_error, conductivity.nernst_einstein_upper
    )
    collective = _or_below(conductivity.einstein, conductivity.einstein_error, conductivity.einstein_upper)
    current = _or_below(conductivity.green_kubo, conductivity.green_kubo_error, conductivity.green_kubo_upper)
    charges = ", ".join(f"{name} {charge:+g}" for name, charge in conductivity.charge.items())
    text = (
        f"ionic conductivity at {conductivity.temperature:.0f} K ({conductivity.temperature_source}) with charges "
        f"{charges} e ({conductivity.charge_source}): {independent} S/cm of independent ions "
        f"(Nernst-Einstein), {collective} S/cm from the collective displacement, {current} S/cm from the current's "
        "spectrum at zero"
    )
    texts = [text]
    if math.isfinite(conductivity.haven):
        texts.append(
            f"Haven ratio {number(conductivity.haven, conductivity.haven_error)}: {_correlation(conductivity)}"
        )
    elif conductivity.verdict != Motion.DIFFUSIVE:
        texts.append(f"collective displacement of charge: {conductivity.verdict}")
    return texts


def _correlation(conductivity: Conductivity) -> str:
    """What the Haven ratio says at three standard errors."""
    if abs(conductivity.haven - 1) < 3 * conductivity.haven_error:
        return "no correlation between ions is seen beyond the errors"
    if conductivity.haven < 1:
        return "ions move together, charge farther than independent ions would carry it"
    return "the motion of ions cancels in part, charge travels less far than with independent ions"
