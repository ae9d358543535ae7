"""Activation energies in a campaign: materials that share `dynamics.arrhenius` are one at several temperatures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.config.campaign_deck import Campaign, Material
from mlraman_hpc.numerics.transport.arrhenius import ROOM, Activation, activation
from mlraman_hpc.records.transport import Arrhenius, Dynamics
from mlraman_hpc.storage import hdf5

LINE = 60  # points of a line in the figure
DIFFERENT = 0.1  # of the temperature, between what the deck says and what the atoms' motion means
ABOVE = 2.0  # standard errors by which the line may pass above the upper end of a D that was not found


@dataclass(frozen=True)
class _Point:
    material: str
    temperature: float
    diffusion: float
    error: float
    upper: float
    note: str


def series_of(plan: Campaign, names: list[str]) -> Arrhenius | None:
    """The fits of all series; `names` of the materials that have dynamics. None without any."""
    points: dict[str, list[_Point]] = {}
    for material in plan.materials:
        series = material.deck.dynamics.arrhenius if material.deck.dynamics else None
        if series is not None and material.name in names:
            dynamics = hdf5.load(Dynamics, material.folder)
            for element in dynamics.mobile or tuple(dynamics.diffusion):
                points.setdefault(f"{series} {element}", []).append(_point(material, dynamics, element))
    if not points:
        return None
    columns: dict[str, dict] = {}
    for name, unordered in sorted(points.items()):
        for column, value in _fitted(sorted(unordered, key=lambda point: point.temperature)).items():
            columns.setdefault(column, {})[name] = value
    return Arrhenius(**columns)


def _point(material: Material, dynamics: Dynamics, element: str) -> _Point:
    wanted = material.deck.dynamics.temperature or material.deck.spectrum.temperature
    measured = np.nan if dynamics.misses_fast_motion else dynamics.temperature
    note = ""
    if wanted and abs(measured - wanted) > DIFFERENT * wanted:
        note = f"{material.name}: the deck says {wanted:g} K, the atoms' motion {measured:.0f} K"
    if not wanted and not np.isfinite(measured):
        note = (
            f"{material.name} is left out: frames are too far apart to tell the temperature; "
            "dynamics.temperature gives it"
        )
    return _Point(
        material.name,
        wanted or measured,
        dynamics.diffusion[element],
        dynamics.diffusion_error[element],
        dynamics.diffusion_upper[element],
        note,
    )


def _fitted(points: list[_Point]) -> dict:
    """The columns of one series."""
    notes = [point.note for point in points if point.note]
    points = [point for point in points if np.isfinite(point.temperature)]
    temperature, diffusion, error, upper = (
        np.array([getattr(point, name) for point in points]) for name in ("temperature", "diffusion", "error", "upper")
    )
    fit = activation(temperature, diffusion, error) if points else None
    known = {
        "material": tuple(point.material for point in points),
        "temperature": temperature,
        "diffusion": diffusion,
        "error": error,
        "upper": np.where(np.isfinite(diffusion), np.nan, upper),
    }
    if fit is None:
        notes.insert(0, "no activation energy: D is known at fewer than two temperatures")
        return known | _nothing() | {"verdict": "; ".join(notes)}
    return known | _line(fit, temperature) | {"verdict": "; ".join([*_limits(fit, known), *notes])}


def _nothing() -> dict:
    numbers = ("energy", "energy_error", "prefactor", "prefactor_error", "chi2", "probability")
    lists = ("line_temperature", "line", "line_error")
    return (
        dict.fromkeys(numbers, float("nan"))
        | {"room": np.full(3, np.nan), "points": 0}
        | {name: np.zeros(0) for name in lists}
    )


def _line(fit: Activation, temperature: np.ndarray) -> dict:
    drawn = 1 / np.linspace(1 / max(temperature.max(), ROOM), 1 / min(temperature.min(), ROOM), LINE)
    height, width = fit.log_diffusion(drawn)
    (room_height,), (room_width,) = fit.log_diffusion(ROOM)
    return {
        "energy": fit.energy,
        "energy_error": fit.energy_error,
        "prefactor": float(np.exp(fit.log_prefactor)),
        "prefactor_error": float(np.sqrt(fit.covariance[0, 0])),
        "chi2": fit.chi2,
        "probability": fit.probability,
        "room": np.exp(room_height + room_width * np.array([0.0, -1.0, 1.0])),
        "points": fit.points,
        "line_temperature": drawn,
        "line": np.exp(height),
        "line_error": width,
    }


def _limits(fit: Activation, known: dict) -> list[str]:
    """What the reader must know of the fit."""
    texts = []
    if fit.points == 2:
        texts.append("two temperatures only: whether D follows one activation energy cannot be tested")
    if not fit.straight:
        texts.append(
            f"the points do not lie on a line (χ² = {fit.chi2:.1f} with {fit.points - 2} degrees of freedom): "
            "errors are widened"
        )
    bounded = ~np.isfinite(known["diffusion"])
    if bounded.any():
        names = [name for name, out in zip(known["material"], bounded) if out]
        texts.append(f"no D was found in {', '.join(names)}: left out of the fit")
        height, width = fit.log_diffusion(known["temperature"][bounded])
        above = height - ABOVE * width > np.log(known["upper"][bounded])
        if above.any():
            texts.append(
                "the line passes above what D can be at most in "
                f"{', '.join(name for name, out in zip(names, above) if out)}"
            )
    if fit.energy < 2 * fit.energy_error:
        texts.append("the activation energy cannot be told from zero")
    return texts


# words


def lines(result: Arrhenius | None) -> list[str]:
    """For the log."""
    return [f"{name}: {_result(result, name)}" for name in result.energy] if result is not None else []


def _result(result: Arrhenius, name: str) -> str:
    if not result.points[name]:
        return result.verdict[name]
    value, low, high = result.room[name]
    text = (
        f"activation energy {number(result.energy[name], result.energy_error[name])} eV from {result.points[name]} "
        f"temperatures; D(300 K) = {scientific(value)} ({scientific(low)} to {scientific(high)}) cm²/s"
    )
    return f"{text}; {result.verdict[name]}" if result.verdict[name] else text


def drawable(result: Arrhenius | None) -> bool:
    """Whether there is any point for the figure."""
    return result is not None and any(len(values) for values in result.temperature.values())
