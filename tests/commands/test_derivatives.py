"""Commands with derivatives of the polarizability as labels: train, learning-curve, convert-labels."""

import h5py
import numpy as np
import pytest

from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.records.model import Model
from mlraman_hpc.storage import hdf5
from tests import small_system as small

pytestmark = pytest.mark.slow

STEP = 1e-3
ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))


def derivatives_text(count: int) -> str:
    """Frames of the small system with the exact derivatives of its tensors, Angstrom^2."""
    text = ""
    lattice = " ".join(f"{x:.8f}" for x in small.CELL.ravel())
    for positions in small.frames(24, seed=7)[:: 24 // count][:count]:
        text += (
            f'5\nLattice="{lattice}" Properties=species:S:1:pos:R:3:polarizability_gradient:R:18 unit=angstrom^2 '
            'order="x:xx,yy,zz,xy,yz,zx y:... z:..." pbc="T T T"\n'
        )
        moved = np.repeat(positions[None], 30, axis=0).reshape(5, 3, 2, 5, 3)
        for atom in range(5):
            for axis in range(3):
                moved[atom, axis, 0, atom, axis] += STEP
                moved[atom, axis, 1, atom, axis] -= STEP
        alpha = small.alpha(moved.reshape(30, 5, 3)).reshape(5, 3, 2, 3, 3)
        values = (alpha[:, :, 0] - alpha[:, :, 1]) / (2 * STEP)
        for name, position, value in zip(small.SPECIES, positions, values):
            numbers = [value[axis, a, b] for axis in range(3) for a, b in ORDER]
            text += " ".join([name, *(f"{x:.10f}" for x in [*position, *numbers])]) + "\n"
    return text


def write(folder, frames=3, tensors=True):
    deck = small.write(folder)
    (folder / "derivatives.extxyz").write_text(derivatives_text(frames))
    files = "files: labels.extxyz, "
    text = small.DECK.replace(files, files + "derivatives: {files: derivatives.extxyz}, ")
    if not tensors:
        text = text.replace("files: labels.extxyz, ", "").replace(", quantity: polarizability, unit: angstrom^3", "")
        text = text.replace(", train: 16, test: 8", "")
    deck.write_text(text)


@pytest.mark.mpi
def test_the_same_bits_on_any_number_of_ranks(mlraman, tmp_path):
    write(tmp_path, frames=4)
    mlraman(0, "train", "deck.yaml")
    content = hdf5.content_of(tmp_path / "out" / "model.h5")
    for ranks in (1, 2, 3, 5):
        mlraman(ranks, "train", "deck.yaml", "--force")
        assert hdf5.content_of(tmp_path / "out" / "model.h5") == content


def test_derivatives_beside_tensors(mlraman, tmp_path):
    write(tmp_path)
    done = mlraman(0, "train", "deck.yaml")
    assert "left-out derivatives" in done.stdout
    model = hdf5.load(Model, tmp_path / "out")
    assert (model.derivative_frames, model.derivative_rows) == (3, 18 * 15)
    assert set(model.derivative_noise["isotropic"]) == {"Ag", "I"} and model.tensor_noise["isotropic"] > 0
    assert len(model.train) == 16 and model.scores["r2"]["off_diagonal"] > 0.9
    assert (tmp_path / "out" / "parity_derivatives.png").stat().st_size > 10000
    assert "is up to date" in mlraman(0, "train", "deck.yaml").stdout
    (tmp_path / "derivatives.extxyz").write_text(derivatives_text(2))
    assert "is up to date" not in mlraman(0, "train", "deck.yaml").stdout


def test_derivatives_alone_give_a_spectrum(mlraman, tmp_path):
    write(tmp_path, tensors=False)
    done = mlraman(0, "run", "deck.yaml")
    assert "constant part of alpha is unknown" in done.stderr
    mlraman(0, "check", "deck.yaml")
    model = hdf5.load(Model, tmp_path / "out")
    assert (model.baseline == 0).all() and model.tensor_noise is None
    with h5py.File(tmp_path / "out" / "raman.h5") as file:
        assert np.isfinite(file["intensity/total"][:]).all()


def test_check_and_benchmark_without_a_model(mlraman, tmp_path):
    write(tmp_path, tensors=False)
    assert "derivatives: 3 frames" in mlraman(0, "check", "deck.yaml").stdout


def test_curve_against_frames(mlraman, tmp_path):
    write(tmp_path)
    done = mlraman(0, "learning-curve", "deck.yaml", "--set", "learning_curve={sizes: [1, 3, 9], draws: 2}")
    assert "only 3 frames can be trained on" in done.stderr
    with h5py.File(tmp_path / "out" / "learning_curve.h5") as file:
        assert file["train_size"][:].tolist() == [1, 3] and file["frames"][()]


def test_curve_against_tensors_beside_one_frame(mlraman, tmp_path):
    write(tmp_path)
    (tmp_path / "derivatives.extxyz").write_text(derivatives_text(1))
    mlraman(0, "learning-curve", "deck.yaml", "--set", "learning_curve={sizes: [2, 8], draws: 2}")
    with h5py.File(tmp_path / "out" / "learning_curve.h5") as file:
        assert file["train_size"][:].tolist() == [2, 8] and "frames" not in file
        assert (np.diff(file["draws/rmse/off_diagonal"][:], axis=1) != 0).all()  # draws differ


@pytest.mark.parametrize(("frames", "sizes"), [(3, [1, 3]), (1, [2, 4, 8, 16])])
def test_spectra_of_fewer_frames_or_of_fewer_tensors_beside_one(mlraman, tmp_path, frames, sizes):
    """The last is the final model's spectrum; where sizes are frames, all tensors are in each."""
    write(tmp_path, frames=frames)
    for command in ("train", "predict"):
        mlraman(0, command, "deck.yaml", "--set", "model.committee=0")
    mlraman(0, "converge", "deck.yaml", "--set", "model.committee=0")
    with h5py.File(tmp_path / "out" / "convergence.h5") as file:
        assert file["train/size"][:].tolist() == sizes and ("frames" in file["train"]) == (frames > 1)
        distance = file["train/distance"][:]
        assert distance[-1] < 1e-8 and (distance[:-1] > 1e-5).all()


def test_convert_labels(mlraman, tmp_path):
    write(tmp_path)
    mlraman(0, "convert-labels", "deck.yaml")
    one, two = (
        read_derivatives([folder / "derivatives.extxyz"], "auto", None, None, pytest.fail)
        for folder in (tmp_path, tmp_path / "out")
    )
    np.testing.assert_allclose(two.derivatives, one.derivatives, rtol=0, atol=1e-12 * np.abs(one.derivatives).max())
    np.testing.assert_array_equal(two.frames.positions, one.frames.positions)


def test_decks_without_labels_or_with_too_few(mlraman, tmp_path):
    write(tmp_path)
    text = (tmp_path / "deck.yaml").read_text()
    (tmp_path / "deck.yaml").write_text(small.DECK.replace("files: labels.extxyz, ", ""))
    assert "reference.derivatives instead" in mlraman(0, "train", "deck.yaml", code=2).stderr
    (tmp_path / "deck.yaml").write_text(small.DECK)
    assert "at least 2, found 0" in mlraman(0, "train", "deck.yaml", "--set", "reference.train=0", code=2).stderr
    (tmp_path / "deck.yaml").write_text(text)
    mlraman(0, "train", "deck.yaml", "--set", "reference.train=0", "--set", "model.committee=0")
