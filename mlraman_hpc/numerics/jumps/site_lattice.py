"""Lattice sites of a reference structure, brought into the cell of a trajectory.

The reference's cell may be that of the trajectory or one of which it is a supercell, B = P A with a matrix P of
integers; its axes may be turned. Fractional coordinates are taken over, so that sites follow the trajectory's mean
cell, and the origin is where the host atoms' mean positions lie closest to the reference's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics import Floats, Integers

MOST_STRAIN = 0.08  # of a cell vector's length
MOST_TURN = 4.0  # degrees, of a cell's angle
MATCH_DISTANCE = 1.0  # Angstrom between a host atom's mean position and an atom of the reference that match
ANCHORS = 4  # host atoms that are tried as the one that sits exactly on an atom of the reference
LEAST_MATCHED = 0.5  # of the host atoms
CLOSEST = 0.3  # Angstrom between two sites


@dataclass(frozen=True)
class Crystal:
    """Cell (3, 3) with rows a, b, c in Angstrom; elements (atoms,) as atomic numbers; fractional coordinates."""

    cell: Floats
    numbers: Integers
    scaled: Floats

    def of(self, number: int) -> Floats:
        """(atoms, 3) fractional coordinates of one element."""
        scaled: Floats = self.scaled[self.numbers == number]
        return scaled


def supercell_matrix(cell: Floats, unit: Floats) -> Integers:
    """P (3, 3) of integers such that B = P A for `cell` B and `unit` A, up to a small strain and a rotation.

    Raises DataError where there is none.
    """
    lengths = np.linalg.norm(cell, axis=1) / np.linalg.norm(unit, axis=1)
    for p in (np.rint(cell @ np.linalg.inv(unit)), np.diag(np.maximum(np.rint(lengths), 1))):
        if abs(np.linalg.det(p)) > 0.5 and _alike(cell, p @ unit):
            return np.asarray(p, dtype=int)
    raise DataError(
        f"its cell ({_lengths(unit)}) is neither the trajectory's ({_lengths(cell)}) nor one of which that "
        "is a multiple; give the sites in one of these cells"
    )


def _alike(cell: Floats, other: Floats) -> bool:
    ratio = np.linalg.norm(cell, axis=1) / np.linalg.norm(other, axis=1)
    angles = np.degrees(np.arccos(np.clip(_cosines(cell), -1, 1)) - np.arccos(np.clip(_cosines(other), -1, 1)))
    return bool((np.abs(ratio - 1) < MOST_STRAIN).all() and (np.abs(angles) < MOST_TURN).all())


def _cosines(cell: Floats) -> Floats:
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    return np.array([unit[1] @ unit[2], unit[2] @ unit[0], unit[0] @ unit[1]])


def _lengths(cell: Floats) -> str:
    return " x ".join(f"{x:.2f}" for x in np.linalg.norm(cell, axis=1)) + " Angstrom"


def tiled(crystal: Crystal, p: Integers) -> Crystal:
    """The crystal repeated to fill the cell P A; copies of one atom follow one another."""
    inverse = np.linalg.inv(p)
    reach = np.abs(p).sum(axis=0)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    scaled_steps = steps @ inverse
    inside = steps[((scaled_steps > -1e-9) & (scaled_steps < 1 - 1e-9)).all(axis=1)]
    scaled = ((crystal.scaled[:, None] + inside[None]) @ inverse).reshape(-1, 3)
    return Crystal(p @ crystal.cell, np.repeat(crystal.numbers, len(inside)), scaled)


def check_counts(reference: Crystal, numbers: Integers, host: list[int], names: dict[int, str]) -> None:
    """Raises DataError where the tiled reference has another number of host atoms than the trajectory."""
    for number in host:
        needed, present = int((numbers == number).sum()), int((reference.numbers == number).sum())
        if present and present != needed:
            raise DataError(
                f"has {present} {names[number]} in the trajectory's cell, which has {needed}; give the sites "
                "with the whole host lattice of the trajectory, or with none of it"
            )


def aligned(reference: Crystal, host: Crystal, copies: int) -> tuple[Crystal, float]:
    """The reference with its origin moved; rms distance (Angstrom) of the host atoms that match one of its atoms.

    Both crystals have the same cell; host: mean positions in the trajectory. copies: of one atom in the tiled
    reference, which are equivalent. The inverted reference is tried too: without a centre of symmetry the two settings
    of a structure differ by it. Elements that only one of the two has are left out. Raises DataError where fewer than
    half of the host atoms match.
    """
    settings = [replace(reference, scaled=sign * reference.scaled) for sign in (1, -1)]
    shifts = [_best_shift(setting, host, copies) for setting in settings]
    chosen = int(shifts[1][1] < 0.5 * shifts[0][1])  # as they are, unless inversion is clearly better
    shift, score, rms = shifts[chosen]
    if score > (1 - LEAST_MATCHED) * MATCH_DISTANCE**2:
        raise DataError(
            f"its host lattice does not lie on that of the trajectory (root mean square distance, cut at "
            f"{MATCH_DISTANCE:g} Angstrom, {np.sqrt(score):.2f}); give a structure of this phase with the same axes"
        )
    return replace(settings[chosen], scaled=settings[chosen].scaled + shift), rms


def _best_shift(reference: Crystal, host: Crystal, copies: int) -> tuple[Floats, float, float]:
    """Shift of fractional coordinates (3,), mean square distance cut at MATCH_DISTANCE, rms of those that match."""
    common = [number for number in np.unique(host.numbers) if (reference.numbers == number).any()]
    rarest = min(common, key=lambda number: ((host.numbers == number).sum(), number))
    trees = {number: _tree(reference.of(number), host.cell) for number in common}
    anchors = host.of(rarest)
    best: tuple[Floats, float, float] = (np.zeros(3), np.inf, np.inf)
    for anchor in anchors[:: -(-len(anchors) // ANCHORS)]:
        for candidate in reference.of(rarest)[::copies]:
            shift, score, rms = _refined(host, trees, anchor - candidate)
            if score < best[1] - 1e-9:
                best = (shift, score, rms)
    return best


def _refined(host: Crystal, trees: dict[int, cKDTree], shift: Floats) -> tuple[Floats, float, float]:
    """Shift at which the matching atoms' mean distance vanishes; the mean square distance and rms of `_best_shift`."""
    for _ in range(4):
        steps = np.concatenate([_steps(host.of(number) - shift, tree, host.cell) for number, tree in trees.items()])
        square = np.sum(steps**2, axis=1)
        matching = square < MATCH_DISTANCE**2
        if not matching.any():
            break
        shift = shift + steps[matching].mean(axis=0) @ np.linalg.inv(host.cell)
    rms = float(np.sqrt(square[matching].mean())) if matching.any() else np.inf
    return shift, float(np.minimum(square, MATCH_DISTANCE**2).mean()), rms


_IMAGES = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _tree(scaled: Floats, cell: Floats) -> cKDTree:
    inside = scaled - np.floor(scaled)
    return cKDTree(((inside[:, None] + _IMAGES[None]).reshape(-1, 3)) @ cell)


def _steps(scaled: Floats, tree: cKDTree, cell: Floats) -> Floats:
    """(atoms, 3) Angstrom from the nearest atom of the tree to each atom."""
    positions = (scaled - np.floor(scaled)) @ cell
    steps: Floats = positions - tree.data[tree.query(positions)[1]]
    return steps


def check_sites(scaled: Floats, cell: Floats) -> None:
    """Raises DataError for sites that coincide."""
    if len(scaled) > 1:
        tree = _tree(scaled, cell)
        closest = tree.query((scaled - np.floor(scaled)) @ cell, k=2)[0][:, 1].min()
        if closest < CLOSEST:
            raise DataError(f"two of its sites are {closest:.2g} Angstrom apart; give each site once")
