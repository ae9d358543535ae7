"""The linear model beside an equivariant network (metatrain's SOAP-BPNN) on the same labels of alpha-SiO2.

    python tests/benchmarks/sio2_network.py FOLDER --labels 300 --epochs 350

Needs the real data beside the checkout; metatrain[soap-bpnn] and metatomic-torch in this Python. Both are trained on
the same N_T labels (the network leaves a tenth of them out for validation) and tested on the same 300 others; then both
predict 1000 frames of the trajectory, whose spectrum is compared with that of the reference tensors. Prints R2, RMSE,
relative L2 distance of the spectrum, and CPU times. `--model FILE.pt` takes a network that is trained already.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap, save

import mlraman_hpc as mr
from mlraman_hpc.model import regression
from mlraman_hpc.model.descriptors import FeatureCalculator
from mlraman_hpc.model.predictor import Predictor
from mlraman_hpc.numerics.regression.scores import tensor_scores
from mlraman_hpc.numerics.tensors import to_spherical
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.other_model import Resources, Settings
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index
from mlraman_hpc.records.model import Descriptor

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sio2"
DESCRIPTOR = Descriptor(cutoff=5.0, cutoff_width=0.5, density_width=0.3, max_angular=4, max_radial=5)
ORDER = ["xx", "yy", "zz", "xy", "yz", "zx"]
BATCH = 227  # frames of 9 atoms that a rank computes together
OPTIONS = """architecture:
  name: soap_bpnn
  model: {{soap: {{max_angular: 4, max_radial: 5, cutoff: {{radius: 5.0, width: 0.5}}}}}}
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


def write_set(folder: Path, name: str, labels) -> None:
    """Structures, and tensors as spherical parts, as metatrain reads them."""
    frames = labels.frames
    parts = [slice(*frames.first_atom[k : k + 2]) for k in range(len(frames))]
    atoms = [ase.Atoms(frames.numbers[s], frames.positions[s], cell=c, pbc=True) for s, c in zip(parts, frames.cells)]
    ase.io.write(folder / f"{name}.xyz", atoms)
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
    save(str(folder / f"{name}.mts"), TensorMap(keys, blocks))


def train_network(folder: Path, labels, train: np.ndarray, epochs: int) -> tuple[Path, float]:
    """The exported model, and CPU seconds."""
    held = max(4, len(train) // 10)
    write_set(folder, "train", labels.take(train[:-held]))
    write_set(folder, "valid", labels.take(train[-held:]))
    sets = {name: SET.format(name=name) for name in ("train", "valid")}
    (folder / "options.yaml").write_text(OPTIONS.format(epochs=epochs, **sets))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(["mtt", "train", "options.yaml", "-o", "network.pt"], cwd=folder, check=True)
    return folder / "network.pt", resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def predict(model, frames, batch: int) -> tuple[np.ndarray, float]:
    """alpha of all frames, and CPU milliseconds a frame."""
    for _ in range(3):
        model(frames.take(np.arange(batch)))  # compiled before the clock starts
    began, parts = time.process_time(), []
    for first in range(0, len(frames), batch):
        parts.append(model(frames.take(np.arange(first, min(first + batch, len(frames))))).polarizability)
    return np.concatenate(parts), 1e3 * (time.process_time() - began) / len(frames)


def spectrum(alpha: np.ndarray):
    return mr.raman_spectrum(alpha, 10.0, smoothing=6)


def report(name: str, labels, alpha: np.ndarray, test: np.ndarray, seconds: float, milliseconds: float) -> None:
    scores = tensor_scores(labels.polarizability[test], alpha[test])
    found, reference = spectrum(alpha), spectrum(labels.polarizability)
    visible = reference.wavenumber <= reference.visible_end
    exact = reference.intensity["total"][visible]
    distance = np.linalg.norm(found.intensity["total"][visible] - exact) / np.linalg.norm(exact)
    r2, rmse = scores["r2"], scores["rmse"]
    print(
        f"| {name} | {r2['diagonal']:.5f} | {r2['off_diagonal']:.5f} | {rmse['diagonal']:.5f} | "
        f"{rmse['off_diagonal']:.5f} | {100 * distance:.2f} % | {seconds:.4g} s | {milliseconds:.3g} ms |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=350)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    index = build_index([DATA / "XDATCAR.gz"], "auto", Path(tempfile.mkdtemp()), None, print)
    labels = read_table_labels(DATA / "alpha.dat", ORDER, "dielectric", None, index, 9, 10, print)
    train, test = regression.draw_rows(len(labels), 300, 300, 0)
    train = train[: arguments.labels]

    used = labels.take(np.concatenate([train, test]))
    calculator = FeatureCalculator(DESCRIPTOR, [8, 14])
    calculator(labels.frames.take([0]))  # compiled before the clock starts
    began = time.process_time()
    calculator(labels.frames.take(train))
    describing = time.process_time() - began
    features = calculator(used.frames)
    began = time.process_time()
    rows = np.arange(len(used))
    linear, _ = regression.fit(features, used, rows[: len(train)], rows[len(train) :], DESCRIPTOR)
    fitting = time.process_time() - began

    network, training = arguments.model, float("nan")
    if network is None:
        network, training = train_network(arguments.folder, labels, train, arguments.epochs)
    settings = Settings("metatomic", (str(network),), unit="angstrom^3")
    print("| model | R2 diagonal | off-diagonal | RMSE diagonal | off-diagonal | distance | training | prediction |")
    alpha, prediction = predict(Predictor(linear), labels.frames, BATCH)
    report(f"linear, N_T = {len(train)}", labels, alpha, test, describing + fitting, prediction)
    alpha, prediction = predict(making.make(settings, Resources(1)), labels.frames, BATCH)
    report(f"SOAP-BPNN, N_T = {len(train)}", labels, alpha, test, training, prediction)
    np.save(arguments.folder / "network_alpha.npy", alpha)


if __name__ == "__main__":
    main()
