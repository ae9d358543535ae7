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

MOST_STRAIN = 0.08  # of a cell vector's length
MOST_TURN = 4.0  # degrees, of a cell's angle
NEAR = 1.0  # Angstrom within which a host atom has found its place
ANCHORS = 4  # host atoms that are tried as the one that sits exactly on a place of the reference
LEAST_FOUND = 0.5  # of the host atoms
CLOSEST = 0.3  # Angstrom between two sites


@dataclass(frozen=True)
class Crystal:
    """Cell (3, 3) with rows a, b, c in Angstrom; elements (atoms,) as atomic numbers; fractional coordinates."""

    cell: np.ndarray
    numbers: np.ndarray
    scaled: np.ndarray

    def of(self, number: int) -> np.ndarray:
        return self.scaled[self.numbers == number]


def supercell_matrix(cell: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """P (3, 3) of integers such that `cell` is P unit up to a small strain and a rotation.

    Raises DataError where there is none.
    """
    lengths = np.linalg.norm(cell, axis=1) / np.linalg.norm(unit, axis=1)
    for p in (np.rint(cell @ np.linalg.inv(unit)), np.diag(np.maximum(np.rint(lengths), 1))):
        if abs(np.linalg.det(p)) > 0.5 and _alike(cell, p @ unit):
            return p.astype(int)
    raise DataError(
        f"its cell ({_lengths(unit)}) is neither the trajectory's ({_lengths(cell)}) nor one of which that "
        "is a multiple; give the sites in one of these cells"
    )


def _alike(cell: np.ndarray, other: np.ndarray) -> bool:
    one, two = (np.linalg.norm(c, axis=1) for c in (cell, other))
    angles = np.degrees(np.arccos(np.clip(_cosines(cell), -1, 1)) - np.arccos(np.clip(_cosines(other), -1, 1)))
    return bool((np.abs(one / two - 1) < MOST_STRAIN).all() and (np.abs(angles) < MOST_TURN).all())


def _cosines(cell: np.ndarray) -> np.ndarray:
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    return np.array([unit[1] @ unit[2], unit[2] @ unit[0], unit[0] @ unit[1]])


def _lengths(cell: np.ndarray) -> str:
    return " x ".join(f"{x:.2f}" for x in np.linalg.norm(cell, axis=1)) + " Angstrom"


def tiled(crystal: Crystal, p: np.ndarray) -> Crystal:
    """The crystal repeated to fill the cell P A; copies of one atom follow one another."""
    inverse = np.linalg.inv(p)
    reach = np.abs(p).sum(axis=0)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    inside = steps @ inverse
    kept = steps[((inside > -1e-9) & (inside < 1 - 1e-9)).all(axis=1)]
    scaled = ((crystal.scaled[:, None] + kept[None]) @ inverse).reshape(-1, 3)
    return Crystal(p @ crystal.cell, np.repeat(crystal.numbers, len(kept)), scaled)


def check_counts(reference: Crystal, numbers: np.ndarray, host: list[int], names: dict[int, str]) -> None:
    """Raises DataError where the tiled reference has another number of host atoms than the trajectory."""
    for number in host:
        wanted, found = int((numbers == number).sum()), int((reference.numbers == number).sum())
        if found and found != wanted:
            raise DataError(
                f"has {found} {names[number]} in the trajectory's cell, which has {wanted}; give the sites "
                "with the whole host lattice of the trajectory, or with none of it"
            )


def aligned(reference: Crystal, host: Crystal, copies: int) -> tuple[Crystal, float]:
    """The reference with its origin moved; rms distance (Angstrom) of the host atoms that found a place.

    Both crystals have the same cell; host: mean positions in the trajectory. copies: of one atom in the tiled
    reference, which are equivalent. The inverted reference is tried too: without a centre of symmetry the two settings
    of a structure differ by it. Elements that only one of the two has are left out. Raises DataError where fewer than
    half of the host atoms lie within NEAR of one of theirs.
    """
    settings = [replace(reference, scaled=sign * reference.scaled) for sign in (1, -1)]
    found = [_best_shift(setting, host, copies) for setting in settings]
    chosen = int(found[1][1] < 0.5 * found[0][1])  # as they are, unless inversion is clearly better
    shift, score, rms = found[chosen]
    if score > (1 - LEAST_FOUND) * NEAR**2:
        raise DataError(
            f"its host lattice does not lie on that of the trajectory (root mean square distance, cut at "
            f"{NEAR:g} Angstrom, {np.sqrt(score):.2f}); give a structure of this phase with the same axes"
        )
    return replace(settings[chosen], scaled=settings[chosen].scaled + shift), rms


def _best_shift(reference: Crystal, host: Crystal, copies: int) -> tuple[np.ndarray, float, float]:
    """Shift of fractional coordinates (3,), mean square distance cut at NEAR, rms of the near ones."""
    common = [number for number in np.unique(host.numbers) if (reference.numbers == number).any()]
    rarest = min(common, key=lambda number: ((host.numbers == number).sum(), number))
    trees = {number: _tree(reference.of(number), host.cell) for number in common}
    there = host.of(rarest)
    best = None
    for anchor in there[:: -(-len(there) // ANCHORS)]:
        for candidate in reference.of(rarest)[::copies]:
            shift, score, rms = _settled(host, trees, reference, anchor - candidate)
            if best is None or score < best[1] - 1e-9:
                best = (shift, score, rms)
    return best


def _settled(host: Crystal, trees: dict, reference: Crystal, shift: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Shift at which the near atoms' mean distance vanishes; mean square distance, cut at NEAR; rms of the near."""
    for _ in range(4):
        steps = np.concatenate(
            [_steps(host.of(number) - shift, reference.of(number), trees[number], host.cell) for number in trees]
        )
        square = np.sum(steps**2, axis=1)
        near = square < NEAR**2
        if not near.any():
            break
        shift = shift + steps[near].mean(axis=0) @ np.linalg.inv(host.cell)
    rms = float(np.sqrt(square[near].mean())) if near.any() else np.inf
    return shift, float(np.minimum(square, NEAR**2).mean()), rms


_IMAGES = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _tree(scaled: np.ndarray, cell: np.ndarray) -> cKDTree:
    inside = scaled - np.floor(scaled)
    return cKDTree(((inside[:, None] + _IMAGES[None]).reshape(-1, 3)) @ cell)


def _steps(scaled: np.ndarray, places: np.ndarray, tree: cKDTree, cell: np.ndarray) -> np.ndarray:
    """(atoms, 3) Angstrom from the nearest place to each atom."""
    here = (scaled - np.floor(scaled)) @ cell
    return here - tree.data[tree.query(here)[1]]


def check_sites(scaled: np.ndarray, cell: np.ndarray) -> None:
    """Raises DataError for sites that coincide."""
    if len(scaled) > 1:
        tree = _tree(scaled, cell)
        closest = tree.query((scaled - np.floor(scaled)) @ cell, k=2)[0][:, 1].min()
        if closest < CLOSEST:
            raise DataError(f"two of its sites are {closest:.2g} Angstrom apart; give each site once")
