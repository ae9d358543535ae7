"""Coverage of the model's bars of alpha on left-out frames and on left-out states; beside them bars by leverage.

    python tests/benchmarks/error_bars.py DATA [agi sio2 allegropol agi-synthetic] [--labels 50] [--states FILE]

Split: 'frames', trained on random labels and tested on the others; 'half', trained on labels of the first half of the
run and tested on the second; 'calm', trained on labels of the half of the frames whose atoms are least displaced from
their mean positions and tested on the quarter that is most; 'consecutive', trained on the first labels of the run,
tested on its second half. agi-synthetic: dipole-induced-dipole tensors, tested on cells strained by up to 2 % of
length, on atoms displaced at random and on frames of a run at 700 K (tests/physics/agi_states). --states: labels
(bohr^3) of other states of agi, on which the models of 'frames' are tested too; a file's name is that of its state.
Bars: 'present', the committee's deviations times the ensemble's distance; 'leverage',
c [k(x, x) - k(x)^T (K + mu)^-1 k(x) + mu]^(1/2), c from the left-out residuals; 'both', the root mean square of the
two. Of each: share of errors of lambda = 0, 2 within one and two bars (normal deviates: 0.68, 0.95), rms error over
rms bar, and the mean of log(bar) + (error/bar)^2/2 less that of one bar for all, 1/2 + log(rms error): lower is better.
Bars by leverage of lambda = 0 are lost in rounding (nan) where its ridge parameter is tiny.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.api import Trajectory
from mlraman_hpc.model.descriptors import Features, features
from mlraman_hpc.model.regression import fit, predict_features
from mlraman_hpc.numerics.regression.coverage import distance
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, Model, RadialScaling
from tests.benchmarks.derivatives import synthetic_labels
from tests.benchmarks.descriptor import read

DESCRIPTOR = Descriptor(radial_scaling=RadialScaling(3.0, 4.0))
MEMBERS, SHAKEN = 16, 0.15
CHANGES = (
    ("-2 %", -0.02, 0.0),
    ("+2 %", 0.02, 0.0),
    ("-1 %", -0.01, 0.0),
    ("+1 %", 0.01, 0.0),
    ("-0.5 %", -0.005, 0.0),
    ("shaken", 0.0, SHAKEN),
)
HOT = Path(__file__).resolve().parents[1] / "physics" / "agi_states" / "700K.extxyz"
SPLITS = ("frames", "half", "calm", "consecutive")


def changed(frames: Frames, strain: float, shaken: float) -> Frames:
    noise = shaken * np.random.default_rng(0).normal(size=frames.positions.shape)
    return replace(frames, positions=(1 + strain) * frames.positions + noise, cells=(1 + strain) * frames.cells)


def displacement(frames: Frames) -> np.ndarray:
    """(frames,) mean squared distance of the heaviest element's atoms from their mean positions, Angstrom^2."""
    count = len(frames.numbers) // len(frames)
    positions = frames.positions.reshape(len(frames), count, 3)
    inverse = np.linalg.inv(frames.cells)
    fractional = np.einsum("fai,fij->faj", positions, inverse)
    change = fractional - fractional[0]
    change -= np.round(change)
    change -= change.mean(axis=0)
    change = np.einsum("faj,fjk->fak", change, frames.cells)
    host = frames.numbers[:count] == frames.numbers.max()
    change -= change[:, host].mean(axis=1, keepdims=True)
    return (change[:, host] ** 2).sum(axis=-1).mean(axis=1)


def split(kind: str, frames: Frames, labels: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    count = len(frames)
    order = np.arange(count)
    if kind == "frames":
        order = rng.permutation(count)
        return np.sort(order[:labels]), np.sort(order[labels:])
    if kind == "consecutive":
        return order[:labels], order[count // 2 :]
    if kind == "calm":
        order = np.argsort(displacement(frames))
    tested = order[count // 2 :] if kind == "half" else order[3 * count // 4 :]
    return np.sort(rng.permutation(order[: count // 2])[:labels]), np.sort(tested)


def committee_bars(model: Model, known: Features) -> tuple[list[np.ndarray], float]:
    """Standard deviations of lambda = 0 (frames, 1) and 2 (frames, 5), widened, and the ensemble's distance."""
    far = float(np.sqrt(np.mean(distance(model.coverage, known.X0, known.composition) ** 2)))
    wide = model.with_spread(max(1.0, far))
    parts = [
        to_spherical(predict_features(replace(model, baseline=b, isotropic=w0, anisotropic=w2), known))
        for b, w0, w2 in wide.members
    ]
    return [np.std([part[order] for part in parts], axis=0, ddof=1).reshape(len(known), -1) for order in (0, 1)], far


def leverage_bars(model: Model, known: Features, labels: Labels, tested: Features) -> list[np.ndarray]:
    alpha = to_spherical(labels.polarizability)
    bars = []
    for order, name in enumerate(("isotropic", "anisotropic")):
        X, Y = (part.X0[:, None] if order == 0 else part.X2 for part in (known, tested))
        free = order == 0  # a free constant, for all labels have the same composition
        block, shift = X.shape[1], X.mean(axis=0) if free else 0.0
        X, Y = ((part - shift).reshape(-1, X.shape[-1]) for part in (X, Y))
        scale, mu = (X**2).sum() / len(X), model.regularization[name]
        values, vectors = np.linalg.eigh(X @ X.T / scale)
        shrunk = 1 / (np.maximum(values, 0) + mu)
        inverse = (vectors * shrunk) @ vectors.T - (1 / (len(X) * mu) if free else 0.0)
        blocks = np.arange(len(X)).reshape(-1, block)
        own = np.linalg.inv(inverse[blocks[:, :, None], blocks[:, None]])
        residuals = np.einsum("nij,nj->ni", own, (inverse @ alpha[order].ravel())[blocks])
        c = np.mean(residuals**2 / np.einsum("nii->ni", own))
        known_part = (Y @ X.T @ vectors / scale) ** 2 @ shrunk
        variance = (Y**2).sum(axis=1) / scale - known_part + mu * (1 + (1 / len(X) if free else 0.0))
        bars.append(np.sqrt(c * np.maximum(variance, mu)).reshape(-1, block))
    return bars


def rows_of(model: Model, known: Features, labels: Labels, train: np.ndarray, tested: Features, truth: np.ndarray):
    """(3, 2, 4) of the three bars and lambda = 0, 2: within one, within two, rms error/rms bar, log score; distance."""
    predicted, reference = (to_spherical(value) for value in (predict_features(model, tested), truth))
    committee, far = committee_bars(model, tested)
    leverage = leverage_bars(model, known.take(train), labels.take(train), tested)
    both = [np.sqrt((a**2 + b**2) / 2) for a, b in zip(committee, leverage)]
    result = []
    for bars in (committee, leverage, both):
        own = []
        for order in (0, 1):
            error = np.abs(predicted[order] - reference[order]).reshape(bars[order].shape)
            ratio, rms = error / bars[order], np.sqrt(np.mean(error**2))
            score = np.mean(np.log(bars[order]) + ratio**2 / 2) - 0.5 - np.log(rms)
            own.append([np.mean(ratio < 1), np.mean(ratio < 2), rms / np.sqrt(np.mean(bars[order] ** 2)), score])
        result.append(own)
    return np.array(result), far


def line(name: str, kind: str, results: list) -> None:
    values, far = np.mean([r[0] for r in results], axis=0), np.mean([r[1] for r in results])
    for bar, own in zip(("present", "leverage", "both"), values):
        text = "   ".join(f"{a:.2f} {b:.2f} {c:.2f} {d:+.2f}" for a, b, c, d in own)
        print(f"{name:14s} {kind:12s} distance {far:.2f}  {bar:9s} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=["agi", "sio2", "allegropol", "agi-synthetic"])
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--states", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    for name in options.names:
        labels = read(name.removesuffix("-synthetic"), options.data)
        numbers = sorted(set(labels.frames.numbers.tolist()))
        known = features(labels.frames, DESCRIPTOR, numbers)
        states: dict[str, tuple[Features, np.ndarray]] = {}
        if name.endswith("-synthetic"):
            labels = synthetic_labels(labels)
            others = {kind: changed(labels.frames, strain, shaken) for kind, strain, shaken in CHANGES}
            hot = Trajectory(HOT)
            others["700 K"] = hot.frames(range(len(hot)))
            for kind, other in others.items():
                truth = synthetic_labels(replace(labels, frames=other)).polarizability
                states[kind] = features(other, DESCRIPTOR, numbers), truth
        for path in options.states if name == "agi" else ():
            other_labels = read_labels([path], "auto", "polarizability", "bohr^3", print)
            states[path.stem] = features(other_labels.frames, DESCRIPTOR, numbers), other_labels.polarizability
        results: dict[str, list] = {}
        for kind in SPLITS:
            for draw in range(1 if kind == "consecutive" else options.draws):
                train, test = split(kind, labels.frames, options.labels, np.random.default_rng(draw))
                model, _ = fit(known, labels, train, test, DESCRIPTOR, "auto", MEMBERS, draw)
                own = rows_of(model, known, labels, train, known.take(test), labels.polarizability[test])
                results.setdefault(kind, []).append(own)
                if kind == "frames":
                    for state, (tested, truth) in states.items():
                        rows = test if len(tested) == len(labels) else np.arange(len(tested))
                        own = rows_of(model, known, labels, train, tested.take(rows), truth[rows])
                        results.setdefault(state, []).append(own)
            for each in [kind, *(states if kind == "frames" else ())]:
                line(name, each, results[each])


if __name__ == "__main__":
    main()
