"""Velocities and masses where files have them, and time steps that not all frames have."""

import ase
import ase.io
import h5py
import numpy as np
import pytest

from mlraman_hpc.readers.trajectory import extxyz as extxyz_module
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.frames import Frames
from tests.readers.trajectory.test_formats import vasprun

MASSES = np.array([107.0, 126.5, 127.5])


def images(masses=MASSES, frames: int = 4) -> list[ase.Atoms]:
    rng = np.random.default_rng(4)
    atoms = []
    for _ in range(frames):
        atoms.append(ase.Atoms("AgI2", rng.normal(size=(3, 3)), cell=[7.0, 8.0, 9.0], pbc=True, masses=masses))
        atoms[-1].set_velocities(rng.normal(size=(3, 3)))
    return atoms


def rows_of(atoms: ase.Atoms, atom: int, masses) -> str:
    values = [*atoms.positions[atom], *atoms.get_velocities()[atom], *([] if masses is None else [masses[atom]])]
    return f"{atoms.symbols[atom]} {' '.join(f'{value:.17g}' for value in values)}\n"


def write_extxyz(path, masses) -> None:
    properties = "species:S:1:pos:R:3:vel:R:3" + ("" if masses is None else ":masses:R:1")
    text = ""
    for atoms in images(masses):
        text += f'3\nLattice="7 0 0 0 8 0 0 0 9" Properties={properties}\n'
        text += "".join(rows_of(atoms, atom, masses) for atom in range(3))
    path.write_text(text)


def write_traj(path, masses) -> None:
    ase.io.write(path, images(masses), format="traj")


def write_dump(path, masses) -> None:
    text = ""
    for k, atoms in enumerate(images(masses)):
        columns = "id element x y z vx vy vz" + ("" if masses is None else " mass")
        text += f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n0 7\n0 8\n0 9\n"
        text += f"ITEM: ATOMS {columns}\n" + "".join(f"{atom + 1} {rows_of(atoms, atom, masses)}" for atom in [2, 0, 1])
    path.write_text(text)


def write_h5md(path, masses) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        group["position/value"] = [atoms.positions for atoms in images(masses)]
        group["velocity/value"] = [atoms.get_velocities() for atoms in images(masses)]
        group["position/value"].attrs["unit"] = "Angstrom"
        group["species"] = np.array([b"Ag", b"I", b"I"])
        if masses is not None:
            group["mass"] = masses


WRITERS = {"a.xyz": write_extxyz, "a.traj": write_traj, "a.dump": write_dump, "a.h5": write_h5md}


@pytest.mark.parametrize("masses", [None, MASSES])
@pytest.mark.parametrize("name, write", WRITERS.items())
def test_velocities_and_masses(name, write, masses, tmp_path):
    write(tmp_path / name, masses)
    index = build_index([tmp_path / name], "auto", tmp_path / "scratch", None, pytest.fail)
    plain, frames = read_frames(index, [3, 1]), read_frames(index, [3, 1], velocities=True)
    assert plain.velocities is None and np.array_equal(plain.positions, frames.positions)
    velocities = np.concatenate([images(masses)[k].get_velocities() for k in (3, 1)])
    np.testing.assert_allclose(frames.velocities, velocities, rtol=1e-12, atol=1e-12)
    for read in (plain, frames):
        if masses is None:
            assert read.masses is None
        else:
            np.testing.assert_allclose(read.masses, np.tile(MASSES, 2), rtol=1e-6)


def test_frames_keep_velocities_and_masses(tmp_path):
    write_traj(tmp_path / "a.traj", MASSES)
    index = build_index([tmp_path / "a.traj"], "auto", tmp_path, None, pytest.fail)
    frames = read_frames(index, range(4), velocities=True)
    again = Frames.join([frames.take([0, 1]), frames.take([2, 3])])
    assert np.array_equal(again.velocities, frames.velocities) and np.array_equal(again.masses, frames.masses)
    assert Frames.join([frames, read_frames(index, [0])]).velocities is None


def test_masses_that_files_do_not_share(tmp_path):
    write_traj(tmp_path / "a.traj", MASSES)
    write_traj(tmp_path / "b.traj", MASSES + 1)
    warnings: list[str] = []  # the frames of both are the same
    index = build_index([tmp_path / "a.traj", tmp_path / "b.traj"], "auto", tmp_path, None, warnings.append)
    assert index.masses is None and len(index) == 8


def test_masses_of_a_vasprun(tmp_path):
    types = "<rc><c> 1</c><c>Na</c><c> 22.98</c><c> 1.0</c><c>PAW</c></rc><rc><c> 2</c><c>Cl</c><c> 35.45</c></rc>"
    text = vasprun().replace("</atominfo>", f'<array name="atomtypes" >\n<set>\n{types}\n</set>\n</array>\n</atominfo>')
    (tmp_path / "vasprun.xml").write_text(text)
    index = build_index([tmp_path / "vasprun.xml"], "auto", tmp_path, None, pytest.fail)
    assert read_frames(index, [0]).masses.tolist() == [22.98, 35.45, 35.45]


@pytest.mark.parametrize(
    "keys, steps, interval",
    [
        (["step={0} time_fs={1}", "step={0} time_fs={1}"], True, 2.0),
        (["step={0} time_fs={1}", "time_fs={1}"], False, 2.0),
        (["step={0} time_fs={1}", "step={0}"], True, None),
        (["c", "step={0} time_fs={1}"], False, None),
        (["i = {0}, time = {1}, E = 0", "i = {0}, time = {1}, E = 0"], True, 2.0),
        (["i = {0}, time = {1}, E = 0", "c"], False, None),
    ],
)
def test_steps_and_times_that_later_frames_lack(keys, steps, interval, tmp_path, monkeypatch):
    monkeypatch.setattr(extxyz_module, "CHUNK_ROWS", 4)
    comments = [keys[k >= 10].format(k, 2.0 * k) for k in range(20)]
    (tmp_path / "a.xyz").write_text("".join(f"1\n{comment}\nNa 0 0 0.{k}\n" for k, comment in enumerate(comments)))
    index = build_index([tmp_path / "a.xyz"], "auto", tmp_path, None, pytest.fail)
    assert index.frame_interval == interval and index.has_steps == steps
    assert index.steps([3, 19]) is None if not steps else index.steps([3, 19]).tolist() == [3, 19]
