"""Ionic conductivity against closed forms: independent and correlated walkers, oscillators, frames of reference."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.base.units import LIGHT_CM_PER_FS
from mlraman_hpc.numerics.spectra.vdos import vdos_plan
from mlraman_hpc.numerics.transport.conductivity import ChargedSystem, conductivity
from mlraman_hpc.numerics.transport.diffusion import diffusion
from mlraman_hpc.numerics.transport.displacements import displacement_sums, log_lags
from mlraman_hpc.records.transport import Motion
from tests.close import assert_close
from tests.numerics import charged_walks as walks


def system(carriers=("A",), charge=1.0) -> ChargedSystem:
    return ChargedSystem({"A": 16, "B": 16}, {"A": charge, "B": -charge}, carriers, 1000.0, 500.0, "deck", "deck")


def analysed(cations, anions, carriers=("A",), charge=1.0, interval=walks.INTERVAL, smoothing=4.0):
    frames = cations.shape[-1]
    lags = log_lags(frames)
    fits = {
        name: diffusion(displacement_sums(part, lags), lags, interval) for name, part in (("A", cations), ("B", anions))
    }
    moment = charge * (cations.sum(axis=0) - anions.sum(axis=0))
    return conductivity(system(carriers, charge), moment, None, fits, vdos_plan(frames, interval, smoothing, 8))


@pytest.mark.parametrize("name", list(walks.PROCESSES))
def test_walkers_conduct_as_they_should(name):
    """Each estimate of each process within three of its errors (D's own bar knows of no correlated ions)."""
    process, per_frame, haven = walks.PROCESSES[name]
    truth = walks.truth_of(per_frame, haven)
    found = walks.found_in(process, np.random.default_rng(1), 2400)
    assert found.verdict == Motion.DIFFUSIVE
    assert found.nernst_einstein == pytest.approx(truth * haven, abs=6 * found.nernst_einstein_error)
    assert found.einstein == pytest.approx(truth, abs=3 * found.einstein_error)
    assert found.green_kubo == pytest.approx(truth, abs=3 * found.green_kubo_error)
    assert found.haven == pytest.approx(haven, abs=3 * found.haven_error)
    assert found.haven_green_kubo == pytest.approx(haven, abs=3 * found.haven_green_kubo_error)
    assert found.einstein_error < 0.4 * truth and found.green_kubo_error < 0.6 * truth
    assert_close(found.diffusion / found.einstein, per_frame / haven / walks.INTERVAL * 0.1 / truth, rtol=1e-12)


@pytest.mark.slow
def test_error_bars_hold_the_truth():
    """Independent walkers, 80 draws: shares near 0.68 and 0.95, of which chance alone takes 0.05 and 0.03 away."""
    process, per_frame, haven = walks.PROCESSES["independent, Brownian"]
    truth = walks.truth_of(per_frame, haven)
    found = [walks.found_in(process, np.random.default_rng(seed), 1200) for seed in range(80)]
    for key, its in (("einstein", truth), ("green_kubo", truth), ("haven", 1.0), ("haven_green_kubo", 1.0)):
        value = np.array([getattr(one, key) for one in found])
        off = np.abs(value - its) / np.array([getattr(one, f"{key}_error") for one in found])
        off = off[np.isfinite(off)]
        assert len(off) > 60
        assert 0.55 < np.mean(off < 1) < 0.93 and np.mean(off < 2) > 0.86


def test_charges_enter_as_squares():
    rng = np.random.default_rng(0)
    cations, anions = walks.brownian(rng, 1000), walks.swinging(rng, 1000)
    once, twice = analysed(cations, anions), analysed(cations, anions, charge=2.0)
    for key in ("nernst_einstein", "einstein", "green_kubo", "spectrum"):
        assert_close(getattr(twice, key), 4 * getattr(once, key), rtol=1e-9)
    assert_close([twice.haven, twice.diffusion], [once.haven, once.diffusion], rtol=1e-9)


def test_ion_pairs_diffuse_and_do_not_conduct():
    """Each cation with its anion: the current is exactly none."""
    cations = walks.brownian(np.random.default_rng(0), 1000)
    found = analysed(cations, cations + 1.0, carriers=("A", "B"))
    assert found.nernst_einstein == pytest.approx(2 * walks.truth_of(walks.STEP**2 / 2, 1), rel=0.2)
    assert found.verdict == Motion.AT_REST and found.einstein_upper == 0 and np.isnan(found.haven)
    loose = analysed(cations, cations + walks.swinging(np.random.default_rng(1), 1000), carriers=("A", "B"))
    assert loose.verdict != Motion.DIFFUSIVE and np.isnan(loose.einstein)
    assert loose.einstein_upper < 0.02 * loose.nernst_einstein
    assert loose.green_kubo == 0 and loose.green_kubo_upper < 0.1 * loose.nernst_einstein


def test_an_oscillator_has_a_band_and_no_limit():
    """Ions on damped springs: sigma(nu) is that of a damped oscillator, whose integral is that of <J.J>."""
    rng, frames, interval = np.random.default_rng(0), 6000, 10.0
    period, damping = 30.0, 0.03  # frames: a band at 111 cm^-1
    cations = walks.swinging(rng, frames, period=period, damping=damping)
    found = analysed(cations, walks.swinging(rng, frames, 1e-6), interval=interval)
    assert found.carriers == ("A",) and np.isnan(found.nernst_einstein) and np.isnan(found.einstein)
    assert found.verdict == Motion.BOUND and found.green_kubo == 0
    assert found.green_kubo_upper < 0.02 * found.spectrum.max() and found.einstein_upper < 0.05 * found.spectrum.max()
    nu, value, error = (
        x[: np.searchsorted(found.wavenumber, 400)] for x in (found.wavenumber, found.spectrum, found.spectrum_error)
    )
    radius = np.exp(-damping)
    phase = np.exp(-2j * np.pi * LIGHT_CM_PER_FS * nu * interval)
    shape = np.abs(1 / (1 - 2 * radius * np.cos(2 * np.pi / period) * phase + radius**2 * phase**2)) ** 2 * nu**2
    step = nu[1] - nu[0]
    kernel = np.exp(-((nu[:, None] - nu[None, :]) ** 2) / (2 * 4.0**2))
    shape = kernel @ shape
    current = np.gradient(cations.sum(axis=0), interval, axis=-1)
    assert nu[np.argmax(value)] == pytest.approx(nu[np.argmax(shape)], abs=5.0)
    off = (value - shape * value.sum() / shape.sum()) / error
    band = (nu > 60) & (nu < 180)
    assert np.mean(np.abs(off[band]) < 1) > 0.5 and np.mean(np.abs(off[band]) < 2) > 0.85
    integral = np.sum(found.spectrum) * step
    square = np.mean(np.sum(current**2, axis=0))
    assert_close(integral, system().factor / (12 * LIGHT_CM_PER_FS) * square, rtol=0.05)
