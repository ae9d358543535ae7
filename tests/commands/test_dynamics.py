"""`mlraman dynamics`: the same file on any number of ranks, what it holds, and the mistakes that it tells apart."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mlraman_hpc.records.transport import Dynamics, Motion
from mlraman_hpc.runtime import resources as machine
from mlraman_hpc.storage import hdf5
from tests.close import assert_close

CELL = np.array([[9.0, 0, 0], [1.0, 10.0, 0], [0, 0.5, 11.0]])
SPECIES = ["Ag"] * 20 + ["I"] * 12
DECK = """output: out
trajectory: {files: run.extxyz, frame_interval: 20.0}
dynamics: {mobile: [Ag], blocks: 4, charges: {Ag: 0.6, I: -1}}
"""


def motion(frames: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Positions (frames, atoms, 3) and smooth velocities: silver walks, iodine swings, everything drifts."""
    rng = np.random.default_rng(0)
    kicks = rng.normal(size=(frames, 20, 3))
    velocities = np.zeros((frames, 32, 3))
    for k in range(1, frames):
        velocities[k, :20] = 0.8 * velocities[k - 1, :20] + 0.002 * kicks[k]
    silver = np.cumsum(velocities[:, :20] * 20, axis=0)
    t = 20.0 * np.arange(frames)[:, None, None]
    omega, phase = 0.015, rng.uniform(0, 6, size=(12, 3))
    iodine = 0.2 * np.sin(omega * t + phase)
    velocities[:, 20:] = 0.2 * omega * np.cos(omega * t + phase)
    start = rng.uniform(size=(32, 3)) @ CELL
    drift = np.array([2e-4, 0, 1e-4])
    return start + np.concatenate([silver, iodine], axis=1) + drift * t, velocities + drift


def extxyz(positions, velocities=None, species=SPECIES, wrap=True) -> str:
    lattice = " ".join(map(str, CELL.ravel()))
    if wrap:
        inside = positions @ np.linalg.inv(CELL)
        positions = (inside - np.floor(inside)) @ CELL
    columns = "species:S:1:pos:R:3" + (":vel:R:3" if velocities is not None else "")
    lines = []
    for k, atoms in enumerate(positions):
        rows = atoms if velocities is None else np.hstack([atoms, velocities[k]])
        lines += [str(len(atoms)), f'Lattice="{lattice}" Properties={columns} pbc="T T T"']
        lines += [name + " " + " ".join(f"{x:.9f}" for x in row) for name, row in zip(species, rows)]
    return "\n".join(lines) + "\n"


def prepare(folder, text: str, deck: str = DECK):
    (folder / "run.extxyz").write_text(text)
    (folder / "deck.yaml").write_text(deck)


def result(folder) -> Dynamics:
    return hdf5.load(Dynamics, folder / "out" / "dynamics.h5")


@pytest.mark.mpi
@pytest.mark.parametrize(("velocities", "counts"), [(True, (0, 2, 6)), (False, (0, 1, 3))])
def test_any_number_of_ranks_gives_the_same_file(mlraman, tmp_path, velocities, counts):
    """Five blocks of atoms, so that the last case leaves ranks without any."""
    positions, speeds = motion()
    prepare(tmp_path, extxyz(positions, speeds if velocities else None))
    contents = set()
    for ranks in counts:
        mlraman(ranks, "dynamics", "deck.yaml", "--force")
        contents.add(hdf5.content_of(tmp_path / "out" / "dynamics.h5"))
    assert len(contents) == 1


@pytest.mark.mpi
def test_motion_in_a_file_gives_the_same(mlraman, tmp_path):
    """A part of a MB is more than half a MB of memory; the files are gone afterwards."""
    positions, speeds = motion(500)
    prepare(tmp_path, extxyz(positions, speeds))
    contents, said = set(), []
    for ranks, memory in ((0, "null"), (0, "0.2"), (2, "0.2"), (3, "0.25")):
        said.append(mlraman(ranks, "dynamics", "deck.yaml", "--force", "--set", f"dynamics.memory={memory}").stdout)
        contents.add(hdf5.content_of(tmp_path / "out" / "dynamics.h5"))
        assert not list((tmp_path / "out").glob(".*"))
    assert len(contents) == 1
    assert ["is kept in a file" in text for text in said] == [False, True, True, True]
    assert "is up to date" in mlraman(0, "dynamics", "deck.yaml").stdout


def test_memory_that_a_control_group_leaves(tmp_path):
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 4096000 kB\n")
    (tmp_path / "self" / "cgroup").write_text("0::/job/step\n")
    group = tmp_path / "job"
    group.mkdir()
    assert machine.free_memory(tmp_path, tmp_path) == 4000
    for name, text in (("max", "1048576000"), ("current", "524288000"), ("stat", "anon 1\ninactive_file 104857600\n")):
        (group / f"memory.{name}").write_text(text)
    assert machine.free_memory(tmp_path, tmp_path) == 600
    assert machine.free_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.slow
def test_wrapped_and_unwrapped_positions_mean_the_same(mlraman, tmp_path):
    positions, speeds = motion()
    found = []
    for wrap in (True, False):
        prepare(tmp_path, extxyz(positions, speeds, wrap=wrap))
        mlraman(0, "dynamics", "deck.yaml")
        found.append(result(tmp_path))
    for name in ("Ag", "I"):
        assert_close(found[0].msd[name], found[1].msd[name], rtol=1e-6)
        assert_close(found[0].vdos[name], found[1].vdos[name], rtol=1e-9)


def test_what_the_file_holds(mlraman, tmp_path):
    positions, speeds = motion()
    prepare(tmp_path, extxyz(positions, speeds))
    said = mlraman(0, "dynamics", "deck.yaml").stdout
    found = result(tmp_path)
    assert found.source == "velocities of the trajectory in angstrom/fs"
    assert found.drift == "host" and found.frames == 240 and found.mobile == ("Ag",)
    assert set(found.vdos) == {"Ag", "I", "total"} and set(found.msd) == {"Ag", "I"}
    assert_close(found.vdos["Ag"] + found.vdos["I"], found.vdos["total"], rtol=1e-9)
    assert found.degrees["total"] == pytest.approx(3 * 32 - 3)
    assert found.rms_displacement["I"] == pytest.approx(0.2 * np.sqrt(1.5), rel=0.1)
    assert found.verdict["I"] == Motion.BOUND
    with h5py.File(tmp_path / "out" / "dynamics.h5") as file:
        assert file["vdos/wavenumber"].attrs["unit"] == "cm^-1"
        assert file["msd/time"].attrs["unit"] == "fs" and file["msd/Ag"].attrs["unit"] == "Angstrom^2"
        assert file["diffusion/Ag"].attrs["unit"] == file["error/diffusion/Ag"].attrs["unit"] == "cm^2/s"
    assert "Ag: " in said and "I: rms displacement 0.2" in said
    for name in ("vdos.png", "vdos.pdf", "msd.png", "msd.pdf"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert "is up to date" in mlraman(0, "dynamics", "deck.yaml").stdout


@pytest.mark.slow
def test_velocities_and_positions_give_the_same_spectrum(mlraman, tmp_path):
    """Iodine's oscillation, well sampled; a spectral derivative loses nothing."""
    positions, speeds = motion(400)
    peaks = []
    for kind in ("auto", "positions"):
        prepare(tmp_path, extxyz(positions, speeds))
        mlraman(0, "dynamics", "deck.yaml", "--set", f"dynamics.velocities={kind}")
        found = result(tmp_path)
        peaks.append((found.wavenumber[np.argmax(found.vdos["I"])], found.degrees["I"]))
    assert peaks[0][0] == peaks[1][0] == pytest.approx(0.015 / (2 * np.pi * 2.99792458e-5), abs=2)
    assert peaks[0][1] == pytest.approx(peaks[1][1], rel=0.1)


def test_a_breathing_cell_does_not_move_atoms(mlraman, tmp_path):
    """Atoms at rest in fractional coordinates of a cell that changes by 1 %; two swing against each other."""
    sites = np.random.default_rng(1).uniform(size=(32, 3))
    text = ""
    for k in range(40):
        cell = CELL * (1 + 0.01 * np.sin(0.7 * k))
        lattice = " ".join(f"{x:.10f}" for x in cell.ravel())
        swing = np.zeros((32, 3))
        swing[20:22] = 0.01 * np.sin(0.5 * k) * np.array([[1], [-1]])
        rows = [name + " " + " ".join(f"{x:.10f}" for x in row) for name, row in zip(SPECIES, (sites + swing) @ cell)]
        text += f'32\nLattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"\n' + "\n".join(rows) + "\n"
    prepare(tmp_path, text)
    mlraman(0, "dynamics", "deck.yaml")
    assert result(tmp_path).rms_displacement["Ag"] < 1e-6 < 0.01 < result(tmp_path).rms_displacement["I"]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("dynamics.mobile=[Cu]", 2, "Cu is not in the trajectory, which has Ag, I"),
        ("dynamics.mobile=[Silver]", 2, "Silver is not an element"),
        ("dynamics.velocities=angstrom/ps", 2, "has no velocities"),
        ("trajectory.frame_interval=null", 2, "frame_interval"),
        ("trajectory.last=9", 3, "too few for dynamics"),
    ],
)
def test_mistakes_in_the_deck(mlraman, tmp_path, change, code, words):
    prepare(tmp_path, extxyz(motion(40)[0]))
    error = mlraman(0, "dynamics", "deck.yaml", "--set", change, code=code).stderr
    assert words in error and "Traceback" not in error


def test_host_drift_needs_a_host(mlraman, tmp_path):
    prepare(tmp_path, extxyz(motion(40)[0]))
    error = mlraman(
        0, "dynamics", "deck.yaml", "--set", "dynamics.mobile=[Ag, I]", "--set", "dynamics.drift=host", code=2
    ).stderr
    assert "no host lattice" in error


def test_atoms_at_rest(mlraman, tmp_path):
    prepare(tmp_path, extxyz(np.repeat(motion(40)[0][:1], 40, axis=0)))
    assert "no atom moves" in mlraman(0, "dynamics", "deck.yaml", code=3).stderr


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("damage", "words"),
    [("order", "another order"), ("velocities", "velocities are missing"), ("jump", "cannot be followed")],
)
def test_damaged_motion_ends_every_rank_with_one_message(mlraman, tmp_path, damage, words):
    positions, speeds = motion(40)
    if damage == "jump":
        positions[21:, 3] += 0.48 * CELL[0]
    lines = extxyz(positions, speeds).splitlines()
    frame = 30 * 34
    if damage == "order":
        lines[frame + 3], lines[frame + 33] = lines[frame + 33], lines[frame + 3]
    if damage == "velocities":
        lines[frame + 1] = lines[frame + 1].replace(":vel:R:3", "")
        lines[frame + 2 : frame + 34] = [" ".join(line.split()[:4]) for line in lines[frame + 2 : frame + 34]]
    prepare(tmp_path, "\n".join(lines) + "\n")
    for ranks in (0, 3):
        error = mlraman(ranks, "dynamics", "deck.yaml", code=3).stderr
        assert error.count(words) == 1 and "Traceback" not in error


def test_frozen_atoms_are_no_degrees_of_freedom(mlraman, tmp_path):
    """Half of the iodine is at rest; the temperature is that of the others, by hand from velocities in Angstrom/fs."""
    positions, speeds = motion()
    positions[:, 26:], speeds[:, 26:] = positions[:1, 26:], 0.0
    prepare(tmp_path, extxyz(positions, speeds), DECK.replace("mobile: [Ag], ", ""))
    said = mlraman(0, "dynamics", "deck.yaml").stdout
    assert "frozen: 6 of 12 I never move" in said
    mass = np.repeat([107.8682, 126.90447], [20, 12])[:, None]
    middle = speeds[40:-40]  # the window of the spectrum leaves little of the ends
    kinetic = (mass * middle**2).sum(axis=(1, 2)).mean() / (3 * 26) / 8.314463e-7  # u (Angstrom/fs)^2 / K
    found = result(tmp_path)
    assert found.temperature == pytest.approx(kinetic, rel=0.1)
    assert found.degrees["total"] == pytest.approx(78)


@pytest.mark.slow
def test_flips_of_the_cell_are_followed(mlraman, tmp_path):
    """A cell that is sheared steadily, and the same with its tilt brought back between -1/2 and 1/2 of the width."""
    positions, speeds = motion()
    found = []
    for flip in (False, True):
        tilt = 1.0 + np.linspace(0, 16, len(positions))
        back = tilt - 9.0 * np.round(tilt / 9) if flip else tilt
        heads = iter(f"{shift:.6f}" for shift in back)
        text = "\n".join(
            line.replace(" 1.0 10.0 ", f" {next(heads)} 10.0 ") if line.startswith("Lattice") else line
            for line in extxyz(positions, speeds, wrap=False).splitlines()
        )
        prepare(tmp_path, text + "\n")
        mlraman(0, "dynamics", "deck.yaml", "--force")
        found.append(result(tmp_path))
    for name in ("Ag", "I"):
        assert_close(found[1].msd[name], found[0].msd[name], 1e-9)
    assert_close(found[1].vdos["total"], found[0].vdos["total"], 1e-9)
