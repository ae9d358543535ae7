"""The example of four materials: its data belong together, and a small part of it tells conductors from others."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
import yaml
from ase.io import read

from tests.helpers import ROOT

EXAMPLE = ROOT / "input_examples" / "paper"
MATERIALS = ("na3ps4", "na3sbs4", "na3sbws4")


@pytest.mark.parametrize("name", MATERIALS)
def test_labels_are_frames_of_the_trajectory(name):
    """Number `step`/10 of it, to the digits that are stored."""
    with h5py.File(EXAMPLE / f"{name}.h5") as file:
        value = file["particles/all/position/value"]
        assert value.shape == (5001, 127 if name == "na3sbws4" else 128, 3) and value.attrs["unit"] == "0.001 Angstrom"
        edges = np.diag(file["particles/all/box/edges"][()])
        for kind in ("labels", "derivatives"):
            for atoms in read(EXAMPLE / f"{name}_{kind}.extxyz", ":")[:2]:
                stored = 0.001 * value[atoms.info["step"] // 10]
                off = (stored - atoms.positions) / edges
                assert np.abs((off - np.round(off)) * edges).max() < 1.2e-3


@pytest.mark.parametrize(("temperature", "cell", "melt"), [(600, 14.196, False), (900, 14.370, True)])
def test_the_control_is_a_crystal_at_600_kelvin_and_a_melt_at_900(temperature, cell, melt):
    """Antimony, of which no bond is broken in a crystal, leaves its site in a melt."""
    with h5py.File(EXAMPLE / f"na3sbs4_{temperature}K.h5") as file:
        edges = np.diag(file["particles/all/box/edges"][()])
        antimony = file["particles/all/species"][:] == 51
        positions = 0.001 * file["particles/all/position/value"][:, antimony]
    assert edges[0] == pytest.approx(cell, abs=1e-3) and positions.shape == (2500, 16, 3)
    steps = np.diff(positions, axis=0)
    steps -= edges * np.round(steps / edges)
    path = np.cumsum(steps, axis=0)
    away = np.mean(np.sum((path[1250:] - path[:-1250]) ** 2, axis=2))
    assert away > 3 if melt else away < 0.3


@pytest.mark.slow
def test_a_fifth_of_two_materials(mlraman, tmp_path):
    """Twenty picoseconds: gamma-Na3PS4 conducts and scatters at low wavenumbers, Na3SbS4 does neither."""
    deck = yaml.safe_load((EXAMPLE / "deck.yaml").read_text())
    descriptor = {"cutoff": 4.5, "max_angular": 3, "max_radial": 3, "radial_scaling": {"scale": 2.0, "exponent": 3.0}}
    deck |= {"output": "out", "figures": False, "model": {"committee": 0}, "descriptor": descriptor}
    del deck["convergence"]
    deck["materials"] = [one for one in deck["materials"] if one["name"] in ("Na3PS4-900K", "Na3SbS4-300K")]
    for material in deck["materials"]:
        del material["learning_curve"]
        material["trajectory"] = {"files": str(EXAMPLE / material["trajectory"]["files"]), "last": 1000}
        reference = material["reference"]
        reference["files"] = str(EXAMPLE / reference["files"])
        reference["derivatives"]["files"] = str(EXAMPLE / reference["derivatives"]["files"])
    (tmp_path / "deck.yaml").write_text(yaml.safe_dump(deck))
    mlraman(2, "campaign", "deck.yaml", "--groups", "2", timeout=600)
    with open(tmp_path / "out" / "campaign.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    fast, rigid = rows["Na3PS4-900K"], rows["Na3SbS4-300K"]
    assert float(fast["weight"]) > 2.5 * float(rigid["weight"])
    assert fast["motion"] == "diffusive" and 4e-5 < float(fast["diffusion [cm^2/s]"]) < 7e-5
    assert rigid["motion"] != "diffusive" and float(rigid["diffusion_upper [cm^2/s]"]) < 1e-6
    assert float(rigid["r2_off_diagonal"]) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("deck", ["deck.yaml", "control.yaml"])
def test_nothing_stands_in_the_way_of_the_shipped_campaigns(deck, mlraman, tmp_path):
    done = mlraman(0, "check", str(EXAMPLE / deck), "--set", f"output={tmp_path / 'out'}")
    assert "cannot be computed" not in done.stdout
