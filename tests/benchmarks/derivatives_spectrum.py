"""The spectrum of the AgI example from few labels against that from all tensors and derivatives, and the model's band.

    python tests/benchmarks/derivatives_spectrum.py [--data FOLDER] [--draws 4] [--frames 3] [--tensors 20 40 80]

FOLDER has agi/labels.extxyz, agi/trajectory.extxyz.gz and agi_derivatives/derivatives.extxyz. Each line has the mean
over draws of |I - I_all|/|I_all|, of the bar's length over that of I_all, and of the share of wavenumbers, a smoothing
apart, whose bar of one and two `error/model` holds I_all; the same trajectory, so that there is no statistical error.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.model import regression
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.model import Model
from tests.benchmarks.derivatives import DESCRIPTORS, Bench

DESCRIPTOR = DESCRIPTORS["example"]
MEMBERS, BATCH, SMOOTHING, INTERVAL = 16, 50, 4.0, 50.0


def model_of(bench: Bench, frames: int, tensors: int, seed: int) -> Model:
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(bench.rows))[:frames])
    train = np.sort(rng.permutation(len(bench.labels))[:tensors])
    return bench.model(chosen, train, train[:0], MEMBERS, seed)


def series(models: list[Model], file: Path) -> np.ndarray:
    """(models, 1 + members, frames, 3, 3)"""
    with tempfile.TemporaryDirectory() as scratch:
        index = build_index([file], "auto", Path(scratch), None, print)
        frames = read_frames(index, np.arange(len(index.table)))
    calculator = FeatureCalculator(DESCRIPTOR, sorted(set(frames.numbers.tolist())))
    parts = []
    for k in range(0, len(frames), BATCH):
        features = calculator(frames.take(np.arange(k, min(k + BATCH, len(frames)))))
        parts.append([[regression.predict_features(each, features) for each in _each(model)] for model in models])
    return np.concatenate(parts, axis=2)


def _each(model: Model) -> list[Model]:
    fits = [(model.baseline, model.isotropic, model.anisotropic), *model.members]
    return [replace(model, baseline=b, isotropic=w0, anisotropic=w2) for b, w0, w2 in fits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2].parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--frames", type=int, nargs="*", default=[3])
    parser.add_argument("--tensors", type=int, nargs="*", default=[20, 40, 80])
    options = parser.parse_args()
    labels = read_labels([options.data / "agi" / "labels.extxyz"], "extxyz", "polarizability", "bohr^3", print)
    derivatives = read_derivatives([options.data / "agi_derivatives" / "derivatives.extxyz"], "auto", None, None, print)
    bench = Bench(labels, derivatives)
    cases = [(count, 0) for count in options.frames] + [(0, count) for count in options.tensors]
    models = [model_of(bench, len(derivatives), len(labels), 0)]
    for frames, tensors in cases:
        models += [model_of(bench, frames, tensors, 1 + draw) for draw in range(options.draws)]
        print(f"{frames} frames, {tensors} tensors: trained", flush=True)
    spectra = [
        raman_spectrum(alpha[0], INTERVAL, members=alpha[1:], blocks=0, smoothing=SMOOTHING)
        for alpha in series(models, options.data / "agi" / "trajectory.extxyz.gz")
    ]
    known = spectra[0].intensity["total"]
    visible = np.flatnonzero(known > 0.01 * known.max())
    points = visible[:: max(1, round(SMOOTHING / spectra[0].wavenumber[1]))]
    own = np.linalg.norm(spectra[0].error_model["total"]) / np.linalg.norm(known)
    print(f"the band of all tensors and derivatives: {own:.3f} of its spectrum")
    print("frames tensors   distance   band   within one bar   within two")
    for k, (frames, tensors) in enumerate(cases):
        rows = []
        for spectrum in spectra[1 + k * options.draws :][: options.draws]:
            difference, bar = spectrum.intensity["total"] - known, spectrum.error_model["total"]
            ratio = np.abs(difference[points]) / bar[points]
            lengths = np.linalg.norm([difference, bar], axis=1) / np.linalg.norm(known)
            rows.append([*lengths, np.mean(ratio < 1), np.mean(ratio < 2)])
        mean, scatter = np.mean(rows, axis=0), np.std(rows, axis=0)
        text = "   ".join(f"{value:.3f} +- {error:.3f}" for value, error in zip(mean, scatter))
        print(f"{frames:6d} {tensors:7d}   {text}", flush=True)


if __name__ == "__main__":
    main()
