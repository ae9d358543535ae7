"""Tensors from columns, their units, their symmetric part, and labels made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.base.units import POLARIZABILITY_UNITS, canonical_unit
from mlraman_hpc.readers.tensors.base import FileError
from mlraman_hpc.readers.text import Warn
from mlraman_hpc.records.frames import Frames, Labels

OTHER_COLUMNS = ("step", "time", "skip")
RELATIVE = {"dielectric": "a dielectric tensor", "susceptibility": "a susceptibility"}
QUANTITIES = ("polarizability", *RELATIVE)
ASYMMETRY, STRONG_ASYMMETRY = 1e-3, 0.05  # |A - A^T|max / |A|max from which on there is a warning
_AXES = "xyz"


def check_order(order: list[str] | None, key: str) -> list[str]:
    """The order of columns, which must name each component once. Errors: DeckKeyError of the deck key `key`."""
    example = "for example [xx, yy, zz, xy, yz, zx]"
    if not order:
        raise DeckKeyError(key, f"give the order of the columns, {example}; programs differ and it is never guessed.")
    components = [name for name in order if name not in OTHER_COLUMNS]
    pairs = sorted("".join(sorted(name)) for name in components)
    six = ["xx", "xy", "xz", "yy", "yz", "zz"]
    if pairs != six and (len(set(components)) != 9 or sorted(set(pairs)) != six):
        raise DeckKeyError(
            key,
            f"{', '.join(order)} is not six or nine different components of a tensor; {example}. Other columns are "
            f"called {', '.join(OTHER_COLUMNS[:-1])} or {OTHER_COLUMNS[-1]}.",
        )
    return list(order)


def from_columns(values: np.ndarray, order: list[str]) -> np.ndarray:
    """(frames, columns) -> (frames, 3, 3); six components fill both triangles."""
    tensors = np.zeros((len(values), 3, 3))
    columns = {name: k for k, name in enumerate(order) if name not in OTHER_COLUMNS}
    for name, column in columns.items():
        i, j = _AXES.index(name[0]), _AXES.index(name[1])
        tensors[:, i, j] = values[:, column]
        if len(columns) == 6:
            tensors[:, j, i] = values[:, column]
    return tensors


def check_unit(quantity: str, unit: str | None, section: str) -> float:
    """Angstrom^3 per `unit` of a polarizability; 1 for a dielectric tensor or a susceptibility, which have no unit.

    Errors: DeckKeyError of the section's `unit` or `quantity`.
    """
    if quantity in RELATIVE:
        if unit is not None:
            raise DeckKeyError(
                f"{section}.unit",
                f"{RELATIVE[quantity]} has no unit; remove '{unit}', or set {section}.quantity: polarizability.",
            )
        return 1.0
    if quantity != "polarizability":
        raise DeckKeyError(
            f"{section}.quantity", f"give polarizability, dielectric or susceptibility; found {quantity}."
        )
    unit = canonical_unit(unit or "", POLARIZABILITY_UNITS)
    if unit not in POLARIZABILITY_UNITS:
        raise DeckKeyError(
            f"{section}.unit",
            f"a polarizability needs its unit, one of {', '.join(POLARIZABILITY_UNITS)}; found {unit or None}.",
        )
    return POLARIZABILITY_UNITS[unit]


def polarizability_of(tensors: np.ndarray, quantity: str, factor: float, volumes) -> np.ndarray:
    """alpha = V (epsilon - 1)/(4 pi) of a dielectric tensor, V chi/(4 pi) of a susceptibility chi = epsilon - 1.

    (frames, 3, 3) Angstrom^3; `factor` Angstrom^3 per unit of a polarizability; V (frames,) or one number, Angstrom^3.
    """
    if quantity == "polarizability":
        return tensors * factor
    volumes = np.broadcast_to(volumes, len(tensors))
    susceptibility = tensors - np.eye(3) if quantity == "dielectric" else tensors
    return volumes[:, None, None] * susceptibility / (4 * pi)


def symmetric(tensors: np.ndarray, source: Callable[[int], str], warn: Warn) -> np.ndarray:
    """(A + A^T)/2; a warning where |A - A^T|max / |A|max is above 1e-3, a strong one above 0.05.

    source(row) names a tensor (frames, 3, 3) in messages.
    Errors: FileError for numbers that are not finite.
    """
    bad = np.flatnonzero(~np.isfinite(tensors).all(axis=(1, 2)))
    if len(bad):
        raise FileError(
            source(int(bad[0])),
            f"the tensor {tensors[bad[0]].tolist()} has components that are not finite numbers ({len(bad)} of "
            f"{len(tensors)} tensors have). Remove it or compute it again.",
        )
    largest = np.abs(tensors).max(axis=(1, 2), initial=0)
    antisymmetric = np.abs(tensors - tensors.transpose(0, 2, 1)).max(axis=(1, 2), initial=0)
    ratio = np.divide(antisymmetric, largest, out=np.zeros_like(largest), where=largest > 0)
    if ratio.max(initial=0) > ASYMMETRY:
        warn(_asymmetry(ratio, source))
    return (tensors + tensors.transpose(0, 2, 1)) / 2


def _asymmetry(ratio: np.ndarray, source: Callable[[int], str]) -> str:
    worst, strong = int(ratio.argmax()), int((ratio > STRONG_ASYMMETRY).sum())
    text = (
        f"{source(worst)}: the tensor is not symmetric, |A - A^T|max/|A|max = {ratio[worst]:.2g}, the worst of "
        f"{int((ratio > ASYMMETRY).sum())} of {len(ratio)} above {ASYMMETRY:g}; the symmetric part is used."
    )
    if strong:
        text += (
            f" {strong} of {len(ratio)} are above {STRONG_ASYMMETRY:g}: these tensors are far from converged, or their "
            "columns are in another order. Look at them before trusting any result."
        )
    return text


def labels_of(
    frames: Frames,
    tensors: np.ndarray,
    quantities: Sequence[str],
    factors: dict[str, float],
    sources: tuple[str, ...],
    warn: Warn,
    volumes: np.ndarray | None = None,
) -> Labels:
    """Frames with alpha in Angstrom^3, symmetric, from tensors (frames, 3, 3) of these quantities.

    factors  {quantity: Angstrom^3 per unit}
    volumes  (frames,) Angstrom^3; None: those of the frames' cells
    Errors: FileError where a relative tensor belongs to a structure that is not periodic in all directions.
    """
    for k in np.flatnonzero(~frames.periodic.all(axis=1) & np.isin(quantities, list(RELATIVE))):
        raise FileError(
            sources[k],
            f"{RELATIVE[quantities[int(k)]]} needs a cell that is periodic in all three directions; found pbc "
            f"{frames.periodic[k].tolist()}.",
        )
    volumes = frames.volumes if volumes is None else volumes
    tensors = symmetric(tensors, sources.__getitem__, warn)
    alpha = np.empty_like(tensors)
    for quantity, factor in factors.items():
        rows = np.equal(quantities, quantity)
        alpha[rows] = polarizability_of(tensors[rows], quantity, factor, volumes[rows])
    return Labels(frames, alpha, sources)
