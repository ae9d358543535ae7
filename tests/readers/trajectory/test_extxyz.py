"""Frames read together are those read one by one, to the last bit; what is not alike is left to the careful reader."""

import re

import ase
import ase.io
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.trajectory.byte_ranges import frame_texts
from mlraman_hpc.readers.trajectory.index import build_index, read_frames

FRAMES, ATOMS = 7, 6


def frames_with(rng, extra: bool, changing_cell: bool = False) -> list[ase.Atoms]:
    found = []
    for k in range(FRAMES):
        cell = np.diag([8.0, 9.0, 10.0 + k * changing_cell])
        atoms = ase.Atoms("Ag2I4", rng.normal(scale=20, size=(ATOMS, 3)), cell=cell, pbc=True, info={"step": 10**k})
        if extra:
            atoms.arrays["forces"] = rng.normal(size=(ATOMS, 3))
        found.append(atoms)
    return found


@pytest.fixture
def written(tmp_path):
    def write(change=lambda text: text, **options):
        path = tmp_path / "a.xyz"
        ase.io.write(path, frames_with(np.random.default_rng(3), **options), format="extxyz")
        path.write_text(change(path.read_text()))
        return path, build_index([path], "auto", tmp_path, None, lambda text: None)

    return write


def one_by_one(index):
    return [extxyz.read(text, index.location(row), {}) for row, text in enumerate(frame_texts(index))]


def one_configuration(configuration):
    """The method, which may be used for one frame only: the first, which says what the others must look like."""
    calls = []

    def once(*arguments):
        calls.append(arguments)
        assert len(calls) == 1
        return configuration(*arguments)

    return once


@pytest.mark.parametrize("options", [{"extra": False}, {"extra": True}, {"extra": False, "changing_cell": True}])
def test_together_as_one_by_one(written, options, monkeypatch):
    _, index = written(**options)
    expected = one_by_one(index)
    monkeypatch.setattr(extxyz._Atoms, "configuration", one_configuration(extxyz._Atoms.configuration))
    found = read_frames(index, np.arange(FRAMES))
    assert np.array_equal(found.positions, np.concatenate([part[0] for part in expected]))
    assert np.array_equal(found.numbers, np.concatenate([part[1] for part in expected]))
    assert np.array_equal(found.cells, np.stack([part[2] for part in expected]))
    assert found.periodic.all()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("Ag  ", " Ag ", 5),  # other columns of labels
        lambda text: re.sub(r" (\d)(?=\S+\n)", r"+\1", text),  # a sign before the last column
        lambda text: text.replace("\nI   ", "\nI \t ", 9),
        lambda text: text.replace("\n6\n", "\n 6\n", 1),
    ],
)
def test_unlike_frames_are_read_all_the_same(written, change):
    _, index = written(change, extra=False)
    found = read_frames(index, np.arange(FRAMES))
    assert np.array_equal(found.positions, np.concatenate([part[0] for part in one_by_one(index)]))


def test_atoms_in_another_order_are_seen(written):
    def swap(text):  # the last frame's first and last atoms
        lines = text.splitlines()
        lines[-ATOMS], lines[-1] = lines[-1], lines[-ATOMS]
        return "\n".join(lines) + "\n"

    _, index = written(swap, extra=False)
    found = read_frames(index, np.arange(FRAMES))
    assert found.numbers[-ATOMS] == 53 and found.numbers[-1] == 47


@pytest.mark.parametrize("extra, wrong, by", [(False, "x", "5"), (True, " ", "."), (True, "x", "5")])
def test_damage_is_named(written, extra, wrong, by):
    """One character near the end of the file: no number, or two words instead of one, in positions or in forces."""
    path, index = written(extra=extra)
    text = path.read_text()
    column = text.rstrip().rfind(by)
    path.write_text(text[:column] + wrong + text[column + 1 :])
    if extra and wrong == "x":
        assert len(read_frames(index, np.arange(FRAMES))) == FRAMES  # forces are not read here
    else:
        with pytest.raises(DataError, match=r"frame 6.*(number|columns)"):
            read_frames(index, np.arange(FRAMES))
