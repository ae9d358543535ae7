"""The part of `mlraman dynamics` that counts jumps between lattice sites, where `dynamics.lattice_sites` is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlraman_hpc.base.cells import completed
from mlraman_hpc.base.elements import symbols
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.config.motion_sections import DynamicsSection
from mlraman_hpc.numerics.jumps import site_lattice
from mlraman_hpc.numerics.jumps.site_lattice import Crystal
from mlraman_hpc.numerics.jumps.sites import Finder, Sites, Stays, sites_in, stays
from mlraman_hpc.numerics.jumps.statistics import jump_statistics
from mlraman_hpc.numerics.transport.diffusion import Diffusion
from mlraman_hpc.numerics.transport.displacements import log_lags, own_displacements
from mlraman_hpc.pipeline.job import Job, hashes
from mlraman_hpc.pipeline.motion.atom_motion import AtomBlocks, AtomTrajectories, blocks_of, map_blocks
from mlraman_hpc.readers.structure import read_structure
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.fields import columns_from
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
        raise DeckKeyError(KEY, "needs dynamics.mobile, the elements whose sites these are")
    if drift != "host":
        raise DeckKeyError(
            KEY,
            "sites are at rest in the host lattice; leave dynamics.drift out, and an element that is not in "
            "dynamics.mobile",
        )


def preview(job: Job, index: TrajectoryIndex, rows: np.ndarray | range) -> None:
    """The sites in the first frame's cell, with the mistakes that the run itself would find; on root."""
    section = job.deck.dynamics
    if section is None or section.lattice_sites is None:
        return
    check(job, section.drift or "host")
    blocks, first = blocks_of(index, rows[:1], 1.0, False), read_frames(index, rows[:1])
    cell = completed(first.cells, blocks.periodic)[0]
    resting = ~np.isin(symbols(blocks.numbers), section.mobile)
    host = Crystal(cell, blocks.numbers[resting], first.positions[resting] @ np.linalg.inv(cell))
    _find_sites(job, blocks, cell, host)


def origin_parts(job: Job, section: DynamicsSection) -> tuple[dict[str, str], dict]:
    """Hash of the file of sites, and the section's settings: those of sites only where there are sites."""
    # hashed as a file; of the campaign's report alone; no part of the result
    elsewhere = {"lattice_sites", "arrhenius", "temperature", "memory"}
    if section.lattice_sites is None:
        return {}, section.model_dump(exclude={*elsewhere, "site_core"})
    return hashes(job.files(KEY)), section.model_dump(exclude=elsewhere)


def collect_stays(job: Job, motion: AtomTrajectories, drift: np.ndarray) -> SiteSums | None:
    """Stays of all mobile atoms; drift (3, frames) of the host lattice, Angstrom. None without sites."""
    section = job.deck.dynamics
    if section is None or section.lattice_sites is None:
        return None
    session, blocks = job.session, motion.blocks
    host = _host(job, motion, drift)
    sites, misfit = session.on_root(_find_sites, job, blocks, motion.mean_cell, host)
    finders = {name: Finder(positions) for name, positions in sites.items()}

    lags = log_lags(blocks.frames)

    def work(number: int) -> tuple[Stays, np.ndarray] | None:
        species = blocks[number].species
        if species not in finders:
            return None
        positions = motion.positions[number] - drift
        return stays(positions, finders[species]), own_displacements(positions, lags)

    by_species: dict[str, Stays] = {}
    own: dict[str, list[np.ndarray]] = {name: [] for name in finders}
    with job.console.progress("jumps", len(blocks.numbers), "atoms") as advance:
        for block, part in map_blocks(session, blocks, work):
            if part is not None:
                name = block.species
                by_species[name] = by_species[name] + part[0] if name in by_species else part[0]
                own[name].append(part[1])
            advance(len(block.atoms))
    return SiteSums(sites, by_species, {name: np.concatenate(own[name]) for name in by_species}, misfit)


def _host(job: Job, motion: AtomTrajectories, drift: np.ndarray) -> Crystal | None:
    """Mean positions of the host atoms, on root."""
    numbers, means = [], []
    mean_drift = drift.mean(axis=1)

    def work(number: int) -> np.ndarray | None:
        mobile = motion.blocks[number].species in job.section("dynamics").mobile
        return None if mobile else motion.positions[number].mean(axis=-1) - mean_drift

    for block, part in map_blocks(job.session, motion.blocks, work):
        if part is not None:
            numbers.append(motion.blocks.numbers[block.atoms])
            means.append(part)
    if not means:
        return None
    cell = motion.mean_cell
    return Crystal(cell, np.concatenate(numbers), np.concatenate(means) @ np.linalg.inv(cell))


def _find_sites(job: Job, blocks: AtomBlocks, cell: np.ndarray, host: Crystal) -> tuple[dict[str, Sites], float]:
    """Sites of each mobile species in the trajectory's mean cell, and how well the host lattice fits."""
    path = job.files(KEY)[0]
    try:
        unit = Crystal(*read_structure(path))
        p = site_lattice.supercell_matrix(cell, unit.cell)
        reference = site_lattice.tiled(unit, p)
        reference, misfit = _at_origin(job, reference, host, blocks, round(float(abs(np.linalg.det(p)))))
        sites = {name: _sites(job, reference, name, cell, blocks) for name in job.section("dynamics").mobile}
    except DataError as error:
        raise DataError(f"{job.deck.location(KEY)}: {path}: {error}") from None
    copies = "" if len(reference.numbers) == len(unit.numbers) else ", repeated to fill the trajectory's cell"
    job.console.say(
        ", ".join(f"{len(of_species.scaled)} sites of {name}" for name, of_species in sites.items())
        + f" from {path}{copies}; host lattice within {misfit:.2f} Angstrom"
    )
    return sites, misfit


def _at_origin(job: Job, reference: Crystal, host: Crystal, blocks: AtomBlocks, copies: int) -> tuple[Crystal, float]:
    elements = [number for number in np.unique(host.numbers) if (reference.numbers == number).any()]
    if not elements:
        job.console.warn(
            f"{job.deck.location(KEY)}: the file has no atom of the host lattice, so that its origin is "
            "taken to be the trajectory's"
        )
        return reference, float("nan")
    site_lattice.check_counts(reference, blocks.numbers, elements, dict(zip(elements, symbols(elements))))
    return site_lattice.aligned(reference, host, copies)


def _sites(job: Job, reference: Crystal, name: str, cell: np.ndarray, blocks: AtomBlocks) -> Sites:
    if name not in blocks.species:
        raise DataError(f"the trajectory has no {name}")
    number = blocks.numbers[next(block.atoms[0] for block in blocks if block.species == name)]
    positions = reference.of(number)
    if not len(positions):
        raise DataError(f"has no {name}, whose sites it should give")
    site_lattice.check_sites(positions, cell)
    return sites_in(cell, blocks.periodic, positions, job.section("dynamics").site_core)


def record(
    sums: SiteSums | None, blocks: AtomBlocks, fits: dict[str, Diffusion]
) -> tuple[Jumps | None, tuple[str, ...]]:
    """The record and warnings; `fits` of D of each species."""
    if sums is None:
        return None, ()
    statistics = {
        name: jump_statistics(
            stays_, sums.sites[name], blocks.frames, blocks.interval, sums.own[name] @ fits[name].weights
        )
        for name, stays_ in sums.stays.items()
    }

    columns = columns_from(Jumps, statistics)
    columns["one_rate"] = {name: -1 if flag is None else int(flag) for name, flag in columns["one_rate"].items()}
    sites = {name: sums.sites[name] for name in statistics}
    jumps = Jumps(
        **columns,
        misfit=sums.misfit,
        cell=next(iter(sites.values())).cell,
        position={name: of_species.positions for name, of_species in sites.items()},
        radius={name: of_species.radius for name, of_species in sites.items()},
    )
    return jumps, tuple(f"{name}: {text}" for name, result in statistics.items() for text in result.warnings)


def lines(jumps: Jumps | None) -> list[str]:
    """One for each species."""
    return [f"{name}: {jump_sentence(jumps, name)}" for name in jumps.jumps] if jumps is not None else []
