"""Error of the model and of the spectrum against the number of labels, for each rule of selection; the stop rule.

    python tests/benchmarks/selection.py [sio2|agi|synthetic] [FOLDER] [DRAWS]

Half an hour on one core. Prints tables of 'mlraman docs labelling' and leaves selection_NAME.npz in FOLDER, of which
tests/benchmarks/selection_figure.py makes the figure. Needs the real data beside the checkout.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.labelling.candidates import Points, _space
from mlraman_hpc.labelling.selection import chosen_by_score, draw_order
from mlraman_hpc.labelling.stopping import in_range, spectrum_errors
from mlraman_hpc.model.descriptors import FeatureCalculator, Features
from mlraman_hpc.model.regression import fit, predict_features
from mlraman_hpc.numerics.regression.scores import relative_error
from mlraman_hpc.numerics.spectra.raman import raman_spectrum
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.frames import Labels
from mlraman_hpc.records.model import Descriptor, RadialScaling
from mlraman_hpc.runtime.session import Session

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DESCRIPTOR = Descriptor(radial_scaling=RadialScaling(2.0, 3.0))
RULES = ("random", "spread", "informative")
COMMITTEE = 16


@dataclass
class Case:
    """Labels with features, the trajectory's features, alpha known along it (or None), and what spectra are like."""

    name: str
    labels: Labels
    known: Features
    along: Features
    truth: np.ndarray | None
    interval: float
    sizes: list[int]
    test: int
    options: dict
    range: list[float]


def features_of(frames, species) -> Features:
    calculator = FeatureCalculator(DESCRIPTOR, species)
    return Features.join(
        [calculator(frames.take(np.arange(k, min(k + 50, len(frames))))) for k in range(0, len(frames), 50)]
    )


def sio2() -> Case:
    with tempfile.TemporaryDirectory() as scratch:
        index = build_index([DATA / "sio2/XDATCAR.gz"], "auto", Path(scratch), None, print)
        labels = read_table_labels(
            DATA / "sio2/alpha.dat", ["xx", "yy", "zz", "xy", "yz", "zx"], "dielectric", None, index, 9, 10, print
        )
    known = features_of(labels.frames, [8, 14])
    options = {"smoothing": 6.0, "max_wavenumber": 1500.0, "blocks": 8}
    return Case(
        "sio2", labels, known, known, labels.polarizability, 10.0, [10, 20, 40, 80, 160], 200, options, [50, 1300]
    )


def agi() -> Case:
    with tempfile.TemporaryDirectory() as scratch:
        labels = read_labels([DATA / "agi/labels.extxyz"], "auto", "polarizability", "bohr^3", print)
        index = build_index([DATA / "agi/trajectory.extxyz.gz"], "auto", Path(scratch), None, print)
        along = features_of(read_frames(index, np.arange(len(index))), [47, 53])
    known = features_of(labels.frames, [47, 53])
    return Case(
        "agi", labels, known, along, None, 50.0, [10, 20, 40, 80], 24, {"smoothing": 4.0, "blocks": 8}, [5, 250]
    )


def synthetic() -> Case:
    """The frames of alpha-AgI with tensors of self-consistent induced dipoles, acting within 8 Angstrom."""
    with tempfile.TemporaryDirectory() as scratch:
        index = build_index([DATA / "agi/trajectory.extxyz.gz"], "auto", Path(scratch), None, print)
        frames = read_frames(index, np.arange(0, len(index), 2))
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    tensors = np.array([induced_dipoles(frames, k, images) for k in range(len(frames))])
    labels = Labels(frames, tensors, tuple("" for _ in range(len(frames))))
    known = features_of(frames, [47, 53])
    return Case(
        "synthetic",
        labels,
        known,
        known,
        tensors,
        100.0,
        [10, 20, 40, 80, 160],
        200,
        {"smoothing": 4.0, "blocks": 8},
        [5, 150],
    )


def induced_dipoles(frames, k: int, images: np.ndarray) -> np.ndarray:
    atoms = slice(*frames.first_atom[k : k + 2])
    positions, cell = frames.positions[atoms], frames.cells[k]
    own = np.where(frames.numbers[atoms] == 47, 2.0, 6.0)  # Angstrom^3
    inside = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    r = (inside[:, None] - inside[None])[:, :, None] + images @ cell
    length = np.linalg.norm(r, axis=-1)
    near = (length > 1e-6) & (length < 8)
    length = np.where(near, length, 1.0)
    weight = np.where(near, 0.5 * (1 + np.cos(np.pi * length / 8)) / length**3, 0.0)
    unit = r / length[..., None]
    field = 3 * np.einsum("ijn,ijna,ijnb->ijab", weight, unit, unit) - weight.sum(axis=-1)[..., None, None] * np.eye(3)
    size = 3 * len(own)
    matrix = np.diag(np.repeat(1 / own, 3)) - field.transpose(0, 2, 1, 3).reshape(size, size)
    return np.linalg.inv(matrix).reshape(len(own), 3, len(own), 3).sum(axis=(0, 2))


def points_of(space, known: Features) -> Points:
    return Points(
        np.arange(len(known)),
        np.array([(x - space.mean[0]) @ space.basis[0] for x in known.X0]),
        np.array([(x - space.mean[2]) @ space.basis[2] for x in known.X2]),
    )


def order_of(case: Case, rule: str, space, points: Points, pool: np.ndarray, seed: int) -> list[int]:
    count = max(case.sizes)
    if rule == "random":
        return [int(k) for k in draw_order(pool, seed)[:count]]
    none = space.no_points
    return chosen_by_score(Session(), rule, points.take(pool), space, none, [], 0, count)


def distance(case: Case, model, reference: np.ndarray) -> float:
    found = raman_spectrum(predict_features(model, case.along), case.interval, **{**case.options, "blocks": 0})
    inside = in_range(found, case.range)
    true = raman_spectrum(reference, case.interval, **{**case.options, "blocks": 0})
    difference = found.intensity["total"] - true.intensity["total"]
    return float(np.linalg.norm(difference[inside]) / np.linalg.norm(true.intensity["total"][inside]))


def members_along(model, along: Features) -> np.ndarray:
    from dataclasses import replace

    return np.array(
        [predict_features(replace(model, baseline=b, isotropic=i, anisotropic=a), along) for b, i, a in model.members]
    )


def with_all_labels(case: Case) -> np.ndarray:
    """alpha along the trajectory: known, or by the model of all labels."""
    if case.truth is not None:
        return case.truth
    rows = np.arange(len(case.labels))
    return predict_features(fit(case.known, case.labels, rows, rows[:0], DESCRIPTOR)[0], case.along)


def main(name: str, folder: Path, draws: int) -> None:
    case = {"sio2": sio2, "agi": agi, "synthetic": synthetic}[name]()
    folder.mkdir(parents=True, exist_ok=True)
    reference = with_all_labels(case)
    trace = np.trace(case.labels.polarizability, axis1=1, axis2=2) / 3
    usable = np.flatnonzero(np.abs(trace - np.median(trace)) < 8 * np.median(np.abs(trace - np.median(trace))))
    sample = np.unique(np.linspace(0, len(case.along) - 1, 128).astype(int))
    space = _space(None, case.along.take(sample))
    print(f"{name}: captured by 64 directions: {space.captured}", flush=True)
    points = points_of(space, case.known)
    error = np.full((len(RULES), draws, len(case.sizes)), np.nan)
    distances, claims, statistical = (np.full_like(error, np.nan) for _ in range(3))
    for draw in range(draws):
        shuffled = np.random.default_rng(1000 + draw).permutation(usable)
        test, pool = np.sort(shuffled[: case.test]), np.sort(shuffled[case.test :])
        for r, rule in enumerate(RULES):
            order = order_of(case, rule, space, points, pool, draw)
            for s, size in enumerate(case.sizes):
                rows = np.sort(np.array(order[:size]))
                model, _ = fit(case.known, case.labels, rows, test, DESCRIPTOR, "auto", COMMITTEE, draw)
                predicted = predict_features(model, case.known.take(test))
                error[r, draw, s] = relative_error(case.labels.polarizability[test], predicted)
                distances[r, draw, s] = distance(case, model, reference)
                spectrum = raman_spectrum(
                    predict_features(model, case.along),
                    case.interval,
                    members=members_along(model, case.along),
                    **case.options,
                )
                bars = spectrum_errors(spectrum, case.range)
                claims[r, draw, s], statistical[r, draw, s] = bars.model, bars.statistical
        np.savez(
            folder / f"selection_{name}.npz",
            sizes=case.sizes,
            rules=RULES,
            error=error,
            distance=distances,
            claim=claims,
            statistical=statistical,
        )
        report(case, error[:, : draw + 1], distances[:, : draw + 1], claims[:, : draw + 1], statistical[:, : draw + 1])


def report(case: Case, error, distances, claims, statistical) -> None:
    print(f"\n{case.name}, {error.shape[1]} draws: relative error of the model, and distance of the spectrum")
    print("| labels | " + " | ".join(f"{rule} error | distance | claim" for rule in RULES) + " | statistical |")
    for s, size in enumerate(case.sizes):
        cells = (
            f"{error[r, :, s].mean():.3f} ± {error[r, :, s].std():.3f} | {distances[r, :, s].mean():.3f} ± "
            f"{distances[r, :, s].std():.3f} | {claims[r, :, s].mean():.3f}"
            for r in range(len(RULES))
        )
        print(f"| {size} | " + " | ".join(cells) + f" | {statistical[0, :, s].mean():.3f} |", flush=True)


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *("sio2", "out/selection", "10")[len(sys.argv) - 1 :]]
    main(arguments[0], Path(arguments[1]), int(arguments[2]))
