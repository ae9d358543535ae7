"""Atoms on lattice sites: where they stay, for how long, and where they jump.

Each site has a core, a sphere of a third of the distance to its nearest other site, so that cores never touch. An atom
belongs to the site whose core it was in last. It has jumped when it enters the core of another site: an atom that
crosses the boundary between two sites and turns round before it reaches the other core has not, and an atom that swings
about its site, however far, has not either. A stay lasts from the first frame in a site's core to the last one before
the next jump; the frames between two stays are the flight. The same site in another periodic image is another site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mlraman_hpc.numerics import Booleans, Floats, Integers

CORE = 1 / 3  # of the distance to the nearest other site
MARGIN = 6.0  # Angstrom around the cell in which sites have images


@dataclass(frozen=True)
class Sites:
    """Sites in a periodic cell.

    cell       (3, 3) Angstrom          periodic  (3,)
    scaled     (sites, 3) fractional coordinates in [0, 1)
    radius     (sites,) of each core, Angstrom
    neighbour  (sites,) distance to the nearest other site, Angstrom
    """

    cell: Floats
    periodic: Booleans
    scaled: Floats
    radius: Floats
    neighbour: Floats

    @property
    def positions(self) -> Floats:
        """(sites, 3) Angstrom"""
        positions: Floats = self.scaled @ self.cell
        return positions

    @property
    def outside(self) -> float:
        """Share of the cell's volume that is in no core."""
        return 1 - float(np.sum(4 / 3 * np.pi * self.radius**3) / abs(np.linalg.det(self.cell)))


def sites_in(cell: Floats, periodic: Booleans, scaled: Floats, core: float | None = None) -> Sites:
    """Sites at fractional coordinates (sites, 3); core: one radius for all (Angstrom), cut at half the distance."""
    inside = np.where(periodic, scaled - np.floor(scaled), scaled)
    images, _, _ = _images(cell, periodic, inside)
    neighbour = np.minimum(cKDTree(images).query(inside @ cell, k=2)[0][:, 1], MARGIN)
    radius = np.minimum(core, neighbour / 2) if core else CORE * neighbour
    return Sites(cell, periodic, inside, radius, neighbour)


def _images(cell: Floats, periodic: Booleans, scaled: Floats) -> tuple[Floats, Integers, Integers]:
    """Positions (images, 3) of sites in and around the cell, their sites (images,) and lattice steps (images, 3)."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = [int(np.ceil(MARGIN / height)) if along else 0 for height, along in zip(heights, periodic)]
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    images = scaled[None] + steps[:, None]
    margin = np.where(periodic, MARGIN / heights, np.inf)
    inside = ((images > -margin) & (images < 1 + margin)).all(axis=-1)
    step, site = np.nonzero(inside)
    return images[inside] @ cell, site, steps[step]


class Finder:
    """Nearest site, and the lattice step to its image, of continuous positions."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        images, self._site, self._steps = _images(sites.cell, sites.periodic, sites.scaled)
        self._tree = cKDTree(images)
        self._inverse = np.linalg.inv(sites.cell)

    def nearest(self, path: Floats) -> tuple[Floats, Integers, Integers]:
        """(distance (frames,), site (frames,), lattice step (frames, 3)) of one atom's path (3, frames), Angstrom."""
        scaled = path.T @ self._inverse
        base = np.where(self.sites.periodic, np.floor(scaled), 0).astype(int)
        distance, image = self._tree.query((scaled - base) @ self.sites.cell)
        return distance, self._site[image], base + self._steps[image]


@dataclass(frozen=True)
class Stays:
    """Stays of some atoms, in the order of atoms and time.

    atoms         number of all of them, with those that were on no site
    atom, site    (stays,)
    first, last   (stays,) frames in the core, both included
    vector        (stays, 3) jump from the stay before, Angstrom; NaN for an atom's first
    inside        (atoms,) frames in any core
    """

    atoms: int
    atom: Integers
    site: Integers
    first: Integers
    last: Integers
    vector: Floats
    inside: Integers

    def __add__(self, other: Stays) -> Stays:
        return Stays(
            self.atoms + other.atoms,
            np.concatenate([self.atom, self.atoms + other.atom]),
            np.concatenate([self.site, other.site]),
            np.concatenate([self.first, other.first]),
            np.concatenate([self.last, other.last]),
            np.concatenate([self.vector, other.vector]),
            np.concatenate([self.inside, other.inside]),
        )


def stays(positions: Floats, finder: Finder) -> Stays:
    """Stays of atoms from their continuous positions (atoms, 3, frames), Angstrom, in the frame of the sites."""
    by_atom = [_stays(path, finder) for path in positions]
    return sum(by_atom[1:], by_atom[0])


def _stays(path: Floats, finder: Finder) -> Stays:
    distance, site, step = finder.nearest(path)
    visits = np.flatnonzero(distance < finder.sites.radius[site])
    if not len(visits):
        empty = np.zeros(0, dtype=int)
        return Stays(1, empty, empty, empty, empty, np.zeros((0, 3)), np.zeros(1, dtype=int))
    image = np.column_stack([site[visits], step[visits]])
    begins = np.concatenate([[0], 1 + np.flatnonzero((image[1:] != image[:-1]).any(axis=1))])
    ends = np.append(begins[1:], len(visits)) - 1
    centres = finder.sites.positions[image[begins, 0]] + image[begins, 1:] @ finder.sites.cell
    vector = np.full(centres.shape, np.nan)
    vector[1:] = np.diff(centres, axis=0)
    return Stays(
        1,
        np.zeros(len(begins), dtype=int),
        image[begins, 0],
        visits[begins],
        visits[ends],
        vector,
        np.array([len(visits)]),
    )
