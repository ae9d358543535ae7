"""raman.dat and raman.jdx as other programs read them."""

from dataclasses import replace

import numpy as np
import pytest

from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.readers.measured import read_measured
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.reports.jcamp_dx import write_raman_jdx
from mlraman_hpc.reports.tables import raman_table


@pytest.fixture(scope="module")
def spectrum() -> RamanSpectrum:
    rng = np.random.default_rng(0)
    alpha = rng.normal(size=(1500, 3, 3)).cumsum(axis=0)
    alpha = alpha + np.swapaxes(alpha, 1, 2)
    shares = np.stack([0.3 * alpha, 0.7 * alpha], axis=1)
    members = alpha * (1 + 0.1 * rng.normal(size=(4, 1, 1, 1)))
    result = raman_spectrum(alpha, 20.0, shares=shares, species=("Ag", "I"), members=members)
    return replace(result, geometry={"(1 0 0)(0 1 0)": result.intensity["total"]})


@pytest.fixture
def path(spectrum, tmp_path):
    raman_table(tmp_path / "raman.dat", spectrum, ["made by: a test", "deck: none"])
    return tmp_path / "raman.dat"


NAMES = ["wavenumber", "total", "error_statistical", "error_model", "isotropic", "anisotropic", "polarized"]


def test_numpy_reads_names_and_numbers(spectrum, path):
    table = np.genfromtxt(path, names=True)
    assert list(table.dtype.names[:7]) == NAMES
    assert {"species_Ag_I", "depolarization_ratio", "geometry_1_0_0_0_1_0"} <= set(table.dtype.names)
    np.testing.assert_allclose(table["wavenumber"], spectrum.wavenumber, rtol=0, atol=1e-8)
    np.testing.assert_allclose(table["total"], spectrum.intensity["total"], rtol=1e-6)
    np.testing.assert_allclose(np.loadtxt(path, skiprows=1)[:, 1], table["total"], rtol=1e-12)


def test_pandas_reads_names_and_numbers(spectrum, path):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(path, sep=r"\s+", comment="#")
    assert list(table.columns[:7]) == NAMES
    np.testing.assert_allclose(table["total"], spectrum.intensity["total"], rtol=1e-6)


def test_comments_number_the_columns(path):
    lines = path.read_text().splitlines()
    assert lines[0].split() == [line.split()[3] for line in lines if line.startswith("# column")]
    assert "# column 2: total [Angstrom^6]" in lines and "# made by: a test" in lines
    assert {len(line.split()) for line in lines if not line.startswith("#")} == {len(lines[0].split())}


def test_the_end_and_the_warnings_of_a_spectrum(spectrum, tmp_path):
    raman_table(tmp_path / "raman.dat", replace(spectrum, warnings=("short",)), end=100.0)
    assert np.genfromtxt(tmp_path / "raman.dat", names=True)["wavenumber"][-1] <= 100
    assert "# warning: short" in (tmp_path / "raman.dat").read_text()


def test_jcamp_dx_holds_the_smoothed_total(spectrum, tmp_path):
    write_raman_jdx(tmp_path / "raman.jdx", spectrum, "α-AgI", ["from: a test"])
    shift, intensity = read_measured(tmp_path / "raman.jdx")
    total = spectrum.intensity["total"][: len(shift)]
    np.testing.assert_allclose(shift, spectrum.wavenumber[: len(shift)], rtol=0, atol=1e-6)
    np.testing.assert_allclose(intensity, total, rtol=0, atol=1e-7 * total.max())


def test_another_reader_of_jcamp_dx(spectrum, tmp_path):
    jcamp = pytest.importorskip("jcamp")
    write_raman_jdx(tmp_path / "raman.jdx", spectrum, "α-AgI", ["from: a test"])
    other, total = jcamp.readfile(str(tmp_path / "raman.jdx")), spectrum.intensity["total"]
    np.testing.assert_allclose(other["x"], spectrum.wavenumber[: len(other["x"])], rtol=0, atol=1e-6)
    np.testing.assert_allclose(other["y"], total[: len(other["y"])], rtol=0, atol=1e-7 * total.max())
