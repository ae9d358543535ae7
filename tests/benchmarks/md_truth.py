"""`mlraman md` beside ASE alone with another thermostat: temperature, energy, D and density of states.

python tests/benchmarks/md_truth.py FOLDER              # liquid argon, 108 atoms of Lennard-Jones, 120 K; some minutes
python tests/benchmarks/md_truth.py FOLDER emt          # liquid copper, 32 atoms, 2500 K, by ASE's EMT; some minutes
python tests/benchmarks/md_truth.py FOLDER nep89.txt    # the same by calorine's CPUNEP

FOLDER keeps the trajectories, and a second start goes on. The model NEP89 lies in the package neptrainkit.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io import Trajectory
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary

from mlraman_hpc.base.named_objects import named_object


@dataclass(frozen=True)
class System:
    """fs, K, cm^-1. `arguments` of the calculator, `mobile` for D, `width` of the smoothing, `highest` band."""

    atoms: Atoms
    name: str
    calculator: str
    arguments: dict[str, Any]
    temperature: float
    step: float
    stride: int
    length: float
    replicas: int
    mobile: str
    width: float
    highest: float


def argon() -> System:
    arguments = {"epsilon": 0.0103, "sigma": 3.405, "rc": 8.0, "smooth": True}
    name = "ase.calculators.lj:LennardJones"
    return System(
        bulk("Ar", "fcc", 5.95, cubic=True).repeat(3), "lj", name, arguments, 120, 8, 5, 20000, 2, "Ar", 8, 120
    )


def copper(force_field: str) -> System:
    """Liquid after some ps at 2500 K; a crystal that changes its structure would have no spectrum to compare."""
    name, calculator, arguments = "emt", "ase.calculators.emt:EMT", {}
    if force_field != "emt":
        name, calculator = "nep", "calorine.calculators:CPUNEP"
        arguments = {"model_filename": str(Path(force_field).resolve())}
    atoms = bulk("Cu", "fcc", 3.95, cubic=True).repeat(2)
    return System(atoms, name, calculator, arguments, 2500, 4, 5, 8000, 4, "Cu", 10, 260)


MD = """output: {ensemble}
figures: false
md: {{structure: structure.vasp, calculator: {name}, arguments: {arguments}, temperature: {temperature},
  time_step: {step}, frame_interval: {interval}, length: {length}, replicas: {replicas}, equilibration: 4000,
  ensemble: {ensemble}}}
"""
DYNAMICS = """output: {output}
figures: false
trajectory: {{files: [{files}], frame_interval: {interval}{runs}}}
dynamics: {{mobile: [{mobile}], drift: total, smoothing: {width}}}
"""


def mlraman(folder: Path, command: str, deck: str) -> None:
    (folder / "deck.yaml").write_text(deck)
    subprocess.run([sys.executable, "-m", "mlraman_hpc", command, "deck.yaml"], cwd=folder, check=True)


def independent(system: System, path: Path) -> None:
    """As many steps as all replicas have, from other velocities, with stochastic velocity rescaling."""
    atoms, random = system.atoms.copy(), np.random.default_rng(77)
    atoms.calc = named_object(system.calculator, "calculator")(**system.arguments)
    momenta = random.standard_normal((len(atoms), 3))
    atoms.set_momenta(1.4 * momenta * np.sqrt(atoms.get_masses()[:, None] * units.kB * system.temperature))
    Stationary(atoms)
    target = system.temperature * (len(atoms) - 1) / len(atoms)  # ASE counts the centre of mass
    for time, duration in ((50.0, 4000.0), (500.0, system.replicas * system.length)):
        run = Bussi(atoms, system.step * units.fs, temperature_K=target, taut=time * units.fs, rng=random)
        if time > 100:
            trajectory = Trajectory(path, "w", atoms)
            run.attach(trajectory.write, interval=system.stride)
        run.run(round(duration / system.step))


def analysed(folder: Path, system: System, output: str, files: list[str]) -> dict[str, np.ndarray]:
    """Numbers of dynamics.h5, the density of states two widths of the smoothing apart."""
    deck = DYNAMICS.format(
        output=output,
        files=", ".join(files),
        interval=system.step * system.stride,
        runs=", runs: true" if len(files) > 1 else "",
        mobile=system.mobile,
        width=system.width,
    )
    mlraman(folder, "dynamics", deck)
    with h5py.File(folder / output / "dynamics.h5") as file:
        at = np.arange(2 * system.width, system.highest, 2 * system.width)
        grid = file["vdos/wavenumber"][:]
        found = {name: np.interp(at, grid, file[f"{name}vdos/total"][:]) for name in ("", "error/")}
        for name in ("", "error/"):
            found[f"{name}D"] = file[f"{name}diffusion/{system.mobile}"][()]
        return found | {"temperature": np.mean(file["temperature"][()])}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    system = copper(sys.argv[2]) if len(sys.argv) > 2 else argon()
    system.atoms.write(folder / "structure.vasp", sort=True)
    common = {"name": system.name, "arguments": system.arguments, "temperature": system.temperature}
    common |= {"step": system.step, "interval": system.step * system.stride, "length": system.length}
    for ensemble, replicas in (("nvt", system.replicas), ("nve", 1)):
        mlraman(folder, "md", MD.format(ensemble=ensemble, replicas=replicas, **common))
    if not (folder / "ase.traj").exists():
        independent(system, folder / "unfinished.traj")
        (folder / "unfinished.traj").rename(folder / "ase.traj")
    names = [f"trajectory_{system.temperature:g}K_{replica}.h5" for replica in range(system.replicas)]
    for path in [folder / "nvt" / name for name in names] + [folder / "nve" / names[0]]:
        with h5py.File(path) as file:
            mean, error, drift = (file[f"md/{key}"][0] for key in ("temperature", "temperature_error", "energy_drift"))
        print(f"{path}: {mean:.1f} +- {error:.1f} K, the conserved energy drifts by {drift:.2g} K")
    ours = analysed(folder, system, "ours", [f"nvt/{name}" for name in names])
    other = analysed(folder, system, "other", ["ase.traj"])
    for name, found in (("mlraman md", ours), ("ASE alone", other)):
        print(f"{name}: {found['temperature']:.1f} K, D = {found['D']:.3g} +- {found['error/D']:.1g} cm^2/s")
    ratio = (ours[""] - other[""]) / np.hypot(ours["error/"], other["error/"])
    size = np.linalg.norm(ours[""] - other[""]) / np.linalg.norm(other[""])
    print(
        f"density of states: differs by {100 * size:.1f} %; {100 * np.mean(np.abs(ratio) <= 1):.0f} % of {len(ratio)} "
        f"values within one bar, mean square {np.mean(ratio**2):.2f}"
    )


if __name__ == "__main__":
    main()
