"""Polarizabilities of BaZrO3 by this program and by calorine's compiled CPUNEP, on the same frames, one thread each.

calorine lives in a Python environment of its own (`pip install calorine`), named by --peer. Its model is a file:
GPUMD's test suite has one of BaZrO3's susceptibility (tnep-BaZrO3-susceptibility.txt), named by --model. Without the
file, this script says so and makes one of the same size with random weights: same cutoffs (6 and 4 Angstrom), same
basis (n_max 4 4, basis_size 10 10, l_max 4 2), same networks (20 neurons), so the same arithmetic and time, and tensors
without meaning.

calorine is timed for the calculation alone, without reading or writing; this program once for the calculation alone,
once for the whole `mlraman predict`, from XDATCAR to alpha.h5. CPU times.

Usage: python tests/benchmarks/prediction_calorine.py --peer VENV/bin/python [--model tnep-BaZrO3-susceptibility.txt]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HEADER = "nep4_polarizability 3 Ba Zr O\ncutoff 6 4 74 24\nn_max 4 4\nbasis_size 10 10\nl_max 4 2 0\nANN 20 0\n"
TYPES, DESCRIPTORS, NEURONS, EXPANSIONS = 3, 30, 20, 2 * 5 * 11
LATTICE = 4.2
SITES = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
NUMBERS = np.array([56, 40, 8, 8, 8])
REPEATS = (2, 3, 4, 6)
FRAMES = 8


def crystal(repeat: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """positions (FRAMES, atoms, 3), numbers, cell: the perovskite with displacements of 0.1 Angstrom."""
    shifts = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), -1).reshape(-1, 3)
    perfect = ((shifts[:, None] + SITES).reshape(-1, 3)) * LATTICE
    moved = perfect + np.random.default_rng(repeat).normal(scale=0.1, size=(FRAMES, len(perfect), 3))
    return moved, np.tile(NUMBERS, repeat**3), LATTICE * repeat * np.eye(3)


def random_weights(path: Path) -> Path:
    rng = np.random.default_rng(0)
    network = TYPES * NEURONS * (DESCRIPTORS + 2) + 1
    weights = rng.normal(scale=0.1, size=2 * network + TYPES**2 * EXPANSIONS)
    path.write_text(HEADER + "".join(f"{w:15.7e}\n" for w in [*weights, *np.full(DESCRIPTORS, 0.1)]))
    return path


def peer(model: str) -> None:
    """Runs in calorine's environment: seconds a frame for each size, as JSON."""
    from ase import Atoms
    from calorine.calculators import CPUNEP

    times = {}
    for repeat in REPEATS:
        positions, numbers, cell = crystal(repeat)
        frames = [Atoms(numbers, p, cell=cell, pbc=True) for p in positions]
        calculator = CPUNEP(model)
        calculator.get_polarizability(frames[0])
        done, began = 0, time.process_time()
        while time.process_time() - began < 2.0:
            calculator.get_polarizability(frames[done % FRAMES])
            done += 1
        times[repeat] = (time.process_time() - began) / done
    print(json.dumps(times))


def ours(repeat: int, which: tuple[int, int]) -> tuple[float, float]:
    """Seconds a frame: calculation alone, and the whole prediction."""
    from prediction import DESCRIPTORS, Frames, prepare, random_model
    from prediction import ours as whole_prediction

    from mlraman_hpc.model.predictor import Predictor

    positions, numbers, cell = crystal(repeat)
    atoms, order = len(numbers), np.argsort(numbers, kind="stable")
    frames = Frames(
        positions[:, order].reshape(-1, 3),
        np.tile(numbers[order], FRAMES),
        np.arange(FRAMES + 1) * atoms,
        np.repeat(cell[None], FRAMES, axis=0),
        np.ones((FRAMES, 3), bool),
        np.arange(FRAMES),
    )
    model = random_model(frames, DESCRIPTORS[which])
    model.number_density[:] = atoms / np.linalg.det(cell)
    predictor = Predictor(model)
    predictor(frames)
    done, began = 0, time.process_time()
    while time.process_time() - began < 2.0:
        predictor(frames)
        done += FRAMES
    alone = (time.process_time() - began) / done
    with tempfile.TemporaryDirectory() as folder:
        count = int(3.0 / alone)
        return alone, whole_prediction(prepare(Path(folder), frames, model, count))[0] / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the Python that has calorine", default=sys.executable)
    parser.add_argument("--model", help="tnep-BaZrO3-susceptibility.txt of GPUMD's tests")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return peer(options.model)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            print("tnep-BaZrO3-susceptibility.txt is missing (--model): random weights of the same size instead")
            model = str(random_weights(Path(folder) / "nep.txt"))
        command = [options.peer, __file__, "--worker", "--model", model]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{options.peer}: calorine cannot be used there: {done.stderr.strip().splitlines()[-1]}")
    theirs = {int(repeat): seconds for repeat, seconds in json.loads(done.stdout.splitlines()[-1]).items()}
    print("atom-frames/s                         calorine  this program: calculation (ratio), whole prediction (ratio)")
    for repeat, seconds in theirs.items():
        atoms = 5 * repeat**3
        for which in ((5, 4), (6, 4)):
            volume = 4 / 3 * np.pi * which[0] ** 3
            alone, whole = ours(repeat, which)
            neighbours = 5 / LATTICE**3 * volume
            print(
                f"{atoms:5d} atoms, cutoff {which[0]} ({neighbours:.0f} neighbours) {atoms / seconds:9.0f} "
                f"{atoms / alone:9.0f} ({seconds / alone:.1f}) {atoms / whole:9.0f} ({seconds / whole:.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
