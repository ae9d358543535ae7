"""Raman intensity of an oriented crystal: I(nu) ~ spectral density of e_s . alpha(t) . e_i (Hayes and Loudon, 1978)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.spectra.intensity import PAIRS
from mlraman_hpc.numerics.tensors import COMPONENTS


@dataclass(frozen=True)
class Geometry:
    """One scattering geometry; vectors of any length, in the axes of the trajectory's cell."""

    name: str
    incident: tuple[float, float, float]
    scattered: tuple[float, float, float]
    incident_direction: tuple[float, float, float] | None = None
    scattered_direction: tuple[float, float, float] | None = None


def component_names() -> list[str]:
    """'xx-xx', 'xx-yy', ... in the order of PAIRS."""
    return [f"{COMPONENTS[i]}-{COMPONENTS[j]}" for i, j in PAIRS]


def unit(vector: npt.ArrayLike, name: str) -> Floats:
    """The vector at unit length; DataError if it has none."""
    vector = np.asarray(vector, float)
    length = np.linalg.norm(vector)
    if vector.shape != (3,) or not np.isfinite(length) or length == 0:
        raise DataError(f"{name} {vector.tolist()} is not a direction; give three numbers, not all zero")
    unit_vector: Floats = vector / length
    return unit_vector


def check(geometry: Geometry) -> None:
    """DataError if a polarization is not perpendicular to the propagation of its light."""
    for side in ("incident", "scattered"):
        direction = getattr(geometry, f"{side}_direction")
        if direction is None:
            continue
        along = unit(getattr(geometry, side), f"{side} polarization") @ unit(direction, f"{side} direction")
        if abs(along) > 1e-6:
            angle = np.degrees(np.arccos(np.clip(abs(along), 0, 1)))
            raise DataError(
                f"geometry '{geometry.name}': the {side} polarization is {angle:.1f} degrees from the propagation "
                "direction; light is transverse, make them orthogonal"
            )


def projection(incident: Floats, scattered: Floats) -> Floats:
    """q (..., 6) with e_s . alpha . e_i = q . (alpha_xx, alpha_yy, alpha_zz, alpha_xy, alpha_yz, alpha_zx)."""
    off_diagonal = np.roll(scattered, -1, axis=-1) * incident + np.roll(incident, -1, axis=-1) * scattered
    return np.concatenate([incident * scattered, off_diagonal], axis=-1)


def polarized_intensity(
    component: Floats, incident: Floats, scattered: Floats, rotation: Floats | None = None
) -> Floats:
    """Spectra (..., wavenumbers) for unit polarizations (..., 3) from component spectra (21, wavenumbers) of PAIRS.

    rotation: the sample, turned from the trajectory's axes into the laboratory's (v_lab = R v).
    """
    if rotation is not None:
        incident, scattered = incident @ rotation, scattered @ rotation
    spectra: Floats = projection_weights(incident, scattered) @ component
    return spectra


def projection_weights(incident: Floats, scattered: Floats) -> Floats:
    """Weights (..., 21) on PAIRS that make the spectrum of e_s . alpha . e_i."""
    q = projection(incident, scattered)
    return np.stack([(1 if i == j else 2) * q[..., i] * q[..., j] for i, j in PAIRS], axis=-1)


def geometry_weights(geometry: Geometry) -> Floats:
    """Weights (21,) on PAIRS of one geometry, checked."""
    check(geometry)
    return projection_weights(
        unit(geometry.incident, "incident polarization"), unit(geometry.scattered, "scattered polarization")
    )


def angle_resolved(
    component: Floats, direction: npt.ArrayLike, start: npt.ArrayLike, step: float
) -> tuple[Floats, Floats, Floats]:
    """Angles (degrees, 0 to 180), parallel and crossed spectra (angles, wavenumbers).

    Both polarizations turn about `direction` (light along it), right-handed, beginning with the projection of `start`
    perpendicular to it; crossed: the scattered one is 90 degrees ahead.
    """
    along, start = unit(direction, "propagation direction"), np.asarray(start, float)
    across = start - along * (start @ along)
    if np.linalg.norm(across) < 1e-6 * np.linalg.norm(start):
        raise DataError("angle map: the polarization at angle zero is parallel to the propagation direction")
    first = unit(across, "start polarization")
    second = np.cross(along, first)
    angle = np.arange(0.0, 180.0 + 1e-9, step)
    c, s = np.cos(np.radians(angle))[:, None], np.sin(np.radians(angle))[:, None]
    e, ahead = c * first + s * second, c * second - s * first
    return angle, polarized_intensity(component, e, e), polarized_intensity(component, e, ahead)
