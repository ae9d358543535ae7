"""Errors of descriptors on labels never trained on, over that of the default of version 0.4.0, and of the one chosen.

    python tests/benchmarks/descriptor.py DATA [agi sio2 allegropol qm7x] [--draws 10]

DATA is the folder of shared example data. For each number of training labels N_T: mean ratio over random draws of the
RMSE of diagonal and off-diagonal components and of the weighted error sqrt(<da^2> + 7/45 <dgamma^2>); 'auto' is the
candidate with the least leave-one-out error of each draw's training labels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from mlraman_hpc.model.descriptor_choice import candidates, choose, molecules_alone
from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.regression import fit, left_out_error, left_out_problem, predict_features
from mlraman_hpc.numerics.regression.scores import tensor_scores, weighted_norm
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor

SIZES = {"agi": (20, 50, 90), "sio2": (20, 50, 100, 200), "allegropol": (20, 50, 100, 150), "qm7x": (20, 50, 75)}
TESTED = 300


def read(name: str, data: Path) -> Labels:
    def ignore(text: str) -> None:
        pass

    if name == "sio2":
        index = build_index([data / "sio2/XDATCAR.gz"], "auto", Path(tempfile.mkdtemp()), None, ignore)
        order = "xx yy zz xy yz zx".split()
        return read_table_labels(data / "sio2/alpha.dat", order, "dielectric", None, index, 9, 10, ignore)
    file, quantity, unit = {
        "agi": ("agi/labels.extxyz", "polarizability", "bohr^3"),
        "allegropol": ("samples/allegropol_sio2_201.extxyz.gz", "polarizability", "e^2 angstrom^2/eV"),
        "qm7x": ("samples/qm7x_reduced_100.xyz", None, "bohr^3"),
    }[name]
    return read_labels([data / file], "auto", quantity, unit, ignore)


def splits(count: int, sizes: tuple[int, ...], draws: int):
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(count)
        tested = TESTED if count > 2 * TESTED else count - max(sizes)
        for size in sizes:
            yield size, draw, np.sort(order[tested : tested + size]), np.sort(order[:tested])


def run(name: str, data: Path, draws: int) -> None:
    labels = read(name, data)
    numbers = sorted(set(labels.frames.numbers.tolist()))
    molecules = molecules_alone(labels)
    grid = (Descriptor(), *candidates(Descriptor(), molecules))
    errors: dict[int, np.ndarray] = {size: np.empty((draws, len(grid) + 1, 3)) for size in SIZES[name]}
    left_out: dict[int, np.ndarray] = {size: np.empty((draws, len(grid))) for size in SIZES[name]}
    for k, descriptor in enumerate(grid):
        began = time.perf_counter()
        known = features(labels.frames, descriptor, numbers)
        print(f"{name}: {descriptor}: {time.perf_counter() - began:.1f} s", flush=True)
        for size, draw, train, test in splits(len(labels), SIZES[name], draws):
            model, _ = fit(known, labels, train, test, descriptor)
            predicted = predict_features(model, known.take(test))
            rmse = tensor_scores(labels.polarizability[test], predicted)["rmse"]
            error = weighted_norm(predicted - labels.polarizability[test])
            errors[size][draw, k] = rmse["diagonal"], rmse["off_diagonal"], error

            left_out[size][draw, k] = left_out_error(left_out_problem(known.take(train), labels.take(train)))
    for size in SIZES[name]:
        for draw in range(draws):
            chosen = 1 + choose(left_out[size][draw, 1:], molecules)
            errors[size][draw, -1] = errors[size][draw, chosen]
        ratio = errors[size] / errors[size][:, :1]
        print(f"{name}, N_T = {size}: RMSE diagonal / off-diagonal / weighted over the default of 0.4.0")
        for k, text in enumerate([*map(str, grid), "auto"]):
            print(f"  {text:75s} " + " / ".join(f"{x:.2f}" for x in ratio[:, k].mean(axis=0)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(SIZES))
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    for name in options.names:
        run(name, options.data, options.draws)


if __name__ == "__main__":
    main()
