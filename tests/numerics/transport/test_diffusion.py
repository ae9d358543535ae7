"""Mean squared displacement, unwrapping and diffusion against closed forms, direct sums and random walks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from mlraman_hpc.base.cells import cartesian, completed, fractional
from mlraman_hpc.numerics.transport import diffusion as estimator
from mlraman_hpc.numerics.transport.diffusion import diffusion, fit_line, jump_covariance, window_covariance
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags, mean_squared_displacement, unwrap
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.transport import Motion
from tests.close import assert_close

ALL = np.ones(3, dtype=bool)
UNIT = 0.1  # cm^2/s for 1 Angstrom^2/fs


def walks(seed: int, atoms: int, frames: int, step: float = 0.1, shake: float = 0.0, time: float = 5.0) -> np.ndarray:
    """Random walks with an overdamped vibration on top; D = step^2/2 along each axis, per frame."""
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(scale=step, size=(atoms, 3, frames)), axis=-1)
    if shake:
        memory = np.exp(-1 / time)
        noise = rng.normal(scale=shake * np.sqrt(1 - memory**2), size=positions.shape)
        local = rng.normal(scale=shake, size=(atoms, 3))
        for k in range(frames):
            local = memory * local + noise[..., k]
            positions[..., k] += local
    return positions


def found(positions: np.ndarray, interval: float = 1.0, **window):
    lags = log_lags(positions.shape[-1])
    return diffusion(displacement_sums(positions, lags), lags, interval, **window)


def test_msd_is_the_direct_sum():
    x = walks(0, 2, 37)
    direct = [np.mean((x[..., k:] - x[..., : x.shape[-1] - k]) ** 2, axis=-1) for k in range(37)]
    assert_close(mean_squared_displacement(x), np.moveaxis(direct, 0, -1))


def test_msd_of_uniform_motion_far_from_the_origin():
    x = 1e4 + 0.01 * np.arange(5000.0)
    msd = displacement_sums(np.stack([x, x, x])[None], np.array([1])).msd
    assert_close(msd, 3 * (0.01 * np.arange(5000)) ** 2, rtol=1e-6)


def test_moments_of_gaussian_displacements():
    x = np.random.default_rng(1).normal(size=(40, 3, 4000))
    lags = np.array([1, 7])
    sums = displacement_sums(x, lags)
    assert sums.rms == pytest.approx(np.sqrt(3), rel=0.01)
    np.testing.assert_allclose(sums.non_gaussian(lags), 0, atol=0.01)


def test_non_gaussian_parameter_of_rare_jumps():
    """Independent Gaussian jumps with probability p a frame: alpha_2 = (1/p - 1)/k, as their number is binomial."""
    rng = np.random.default_rng(2)
    p, atoms, frames = 0.05, 100, 3000
    steps = rng.normal(size=(atoms, 3, frames)) * (rng.random((atoms, 1, frames)) < p)
    lags = np.array([1, 4])
    expected = (1 / p - 1) / lags
    sums = displacement_sums(np.cumsum(steps, axis=-1), lags)
    assert_close(sums.non_gaussian(lags), expected, rtol=0.05)


def test_unwrapping_gives_back_what_was_wrapped():
    x = walks(3, 5, 400, step=0.05)
    wrapped = x - np.floor(x)
    largest = unwrap(wrapped, ALL)
    assert_close(wrapped - wrapped[..., :1], x - x[..., :1])
    assert_close(largest, np.abs(np.diff(x, axis=-1)).max(axis=(0, 2)))


def test_unwrapping_leaves_continuous_and_open_directions_alone():
    x = walks(4, 3, 300, step=0.08)
    same = x.copy()
    unwrap(same, ALL)
    assert (same == x).all()
    jumping = np.cumsum(np.full((1, 3, 5), 0.9), axis=-1)
    kept = jumping.copy()
    assert unwrap(kept, np.array([False, True, False]))[0] == 0
    assert (kept[:, [0, 2]] == jumping[:, [0, 2]]).all() and (kept[:, 1] != jumping[:, 1]).any()


def test_fractional_coordinates_of_a_slab_and_a_skewed_cell():
    rng = np.random.default_rng(5)
    cells = np.array([[[5, 0, 0], [1, 6, 0], [0, 0, 0]]], dtype=float)
    full = completed(cells, np.array([True, True, False]))
    assert_close(np.abs(full[0, 2]), [0, 0, 1])
    positions = rng.normal(size=(1, 7, 3))
    back = cartesian(fractional(positions, full).transpose(1, 2, 0), full[0])
    assert_close(back[..., 0], positions[0])


@pytest.mark.parametrize("gamma", [lambda t: 0.02 * t, lambda t: 0.02 * t + 0.3 * (1 - np.exp(-t / 4))])
def test_covariance_of_windows_is_that_of_many_samples(gamma):
    """A Gaussian process with the given structure function, drawn exactly through its covariance matrix."""
    frames, lags = 60, np.array([1, 5, 20, 30])
    t = np.arange(frames)
    curve = gamma(t)
    covariance = 0.5 * (curve[:, None] + curve[None, :] - curve[np.abs(t[:, None] - t[None, :])])
    root = np.linalg.cholesky(covariance[1:, 1:] + 1e-12 * np.eye(frames - 1))
    samples = np.random.default_rng(6).normal(size=(20000, frames - 1)) @ root.T
    x = np.concatenate([np.zeros((20000, 1)), samples], axis=1)
    measured = np.cov(mean_squared_displacement(x)[:, lags].T)
    exact = window_covariance(curve, lags)
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    np.testing.assert_allclose(measured / scale, exact / scale, atol=0.04)


def test_covariance_of_rare_jumps_is_that_of_many_samples():
    rng = np.random.default_rng(7)
    frames, lags, p = 60, np.array([1, 5, 20]), 0.05
    steps = rng.normal(size=(20000, frames)) * (rng.random((20000, frames)) < p)
    measured = np.cov(mean_squared_displacement(np.cumsum(steps, axis=-1))[:, lags].T)
    cumulant = 3 * p - 3 * p**2
    exact = window_covariance(p * np.arange(frames), lags) + cumulant * jump_covariance(frames, lags)
    assert_close(measured, exact, rtol=0.08)


def test_line_through_exact_values():
    lags = np.array([1, 2, 4, 8])
    line = fit_line(lags, 3.0 + 0.5 * lags, np.diag(lags**2.0))
    assert (line.offset, line.slope) == (pytest.approx(3.0), pytest.approx(0.5))
    assert line.probability == pytest.approx(1.0)


@pytest.mark.parametrize(("atoms", "shake"), [(16, 0.0), (16, 0.4), (4, 0.3)])
def test_one_standard_error_covers_the_truth_as_often_as_it_says(atoms, shake):
    """60 to 76 of 100 seeds; the process is fixed by its seeds, so that the test cannot fail by chance."""
    truth = 0.1**2 / 2 * UNIT
    results = [found(walks(seed, atoms, 300, shake=shake, time=3.0)) for seed in range(100)]
    results = [result for result in results if result.motion is Motion.DIFFUSIVE]
    inside = [abs(result.value - truth) < result.error for result in results]
    assert len(results) >= 90
    assert 0.60 <= np.mean(inside) <= 0.76


def fast_hops(rng, atoms: int = 64, frames: int = 700, residence: float = 10.0) -> np.ndarray:
    """Hops of 3 Angstrom along the axes, a vibration whose memory is 0.7 on top: it bends the first lags only."""
    rate = np.full((atoms, 3, frames), 1 / residence / 6)
    sites = 3.0 * np.cumsum(rng.poisson(rate) - rng.poisson(rate), axis=-1)
    noise = rng.normal(scale=0.3 * np.sqrt(1 - 0.7**2), size=sites.shape)
    return sites + lfilter([1.0], [1.0, -0.7], noise, axis=-1)


def taking_turns(rng, atoms: int = 64, frames: int = 700, lasting: float = 150.0) -> np.ndarray:
    """Atoms that walk and rest in turn: some happen to walk more than others."""
    switches = rng.random((atoms, frames)) < 1 / lasting
    mobile = (np.cumsum(switches, axis=1) + rng.integers(2, size=(atoms, 1))) % 2
    return np.cumsum(rng.normal(scale=0.4, size=(atoms, 3, frames)) * mobile[:, None], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize(("process", "truth"), [(fast_hops, 3.0**2 / 6 / 10), (taking_turns, 0.4**2 / 4)])
def test_error_bars_of_processes_that_are_not_gaussian(process, truth):
    """60 fixed seeds each. Hidden curvature made the first D too large, and atoms that differ the second bar small."""
    results = [found(process(np.random.default_rng(seed))) for seed in range(60)]
    values = np.array([result.value for result in results]) / (truth * UNIT)
    errors = np.array([result.error for result in results]) / (truth * UNIT)
    assert 0.8 < np.sqrt(np.mean((values - 1) ** 2 / errors**2)) < 1.25
    assert values.mean() == pytest.approx(1, abs=0.015)


def test_error_of_a_line_with_other_weights_than_the_best():
    """One standard error of the weights that the covariance asks for, under the scatter that there is."""
    lags, scatter = np.array([1.0, 2, 4, 8]), np.diag([4.0, 3, 2, 1])
    line = fit_line(lags, 1 + lags, np.eye(4), scatter)
    weights = (lags - lags.mean()) / np.sum((lags - lags.mean()) ** 2)
    assert line.slope_error == pytest.approx(np.sqrt(weights @ scatter @ weights))


def test_products_of_the_atoms_own_displacements():
    x, lags = walks(11, 5, 60), np.array([1, 4, 20])
    sums = displacement_sums(x[:2], lags) + displacement_sums(x[2:], lags)
    own = mean_squared_displacement(x)[..., lags]
    assert_close(sums.products[1], own[:, 1].T @ own[:, 1])
    assert_close(sums.products[3], own.sum(axis=1).T @ own.sum(axis=1))


def test_units_and_axes():
    x = walks(8, 50, 800) * np.array([1.0, 2.0, 0.5])[:, None]
    result = found(x, interval=10.0)
    truth = 0.1**2 / 2 * np.array([1, 4, 0.25]) / 10 * UNIT
    assert (np.abs(result.axes - truth) < 3 * result.axes_error).all()
    assert abs(result.value - truth.mean()) < 3 * result.error
    assert result.last == 4000.0


def test_the_window_that_the_user_gives_is_used():
    result = found(walks(9, 16, 600), interval=2.0, fit_from=100.0, fit_to=300.0)
    assert 100 <= result.first <= 150 and 200 < result.last <= 300


def test_bound_atoms_do_not_diffuse():
    for seed in range(20):
        result = found(walks(seed, 16, 400, step=0.0, shake=0.4))
        assert result.motion is Motion.BOUND and np.isnan(result.value)
        assert 0 < result.upper < 5e-5


def test_superdiffusive_motion_is_not_fitted():
    t = np.arange(400)
    x = np.random.default_rng(1).normal(size=(20, 3, 1)) * t + walks(1, 20, 400, step=0.5)
    assert found(x).motion is Motion.CURVED


def test_atoms_at_rest_and_short_trajectories_get_a_verdict():
    frozen = found(np.ones((3, 3, 50)))
    assert frozen.motion is Motion.AT_REST and frozen.upper == 0
    short = found(walks(1, 1, 5))
    assert short.motion is Motion.TOO_SHORT
    assert short.verdict == "the trajectory is too short: 0 lags for a fit, 4 are needed"
    assert Motion.of(short.verdict) is Motion.TOO_SHORT and Motion.of(frozen.verdict) is Motion.AT_REST


def test_motion_in_a_plane_or_along_a_line():
    """Exactly still along an axis: D and its error are 0 there, those of the others stay what they are."""
    walk = walks(8, 16, 400)
    whole = found(walk)
    for still in ([2], [0, 1]):
        flat = walk.copy()
        flat[:, still] = 1.0
        result = found(flat)
        moving = [axis for axis in range(3) if axis not in still]
        assert (result.axes[still] == 0).all() and (result.axes_error[still] == 0).all()
        assert_close(result.axes[moving], whole.axes[moving], rtol=0.3)
        assert result.value == pytest.approx(result.axes.mean(), rel=0.15)
        assert 0 < result.error < result.value


def test_atoms_that_come_back_exactly_do_not_diffuse():
    turning = np.zeros((8, 3, 400))
    turning[:, 0, ::2] = 1.0
    assert found(turning).motion is Motion.BOUND


def test_silver_in_agi(data, tmp_path):
    """About 2.6e-5 cm^2/s in the data's own note, iodine's rms displacement 0.47 Angstrom."""
    index = build_index([data / "agi" / "trajectory.extxyz.gz"], "auto", tmp_path, None, lambda text: None)
    frames = read_frames(index, np.arange(len(index)))
    positions = np.ascontiguousarray(frames.positions.reshape(len(frames), -1, 3).transpose(1, 2, 0))
    silver = index.numbers == 47
    positions -= positions[~silver].mean(axis=0)
    result = found(positions[silver], interval=50.0)
    assert result.motion is Motion.DIFFUSIVE
    assert abs(result.value - 2.6e-5) < 2.5 * result.error
    lags = log_lags(len(frames))
    iodine = displacement_sums(positions[~silver], lags)
    assert iodine.rms == pytest.approx(0.47, abs=0.01)
    assert diffusion(iodine, lags, 50.0).motion is Motion.BOUND


def test_covariance_of_a_line_needs_near_windows_only():
    gamma = np.minimum(np.arange(300.0), 20) * 0.3 + np.arange(300) * 0.01
    lags = np.array([1, 10, 50, 150])
    assert_close(window_covariance(gamma, lags, 20), window_covariance(gamma, lags), rtol=1e-9)


def crystal(seed: int, atoms: int = 6, frames: int = 100) -> np.ndarray:
    """Atoms about their sites: twelve modes each, 60 to 1100 cm^-1, amplitudes as with equal energies; 1 fs a frame."""
    rng = np.random.default_rng(seed)
    wavenumber = rng.uniform(60, 1100, size=(atoms, 3, 12, 1))
    phase = rng.uniform(0, 2 * np.pi, size=wavenumber.shape)
    amplitude = 0.06 * rng.rayleigh(size=wavenumber.shape) * 60 / wavenumber
    return (amplitude * np.cos(2 * np.pi * 2.99792458e-5 * wavenumber * np.arange(frames) + phase)).sum(axis=2)


def test_a_tenth_of_a_picosecond_of_a_crystal_is_no_diffusion(monkeypatch):
    """A part of a vibration is a straight line that rises; only its length of time and space tell."""
    crystals = [crystal(seed) for seed in (8, 12, 25)]
    assert all(found(x).motion is not Motion.DIFFUSIVE for x in crystals)
    monkeypatch.setattr(estimator, "LOCAL_TIME", 0.0)
    assert any(found(x).motion is Motion.DIFFUSIVE for x in crystals)


def bending(seed: int, atoms: int = 40, frames: int = 400) -> np.ndarray:
    """A walk on top of motion in a cage that relaxes as slowly as the fit's window is long."""
    rng, memory = np.random.default_rng(seed), np.exp(-1 / 60)
    noise = rng.normal(size=(atoms, 3, frames + 600))
    local = 0.6 * np.sqrt(1 - memory**2) * lfilter([1.0], [1.0, -memory], noise, axis=-1)[..., 600:]
    return np.cumsum(rng.normal(scale=0.05, size=(atoms, 3, frames)), axis=-1) + local


def test_the_bar_holds_the_choice_of_the_window(monkeypatch):
    """Where the MSD bends, D depends on where the fit begins, and is wrong by more than the bar of one window."""
    truth, walkers, wrong = 0.05**2 / 2 * UNIT, [bending(seed) for seed in range(9, 14)], []
    for bent in (estimator.BENT, np.inf):
        monkeypatch.setattr(estimator, "BENT", bent)
        results = [result for x in walkers if (result := found(x)).motion is Motion.DIFFUSIVE]
        wrong.append(np.mean([abs(result.value - truth) / result.error for result in results]))
    assert wrong[0] < 0.8 * wrong[1]
