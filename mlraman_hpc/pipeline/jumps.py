"""The part of `mlraman dynamics` that counts jumps between lattice sites, where `dynamics.lattice_sites` is given."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mlraman_hpc.base.cells import completed
from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.config.deck import DynamicsSection
from mlraman_hpc.numerics.jumps import site_lattice
from mlraman_hpc.numerics.jumps.site_lattice import Crystal
from mlraman_hpc.numerics.jumps.sites import Finder, Sites, Stays, sites_in, stays
from mlraman_hpc.numerics.jumps.statistics import jump_statistics
from mlraman_hpc.numerics.transport.diffusion import Diffusion
from mlraman_hpc.numerics.transport.displacements import log_lags, own_displacements
from mlraman_hpc.pipeline.atom_motion import Layout, Motion, block_sums, layout_of
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.readers.structure import read_structure
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.transport import Jumps
from mlraman_hpc.reports.wording import jump_sentence

KEY = "dynamics.lattice_sites"


@dataclass(frozen=True)
class SiteSums:
    """On every rank the sites of each species; on root all stays, and each atom's own mean squared displacement at the
    lags of `log_lags`, (atoms, lags) Angstrom^2. misfit: of the host lattice, Angstrom."""

    sites: dict[str, Sites]
    stays: dict[str, Stays]
    own: dict[str, np.ndarray]
    misfit: float


def check(job: Job, drift: str) -> None:
    """What the key needs of others; on root."""
    section = job.deck.dynamics
    if section is None or section.lattice_sites is None:
        return
    if not section.mobile:
        raise DeckError(f"{job.deck.location(KEY)}: needs dynamics.mobile, the elements whose sites these are")
    if drift != "host":
        raise DeckError(
            f"{job.deck.location(KEY)}: sites are at rest in the host lattice; leave dynamics.drift out, and "
            "an element that is not in dynamics.mobile"
        )


def preview(job: Job, index: TrajectoryIndex, rows: np.ndarray) -> None:
    """The sites in the first frame's cell, with the mistakes that the run itself would find; on root."""
    section = job.deck.dynamics
    if section is None or section.lattice_sites is None:
        return
    check(job, section.drift or "host")
    layout, first = layout_of(index, rows[:1], 1.0, False), read_frames(index, rows[:1])
    cell = completed(first.cells, layout.periodic)[0]
    resting = ~np.isin(symbols(layout.numbers), section.mobile)
    host = Crystal(cell, layout.numbers[resting], first.positions[resting] @ np.linalg.inv(cell))
    _placed(job, layout, cell, host)


def origin_parts(job: Job, section: DynamicsSection) -> tuple[dict[str, str], dict]:
    """Hash of the file of sites, and the section's settings: those of sites only where there are sites."""
    # hashed as a file; of the campaign's report alone; no part of the result
    elsewhere = {"lattice_sites", "arrhenius", "temperature", "memory"}
    if section.lattice_sites is None:
        return {}, section.model_dump(exclude={*elsewhere, "site_core"})
    return hashes(job.files(KEY)), section.model_dump(exclude=elsewhere)


def collect_stays(job: Job, motion: Motion, drift: np.ndarray) -> SiteSums | None:
    """Stays of all mobile atoms; drift (3, frames) of the host lattice, Angstrom. None without sites."""
    section = job.deck.dynamics
    if section is None or section.lattice_sites is None:
        return None
    session, layout = job.session, motion.layout
    host = _host(job, motion, drift)
    sites, misfit = session.on_root(_placed, job, layout, motion.mean_cell, host)
    finders = {name: Finder(one) for name, one in sites.items()}

    lags = log_lags(layout.frames)

    def work(number: int) -> tuple[Stays, np.ndarray] | None:
        species = layout.blocks[number].species
        if species not in finders:
            return None
        positions = motion.positions[number] - drift
        return stays(positions, finders[species]), own_displacements(positions, lags)

    found: dict[str, Stays] = {}
    own: dict[str, list[np.ndarray]] = {name: [] for name in finders}
    with job.console.progress("jumps", len(layout.numbers), "atoms") as advance:
        for block, part in block_sums(session, layout, work):
            if part is not None:
                found[block.species] = found[block.species] + part[0] if block.species in found else part[0]
                own[block.species].append(part[1])
            advance(len(block.atoms))
    return SiteSums(sites, found, {name: np.concatenate(own[name]) for name in found}, misfit)


def _host(job: Job, motion: Motion, drift: np.ndarray) -> Crystal | None:
    """Mean positions of the host atoms, on root."""
    numbers, means = [], []
    mean_drift = drift.mean(axis=1)

    def work(number: int) -> np.ndarray | None:
        mobile = motion.layout.blocks[number].species in job.deck.dynamics.mobile
        return None if mobile else motion.positions[number].mean(axis=-1) - mean_drift

    for block, part in block_sums(job.session, motion.layout, work):
        if part is not None:
            numbers.append(motion.layout.numbers[block.atoms])
            means.append(part)
    if not means:
        return None
    cell = motion.mean_cell
    return Crystal(cell, np.concatenate(numbers), np.concatenate(means) @ np.linalg.inv(cell))


def _placed(job: Job, layout: Layout, cell: np.ndarray, host: Crystal) -> tuple[dict[str, Sites], float]:
    """Sites of each mobile species in the trajectory's mean cell, and how well the host lattice fits."""
    path = job.files(KEY)[0]
    try:
        unit = Crystal(*read_structure(path))
        p = site_lattice.supercell_matrix(cell, unit.cell)
        reference = site_lattice.tiled(unit, p)
        reference, misfit = _at_origin(job, reference, host, layout, round(float(abs(np.linalg.det(p)))))
        found = {name: _sites(job, reference, name, cell, layout) for name in job.deck.dynamics.mobile}
    except DataError as error:
        raise DataError(f"{job.deck.location(KEY)}: {path}: {error}") from None
    copies = "" if len(reference.numbers) == len(unit.numbers) else ", repeated to fill the trajectory's cell"
    job.console.say(
        ", ".join(f"{len(one.scaled)} sites of {name}" for name, one in found.items())
        + f" from {path}{copies}; host lattice within {misfit:.2f} Angstrom"
    )
    return found, misfit


def _at_origin(job: Job, reference: Crystal, host: Crystal, layout: Layout, copies: int) -> tuple[Crystal, float]:
    elements = [number for number in np.unique(host.numbers) if (reference.numbers == number).any()]
    if not elements:
        job.console.warn(
            f"{job.deck.location(KEY)}: the file has no atom of the host lattice, so that its origin is "
            "taken to be the trajectory's"
        )
        return reference, float("nan")
    site_lattice.check_counts(reference, layout.numbers, elements, dict(zip(elements, symbols(elements))))
    return site_lattice.aligned(reference, host, copies)


def _sites(job: Job, reference: Crystal, name: str, cell: np.ndarray, layout: Layout) -> Sites:
    if name not in layout.species:
        raise DataError(f"the trajectory has no {name}")
    number = layout.numbers[next(block.atoms[0] for block in layout.blocks if block.species == name)]
    places = reference.of(number)
    if not len(places):
        raise DataError(f"has no {name}, whose sites it should give")
    site_lattice.check_sites(places, cell)
    return sites_in(cell, layout.periodic, places, job.deck.dynamics.site_core)


def record(sums: SiteSums | None, layout: Layout, found: dict[str, Diffusion]) -> tuple[Jumps | None, tuple[str, ...]]:
    """The record and warnings; found: D of each species."""
    if sums is None:
        return None, ()
    each = {
        name: jump_statistics(
            stay, sums.sites[name], layout.frames, layout.interval, sums.own[name] @ found[name].weights
        )
        for name, stay in sums.stays.items()
    }
    ours = {"position", "radius", "cell", "misfit", "one_rate"}
    values = {
        field.name: {name: getattr(one, field.name) for name, one in each.items()}
        for field in fields(Jumps)
        if field.name not in ours
    }
    sites = {name: sums.sites[name] for name in each}
    jumps = Jumps(
        **values,
        misfit=sums.misfit,
        cell=next(iter(sites.values())).cell,
        one_rate={name: -1 if one.one_rate is None else int(one.one_rate) for name, one in each.items()},
        position={name: one.positions for name, one in sites.items()},
        radius={name: one.radius for name, one in sites.items()},
    )
    return jumps, tuple(f"{name}: {text}" for name, one in each.items() for text in one.warnings)


def lines(jumps: Jumps | None) -> list[str]:
    """One for each species."""
    return [f"{name}: {jump_sentence(jumps, name)}" for name in jumps.jumps] if jumps is not None else []
