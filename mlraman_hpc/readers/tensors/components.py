"""Tensors from columns or nested lists, their units, and the symmetric part."""

from __future__ import annotations

from math import pi

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.units import POLARIZABILITY_UNITS
from mlraman_hpc.readers.text import Warn

OTHER = ("step", "time", "skip")
RELATIVE = {"dielectric": "a dielectric tensor", "susceptibility": "a susceptibility"}
_AXES = "xyz"


def check_order(order: list[str] | None, key: str) -> list[str]:
    """The order of the columns, which must be given and name each component once. Errors: DeckError naming `key`."""
    example = "for example [xx, yy, zz, xy, yz, zx]"
    if not order:
        raise DeckError(f"{key}: give the order of the columns, {example}; programs differ and it is never guessed.")
    named = [name for name in order if name not in OTHER]
    pairs = sorted("".join(sorted(name)) for name in named)
    six = ["xx", "xy", "xz", "yy", "yz", "zz"]
    if pairs != six and (len(set(named)) != 9 or sorted(set(pairs)) != six):
        raise DeckError(
            f"{key}: {', '.join(order)} is not six or nine different components of a tensor; {example}. "
            "Other columns are called step, time or skip."
        )
    return list(order)


def from_columns(values: np.ndarray, order: list[str]) -> np.ndarray:
    """(frames, columns) -> (frames, 3, 3); six components fill both triangles."""
    tensors = np.zeros((len(values), 3, 3))
    names = [name for name in order if name not in OTHER]
    for column, name in enumerate(order):
        if name in OTHER:
            continue
        i, j = _AXES.index(name[0]), _AXES.index(name[1])
        tensors[:, i, j] = values[:, column]
        if len(names) == 6:
            tensors[:, j, i] = values[:, column]
    return tensors


def check_unit(quantity: str, unit: str | None, section: str) -> float:
    """Angstrom^3 per `unit` of a polarizability; 1 for a dielectric tensor or a susceptibility, which have no unit."""
    allowed = ", ".join(POLARIZABILITY_UNITS)
    if quantity in RELATIVE:
        if unit is not None:
            raise DeckError(
                f"{section}.unit: {RELATIVE[quantity]} has no unit; remove '{unit}', or set "
                f"{section}.quantity: polarizability."
            )
        return 1.0
    if quantity != "polarizability":
        raise DeckError(f"{section}.quantity: give polarizability, dielectric or susceptibility; found {quantity}.")
    if unit not in POLARIZABILITY_UNITS:
        raise DeckError(f"{section}.unit: a polarizability needs its unit, one of {allowed}; found {unit}.")
    return POLARIZABILITY_UNITS[unit]


def polarizability_of(tensors: np.ndarray, quantity: str, factor: float, volumes) -> np.ndarray:
    """(frames, 3, 3) Angstrom^3; V (frames,) or one number.

    Dielectric: alpha = V (epsilon - 1)/(4 pi); susceptibility chi = epsilon - 1: alpha = V chi/(4 pi).
    """
    if quantity == "polarizability":
        return tensors * factor
    volumes = np.broadcast_to(volumes, len(tensors))
    susceptibility = tensors - np.eye(3) if quantity == "dielectric" else tensors
    return volumes[:, None, None] * susceptibility / (4 * pi)


def symmetric(tensors: np.ndarray, sources, warn: Warn) -> np.ndarray:
    """(A + A^T)/2; a warning where |A - A^T|max / |A|max is above 1e-3, a strong one above 0.05.

    `sources` gives the name of a row for messages. Errors: DataError for numbers that are not finite.
    """
    bad = np.flatnonzero(~np.isfinite(tensors).all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{sources[bad[0]]}: the tensor {tensors[bad[0]].tolist()} has components that are not finite "
            f"numbers ({len(bad)} of {len(tensors)} tensors have). Remove it or compute it again."
        )
    largest = np.abs(tensors).max(axis=(1, 2), initial=0)
    odd = np.abs(tensors - tensors.transpose(0, 2, 1)).max(axis=(1, 2), initial=0)
    ratio = np.divide(odd, largest, out=np.zeros_like(odd), where=largest > 0)
    if len(ratio) and ratio.max() > 1e-3:
        warn(_asymmetry(ratio, sources))
    return (tensors + tensors.transpose(0, 2, 1)) / 2


def _asymmetry(ratio: np.ndarray, sources) -> str:
    worst, strong = int(ratio.argmax()), int((ratio > 0.05).sum())
    text = (
        f"{sources[worst]}: the tensor is not symmetric, |A - A^T|max/|A|max = {ratio[worst]:.2g}, the worst of "
        f"{int((ratio > 1e-3).sum())} of {len(ratio)} above 0.001; the symmetric part is used."
    )
    if strong:
        text += (
            f" {strong} of {len(ratio)} are above 0.05: these tensors are far from converged, or their columns "
            "are in another order. Look at them before trusting any result."
        )
    return text
