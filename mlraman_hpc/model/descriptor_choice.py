"""Which descriptor: a small grid of candidates, judged by leave-one-out on the training labels alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.numerics.regression.scores import weighted_norm
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor, RadialScaling
from mlraman_hpc.records.training import Tuning

SCALINGS = (RadialScaling(3.0, 4.0), RadialScaling(2.0, 3.0), RadialScaling(2.5, 5.0))
TOLERANCE = 0.03  # leave-one-out errors of some tens of labels do not tell less than that
MOLECULES_TOLERANCE = 0.08


def candidates(base: Descriptor, molecules: bool = False) -> tuple[Descriptor, ...]:
    """`base` with each radial scaling and with none, in the order of preference.

    Condensed matter gains from scaling, molecules alone in space hardly: they have none unless it is clearly better.
    Other cutoffs are no candidates: on real data they gain nothing, and a choice among more is more at random.
    """
    scalings = (None, *SCALINGS) if molecules else (*SCALINGS, None)
    return tuple(replace(base, radial_scaling=scaling) for scaling in scalings)


def choose(errors: np.ndarray, molecules: bool = False) -> int:
    """The first candidate that is as good as the best, within a tolerance; the first where none has an error."""
    if not np.isfinite(errors).any():
        return 0
    tolerance = MOLECULES_TOLERANCE if molecules else TOLERANCE
    return int(np.flatnonzero(errors <= (1 + tolerance) * np.nanmin(errors))[0])


def tuning(labels: Labels, errors: np.ndarray) -> Tuning:
    """The record of a choice among `candidates` by these leave-one-out errors (candidates,) of the labels."""
    scalings = [candidate.radial_scaling for candidate in candidates(Descriptor(), molecules_alone(labels))]

    def of_scaling(name: str) -> np.ndarray:
        return np.array([np.nan if u is None else getattr(u, name) for u in scalings])

    return Tuning(
        scale=of_scaling("scale"),
        exponent=of_scaling("exponent"),
        error=errors,
        fluctuation=weighted_norm(labels.polarizability - labels.polarizability.mean(axis=0)),
        chosen=choose(errors, molecules_alone(labels)),
        labels=len(labels),
    )


def molecules_alone(labels: Labels) -> bool:
    """Whether no structure is periodic in any direction."""
    return not labels.frames.periodic.any()


def chosen_descriptor(choice: Tuning, base: Descriptor) -> Descriptor:
    """`base` with the radial scaling that was chosen."""
    scale, exponent = float(choice.scale[choice.chosen]), float(choice.exponent[choice.chosen])
    return replace(base, radial_scaling=RadialScaling(scale, exponent) if np.isfinite(scale) else None)
