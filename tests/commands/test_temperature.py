"""Times between frames, masses and temperatures that cannot be true are told."""

import numpy as np
import pytest

from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.storage import hdf5

MASS, INTERVAL, TEMPERATURE = 2.014, 4.0, 300.0
K_B = 8.314462618e-7  # u Angstrom^2/fs^2/K


def dump(path, mass=True):
    """LAMMPS: 8 atoms of deuterium, written as H, that swing at 250 cm^-1 with the energy of TEMPERATURE."""
    rng = np.random.default_rng(4)
    sites = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * 5.0 + 1
    omega = 2 * np.pi * 2.99792458e-5 * 250
    size = np.sqrt(2 * K_B * TEMPERATURE / MASS) / omega
    phase = rng.uniform(0, 2 * np.pi, (8, 3))
    lines = []
    for frame in range(400):
        columns = "id element " + ("mass " if mass else "") + "xu yu zu"
        lines += ["ITEM: TIMESTEP", str(frame), "ITEM: NUMBER OF ATOMS", "8", "ITEM: BOX BOUNDS pp pp pp"]
        lines += ["0 10"] * 3 + [f"ITEM: ATOMS {columns}"]
        x = sites + size * np.cos(omega * INTERVAL * frame + phase)
        lines += [
            f"{k + 1} H {f'{MASS} ' if mass else ''}" + " ".join(f"{value:.8f}" for value in row)
            for k, row in enumerate(x)
        ]
    path.write_text("\n".join(lines) + "\n")


def deck(folder, interval=INTERVAL, dynamics="{temperature: 300}"):
    text = f"trajectory: {{files: t.lammpstrj, frame_interval: {interval}}}\ndynamics: {dynamics}\n"
    (folder / "deck.yaml").write_text(f"output: out\nfigures: false\n{text}")


def temperature(folder):
    return hdf5.load(Dynamics, folder / "out").temperature


@pytest.mark.parametrize("source", ["file", "deck"])
def test_masses_of_file_and_deck_are_used(mlraman, tmp_path, source):
    dump(tmp_path / "t.lammpstrj", mass=source == "file")
    deck(tmp_path, dynamics="{temperature: 300}" if source == "file" else "{temperature: 300, masses: {H: 2.014}}")
    done = mlraman(0, "dynamics", "deck.yaml")
    # a twelfth less where the centre of mass, 3 of 24 degrees of freedom, is not at rest
    assert temperature(tmp_path) == pytest.approx(TEMPERATURE, rel=0.15)
    assert "H 2.014 u (standard 1.008)" in done.stdout and "temperature of" not in done.stderr


def test_a_wrong_mass_or_interval_is_told(mlraman, tmp_path):
    dump(tmp_path / "t.lammpstrj", mass=False)
    deck(tmp_path)
    done = mlraman(0, "dynamics", "deck.yaml")
    assert temperature(tmp_path) == pytest.approx(TEMPERATURE / 2, rel=0.15)
    assert "the deck says 300 K; check trajectory.frame_interval, dynamics.masses" in done.stderr
    assert any("the deck says 300 K" in text for text in hdf5.load(Dynamics, tmp_path / "out").warnings)
    deck(tmp_path, 10 * INTERVAL, "{}")
    assert "K only; check trajectory.frame_interval" in mlraman(0, "dynamics", "deck.yaml").stderr


def test_an_interval_that_no_simulation_has_is_refused(mlraman, tmp_path):
    dump(tmp_path / "t.lammpstrj")
    deck(tmp_path, 0.04)
    for name in ("check", "dynamics"):
        refused = mlraman(0, name, "deck.yaml", code=2).stderr
        assert "trajectory.frame_interval" in refused and "0.04 fs" in refused


def test_masses_of_elements_that_are_not_there_are_refused(mlraman, tmp_path):
    dump(tmp_path / "t.lammpstrj")
    deck(tmp_path, dynamics="{masses: {O: 18}}")
    assert "dynamics.masses" in mlraman(0, "dynamics", "deck.yaml", code=2).stderr
