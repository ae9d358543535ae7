"""`mlraman convert`: the same frames in H5MD, on any number of ranks, and the same results from them."""

import h5py
import numpy as np
import pytest

from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from tests import small_system as small


def frames_of(path, tmp_path):
    index = build_index([path], "auto", tmp_path / "scratch", None, pytest.fail)
    return index, read_frames(index, np.arange(len(index)))


@pytest.mark.parametrize("ranks", [0, pytest.param(3, marks=pytest.mark.mpi)])
def test_the_same_frames(ranks, mlraman, tmp_path):
    small.write(tmp_path)
    done = mlraman(ranks, "convert", "deck.yaml", "--set", "trajectory.every=10")
    assert "150 frames of 5 atoms" in done.stdout
    _, before = frames_of(tmp_path / "XDATCAR", tmp_path)
    index, after = frames_of(tmp_path / "out" / "trajectory.h5", tmp_path)
    for field in ("positions", "numbers", "cells", "periodic", "index"):
        assert np.array_equal(getattr(before, field), getattr(after, field)), field
    assert index.format == "h5md" and index.frame_interval == 10 and index.species == ("Ag", "I")
    assert read_frames(index, [0], velocities=True).velocities is None
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".tmp")]
    assert "up to date" in mlraman(0, "convert", "deck.yaml").stdout
    with h5py.File(tmp_path / "out" / "trajectory.h5") as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1] and "XDATCAR" in file.attrs["parents"]
        assert file["particles/trajectory/position/value"].attrs["unit"] == "Angstrom"
        assert file["particles/trajectory/box/edges/time"] == file["particles/trajectory/position/time"]


def test_the_same_alpha_from_it(mlraman, tmp_path):
    small.write(tmp_path, count=60)
    for command in ("train", "convert", "predict"):
        mlraman(0, command, "deck.yaml")
    mlraman(
        0,
        "predict",
        "deck.yaml",
        "--set",
        "output=again",
        "--set",
        "model.file=out/model.h5",
        "--set",
        "trajectory.files=out/trajectory.h5",
    )
    values = []
    for name in ("out", "again"):
        with h5py.File(tmp_path / name / "alpha.h5") as file:
            values.append((file["observables/polarizability/value"][:], file["observables/polarizability/time"][:]))
    assert np.array_equal(values[0][0], values[1][0]) and np.array_equal(values[0][1], values[1][1])


def moving(count: int = 40):
    """Positions and velocities (Angstrom/fs) of smooth motion, 2 fs apart, across the boundary of the cell."""
    times = 2.0 * np.arange(count)[:, None, None]
    phase = np.random.default_rng(2).uniform(0, 6, (1, 5, 3))
    positions = small.SITES @ small.CELL + 0.3 * np.sin(0.05 * times + phase)
    return positions, 0.3 * 0.05 * np.cos(0.05 * times + phase)


def velocity_xyz(positions, velocities) -> str:
    lattice = " ".join(f"{x:g}" for x in small.CELL.ravel())
    text = ""
    for k, (x, v) in enumerate(zip(positions, velocities)):
        text += f'5\nLattice="{lattice}" Properties=species:S:1:pos:R:3:vel:R:3 time_fs={2.0 * k}\n'
        text += "".join(
            f"{name} {' '.join(f'{value:.9f}' for value in (*a, *b))}\n"
            for name, a, b in zip(small.SPECIES, x % np.diag(small.CELL), v)
        )
    return text


@pytest.mark.parametrize("scale, unit", [(1.0, "angstrom/fs"), (1e3, "angstrom/ps")])
def test_velocities_get_a_unit(scale, unit, mlraman, tmp_path):
    small.write(tmp_path)
    positions, velocities = moving()
    (tmp_path / "md.xyz").write_text(velocity_xyz(positions, scale * velocities))
    settings = ["--set", "trajectory.files=md.xyz", "--set", "trajectory.frame_interval=null"]
    done = mlraman(0, "convert", "deck.yaml", *settings)
    assert f"velocities are in {unit}" in done.stdout
    index, _ = frames_of(tmp_path / "out" / "trajectory.h5", tmp_path)
    converted = read_frames(index, np.arange(40), velocities=True).velocities
    assert np.allclose(converted.reshape(velocities.shape), velocities, atol=1e-8)


def test_velocities_of_no_known_unit_are_left_out(mlraman, tmp_path):
    small.write(tmp_path)
    positions, velocities = moving()
    (tmp_path / "md.xyz").write_text(velocity_xyz(positions, np.random.default_rng(0).normal(size=velocities.shape)))
    settings = ["--set", "trajectory.files=md.xyz", "--set", "trajectory.frame_interval=null"]
    assert "cannot be told" in mlraman(0, "convert", "deck.yaml", *settings).stderr
    index, _ = frames_of(tmp_path / "out" / "trajectory.h5", tmp_path)
    assert read_frames(index, [0], velocities=True).velocities is None


def test_atoms_in_changing_order_are_refused(mlraman, tmp_path):
    small.write(tmp_path)
    (tmp_path / "md.xyz").write_text("2\nc\nAg 0 0 0\nI 0 0 1\n2\nc\nI 0 0 1\nAg 0 0 0\n")
    done = mlraman(0, "convert", "deck.yaml", "--set", "trajectory.files=md.xyz", code=3)
    assert "md.xyz, line 5 (frame 1): the order of the atoms" in done.stderr
    assert not (tmp_path / "out" / "trajectory.h5").exists()
    assert not list((tmp_path / "out").glob(".*.tmp"))
