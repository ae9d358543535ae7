"""A format is one module and one line of the table: nothing else knows it."""

import re
from typing import get_args

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.config import motion_sections
from mlraman_hpc.readers.trajectory.formats import format_named
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.formats import TRAJECTORY_FORMATS


@pytest.fixture
def toy(monkeypatch, tmp_path):
    monkeypatch.setitem(TRAJECTORY_FORMATS, "toy", "tests.readers.trajectory.toy_format")
    rng, lines = np.random.default_rng(2), ["TOY", "Na Cl"]
    positions = rng.normal(size=(5, 2, 3))
    for frame in positions:
        lines.append(" ".join(repr(float(x)) for x in frame.ravel()))
    path = tmp_path / "md.toy"
    path.write_text("\n".join(lines) + "\n")
    return path, positions


@pytest.mark.parametrize("name, format", [("md.toy", "auto"), ("unknown", "auto"), ("unknown", "toy")])
def test_a_toy_format(toy, name, format, tmp_path):
    path, positions = toy
    path = path.rename(tmp_path / name)
    cell = np.diag([4.0, 5.0, 6.0])
    index = build_index([path], format, tmp_path / "scratch", None, pytest.fail, cell)
    assert index.format == "toy" and index.species == ("Na", "Cl") and index.frame_interval == 2.5
    assert index.steps([1, 3]).tolist() == [5, 15]
    frames = read_frames(index, [4, 0], velocities=True)
    assert np.array_equal(frames.positions.reshape(2, 2, 3), positions[[4, 0]]) and frames.velocities is None
    assert np.array_equal(frames.cells, [cell, cell])
    path.write_text(path.read_text().replace(repr(float(positions[3, 0, 0])), "x" * 20))
    with pytest.raises(DataError, match=r"line 6 \(frame 3\): expected coordinates"):
        read_frames(build_index([path], format, tmp_path / "scratch", None, pytest.fail, cell), [3])


@pytest.mark.parametrize("name", TRAJECTORY_FORMATS)
def test_formats_say_what_they_are(name):
    format = format_named(name)
    assert format.name == name and re.compile(format.file_names)
    keys = motion_sections.TrajectorySection.model_fields
    assert set(format.needs) <= set(keys)


def test_the_deck_names_the_formats_of_the_table():
    annotation = motion_sections.TrajectorySection.model_fields["format"].annotation
    assert get_args(annotation) == ("auto", *TRAJECTORY_FORMATS)
