"""Cells that vary along the trajectory are told, and so is what the labels know of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlraman_hpc.model.cell_variation import cell_warnings, sampled_rows
from tests.model.structures import CUBE, frames, gas


def trajectory(spread: float, scale: float = 1.0):
    """Twenty frames whose volume varies by `spread` (root mean square) about `scale` times that of CUBE."""
    lengths = (scale * (1 + spread * np.sqrt(2) * np.sin(np.arange(20) * np.pi / 5))) ** (1 / 3)
    one = frames(*(gas(5, 8, CUBE) for _ in lengths))
    return replace(one, cells=one.cells * lengths[:, None, None])


def test_a_cell_that_rests_is_no_news(model):
    known = replace(model, number_density=np.full(2, 8 / abs(np.linalg.det(trajectory(0).cells[0]))))
    assert cell_warnings(known, trajectory(0)) == []
    [text] = cell_warnings(known, trajectory(0, 1.05))
    assert "outside that of the labels" in text and "5 %" in text


def test_a_cell_that_varies_is_told_and_what_labels_of_one_volume_know(model):
    density = 8 / abs(np.linalg.det(trajectory(0).cells[0]))
    one_volume = replace(model, number_density=np.full(2, density))
    [text] = cell_warnings(one_volume, trajectory(0.012))
    assert "varies by 1.2 %" in text and "is a guess" in text
    several = replace(model, number_density=np.array([0.98, 1.02]) * density)
    [text] = cell_warnings(several, trajectory(0.012))
    assert "varies by 1.2 %" in text and "guess" not in text


def test_molecules_have_no_volume(model):
    one = trajectory(0.012)
    assert cell_warnings(model, replace(one, periodic=np.zeros_like(one.periodic))) == []


def test_rows_that_are_looked_at():
    assert sampled_rows(3, 10).tolist() == [0, 1, 2] and sampled_rows(1, 10).tolist() == [0]
    rows = sampled_rows(100_000, 10_000)
    assert rows[0] == 0 and rows[-1] == 99_999 and len(rows) == 20
