"""Liquid argon by `mlraman md` and by ASE alone, with another thermostat: temperature, D and density of states.

python tests/benchmarks/md_truth.py          # some minutes; 108 atoms of Lennard-Jones argon at 120 K
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import Trajectory
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary

LJ = {"epsilon": 0.0103, "sigma": 3.405, "rc": 8.0, "smooth": True}
TEMPERATURE, STEP, STRIDE, LENGTH, REPLICAS = 120.0, 8.0, 5, 20000.0, 2
MD = f"""output: out
figures: false
md: {{structure: argon.vasp, calculator: lj, arguments: {{epsilon: 0.0103, sigma: 3.405, rc: 8.0, smooth: true}},
  temperature: {TEMPERATURE}, time_step: {STEP}, frame_interval: {STEP * STRIDE}, length: {LENGTH},
  replicas: {REPLICAS}, equilibration: 4000}}
"""
DYNAMICS = """output: {output}
figures: false
trajectory: {{files: {file}, frame_interval: {interval}}}
dynamics: {{mobile: [Ar], drift: total, smoothing: 8}}
"""


def mlraman(folder: Path, command: str, deck: str) -> None:
    (folder / "deck.yaml").write_text(deck)
    subprocess.run([sys.executable, "-m", "mlraman_hpc", command, "deck.yaml"], cwd=folder, check=True)


def independent(folder: Path) -> None:
    """As many steps as all replicas have, from other velocities, with stochastic velocity rescaling."""
    atoms, random = bulk("Ar", "fcc", 5.95, cubic=True).repeat(3), np.random.default_rng(77)
    atoms.calc = LennardJones(**LJ)
    momenta = random.standard_normal((len(atoms), 3)) * np.sqrt(atoms.get_masses()[:, None] * units.kB * TEMPERATURE)
    atoms.set_momenta(2**0.5 * momenta)
    Stationary(atoms)
    target = TEMPERATURE * (len(atoms) - 1) / len(atoms)  # ASE counts the centre of mass
    for time, steps in ((50.0, 1000), (500.0, int(REPLICAS * LENGTH / STEP))):
        run = Bussi(atoms, STEP * units.fs, temperature_K=target, taut=time * units.fs, rng=random)
        if time > 100:
            trajectory = Trajectory(folder / "ase.traj", "w", atoms)
            run.attach(trajectory.write, interval=STRIDE)
        run.run(steps)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bulk("Ar", "fcc", 5.95, cubic=True).repeat(3).write(folder / "argon.vasp")
        mlraman(folder, "md", MD)
        independent(folder)
        files = [f"out/trajectory_{TEMPERATURE:g}K_{replica}.h5" for replica in range(REPLICAS)] + ["ase.traj"]
        results = []
        for number, file in enumerate(files):
            mlraman(folder, "dynamics", DYNAMICS.format(output=f"d{number}", file=file, interval=STEP * STRIDE))
            with h5py.File(folder / f"d{number}" / "dynamics.h5") as stored:
                paths = ("temperature", "diffusion/Ar", "error/diffusion/Ar", "vdos/wavenumber", "vdos/total")
                results.append([stored[path][()] for path in (*paths, "error/vdos/total")])
        for file, (temperature, diffusion, error, *_) in zip(files, results):
            print(f"{file}: {temperature:.1f} K, D = {diffusion:.3g} +- {error:.1g} cm^2/s")
        grid, reference, sigma = results[-1][3:]
        mean = np.mean([np.interp(grid, result[3], result[4]) for result in results[:-1]], axis=0)
        errors = [np.interp(grid, result[3], result[5]) for result in results[:-1]]
        pull = (mean - reference) / np.hypot(sigma, np.sqrt(np.sum(np.square(errors), axis=0)) / REPLICAS)
        print(f"density of states below 120 cm^-1: rms difference {pull[grid < 120].std():.2f} standard errors")


if __name__ == "__main__":
    main()
