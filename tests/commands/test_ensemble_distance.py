"""A trajectory of another ensemble than the labels: it is said, and the model's bars are wider."""

import h5py
import numpy as np

from tests import small_system as small


def spread(folder):
    with h5py.File(folder / "out" / "alpha.h5") as file:
        return file["observables/polarizability_committee/value"][:].std(axis=1).mean()


def test_bars_grow_with_the_distance_of_the_trajectory(mlraman, tmp_path):
    small.write(tmp_path)
    path = tmp_path / "XDATCAR"
    path.write_text(small.xdatcar(np.concatenate(4 * [small.frames(24, seed=1)])))
    mlraman(0, "train", "deck.yaml")
    done = mlraman(0, "predict", "deck.yaml")
    assert "distance of the trajectory from the training set" in done.stdout
    assert "another ensemble" not in done.stderr
    before = spread(tmp_path)
    lines = path.read_text().splitlines()
    lines[1] = "1.03"
    path.write_text("\n".join(lines) + "\n")
    done = mlraman(0, "predict", "deck.yaml", "--set", "model.density_tolerance=0.2")
    assert "is another ensemble than the training set" in done.stderr
    factor = float(done.stderr.split("summed features are ")[1].split()[0])
    assert factor > 1.5 and spread(tmp_path) > 1.2 * before


def test_a_model_of_few_labels_says_nothing(mlraman, tmp_path):
    small.write(tmp_path)
    mlraman(0, "train", "deck.yaml", "--set", "reference.train=6")
    assert "distance of the trajectory" not in mlraman(0, "predict", "deck.yaml", "--set", "reference.train=6").stdout
