"""Input of other engines: each key against the plan by its manual; LAMMPS and i-PI are run where they are installed."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlraman_hpc.md.engines import engine_files, trajectory_section, without_barostat
from mlraman_hpc.md.settings import Run, Settings

RUN = Run(450.0, 2, 7)
SEED = 1000 * 7 + 450 + 2 * 100_003 + 1


def settings(ensemble="nvt", npt_steps=3000) -> Settings:
    """4 fs, a frame every 5 steps, 1000 frames; 2002 steps before them; 0.5 GPa; a thermostat of 100 fs."""
    return Settings(ensemble, 4.0, 5, 1000, 2002, npt_steps, 0.5, 100.0, 500, False)


def salt(skewed: bool = False) -> Atoms:
    """Sodium chloride, chlorine first."""
    if skewed:
        return bulk("NaCl", "rocksalt", 5.64)
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    return atoms[np.argsort(atoms.numbers)[::-1]]


def commands(text: str) -> list[list[str]]:
    """Words of each line without comments."""
    return [line.split("#")[0].split() for line in text.splitlines() if line.split("#")[0].strip()]


def of(lines: list[list[str]], keyword: str) -> list[list[str]]:
    return [words[1:] for words in lines if words[0] == keyword]


def test_lammps():
    """metal units: ps, bar, K."""
    files = engine_files("lammps", salt(), settings(), RUN)
    lines = commands(files["in.lammps"])
    assert of(lines, "units") == [["metal"]] and of(lines, "timestep") == [["0.004"]]
    assert of(lines, "run") == [["3000"], ["2002"], ["4995"]]
    assert of(lines, "velocity")[0][1:4] == ["create", "450", str(SEED)]
    cell, mean, bath, _, motion = of(lines, "fix")
    assert cell[2:] == "npt temp 450 450 0.1 iso 5000 5000 1".split() and mean[2:6] == "ave/time 1 1500 3000".split()
    assert bath[2:] == ["langevin", "450", "450", "0.1", str(SEED)] and motion[2:] == [
        "nvt",
        "temp",
        "450",
        "450",
        "0.1",
    ]
    assert of(lines, "reset_timestep") == [["0"]]  # the dump's first frame is that of step 0
    assert of(lines, "dump")[0][2:5] == ["custom", "5", "trajectory.lammpstrj"]
    data = files["structure.data"]
    assert "2 atom types" in data and re.search(r"1 +22.9", data) and re.search(r"2 +35.4", data)  # Na, Cl
    assert of(commands(engine_files("lammps", salt(), settings("nve", 0), RUN)["in.lammps"]), "fix")[-1][2:] == ["nve"]


def test_gpumd():
    """Couplings in time steps, pressures in GPa; a frame after each fifth step."""
    lines = commands(engine_files("gpumd", salt(), settings(), RUN)["run.in"])
    assert of(lines, "time_step") == [["4"]] and of(lines, "velocity") == [["450", "seed", str(SEED)]]
    assert of(lines, "ensemble") == [
        "npt_scr 450 450 25 0.5 100 250".split(),
        "nvt_lan 450 450 25".split(),
        "nvt_nhc 450 450 25".split(),
    ]
    assert of(lines, "run") == [["3000"], ["2002"], ["5000"]] and of(lines, "dump_exyz") == [["5", "1", "0"]]
    assert [words[0] for words in lines].index("dump_exyz") > [words[0] for words in lines].index("run")
    (barostat, *_) = of(commands(engine_files("gpumd", salt(True), settings(), RUN)["run.in"]), "ensemble")
    assert barostat[4:] == ["0.5"] * 3 + ["0"] * 3 + ["100"] * 6 + ["250"]


def test_vasp():
    """Langevin friction in 1/ps for each element; the period of the chain in steps; every NBLOCK-th step is stored."""
    files = engine_files("vasp", salt(), settings(), RUN)
    incars = [dict(re.findall(r"(\w+) = (.+)", files[name])) for name in ("INCAR.equilibration", "INCAR.production")]
    for incar in incars:
        assert (incar["IBRION"], incar["ISIF"], incar["ISYM"], incar["POTIM"]) == ("0", "2", "0", "4")
        assert incar["TEBEG"] == incar["TEEND"] == "450"
    assert (incars[0]["MDALGO"], incars[0]["LANGEVIN_GAMMA"], incars[0]["NSW"]) == ("3", "10 10", "2002")
    assert incars[0]["RANDOM_SEED"].split() == [str(SEED), "0", "0"]
    assert (incars[1]["MDALGO"], incars[1]["NHC_NCHAINS"], incars[1]["NHC_PERIOD"]) == ("4", "3", "25")
    assert (incars[1]["NSW"], incars[1]["NBLOCK"]) == ("5000", "5")
    nve = dict(re.findall(r"(\w+) = (.+)", engine_files("vasp", salt(), settings("nve"), RUN)["INCAR.production"]))
    assert nve["MDALGO"] == "1" and float(nve["ANDERSEN_PROB"]) == 0
    assert files["POSCAR"].splitlines()[5].split() == ["Na", "Cl"]


def test_ipi():
    text = engine_files("ipi", salt(), settings(), RUN)["input.xml"]
    assert "first: 401," in trajectory_section("ipi", settings(), "out")  # 2002 steps are 400.4 frames
    assert f"<total_steps> {401 * 5 + 4995} </total_steps>" in text and f"<seed> {SEED} </seed>" in text
    assert "<timestep units='femtosecond'> 4 <" in text and "<tau units='femtosecond'> 100 <" in text
    assert "filename='pos' stride='5' format='ase'> positions{ase}" in text
    assert [engine for engine in ("lammps", "gpumd", "ipi", "vasp") if without_barostat(engine)] == ["ipi", "vasp"]


DECK = """output: out
figures: false
md: {structure: argon.vasp, calculator: lj, arguments: {epsilon: 0.0103, sigma: 3.405, rc: 8.0, smooth: true},
  temperature: 60, time_step: 8, frame_interval: 40, length: 40000, equilibration: 2000}
"""


def mean_temperature(mlraman, folder, section: str) -> float:
    """K, by the velocities, or displacements, of what the reader takes."""
    deck = f"output: read\nfigures: false\n{section}\ndynamics: {{}}\n"
    (folder / "read.yaml").write_text(deck)
    mlraman(0, "dynamics", "read.yaml")
    with h5py.File(folder / "read" / "dynamics.h5") as file:
        assert file["frames"][()] == 1000
        return float(file["temperature"][()])


@pytest.fixture
def argon(mlraman, tmp_path):
    """Writes an engine's input; its folder and the section that reads its result."""

    def write(engine: str):
        bulk("Ar", "fcc", 5.4, cubic=True).repeat(2).write(tmp_path / "argon.vasp")
        (tmp_path / "deck.yaml").write_text(DECK)
        done = mlraman(0, "md", "deck.yaml", "--write", engine)
        return tmp_path / "out" / engine / "60K_0", re.search(r"trajectory: .*", done.stdout).group()

    return write


@pytest.mark.slow
def test_lammps_runs_it(mlraman, argon, tmp_path):
    if shutil.which("lmp") is None:
        pytest.skip("LAMMPS is not installed")
    folder, section = argon("lammps")
    text = (folder / "in.lammps").read_text()
    text = text.replace("pair_style FILL_IN", "pair_style lj/cut 8.0").replace("FILL_IN Ar", "0.0103 3.405")
    (folder / "in.lammps").write_text(text)
    subprocess.run(["lmp", "-in", "in.lammps"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    np.testing.assert_allclose(mean_temperature(mlraman, tmp_path, section), 60, rtol=0.05)


CLIENT = """
from ase.calculators.lj import LennardJones
from ase.calculators.socketio import SocketClient
from ase.io import read
atoms = read("structure.extxyz")
atoms.calc = LennardJones(epsilon=0.0103, sigma=3.405, rc=8.0, smooth=True)
SocketClient(unixsocket="{address}").run(atoms, use_stress=False)
"""


@pytest.mark.slow
def test_ipi_runs_it(mlraman, argon, tmp_path):
    if shutil.which("i-pi") is None:
        pytest.skip("i-PI is not installed")
    folder, section = argon("ipi")
    text = (folder / "input.xml").read_text()
    assert text.count(" mlraman ") == 1
    address = f"mlraman_{os.getpid()}"  # of a socket that no other test uses
    (folder / "input.xml").write_text(text.replace(" mlraman ", f" {address} "))
    with subprocess.Popen(["i-pi", "input.xml"], cwd=folder, stdout=subprocess.DEVNULL) as server:
        for _ in range(600):
            if (Path("/tmp") / f"ipi_{address}").exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        client = [sys.executable, "-c", CLIENT.format(address=address)]
        subprocess.run(client, cwd=folder, check=True, timeout=600)
        assert server.wait(60) == 0
    np.testing.assert_allclose(mean_temperature(mlraman, tmp_path, section), 60, rtol=0.05)
