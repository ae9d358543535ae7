"""What the deck says about the atoms' motion, against what the trajectory holds: masses, mobile elements, drift."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import is_element, masses
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.config.motion_sections import DynamicsSection
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex

LEAST_FRAMES = 16


def dynamics_section(job: Job) -> DynamicsSection:
    """The deck's section, or its defaults."""
    return job.deck.dynamics or DynamicsSection()


def check_size(index: TrajectoryIndex, frames: int) -> None:
    """Errors: DataError for too few frames or atoms."""
    if frames < LEAST_FRAMES:
        raise DataError(f"{index.names[0]}: {frames} frames are too few for dynamics; at least {LEAST_FRAMES}")
    if len(index.numbers) < 2:
        raise DataError(f"{index.names[0]}: one atom moves with the centre of mass alone; dynamics needs two at least")


def element_masses(job: Job, index: TrajectoryIndex) -> dict[int, float]:
    """Atomic number -> u: of the deck, or of the files, where several of an element have their mean.

    Errors: DeckKeyError for elements that are not there.
    """
    wanted = dynamics_section(job).masses
    for element in wanted:
        if element not in index.species:
            raise DeckKeyError("dynamics.masses", f"{element} is not in the trajectory")
    result, differing = {}, []
    for number, name in zip(np.unique(index.numbers), index.species):
        standard = float(masses([number])[0])
        if name in wanted:
            result[int(number)] = wanted[name]
        elif index.masses is not None:
            own = index.masses[index.numbers == number]
            if np.ptp(own) > 1e-3 * own.mean():
                job.console.warn(f"{index.names[0]}: the atoms of {name} have several masses; their mean is used")
            result[int(number)] = float(own.mean())
        if abs(result.get(int(number), standard) - standard) > 0.01 * standard:
            differing.append(f"{name} {result[int(number)]:g} u (standard {standard:g})")
    if differing:
        job.console.say(f"masses that are not the standard ones: {', '.join(differing)}")
    return result


def drift_frame(job: Job, species: list[str]) -> str:
    """'host' or 'total': whose centre of mass is at rest. Errors: DeckKeyError for elements that are not there."""
    section = dynamics_section(job)
    for element in section.mobile:
        if element not in species:
            kind = "not in the trajectory" if is_element(element) else "not an element"
            raise DeckKeyError("dynamics.mobile", f"{element} is {kind}, which has {', '.join(species)}")
    host = [name for name in species if name not in section.mobile]
    if section.drift == "host" and not host:
        raise DeckKeyError("dynamics.drift", "all elements are mobile, so there is no host lattice; use 'total'")
    return section.drift or ("host" if host and section.mobile else "total")
