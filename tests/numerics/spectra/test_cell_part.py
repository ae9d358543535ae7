"""Under a barostat: what follows the cell goes, what the crystal does at constant volume comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra.cell_part import strains, without_cell_part
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.records.spectra import PolarizabilitySeries
from tests.numerics.synthetic import Oscillator, isotropic, six_channels

pytestmark = pytest.mark.slow

FRAMES, INTERVAL, SEEDS = 4000, 20.0, 12
CELL = np.array([[6.0, 0.0, 0.0], [1.0, 7.0, 0.0], [0.5, -1.0, 8.0]])
SPREAD, DERIVATIVE, MEAN = 0.012, 0.8, 60.0


def crystal(rng):
    """(frames, 3, 3): vibrations at 30, one near the barostat's, and at 120 cm^-1, at constant volume."""
    return six_channels(
        0.5 * Oscillator(30.0, 12.0).series(6, FRAMES, INTERVAL, rng)
        + 0.7 * Oscillator(120.0, 10.0).series(6, FRAMES, INTERVAL, rng)
    )


def under_barostat(still, volume):
    """The same crystal in a cell of volume (frames,), over its mean, and what alpha does with it."""
    alpha = still + isotropic(MEAN * (1 + DERIVATIVE * (volume - 1)))
    return PolarizabilitySeries(
        alpha, np.arange(FRAMES), INTERVAL * np.arange(FRAMES), cell=CELL * np.cbrt(volume)[:, None, None]
    )


@pytest.fixture(scope="module")
def spectra():
    """(seeds, 3, wavenumbers) isotropic: at constant volume, under the barostat, without the cell's part; errors."""
    rng = np.random.default_rng(5)
    values, errors, derivatives = [], [], []
    for volume in Oscillator(30.0, 6.0).series(SEEDS, FRAMES, INTERVAL, rng):
        still = crystal(rng)
        series = under_barostat(still, 1 + SPREAD * volume)
        rest, part = without_cell_part(series, "volume")
        found = [raman_spectrum(each, INTERVAL, most_modes=0) for each in (still, series.value, rest.value)]
        values.append([each.intensity["isotropic"] for each in found])
        errors.append(found[0].error_statistical["isotropic"])
        derivatives.append(part.volume_derivative)
    return found[0].wavenumber, np.array(values), np.array(errors), np.array(derivatives)


def test_the_line_of_the_barostat_goes_and_the_crystals_comes_back_within_its_bar(spectra):
    wavenumber, values, errors, _ = spectra
    at = int(np.argmin(np.abs(wavenumber - 30)))
    still, barostat, rest = values[:, :, at].T
    assert np.median(barostat / still) > 4
    inside = np.abs(rest - still) < errors[:, at]
    assert inside.mean() > 0.8
    # by chance 1/n of the rest goes: n ~ 2 x 80 ps x 0.03/ps x 6 ~ 30 values of a line of 6 cm^-1 full width
    assert np.mean(rest / still) == pytest.approx(1.0, abs=0.06)


def test_vibrations_beside_the_barostat_stay(spectra):
    wavenumber, values, _, derivatives = spectra
    band = (wavenumber > 90) & (wavenumber < 150)
    still, _, rest = values[..., band].sum(axis=-1).T
    np.testing.assert_allclose(rest, still, rtol=0.01)
    assert derivatives.mean() == pytest.approx(DERIVATIVE, abs=4 * derivatives.std() / np.sqrt(SEEDS))


def test_a_cell_that_rests_changes_nothing():
    series = under_barostat(crystal(np.random.default_rng(1)), np.ones(FRAMES))
    rest, part = without_cell_part(series, "strain")
    assert np.array_equal(rest.value, series.value) and part.share == 0 and np.isnan(part.volume_derivative)


def test_shear_is_taken_out_with_the_strain_alone_and_box_flips_are_followed():
    rng = np.random.default_rng(2)
    still, shear = crystal(rng), 0.02 * Oscillator(20.0, 8.0).series(1, FRAMES, INTERVAL, rng)[0]
    gradient = np.tile(np.eye(3), (FRAMES, 1, 1))
    gradient[:, 0, 1] = gradient[:, 1, 0] = shear
    cells = CELL @ gradient
    alpha = still + MEAN * (gradient - np.eye(3))
    flipped = cells.copy()
    flipped[2000:, 2] += flipped[2000:, 0]
    np.testing.assert_allclose(strains(flipped), strains(cells), atol=1e-12)
    np.testing.assert_allclose(strains(cells)[:, 3], shear - shear.mean(), atol=1e-3 * shear.std())
    series = PolarizabilitySeries(alpha, np.arange(FRAMES), INTERVAL * np.arange(FRAMES), cell=flipped)
    taken = {kind: without_cell_part(series, kind)[0].value for kind in ("volume", "strain")}
    own = np.var(still[:, 0, 1])
    assert np.var(taken["volume"][:, 0, 1]) > 3 * own
    assert np.var(taken["strain"][:, 0, 1]) == pytest.approx(own, rel=0.1)


def test_shares_and_members_lose_the_same_part():
    rng = np.random.default_rng(3)
    volume = 1 + SPREAD * Oscillator(30.0, 6.0).series(1, FRAMES, INTERVAL, rng)[0]
    series = under_barostat(crystal(rng), volume)
    series = replace(
        series,
        by_species=np.stack([0.3 * series.value, 0.7 * series.value], axis=1),
        members=np.stack([series.value, 1.1 * series.value], axis=1),
    )
    rest, _ = without_cell_part(series, "volume")
    np.testing.assert_allclose(rest.by_species.sum(axis=1), rest.value, atol=1e-10)
    np.testing.assert_allclose(rest.members[:, 1], 1.1 * rest.value, atol=1e-10)


def test_without_cells_it_is_refused():
    series = PolarizabilitySeries(np.zeros((32, 3, 3)), np.arange(32), np.arange(32.0))
    for cell in (None, np.zeros((32, 3, 3))):
        with pytest.raises(DataError, match="no cells"):
            without_cell_part(replace(series, cell=cell), "volume")
