"""A campaign of many small materials as whole processes: cost for each, and two groups on two ranks against one rank.

Times are those of the clock; CPU seconds, which depend less on what else runs, are those of all ranks together.

Each material is a trajectory of 100 frames of 32 atoms (extended XYZ) with a model given as a file: index, prediction,
spectrum, report; no figures. The same campaign with half as many materials takes start-up off.

Usage: python tests/benchmarks/campaign.py [--materials 200] [--repeats 1]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ase
import ase.io
import numpy as np
from prediction import DESCRIPTORS, GRIDS, crystal, random_model

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.storage import hdf5, provenance

GRIDS[32] = (4, 4, 2)


def write(folder: Path, count: int) -> Path:
    """Deck of a campaign of `count` materials; trajectories differ in their frames' order."""
    frames = crystal(32, 2, 100)
    model = random_model(frames, DESCRIPTORS[5, 4])
    hdf5.save(model, folder / "model.h5", provenance.Origin("train", "{}", "benchmark", {}))
    symbols = [ELEMENTS[z] for z in frames.numbers[:32]]
    atoms = [
        ase.Atoms(symbols, positions, cell=frames.cells[0], pbc=True)
        for positions in frames.positions.reshape(-1, 32, 3)
    ]
    for k in range(count):
        order = np.random.default_rng(k).permutation(100)
        ase.io.write(folder / f"{k}.xyz", [atoms[i] for i in order], format="extxyz")
    lines = "".join(f"  - {{name: m{k}, trajectory: {k}.xyz}}\n" for k in range(count))
    deck = folder / f"{count}.yaml"
    deck.write_text(
        f"output: {folder}/out{count}\nfigures: false\nmodel: {{file: model.h5}}\n"
        f"trajectory: {{frame_interval: 10}}\nspectrum: {{smoothing: 30}}\nmaterials:\n{lines}"
    )
    return deck


def clock(deck: Path, ranks: int) -> tuple[float, float]:
    """(seconds, CPU seconds)"""
    shutil.rmtree(deck.parent / f"out{deck.stem}", ignore_errors=True)
    command = [
        Path(sys.executable).with_name("mpirun"),
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "mlraman_hpc",
        "campaign",
        deck,
        "--groups",
        str(ranks),
        "--quiet",
    ]
    began, used = time.perf_counter(), cpu()
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(done.stderr + done.stdout)
    return time.perf_counter() - began, cpu() - used


def cpu() -> float:
    """CPU seconds of all processes that were started and have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--materials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        half, whole = (write(Path(name), count) for count in (options.materials // 2, options.materials))
        print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
        for _ in range(options.repeats):
            (one, one_cpu), (two, two_cpu), (short, short_cpu) = clock(whole, 1), clock(whole, 2), clock(half, 1)
            count = options.materials
            print(
                f"{count} materials: one rank {one:.1f} s, {one / count:.3f} s each, "
                f"{2 * (one - short) / count:.3f} s each without start-up; "
                f"two groups {two:.1f} s, {one / two:.2f} times faster; CPU {one_cpu / count:.3f} s each, "
                f"{2 * (one_cpu - short_cpu) / count:.3f} s without start-up, two groups {two_cpu / one_cpu:.2f} "
                "times that of one rank",
                flush=True,
            )


if __name__ == "__main__":
    main()
