"""Comparison with reference tensors and with a measured spectrum."""

import shutil

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.commands.compare import compare
from mlraman_hpc.commands.spectrum import spectrum
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.numerics.spectra import agreement
from mlraman_hpc.numerics.spectra.intensity import intensity_factor
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from tests import small_system as small

pytestmark = pytest.mark.slow

DECK = """output: out
series: {file: alpha.npy, unit: angstrom^3, frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
comparison:
  series: {file: reference.npy, unit: angstrom^3, frame_interval: 10}
  experiment: {file: measured.dat, start: 50, end: 400}
"""


@pytest.fixture
def folder(tmp_path):
    alpha = small.alpha(small.frames(400))
    np.save(tmp_path / "alpha.npy", alpha)
    np.save(tmp_path / "reference.npy", 1.1 * alpha)
    (tmp_path / "deck.yaml").write_text(DECK)
    shift = np.linspace(500, 10, 200)  # falling, as some instruments write it
    np.savetxt(tmp_path / "measured.dat", np.column_stack([shift, 7 + np.cos(shift / 40)]), header="shift counts")
    return tmp_path


def test_distance_and_scale(folder, mlraman):
    mlraman(0, "spectrum", "deck.yaml")
    mlraman(0, "compare", "deck.yaml")
    with h5py.File(folder / "out" / "comparison.h5") as file:
        assert file["reference/distance"][()] == pytest.approx(1 - 1 / 1.21, rel=1e-6)
        shift, measured = file["experiment/wavenumber"][:], file["experiment/intensity"][:]
        scale = file["experiment/scale"][()]
        assert np.allclose(measured / scale, 7 + np.cos(shift / 40))
        nu, ours = file["wavenumber"][:], file["predicted/intensity"][:]
        common = (nu >= 50) & (nu <= 400)
        assert np.interp(nu[common], shift, measured).sum() == pytest.approx(ours[common].sum())
        assert file["experiment/scaled_over"][:].tolist() == [50, 400]
    assert (folder / "out" / "comparison.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 four\n", "line 2"),
        ("1 2 3\n", "line 1"),
        ("", "no numbers"),
        ("9000 1\n9100 2\n", "too little in common"),
        ("50 -1\n400 -2\n", "is not positive"),
    ],
)
def test_bad_measurements_are_named(text, message, folder, mlraman):
    mlraman(0, "spectrum", "deck.yaml")
    (folder / "measured.dat").write_text(text)
    done = mlraman(0, "compare", "deck.yaml", code=3)
    assert "measured.dat" in done.stderr and message in done.stderr


def test_a_measurement_as_an_instrument_gives_it(folder, mlraman):
    """With background, the Bose-Einstein factor of its temperature, another laser and a wide line: our own spectrum."""
    mlraman(0, "spectrum", "deck.yaml")
    with h5py.File(folder / "out" / "raman.h5") as file:
        nu, total = file["wavenumber"][:], file["intensity/total"][:]
    sigma = np.hypot(20, 15)  # of the smoothing and 15 more
    seen = agreement.broadened(total, nu[1], 15)
    factor = intensity_factor(nu, 785.0, 300.0)[1:] / intensity_factor(nu, 514.5, None)[1:]
    measured = 1e3 * seen[1:] / seen.max() * factor + 40 - 0.03 * nu[1:]
    np.savetxt(folder / "measured.dat", np.column_stack([nu[1:], measured]))
    more = [
        "experiment.temperature=300",
        "experiment.laser_wavelength=785",
        "experiment.background=linear",
        f"experiment.instrument_width={2 * np.sqrt(2 * np.log(2)) * sigma}",
    ]
    done = mlraman(0, "compare", "deck.yaml", *(word for key in more for word in ("--set", f"comparison.{key}")))
    assert "agreement with it there: correlation coefficient 1" in done.stdout
    with h5py.File(folder / "out" / "comparison.h5") as file:
        value, error = file["experiment/agreement"][:]
        assert value == pytest.approx(1, abs=1e-4) and 0 <= error < 1e-3
        assert file["experiment/background"][:] == pytest.approx([40, -0.03], rel=0.02)
        assert file["experiment/predicted"][:] == pytest.approx(seen, rel=1e-6, abs=1e-9 * seen.max())
        inside = (nu[1:] >= 50) & (nu[1:] <= 400)
        ratio = file["experiment/intensity"][:][inside] / seen[1:][inside]
        assert ratio == pytest.approx(np.full(inside.sum(), ratio.mean()), rel=0.02)
    plain = mlraman(0, "compare", "deck.yaml")
    with h5py.File(folder / "out" / "comparison.h5") as file:
        assert file["experiment/agreement"][0] < 0.97 and "experiment/predicted" not in file, plain.stdout


def test_a_line_narrower_than_the_smoothing_is_told(folder, mlraman):
    mlraman(0, "spectrum", "deck.yaml")
    done = mlraman(0, "compare", "deck.yaml", "--set", "comparison.experiment.instrument_width=2")
    assert "spectrum.smoothing is wider (sigma 20 cm^-1) than the instrument's line (sigma 0.849)" in done.stderr


def with_others(folder, *labels, changes=()):
    """`mlraman spectrum` and `compare` in this process, against copies of the spectrum itself; warnings.

    `changes` of the deck are for this run, not for the others.
    """
    text = "\n".join(f"  - {{file: other{number}.h5, label: {label}}}" for number, label in enumerate(labels))
    (folder / "stack.yaml").write_text(
        "series: {file: alpha.npy, unit: angstrom^3, frame_interval: 10}\nspectrum: {smoothing: 20, blocks: 4}\n"
        f"output: {folder / 'stack'}\ncomparison:\n  label: ours\n  spectra:\n{text}\n"
    )
    session = Session()
    console = Console(session, level=-1)
    spectrum(Job(read_deck(folder / "stack.yaml"), session, Console(session, level=-1)))
    for number in range(len(labels)):
        shutil.copy(folder / "stack" / "raman.h5", folder / f"other{number}.h5")
    if changes:
        spectrum(Job(read_deck(folder / "stack.yaml", list(changes)), session, Console(session, level=-1)))
    compare(Job(read_deck(folder / "stack.yaml", list(changes)), session, console))
    return console.warnings


def test_spectra_of_other_runs_are_stacked(folder):
    assert with_others(folder, "first", "second") == {}
    with h5py.File(folder / "stack" / "comparison.h5") as file:
        assert set(file["spectra"]) == {"ours", "first", "second"}
        assert file["spectra/first/intensity"][:].max() == 1
        assert file["weight/first"][:].tolist() == file["weight/ours"][:].tolist()
    assert (folder / "stack" / "comparison_spectra.pdf").stat().st_size > 5000
    assert not (folder / "stack" / "comparison.png").exists()


def test_spectra_over_one_another_with_their_difference(folder):
    assert with_others(folder, "first", changes=["comparison.overlay=true"]) == {}
    with h5py.File(folder / "stack" / "comparison.h5") as file:
        assert file["difference/first"][:].tolist() == [0, 1]
    assert (folder / "stack" / "comparison_spectra.pdf").stat().st_size > 5000


def test_spectra_made_in_another_way_are_told(folder):
    (warning,) = with_others(folder, "first", changes=["spectrum.temperature=300"])
    assert "other0.h5" in warning and "temperature None, unlike this run" in warning


@pytest.mark.parametrize("labels", [("ours",), ("one", "one"), ("a/b",)])
def test_each_spectrum_has_a_name_of_its_own(folder, labels):
    with pytest.raises(DeckError, match=r"stack.yaml:\d+.*label.*a name of its own"):
        with_others(folder, *labels)
