"""Four short runs beside one run of the same total length: do their densities of states agree within the error bars?

python tests/benchmarks/replicas_truth.py FOLDER [--ensemble nve] [--groups 2]    # 32 atoms of copper, EMT; minutes
    [--calculator nep --arguments "{model_filename: PATH}"]

FOLDER keeps the trajectories, and a second start goes on. Every pair of results is compared at wavenumbers two widths
of the smoothing apart: the share of differences within one combined bar (68 % expected), and the mean square of
difference over bar.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from ase.build import bulk

SHORT, RUNS, WIDTH, HIGHEST = 15000.0, 4, 8.0, 270.0  # fs, runs, cm^-1, cm^-1
MD = """output: {output}
figures: false
md: {{structure: cu.vasp, calculator: {calculator}, arguments: {arguments},
  temperature: 300, time_step: 5, frame_interval: 20, length: {length},
  replicas: {replicas}, equilibration: 2000, ensemble: {ensemble}, seed: {seed}}}
"""
DYNAMICS = """output: {output}
figures: false
trajectory: {{files: [{files}]{runs}}}
dynamics: {{smoothing: {width}, blocks: 8}}
"""


def mlraman(folder: Path, command: str, name: str, deck: str) -> None:
    (folder / f"{name}.yaml").write_text(deck)
    subprocess.run([sys.executable, "-m", "mlraman_hpc", command, f"{name}.yaml"], cwd=folder, check=True)


def density(folder: Path, name: str, files: list[str]) -> tuple[np.ndarray, np.ndarray, float]:
    """Density of states and its bars at wavenumbers two widths apart, and the kinetic temperature (K)."""
    deck = DYNAMICS.format(
        output=name, files=", ".join(files), runs=", runs: true" if len(files) > 1 else "", width=WIDTH
    )
    mlraman(folder, "dynamics", name, deck)
    with h5py.File(folder / name / "dynamics.h5") as file:
        grid = file["vdos/wavenumber"][:]
        at = np.arange(2 * WIDTH, HIGHEST, 2 * WIDTH)
        values = [np.interp(at, grid, file[path][:]) for path in ("vdos/total", "error/vdos/total")]
        return values[0], values[1], float(np.mean(file["temperature"][()]))


def compared(one: tuple, other: tuple) -> str:
    ratio = (one[0] - other[0]) / np.hypot(one[1], other[1])
    within = 100 * np.mean(np.abs(ratio) <= 1)
    return f"{within:3.0f} % of {len(ratio)} within one bar, mean square {np.mean(ratio**2):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ensemble", default="nve")
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--calculator", default="emt")
    parser.add_argument("--arguments", default="{}")
    options = parser.parse_args()
    folder, groups = options.folder, options.groups
    folder.mkdir(exist_ok=True)
    bulk("Cu", cubic=True).repeat(2).write(folder / "cu.vasp")
    lengths = {"short": (SHORT, RUNS * groups, 1), "long": (RUNS * SHORT, groups, 2)}
    for name, (length, replicas, seed) in lengths.items():
        force_field = {"calculator": options.calculator, "arguments": options.arguments}
        deck = MD.format(
            output=name, length=length, replicas=replicas, ensemble=options.ensemble, seed=seed, **force_field
        )
        mlraman(folder, "md", f"{name}_md", deck)
    sets = {}
    for group in range(groups):
        files = [f"short/trajectory_300K_{RUNS * group + k}.h5" for k in range(RUNS)]
        sets[f"four runs {group}"] = density(folder, f"four_{group}", files)
        sets[f"long run {group}"] = density(folder, f"one_{group}", [f"long/trajectory_300K_{group}.h5"])
    for name, (_, bars, temperature) in sets.items():
        print(f"{name}: {temperature:.1f} K, mean bar {np.mean(bars):.2g}")
    for one, other in combinations(sets, 2):
        print(f"{one} and {other}: {compared(sets[one], sets[other])}")


if __name__ == "__main__":
    main()
