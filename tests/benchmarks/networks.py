"""The linear model beside networks on the same labels: metatrain's SOAP-BPNN, and a TNEP trained by neppo.

    python tests/benchmarks/networks.py FOLDER [sio2|agi] --network [soap_bpnn|tnep] --labels 50 --epochs 600

Needs the real data beside the checkout, and in this Python metatrain[soap-bpnn] and metatomic-torch, or neppo and
calorine. All are trained on the same N_T labels (a network leaves a tenth of them out, four at least, for
validation) and tested on the same others; then all predict the same frames of the trajectory. Prints R2, RMSE,
weighted error over the fluctuation of the test labels, and CPU times. alpha of the trajectory is kept in FOLDER; where
the trajectory has reference tensors (sio2), the distances of the spectra from theirs are printed, elsewhere those of
all spectra in FOLDER from each other. `--model FILE` takes a network that is trained already.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np

import mlraman_hpc as mr
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.model import regression
from mlraman_hpc.model.descriptor_choice import candidates, choose
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.numerics.regression.scores import relative_error, tensor_scores
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ORDER = ["xx", "yy", "zz", "xy", "yz", "zx"]
BATCH_ATOMS = 2048  # that a rank computes together
OPTIONS = """architecture:
  name: soap_bpnn
  model: {{soap: {{max_angular: 4, max_radial: 5, cutoff: {{radius: {cutoff}, width: 0.5}}}}}}
  training: {{batch_size: 8, num_epochs: {epochs}, learning_rate: 1.0e-3}}
training_set: {train}
validation_set: {valid}
test_set: 0.0
seed: 0
device: cpu
"""
SET = """
  systems: {{read_from: {name}.xyz, length_unit: angstrom}}
  targets:
    mtt::polarizability:
      read_from: {name}.mts
      type: {{spherical: {{irreps: [{{o3_lambda: 0, o3_sigma: 1}}, {{o3_lambda: 2, o3_sigma: 1}}]}}}}
      sample_kind: system
"""
TNEP = """version 4
model_type 2
type {count} {names}
cutoff {cutoff} {angular_cutoff}
batch 8
generation {steps}
output_interval {interval}
seed 0
"""


@dataclass(frozen=True)
class Case:
    """Labels, the frames whose spectrum is made with their interval (fs), their tensors where they are known.

    choices  descriptors of the linear model, among which leave-one-out chooses
    drawn    of so many labels drawn at random the first N_T in time are taken, the last of them for validation; 0: N_T
             are drawn, and those for validation among them
    """

    labels: Labels
    frames: Frames
    interval: float
    reference: np.ndarray | None
    choices: tuple[Descriptor, ...]
    numbers: list[int]
    tested: int
    smoothing: float
    drawn: int = 0

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the labels to train (those for validation last) and to test on."""
        train, test = regression.draw_rows(len(self.labels), self.drawn or count, self.tested, 0)
        return train[:count] if self.drawn else np.random.default_rng(1).permutation(train)[::-1], test


def sio2() -> Case:
    index = build_index([DATA / "sio2/XDATCAR.gz"], "auto", Path(tempfile.mkdtemp()), None, print)
    labels = read_table_labels(DATA / "sio2/alpha.dat", ORDER, "dielectric", None, index, 9, 10, print)
    descriptor = Descriptor(cutoff=5.0, cutoff_width=0.5, density_width=0.3, max_angular=4, max_radial=5)
    return Case(labels, labels.frames, 10.0, labels.polarizability, (descriptor,), [8, 14], 300, 6.0, 300)


def agi() -> Case:
    labels = read_labels([DATA / "agi/labels.extxyz"], "auto", "polarizability", "bohr^3", print)
    index = build_index([DATA / "agi/trajectory.extxyz.gz"], "auto", Path(tempfile.mkdtemp()), None, print)
    frames = read_frames(index, np.arange(len(index)))
    return Case(labels, frames, 50.0, None, candidates(Descriptor()), [47, 53], 29, 4.0)


def structures(labels: Labels) -> list[ase.Atoms]:
    """Of labels, with `pol` (bohr^3) as GPUMD's trainers read it."""
    frames = labels.frames
    parts = [slice(*frames.first_atom[k : k + 2]) for k in range(len(frames))]
    atoms = [ase.Atoms(frames.numbers[s], frames.positions[s], cell=c, pbc=True) for s, c in zip(parts, frames.cells)]
    for one, alpha in zip(atoms, labels.polarizability):
        one.info["pol"] = " ".join(f"{x:.10g}" for x in (alpha / ANGSTROM3_PER_BOHR3).ravel())
    return atoms


def write_targets(path: Path, labels: Labels) -> None:
    """Tensors as spherical parts, as metatrain reads them."""
    import torch
    from metatensor.torch import Labels, TensorBlock, TensorMap, save

    samples = Labels(["system"], torch.arange(len(labels)).reshape(-1, 1))
    single = Labels(["polarizability"], torch.tensor([[0]]))
    isotropic, anisotropic = to_spherical(labels.polarizability)
    blocks = [
        TensorBlock(
            torch.tensor(values[:, :, None]),
            samples,
            [Labels(["o3_mu"], torch.arange(-degree, degree + 1).reshape(-1, 1))],
            single,
        )
        for degree, values in ((0, isotropic[:, None]), (2, anisotropic))
    ]
    keys = Labels(["o3_lambda", "o3_sigma"], torch.tensor([[0, 1], [2, 1]]))
    save(str(path), TensorMap(keys, blocks))


def train_soap_bpnn(folder: Path, parts: dict[str, Labels], case: Case, epochs: int) -> Path:
    for name, labels in parts.items():
        ase.io.write(folder / f"{name}.xyz", structures(labels))
        write_targets(folder / f"{name}.mts", labels)
    sets = {name: SET.format(name=name) for name in parts}
    (folder / "options.yaml").write_text(OPTIONS.format(epochs=epochs, cutoff=case.choices[0].cutoff, **sets))
    subprocess.run(["mtt", "train", "options.yaml", "-o", "network.pt"], cwd=folder, check=True)
    return folder / "network.pt"


def train_tnep(folder: Path, parts: dict[str, Labels], case: Case, epochs: int) -> Path:
    """The model with the least loss on the validation labels."""
    ase.io.write(folder / "train.xyz", structures(parts["train"]))
    ase.io.write(folder / "test.xyz", structures(parts["valid"]))  # what neppo chooses the best step by
    steps = epochs * -(-len(parts["train"]) // 8)
    names = [ase.data.chemical_symbols[number] for number in case.numbers]
    cutoff = case.choices[0].cutoff
    text = TNEP.format(
        count=len(names),
        names=" ".join(names),
        cutoff=cutoff,
        angular_cutoff=cutoff - 1,
        steps=steps,
        interval=max(1, steps // 50),
    )
    (folder / "nep.in").write_text(text)
    subprocess.run(["neppo", "train", ".", "--device", "cpu"], cwd=folder, check=True)
    return folder / "nep_best.txt"


def train_network(kind: str, folder: Path, case: Case, train: np.ndarray, epochs: int) -> tuple[Path, float]:
    """The model's file, and CPU seconds."""
    held = max(4, len(train) // 10)
    parts = {"train": case.labels.take(np.sort(train[:-held])), "valid": case.labels.take(np.sort(train[-held:]))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    file = {"soap_bpnn": train_soap_bpnn, "tnep": train_tnep}[kind](folder, parts, case, epochs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return file, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def train_linear(case: Case, train: np.ndarray, test: np.ndarray):
    """The model with the descriptor that leave-one-out chooses, and CPU seconds for choice and fit."""
    rows, tested = np.arange(len(train)), len(train) + np.arange(len(test))
    used = case.labels.take(np.concatenate([train, test]))
    FeatureCalculator(case.choices[0], case.numbers)(used.frames.take([0]))  # compiled before the clock starts
    began = time.process_time()
    features, errors = [], []
    for descriptor in case.choices:
        known = FeatureCalculator(descriptor, case.numbers)(used.frames)
        problem = regression.left_out_problem(known.take(rows), used.take(rows))
        features.append(known)
        errors.append(regression.left_out_error(problem))
    best = choose(np.array(errors))
    model, _ = regression.fit(features[best], used, rows, tested, case.choices[best])
    print(f"linear: {case.choices[best]}")
    return model, time.process_time() - began


def predict(model, frames: Frames) -> tuple[np.ndarray, float]:
    """alpha of all frames, and CPU milliseconds a frame."""
    batch = BATCH_ATOMS // int(frames.atoms_per_frame[0])
    for _ in range(3):
        model(frames.take(np.arange(min(batch, len(frames)))))  # compiled before the clock starts
    began, parts = time.process_time(), []
    for first in range(0, len(frames), batch):
        parts.append(model(frames.take(np.arange(first, min(first + batch, len(frames))))).polarizability)
    return np.concatenate(parts), 1e3 * (time.process_time() - began) / len(frames)


def distance(case: Case, alpha: np.ndarray, reference: np.ndarray) -> float:
    """Relative L2 distance of the spectra, %."""
    found, exact = (mr.raman_spectrum(x, case.interval, smoothing=case.smoothing) for x in (alpha, reference))
    visible = exact.wavenumber <= exact.visible_end
    total = exact.intensity["total"][visible]
    return 100 * float(np.linalg.norm(found.intensity["total"][visible] - total) / np.linalg.norm(total))


def report(name: str, model, case: Case, test: np.ndarray, seconds: float, folder: Path) -> None:
    labels = case.labels.take(test)
    tested, _ = predict(model, labels.frames)
    alpha, milliseconds = predict(model, case.frames)
    np.save(folder / f"{name.replace(' ', '_')}.npy", alpha)
    scores = tensor_scores(labels.polarizability, tested)
    r2, rmse = scores["r2"], scores["rmse"]
    far = "" if case.reference is None else f"{distance(case, alpha, case.reference):.2f} %"
    print(
        f"| {name} | {r2['diagonal']:.5f} | {r2['off_diagonal']:.5f} | {rmse['diagonal']:.5f} | "
        f"{rmse['off_diagonal']:.5f} | {100 * relative_error(labels.polarizability, tested):.2f} % | {far} | "
        f"{seconds:.4g} s | {milliseconds:.3g} ms |",
        flush=True,
    )


def print_distances(folder: Path, case: Case) -> None:
    """Of each spectrum in the folder from every other."""
    known = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    for name, alpha in known.items():
        far = [f"{other}: {distance(case, alpha, reference):.1f} %" for other, reference in known.items()]
        print(f"{name} from {', '.join(far)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", nargs="?", choices=("sio2", "agi"), default="sio2")
    parser.add_argument("--network", choices=("soap_bpnn", "tnep"), default="soap_bpnn")
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=350)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    case = {"sio2": sio2, "agi": agi}[arguments.data]()
    train, test = case.rows(arguments.labels)
    work = arguments.folder / f"{arguments.network}_{len(train)}"
    work.mkdir(parents=True, exist_ok=True)
    file, training = arguments.model, float("nan")
    if file is None:
        file, training = train_network(arguments.network, work, case, train, arguments.epochs)
    if arguments.network == "tnep":
        settings = Settings("tnep", (str(file),), unit="bohr^3")
    else:
        settings = Settings("metatomic", (str(file),), unit="angstrom^3")
    linear, fitting = train_linear(case, train, test)
    print(
        "| model | R2 diagonal | off-diagonal | RMSE diagonal | off-diagonal | weighted error | distance | training | "
        "prediction |"
    )
    report(f"linear {len(train)}", Predictor(linear), case, test, fitting, arguments.folder)
    network = making.make(settings, Resources(1))
    network.settle(case.frames.take([0]))
    report(f"{arguments.network} {len(train)}", network, case, test, training, arguments.folder)
    if case.reference is None:
        print_distances(arguments.folder, case)


if __name__ == "__main__":
    main()
