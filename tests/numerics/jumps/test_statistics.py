"""Jump statistics of walks whose rates are known, of atoms that never jump and of atoms that flow."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.numerics.jumps.sites import Finder, Sites, sites_in, stays
from mlraman_hpc.numerics.jumps.statistics import JumpStatistics, jump_statistics
from mlraman_hpc.numerics.transport.diffusion import diffusion
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags, own_displacements
from mlraman_hpc.records.transport import JumpMotion
from tests.close import assert_close

EDGE, CELLS, INTERVAL, ATOMS = 3.0, 3, 10.0, 16
DIRECTIONS = np.concatenate([np.eye(3), -np.eye(3)])
PERIODIC = np.ones(3, dtype=bool)


def lattice(cells: int = CELLS) -> Sites:
    """Simple cubic."""
    axis = np.arange(cells) / cells
    return sites_in(cells * EDGE * np.eye(3), PERIODIC, np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3))


def walk(frames: int, tau: float, vibration: float = 0.25, seed: int = 0) -> np.ndarray:
    """(atoms, 3, frames) continuous-time random walk with a mean of `tau` frames between jumps, and vibrations."""
    rng = np.random.default_rng(seed)
    jumps = rng.poisson(1 / tau, size=(ATOMS, frames))
    steps = np.zeros((ATOMS, frames, 3))
    for atom, frame in np.argwhere(jumps):
        steps[atom, frame] = DIRECTIONS[rng.integers(6, size=jumps[atom, frame])].sum(axis=0)
    places = EDGE * (np.cumsum(steps, axis=1) + rng.integers(-4, 9, size=(ATOMS, 1, 3)))
    return (places + rng.normal(scale=vibration, size=places.shape)).transpose(0, 2, 1)


def statistics(positions: np.ndarray, sites: Sites | None = None) -> JumpStatistics:
    frames = positions.shape[-1]
    sites, lags = sites or lattice(), log_lags(frames)
    d = diffusion(displacement_sums(positions, lags), lags, INTERVAL)
    by_atom = own_displacements(positions, lags) @ d.weights
    assert np.isnan(d.value) or by_atom.mean() == pytest.approx(d.value)
    return jump_statistics(stays(positions, Finder(sites)), sites, frames, INTERVAL, by_atom)


def test_a_random_walk_with_vibrations():
    """One jump in 2 ps: rate, lengths, one rate, f = 1; the bars hold the truth."""
    found = [statistics(walk(2500, 200, seed=seed)) for seed in range(5)]
    for one in found:
        assert abs(one.correlation - 1) < 3 * one.correlation_error < 0.3
        assert one.transit < 0.01 and one.motion is JumpMotion.HOPPING
        assert one.lengths[0] == pytest.approx(EDGE) and one.counts[0] > 0.98 * one.jumps
        assert one.occupancy.sum() == pytest.approx(ATOMS, rel=0.01)
        assert abs(one.diffusion - EDGE**2 / 6 / 2 * 1e-4) < 3.5 * one.diffusion_error
        assert not one.warnings
    assert np.mean([abs(one.rate - 0.5) < one.rate_error for one in found]) >= 0.5
    assert all(abs(one.rate - 0.5) < 3 * one.rate_error for one in found)
    assert np.mean([one.residence for one in found]) == pytest.approx(2.0, rel=0.05)
    assert np.mean([one.one_rate for one in found]) > 0.7  # 95 % expected
    assert np.mean([one.returns for one in found]) == pytest.approx(1 / 6, abs=0.03)
    survival = np.concatenate([np.interp(2.0, one.time, one.survival)[None] for one in found])
    assert survival.mean() == pytest.approx(np.exp(-1), abs=0.04)


@pytest.mark.slow
def test_error_of_the_correlation_factor():
    """f = 1 for independent jumps, whose number is in D and in D_jump and cancels."""
    found = [statistics(walk(1200, 60, seed=seed)) for seed in range(30)]
    f, error = np.array([(one.correlation, one.correlation_error) for one in found]).T
    assert f.mean() == pytest.approx(1, abs=0.02)
    assert 0.75 < np.sqrt(np.mean((f - 1) ** 2 / error**2)) < 1.3


def test_a_single_atom_has_no_error_of_the_correlation_factor():
    found = statistics(walk(3000, 60)[:1])
    assert np.isnan(found.correlation_error)


def test_atoms_that_never_jump_give_a_bound():
    found = statistics(walk(1000, 1e12))
    assert found.jumps == 0 and found.motion is JumpMotion.NO_JUMPS
    assert found.rate == pytest.approx(3 / (16 * 10.0))
    assert np.isnan(found.residence) and np.isnan(found.correlation) and found.one_rate is None
    assert found.transit == 0 and found.diffusion == 0 and not len(found.lengths)


def test_frames_too_far_apart_are_warned_of():
    assert any("store frames more often" in text for text in statistics(walk(1000, 5)).warnings)
    found = statistics(walk(1000, 1))
    assert any("pass over neighbouring sites" in text for text in found.warnings)


def test_swinging_across_the_boundary_is_no_jump():
    """From one core's edge to 0.6 of the way and back, again and again; then once all the way."""
    way = np.concatenate([np.tile([0.0, 0.2, 0.4, 0.6, 0.4, 0.2], 50), [0.5, 0.9, 1.0, 1.0]])
    path = np.random.default_rng(0).normal(scale=0.01, size=(1, 3, len(way)))
    path[0, 0] += EDGE * way
    found = statistics(path)
    assert found.jumps == 1 and found.lengths == pytest.approx([EDGE])


def test_jumps_back_and_forth_lead_nowhere():
    rng = np.random.default_rng(1)
    state = np.cumsum(rng.random((ATOMS, 3000)) < 0.01, axis=1) % 2
    positions = rng.normal(scale=0.2, size=(ATOMS, 3, 3000))
    positions[:, 0] += EDGE * state
    found = statistics(positions)
    assert found.returns == 1.0
    assert found.jumps == pytest.approx(np.abs(np.diff(state, axis=1)).sum(), abs=5)
    assert not found.correlation > 0.2  # where the mean squared displacement calls the motion diffusive at all


def test_rattling_with_rare_jumps_diffuses_by_the_rare_ones():
    """Pairs of sites that an atom changes between every 20 frames, and a random walk of one jump in 200."""
    rng = np.random.default_rng(3)
    positions = walk(3000, 200, seed=3)
    positions[:, 0] += EDGE * (np.cumsum(rng.random((ATOMS, 3000)) < 0.05, axis=1) % 2)
    found = statistics(positions)
    assert found.correlation == pytest.approx(1 / 11, abs=3 * found.correlation_error)
    assert found.undone and found.verdict.endswith("; most jumps are undone by later ones")


def test_brownian_motion_flows():
    rng = np.random.default_rng(2)
    positions = np.cumsum(rng.normal(scale=0.12, size=(ATOMS, 3, 4000)), axis=-1)
    found = statistics(positions)
    assert found.motion is JumpMotion.LIQUID and found.transit > 0.5
    assert found.outside == pytest.approx(found.outside_volume, abs=0.03)


def test_the_same_site_in_the_next_cell_is_another_site():
    path = np.random.default_rng(0).normal(scale=0.01, size=(1, 3, 40))
    path[0, 0, 20:] -= EDGE
    found = statistics(path, lattice(1))
    assert found.jumps == 1 and found.lengths == pytest.approx([EDGE])


def test_atoms_on_no_site_are_warned_of():
    positions = np.full((2, 3, 100), EDGE / 2) + np.random.default_rng(0).normal(scale=0.01, size=(2, 3, 100))
    positions[0] -= EDGE / 2
    found = statistics(positions)
    assert found.warnings == ("1 of 2 atoms are never in the core of any site; sites may be missing",)
    assert found.outside == 0.5


def test_cores_do_not_overlap_and_can_be_chosen():
    assert_close(lattice().radius, np.full(27, EDGE / 3))
    two = np.array([[0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0.5]])
    sites = sites_in(10 * np.eye(3), PERIODIC, two, core=0.8)
    assert_close(sites.radius, [0.5, 0.5, 0.8])
    assert sites_in(30 * np.eye(3), PERIODIC, two[:1]).radius[0] < 3


def test_blocks_of_atoms_add_up():
    positions, finder = walk(500, 50), Finder(lattice())
    whole, parts = stays(positions, finder), stays(positions[:5], finder) + stays(positions[5:], finder)
    for name in ("atoms", "atom", "site", "first", "last", "vector", "inside"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
