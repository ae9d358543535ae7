"""alpha-AgI, a model of the shipped labels at 500 K: how far frames at 700 K and in another cell are from them."""

from dataclasses import replace

import numpy as np
import pytest

import mlraman_hpc as mr
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.ensemble_distance import ensemble_distance
from mlraman_hpc.model.regression import draw_rows, fit, predict_features
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.records.model import Descriptor, RadialScaling
from tests.helpers import ROOT

DESCRIPTOR = Descriptor(radial_scaling=RadialScaling(3.0, 4.0))  # what `auto` chooses of these labels
MEMBERS = ("committee_baseline", "committee_isotropic", "committee_anisotropic")
HOT = ROOT / "tests" / "physics" / "agi_states" / "700K.extxyz"


@pytest.fixture(scope="module")
def labels():
    file = ROOT / "input_examples" / "agi" / "labels.extxyz"
    return read_labels([file], "auto", "polarizability", "bohr^3", pytest.fail)


@pytest.fixture(scope="module")
def trained(labels):
    """Model of 94 labels, and the rows that it was not trained on."""
    train, test = draw_rows(len(labels), 94, 23, seed=1)
    known = features(labels.frames, DESCRIPTOR, [47, 53])
    return fit(known, labels, train, test, DESCRIPTOR, committee=16, seed=1)[0], test


def strained(frames, strain):
    return replace(frames, positions=(1 + strain) * frames.positions, cells=(1 + strain) * frames.cells)


def widened(model, distance):
    """By what the committee's deviations have grown."""
    deviations = [m.committee_isotropic - model.isotropic for m in (distance.model, model)]
    return np.linalg.norm(deviations[0]) / np.linalg.norm(deviations[1])


def test_frames_of_the_run_are_the_ensemble_of_the_labels(labels, trained):
    model, test = trained
    distance = ensemble_distance(model, [labels.frames.take(test)])
    assert 0.85 < distance.distance < 1.1 and distance.warning is None


def test_bars_at_another_temperature_are_wider_and_it_is_no_warning(trained):
    hot = mr.Trajectory(HOT)
    distance = ensemble_distance(trained[0], [hot.frames(range(len(hot)))])
    assert 1.1 < distance.distance < 1.35 and distance.warning is None
    assert widened(trained[0], distance) == pytest.approx(distance.distance)


@pytest.mark.parametrize("strain", [-0.01, 0.01])
def test_three_per_cent_of_density_are_another_ensemble(strain, labels, trained):
    model, test = trained
    distance = ensemble_distance(model, [strained(labels.frames.take(test), strain)])
    assert 2.0 < distance.distance < 3.0
    assert widened(model, distance) == pytest.approx(distance.distance)
    assert f"{distance.distance:.1f} times as far from the labels" in distance.warning
    assert f"error bars are {distance.distance:.1f} times as wide for that, and may still be" in distance.warning
    assert "in tests errors were up to 2.2 times the bars" in distance.warning
    without = replace(model, **{name: getattr(model, name)[:0] for name in MEMBERS})
    warning = ensemble_distance(without, [strained(labels.frames.take(test), strain)]).warning
    assert "or phase?); no bars; add labels from this trajectory" in warning


@pytest.mark.parametrize(("name", "strain"), [("700K_cp2k", None), ("larger_cell_cp2k", 0.01)])
def test_bars_hold_in_other_states_by_first_principles(name, strain, labels, trained):
    """Of five frames and of three: errors of all components together are no larger than 1.5 times the bars."""
    model, test = trained
    label = read_labels([HOT.with_name(f"{name}.extxyz")], "auto", "polarizability", "bohr^3", pytest.fail)
    hot = mr.Trajectory(HOT)
    frames = hot.frames(range(len(hot))) if strain is None else strained(labels.frames.take(test), strain)
    known = features(label.frames, DESCRIPTOR, [47, 53])
    wide = ensemble_distance(model, [frames]).model
    members = [
        predict_features(replace(wide, baseline=b, isotropic=w0, anisotropic=w2), known) for b, w0, w2 in wide.members
    ]
    bars = np.std(members, axis=0, ddof=1)
    errors = predict_features(model, known) - label.polarizability
    assert 0.2 < np.sqrt(np.mean(errors**2) / np.mean(bars**2)) < 1.5
