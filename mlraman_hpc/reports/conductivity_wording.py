"""Ionic conductivity in rows of a table and in sentences."""

from __future__ import annotations

import math

from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Motion

Row = tuple[str, str, str]  # quantity, value with its error, unit


def conductivity_rows(found: Conductivity) -> list[Row]:
    """Conductivities, collective diffusion coefficient, Haven ratio."""
    unit = "S/cm"
    independent = _or_below(found.nernst_einstein, found.nernst_einstein_error, found.nernst_einstein_upper)
    collective = _or_below(found.einstein, found.einstein_error, found.einstein_upper)
    current = _or_below(found.green_kubo, found.green_kubo_error, found.green_kubo_upper)
    rows = [
        (f"ionic conductivity of independent ions (Nernst-Einstein), {found.temperature:.0f} K", independent, unit),
        ("ionic conductivity from the collective displacement (Einstein)", collective, unit),
        ("ionic conductivity from the current's spectrum at zero (Green-Kubo)", current, unit),
    ]
    if math.isfinite(found.diffusion):
        value = scientific(found.diffusion, found.diffusion_error)
        rows.append((f"collective diffusion coefficient of the charge of {', '.join(found.carriers)}", value, "cm²/s"))
    for value, error, name in (
        (found.haven, found.haven_error, "Einstein"),
        (found.haven_green_kubo, found.haven_green_kubo_error, "Green-Kubo"),
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


def conductivity_sentences(found: Conductivity) -> list[str]:
    """The same in words, and whether ions move independently."""
    independent = _or_below(found.nernst_einstein, found.nernst_einstein_error, found.nernst_einstein_upper)
    collective = _or_below(found.einstein, found.einstein_error, found.einstein_upper)
    current = _or_below(found.green_kubo, found.green_kubo_error, found.green_kubo_upper)
    charges = ", ".join(f"{name} {charge:+g}" for name, charge in found.charge.items())
    text = (
        f"ionic conductivity at {found.temperature:.0f} K ({found.temperature_source}) with charges {charges} e "
        f"({found.charge_source}): {independent} S/cm of independent ions (Nernst-Einstein), {collective} S/cm from "
        f"the collective displacement, {current} S/cm from the current's spectrum at zero"
    )
    texts = [text]
    if math.isfinite(found.haven):
        texts.append(f"Haven ratio {number(found.haven, found.haven_error)}: {_correlation(found)}")
    elif found.verdict != Motion.DIFFUSIVE:
        texts.append(f"collective displacement of charge: {found.verdict}")
    return texts


def _correlation(found: Conductivity) -> str:
    """What the Haven ratio says at three standard errors."""
    if abs(found.haven - 1) < 3 * found.haven_error:
        return "no correlation between ions is seen beyond the errors"
    if found.haven < 1:
        return "ions move together, charge farther than independent ions would carry it"
    return "the motion of ions cancels in part, charge travels less far than with independent ions"
