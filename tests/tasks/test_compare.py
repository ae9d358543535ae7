"""Comparison with reference tensors and with a measured spectrum: nothing but a stated scale is changed."""

import h5py
import numpy as np
import pytest
import small

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


@pytest.mark.parametrize(("text", "message"), [
    ("1 2\n3 four\n", "line 2"), ("1 2 3\n", "line 1"), ("", "no numbers"),
    ("9000 1\n9100 2\n", "too little in common"), ("50 -1\n400 -2\n", "is not positive"),
])
def test_bad_measurements_are_named(text, message, folder, mlraman):
    mlraman(0, "spectrum", "deck.yaml")
    (folder / "measured.dat").write_text(text)
    done = mlraman(0, "compare", "deck.yaml", code=3)
    assert "measured.dat" in done.stderr and message in done.stderr
