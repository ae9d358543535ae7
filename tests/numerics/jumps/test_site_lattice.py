"""Sites of a reference structure find their place in the trajectory's cell, or say why they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.jumps.site_lattice import Crystal, aligned, check_counts, check_sites, supercell_matrix, tiled

CELL = np.array([[4.0, 0, 0], [0.5, 5.0, 0], [0, 0.3, 6.0]])
NUMBERS = np.array([16, 16, 15, 3, 3])
SCALED = np.array([[0.0, 0, 0], [0.45, 0.5, 0.1], [0.2, 0.7, 0.4], [0.5, 0.1, 0.6], [0.8, 0.4, 0.9]])
UNIT = Crystal(CELL, NUMBERS, SCALED)


def host_of(crystal: Crystal, shift, noise: float = 0.0) -> Crystal:
    """Its S and P in shuffled order, moved."""
    rng = np.random.default_rng(0)
    kept = rng.permutation(np.flatnonzero(crystal.numbers != 3))
    moved = crystal.scaled[kept] + shift + rng.normal(scale=noise, size=(len(kept), 3)) @ np.linalg.inv(crystal.cell)
    return Crystal(crystal.cell, crystal.numbers[kept], moved)


@pytest.mark.parametrize("p", [np.eye(3), np.diag([2, 1, 3]), np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]])])
def test_a_supercell_is_found_and_filled(p):
    cell = 1.02 * (p @ CELL)
    assert np.array_equal(supercell_matrix(cell, CELL), p)
    big = tiled(UNIT, p.astype(int))
    copies = round(np.linalg.det(p))
    assert len(big.numbers) == 5 * copies and np.array_equal(big.numbers[::copies], NUMBERS)
    positions = big.scaled @ big.cell
    steps = (positions.reshape(5, copies, 3) - (SCALED @ CELL)[:, None]) @ np.linalg.inv(CELL)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    inside = np.round(big.scaled - np.floor(big.scaled + 1e-9), 6)
    assert len(np.unique(inside, axis=0)) == 5 * copies


def test_turned_axes_are_no_obstacle():
    assert np.array_equal(supercell_matrix(CELL[[2, 0, 1]], CELL), np.eye(3)[[2, 0, 1]])
    turn = Rotation.from_rotvec([0.3, -0.5, 1.0]).as_matrix()
    assert np.array_equal(supercell_matrix(np.diag([2, 2, 1]) @ CELL @ turn, CELL), np.diag([2, 2, 1]))


def test_another_cell_is_refused():
    with pytest.raises(DataError, match="nor one of which that is a multiple"):
        supercell_matrix(1.3 * CELL, CELL)
    with pytest.raises(DataError, match="nor one of which that is a multiple"):
        supercell_matrix(CELL, np.diag([2, 1, 1]) @ CELL)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_origin_is_that_of_the_host_lattice(sign):
    big = tiled(UNIT, np.diag([2, 1, 2]))
    setting = Crystal(big.cell, big.numbers, sign * big.scaled)
    found, rms = aligned(big, host_of(setting, np.array([0.13, 0.4, -0.77]), 0.1), 4)
    step = (found.of(3) - setting.of(3) - [0.13, 0.4, -0.77]) @ np.diag([2, 1, 2])  # up to a lattice vector of the unit
    np.testing.assert_allclose(step, np.rint(step), atol=0.03)
    assert 0.1 < rms < 0.25


def test_a_few_atoms_far_from_their_places_do_not_move_the_origin():
    big = tiled(UNIT, np.diag([3, 2, 2]))
    host = host_of(big, np.array([0.1, 0.0, 0.05]))
    host.scaled[:8] += 0.3
    found, _ = aligned(big, host, 12)
    step = (found.of(3) - big.of(3) - [0.1, 0.0, 0.05]) @ np.diag([3, 2, 2])
    np.testing.assert_allclose(step, np.rint(step), atol=0.02)


def test_another_host_lattice_is_refused():
    big = tiled(UNIT, np.diag([2, 2, 2]))
    wrong = Crystal(big.cell, np.array([16] * 16 + [15] * 8), np.random.default_rng(3).uniform(size=(24, 3)))
    with pytest.raises(DataError, match="does not lie on that of the trajectory"):
        aligned(big, wrong, 8)


def test_other_numbers_of_atoms_are_refused():
    with pytest.raises(DataError, match="has 2 S in the trajectory's cell, which has 3"):
        check_counts(UNIT, np.array([16, 16, 16, 15]), [15, 16], {15: "P", 16: "S"})
    check_counts(UNIT, np.array([16, 16, 15, 17]), [15, 16, 17], {15: "P", 16: "S", 17: "Cl"})


def test_sites_that_coincide_are_refused():
    with pytest.raises(DataError, match="give each site once"):
        check_sites(np.array([[0.01, 0, 0], [0.99, 0, 0]]), CELL)
    check_sites(SCALED, CELL)
