import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.plots import spectra as figures
from mlraman_hpc.plots import training
from tests.plots.gallery import gallery


@pytest.fixture(scope="module")
def spectrum():
    rng = np.random.default_rng(0)
    alpha = rng.normal(size=(1500, 3, 3)).cumsum(axis=0)
    alpha = alpha + np.swapaxes(alpha, 1, 2)
    shares = np.stack([0.3 * alpha, 0.7 * alpha], axis=1)
    members = alpha * (1 + 0.1 * rng.normal(size=(4, 1, 1, 1)))
    options = RamanOptions(angle_map=((0, 0, 1), (1, 0, 0), 15.0))
    return raman_spectrum(alpha, 20.0, options, shares=shares, species=("Ag", "I"), members=members)


@pytest.mark.parametrize("name", ["raman", "raman_angle", "forces"])
def test_png_and_pdf_are_written_completely_and_alone(tmp_path, name):
    gallery("usual")[name](tmp_path / f"{name}.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{name}.pdf", f"{name}.png"]
    with Image.open(tmp_path / f"{name}.png") as image:
        assert np.asarray(image.convert("L")).std() > 10
        if name == "raman":
            assert image.width == pytest.approx(3.4 * 300, abs=2)
    assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_same_data_same_bytes(spectrum, tmp_path):
    for name in ("a", "b"):
        figures.raman_figure(tmp_path / f"{name}.png", spectrum)
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_note_says_what_the_bands_hold(spectrum):
    usual = replace(spectrum, laser_wavelength=514.5, temperature=None)
    convention = "laser 514.5 nm, no Bose factor, orientation average"
    assert figures.note(usual) == f"Gaussian, σ = 4 cm⁻¹\n{convention}"
    assert (
        figures.note(replace(usual, error_model=None))
        == f"Gaussian, σ = 4 cm⁻¹; model error not included\n{convention}"
    )
    other = figures.note(replace(usual, laser_wavelength=None, temperature=300.0))
    assert other.endswith("\nno laser factor, Bose factor of 300 K, orientation average")
    assert figures.note(replace(spectrum, smoothing_kind="lorentzian fwhm")).startswith("Lorentzian, FWHM = 4")


@pytest.mark.parametrize("structures", [20, 2000])
def test_parity(tmp_path, structures):
    reference = np.random.default_rng(1).normal(size=(structures, 3, 3))
    training.parity_figure(tmp_path / "parity.png", reference, reference + 0.1, "test")
    assert (tmp_path / "parity.png").stat().st_size > 10000


def test_a_folder_that_cannot_be_written(spectrum, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        figures.raman_figure(tmp_path / "file" / "raman.png", spectrum)


def test_nothing_is_said_without_a_home(tmp_path):
    """No message about fonts or cache folders on a machine where the home directory cannot be written."""
    (tmp_path / "file").write_text("")
    code = (
        "from pathlib import Path\nfrom mlraman_hpc.plots.style import drawing\n"
        f"with drawing(Path({str(tmp_path)!r}) / 'x.png') as figure: figure.subplots().set_title('ν ⁻¹ α')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path / "file" / "home"), "PATH": "", "TMPDIR": str(tmp_path)},
    )
    assert done.stdout == done.stderr == ""


def test_learning_curves_are_over_the_logarithm_of_the_number_of_labels():
    figure = gallery("usual")["learning_curve"](None)
    left, right = figure.axes[:2]
    assert left.get_xscale() == right.get_xscale() == right.get_yscale() == "log" and left.get_yscale() == "linear"
    figure.canvas.draw()
    low, high = left.get_xlim()
    texts = [text for text in left.get_xticklabels(which="both") if low <= text.get_position()[0] <= high]
    named = [text.get_text() for text in texts if text.get_text()]
    assert named and all(text.isdigit() for text in named)  # 100, not 10^2


def test_the_non_gaussian_parameter_is_called_so():
    top, bottom = gallery("usual")["msd"](None).axes[:2]
    assert bottom.get_ylabel() == "non-Gaussian\n$α_2$" and top.get_legend() is not None
