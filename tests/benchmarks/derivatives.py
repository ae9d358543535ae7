"""R2 on tensors of models from derivative frames, alone and with tensors, beside tensors alone; and a synthetic truth.

    python tests/benchmarks/derivatives.py [--data FOLDER] [--draws 8] [--frames 0 1 2 3 5 10] [--tensors 0 5 20 60]
    python tests/benchmarks/derivatives.py [--synthetic] [--descriptor example|auto|smooth]

FOLDER has agi/labels.extxyz and agi_derivatives/derivatives.extxyz. All that is not trained on is the test set;
ridge parameter and noise levels come from the training set alone. The synthetic truth are self-consistent
dipole-induced-dipole tensors of the same structures, which the model cannot represent exactly.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from mlraman_hpc.model.derivatives import Columns, fit_with_derivatives, frame_rows, predict_tensors
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.model.regression import fit
from mlraman_hpc.numerics.regression.scores import tensor_scores
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.records.frames import DerivativeLabels, Labels
from mlraman_hpc.records.model import Descriptor, Model, RadialScaling

DESCRIPTORS = {  # of 'mlraman docs derivatives'; auto: the first candidate of `descriptor: auto`
    "example": Descriptor(cutoff=5.5, cutoff_width=3.0, density_width=0.5, max_angular=4, max_radial=5),
    "auto": Descriptor(radial_scaling=RadialScaling(3.0, 4.0)),
    "smooth": Descriptor(cutoff_width=2.0, density_width=0.6, radial_scaling=RadialScaling(3.0, 3.0)),
}
ATOMIC = {47: 2.0, 53: 6.0}  # Angstrom^3, of the synthetic truth
DAMPING = 1.6  # Angstrom, Thole's; without it the dipoles of close atoms would diverge
STEP = 1e-3


def dipole_induced_dipole(positions: np.ndarray, numbers: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """alpha (3, 3) Angstrom^3 = sum_ij [(A^-1 - T)^-1]_ij with nearest images within half the cell, smoothly damped."""
    atoms, box = len(positions), np.diag(cell)
    difference = positions[:, None] - positions[None]
    difference -= box * np.round(difference / box)
    length = np.sqrt((difference**2).sum(axis=-1)) + np.eye(atoms)
    cut = np.where(length < box.min() / 2, np.cos(np.pi * length / box.min()) ** 2, 0.0) * (1 - np.eye(atoms))
    damping = 1 - np.exp(-((length / DAMPING) ** 3))
    unit = difference / length[..., None]
    tensor = 3 * unit[..., :, None] * unit[..., None, :] - np.eye(3)
    tensor *= (cut * damping / length**3)[..., None, None]
    matrix = -np.moveaxis(tensor, 1, 2).reshape(3 * atoms, 3 * atoms)
    matrix[np.diag_indices(3 * atoms)] += np.repeat([1 / ATOMIC[z] for z in numbers], 3)
    inverse = np.linalg.inv(matrix)
    return inverse.reshape(atoms, 3, atoms, 3).sum(axis=(0, 2))


def synthetic_labels(labels: Labels) -> Labels:
    frames = labels.frames
    parts = [slice(*frames.first_atom[k : k + 2]) for k in range(len(frames))]
    alpha = [
        dipole_induced_dipole(frames.positions[p], frames.numbers[p], frames.cells[k]) for k, p in enumerate(parts)
    ]
    return Labels(frames, np.array(alpha), labels.source)


def synthetic_derivatives(labels: DerivativeLabels) -> DerivativeLabels:
    frames, values = labels.frames, []
    for k in range(len(frames)):
        part = slice(*frames.first_atom[k : k + 2])
        positions, numbers = frames.positions[part], frames.numbers[part]
        for atom in range(len(numbers)):
            rows = []
            for axis in range(3):
                moved = [positions.copy(), positions.copy()]
                for sign, copy in zip((1, -1), moved):
                    copy[atom, axis] += sign * STEP
                ahead, behind = (dipole_induced_dipole(copy, numbers, frames.cells[k]) for copy in moved)
                rows.append((ahead - behind) / (2 * STEP))
            values.append(np.array(rows))
    return DerivativeLabels(frames, np.array(values), labels.net, labels.source)


class Bench:
    """Features of all labels, and rows of all frames, made once."""

    def __init__(self, labels: Labels, derivatives: DerivativeLabels, descriptor: Descriptor = DESCRIPTORS["example"]):
        self.labels, self.derivatives, self.descriptor = labels, derivatives, descriptor
        numbers = sorted(set(labels.frames.numbers.tolist()))
        calculator = FeatureCalculator(descriptor, numbers)
        began = time.perf_counter()
        self.features: Features = calculator(labels.frames)
        self.ranges = calculator(derivatives.frames)
        self.columns = Columns({})
        self.rows = [frame_rows(calculator, derivatives, k, self.columns, True) for k in range(len(derivatives))]
        print(f"features and rows: {time.perf_counter() - began:.1f} s", flush=True)

    def model(self, chosen: np.ndarray, train: np.ndarray, test: np.ndarray, members: int = 0, seed: int = 0) -> Model:
        """Of the chosen frames with derivatives and the tensors to train on; of tensors alone where none is chosen."""
        if len(chosen) == 0:
            return fit(self.features, self.labels, train, test, self.descriptor, "auto", members, seed)[0]
        return fit_with_derivatives(
            [self.rows[k] for k in chosen],
            self.columns,
            self.derivatives.take(chosen),
            self.ranges.take(chosen),
            self.features,
            self.labels,
            train,
            test,
            self.descriptor,
            "auto",
            members,
            seed,
        ).model

    def scores(self, frames: int, tensors: int, seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(self.rows))[:frames])
        order = rng.permutation(len(self.labels))
        train, test = np.sort(order[:tensors]), np.sort(order[tensors:])
        model = self.model(chosen, train, test)
        if frames == 0:
            scores = model.scores
        else:
            tested = self.labels.polarizability[test]
            scores = tensor_scores(tested, predict_tensors(model, self.features.take(test), tested))
        return scores["r2"]["diagonal"], scores["r2"]["off_diagonal"]

    def table(self, frames: list[int], tensors: list[int], draws: int) -> None:
        print("frames tensors   R2 diagonal     R2 off-diagonal   s a fit")
        for count in frames:
            for size in tensors:
                if count == size == 0 or (count == 0 and size < 2):
                    continue
                repeats = 1 if count == len(self.rows) and size == 0 else draws
                began = time.perf_counter()
                values = np.array([self.scores(count, size, seed) for seed in range(repeats)])
                seconds = (time.perf_counter() - began) / repeats
                mean, deviation = values.mean(axis=0), values.std(axis=0)
                scores = "   ".join(f"{value:.4f} +- {error:.4f}" for value, error in zip(mean, deviation))
                print(f"{count:6d} {size:7d}   {scores}   {seconds:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2].parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[0, 1, 2, 3, 5, 10])
    parser.add_argument("--tensors", type=int, nargs="+", default=[0, 5, 20, 60])
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--descriptor", choices=DESCRIPTORS, default="example")
    options = parser.parse_args()
    labels = read_labels([options.data / "agi" / "labels.extxyz"], "extxyz", "polarizability", "bohr^3", print)
    derivatives = read_derivatives([options.data / "agi_derivatives" / "derivatives.extxyz"], "auto", None, None, print)
    if options.synthetic:
        labels, derivatives = synthetic_labels(labels), synthetic_derivatives(derivatives)
    Bench(labels, derivatives, DESCRIPTORS[options.descriptor]).table(options.frames, options.tensors, options.draws)


if __name__ == "__main__":
    main()
