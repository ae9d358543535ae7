"""Four short runs beside one run of the same total length: do their spectra agree within the error bars?

python tests/benchmarks/replicas_truth.py FOLDER [--ensemble nve] [--groups 2]    # 32 atoms of copper, EMT; minutes
    [--calculator nep --arguments "{model_filename: PATH}"]

Density of states, and Raman spectrum with the polarizability of bonds that the tests have. FOLDER keeps the
trajectories, and a second start goes on. Every pair of results is compared at wavenumbers two widths of the smoothing
apart: the share of differences within one and two combined bars (68 and 95 % expected), and the mean square of
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
RAMAN = """output: {output}
figures: false
trajectory: {{files: [{files}]{runs}}}
model: {{predictor: {{calculator: "tests.predictors.bonds:Bonds", unit: angstrom^3}}}}
spectrum: {{smoothing: {width}, blocks: 8}}
"""


def mlraman(folder: Path, command: str, name: str, deck: str) -> None:
    (folder / f"{name}.yaml").write_text(deck)
    subprocess.run([sys.executable, "-m", "mlraman_hpc", command, f"{name}.yaml"], cwd=folder, check=True)


def spectra(folder: Path, name: str, files: list[str]) -> dict[str, np.ndarray]:
    """Density of states and Raman spectrum with bars at wavenumbers two widths apart, and the temperature (K)."""
    common = {"files": ", ".join(files), "runs": ", runs: true" if len(files) > 1 else "", "width": WIDTH}
    mlraman(folder, "dynamics", f"{name}_dynamics", DYNAMICS.format(output=name, **common))
    for command in ("predict", "spectrum"):
        mlraman(folder, command, f"{name}_raman", RAMAN.format(output=name, **common))
    at, found = np.arange(2 * WIDTH, HIGHEST, 2 * WIDTH), {}
    for file_name, path in (("dynamics", "vdos"), ("raman", "intensity")):
        with h5py.File(folder / name / f"{file_name}.h5") as file:
            grid = file["vdos/wavenumber" if path == "vdos" else "wavenumber"][:]
            bars = "error/vdos/total" if path == "vdos" else "error/statistical/total"
            found[path] = np.interp(at, grid, file[f"{path}/total"][:])
            found[f"error/{path}"] = np.interp(at, grid, file[bars][:])
            if path == "vdos":
                found["temperature"] = np.mean(file["temperature"][()])
    return found


def compared(one: dict, other: dict, name: str) -> str:
    ratio = (one[name] - other[name]) / np.hypot(one[f"error/{name}"], other[f"error/{name}"])
    one_bar, two_bars = (100 * np.mean(np.abs(ratio) <= bars) for bars in (1, 2))
    return (
        f"{name}: {one_bar:3.0f} % of {len(ratio)} within one bar, {two_bars:.0f} % within two, mean square "
        f"{np.mean(ratio**2):.2f}"
    )


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
        sets[f"four runs {group}"] = spectra(folder, f"four_{group}", files)
        sets[f"long run {group}"] = spectra(folder, f"one_{group}", [f"long/trajectory_300K_{group}.h5"])
    for name, found in sets.items():
        bars = ", ".join(
            f"{key} {np.mean(found[f'error/{key}']) / np.mean(found[key]):.3f}" for key in ("vdos", "intensity")
        )
        print(f"{name}: {found['temperature']:.1f} K, mean bar over mean: {bars}")
    for one, other in combinations(sets, 2):
        texts = [compared(sets[one], sets[other], name) for name in ("vdos", "intensity")]
        print(f"{one} and {other}: {'; '.join(texts)}")


if __name__ == "__main__":
    main()
