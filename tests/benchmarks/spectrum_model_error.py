"""Bias and coverage of the model's error of the spectrum, on trajectories whose true polarizability is known.

    python tests/benchmarks/spectrum_model_error.py [agi|agi-contacts|na3ps4|sio2 ...]

Truth: dipole-induced-dipole tensors along the trajectory, which the model cannot represent exactly (agi-contacts: with
a steep term of close contacts beside them and noise in the labels); of SiO2 the 1000 tensors of DFT. Models of 11 to 94
labels drawn from it predict the whole trajectory, and their spectrum is compared with that of the truth, at the same
frames and smoothing, so that there is no statistical error. Averages over the draws of a model each:

distance  |I - truth| / |truth|, of the model alone and with the committee; total: integral over the truth's; high: the
same of the upper half of the range; 68 %, 95 %: share of wavenumbers, a smoothing apart, whose bar of one and two
`error/model` holds the truth; bar: |error| / |truth|
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.model import regression
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.readers.tensors.components import from_columns, polarizability_of
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor, RadialScaling
from tests.benchmarks.derivatives import ATOMIC, dipole_induced_dipole
from tests.helpers import DATA

SIZES, DRAWS, MEMBERS = (11, 23, 47, 94), 16, 8
DESCRIPTOR = Descriptor(
    cutoff=5.0, cutoff_width=0.5, density_width=0.5, max_angular=2, max_radial=3, radial_scaling=RadialScaling(2.0, 3.0)
)
ATOMIC |= {11: 0.3, 15: 1.5, 16: 3.0}
CASES = {  # file, frame interval (fs), first frame, frames, every, smoothing (cm^-1)
    "sio2": ("sio2/XDATCAR.gz", 10.0, 9, 1000, 10, 8.0),
    "agi": ("agi/trajectory.extxyz.gz", 50.0, 0, 1200, 1, 4.0),
    "agi-contacts": ("agi/trajectory.extxyz.gz", 50.0, 0, 1200, 1, 4.0),
    "na3ps4": ("paper/na3ps4_900K.extxyz.gz", 20.0, 0, 500, 1, 8.0),
}
NOISE = 0.1  # of the labels of agi-contacts, over their fluctuation


def truth(name: str, frames: Frames) -> np.ndarray:
    """(frames, 3, 3) Angstrom^3"""
    if name == "sio2":
        table = np.loadtxt(DATA / "sio2/alpha.dat")[: len(frames)]
        tensors = from_columns(table, ["xx", "yy", "zz", "xy", "yz", "zx"])
        return polarizability_of(tensors, "dielectric", 1.0, frames.volumes)
    parts = [slice(*frames.first_atom[k : k + 2]) for k in range(len(frames))]
    alpha = np.array(
        [dipole_induced_dipole(frames.positions[p], frames.numbers[p], frames.cells[k]) for k, p in enumerate(parts)]
    )
    if name == "agi-contacts":
        extra = np.array([contacts(frames.positions[p], frames.cells[k]) for k, p in enumerate(parts)])
        alpha = alpha + extra * (1.5 * alpha.std(axis=0).mean() / extra.std(axis=0).mean())
    return alpha


def contacts(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(3, 3): bonds that count e times as much for each 0.18 Angstrom that they are shorter."""
    difference = positions[:, None] - positions[None]
    difference -= np.diag(cell) * np.round(difference / np.diag(cell))
    length = np.sqrt((difference**2).sum(axis=-1)) + 1e3 * np.eye(len(positions))
    unit = difference / length[..., None]
    return np.einsum("ij,ija,ijb->ab", np.where(length < 5, np.exp((2.6 - length) / 0.18), 0.0), unit, unit)


def prepare(name: str) -> tuple[Labels, Features]:
    file, _, first, count, every, _ = CASES[name]
    with tempfile.TemporaryDirectory() as scratch:
        index = build_index([DATA / file], "auto", Path(scratch), None, print)
        frames = read_frames(index, first + every * np.arange(count))
    calculator = FeatureCalculator(DESCRIPTOR, sorted(set(frames.numbers.tolist())))
    parts = [calculator(frames.take(slice(k, k + 20))) for k in range(0, count, 20)]
    return Labels(frames, truth(name, frames), tuple(map(str, range(count)))), Features.join(parts)


def predictions(labels: Labels, features: Features, rows: np.ndarray, seed: int) -> np.ndarray:
    """(1 + members, frames, 3, 3) of the model of these rows and of its committee."""
    none = np.arange(0)
    model, _ = regression.fit(features, labels, np.sort(rows), none, DESCRIPTOR, "auto", MEMBERS, seed)
    fits = [(model.baseline, model.isotropic, model.anisotropic), *model.members]
    models = [replace(model, baseline=b, isotropic=w0, anisotropic=w2) for b, w0, w2 in fits]
    return np.array([regression.predict_features(each, features) for each in models])


def main() -> None:
    print("data, N_T: distance alone / with committee; total; high; 68 %; 95 %; bar")
    for name in sys.argv[1:] or CASES:
        labels, features = prepare(name)
        interval, smoothing = CASES[name][1], CASES[name][5]
        options = {"blocks": 0, "smoothing": smoothing}
        known = raman_spectrum(labels.polarizability, interval, **options)
        true = known.intensity["total"]
        visible = np.flatnonzero(true > 0.01 * true.max())
        points = visible[:: max(1, round(smoothing / known.wavenumber[1]))]
        high = visible[known.wavenumber[visible] > 0.5 * known.wavenumber[visible[-1]]]
        for size in SIZES:
            rows = []
            for draw in range(DRAWS):
                rng = np.random.default_rng(100 * size + draw)
                chosen = rng.permutation(len(labels))[:size]
                noise = NOISE * labels.polarizability.std(axis=0).mean() * (name == "agi-contacts")
                noisy = labels.polarizability + noise * rng.normal(size=labels.polarizability.shape)
                trained = replace(labels, polarizability=(noisy + noisy.transpose(0, 2, 1)) / 2)
                series = predictions(trained, features, chosen, draw)
                alone = raman_spectrum(series[0], interval, **options).intensity["total"]
                found = raman_spectrum(series[0], interval, members=series[1:], **options)
                own, bar = found.intensity["total"], found.error_model["total"]
                deviation = np.abs(own - true)[points] / bar[points]
                size_of = np.linalg.norm(true)
                rows.append(
                    [
                        np.linalg.norm(alone - true) / size_of,
                        np.linalg.norm(own - true) / size_of,
                        alone[visible].sum() / true[visible].sum(),
                        own[visible].sum() / true[visible].sum(),
                        alone[high].sum() / true[high].sum(),
                        own[high].sum() / true[high].sum(),
                        np.mean(deviation < 1),
                        np.mean(deviation < 2),
                        np.linalg.norm(bar[visible]) / size_of,
                    ]
                )
            m = np.mean(rows, axis=0)
            print(
                f"| {name} | {size} | {m[0]:.3f} / {m[1]:.3f} | {m[2]:.3f} / {m[3]:.3f} | {m[4]:.3f} / {m[5]:.3f} | "
                f"{m[6]:.2f} | {m[7]:.2f} | {m[8]:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
