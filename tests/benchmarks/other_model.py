"""A spectrum through `model.predictor` beside that of the tensors that the model's own program computes.

    python tests/benchmarks/other_model.py FOLDER model.pt [--arguments "{extensions: extensions}"]

alpha-SiO2, 1000 frames of 10 ps, with a metatomic model (`networks.py` trains one). `mlraman run` computes the spectrum
on 1, 2 and 3 ranks. metatomic's ASE calculator computes the tensors of the same frames as ASE reads them, one by one,
and equations S1-S3 are evaluated from them in a few lines of NumPy: the autocorrelation as a sum over frames for every
lag, a cosine transform, a sum over the line shape. Prints whether the ranks give the same content, and the distances.
Needs the real data beside the checkout, metatomic-torch and metatomic-ase.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from pathlib import Path

import ase
import ase.io
import h5py
import matplotlib.pyplot as plt
import numpy as np

import mlraman_hpc as mr
from mlraman_hpc.storage import hdf5

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sio2"
INTERVAL, SMOOTHING, END, LASER = 10.0, 6.0, 1500.0, 532.0  # fs, cm^-1, cm^-1, nm
CM_PER_FS = 2.99792458e-5  # speed of light
DECK = """title: alpha-SiO2, another program's model
output: out
trajectory: {{files: {data}/XDATCAR.gz, frame_interval: 1.0, first: 9, every: 10}}
model: {{predictor: {{calculator: metatomic, files: {model}, unit: angstrom^3{arguments}}}}}
spectrum: {{smoothing: {smoothing}, max_wavenumber: {end}, laser_wavelength: {laser}}}
"""


def own_tensors(model: Path) -> np.ndarray:
    """(frames, 3, 3) Angstrom^3 from the blocks of the model's output, by metatomic's calculator."""
    from metatomic.torch import ModelOutput
    from metatomic_ase import MetatomicCalculator

    calculator = MetatomicCalculator(
        model, extensions_directory=model.parent / "extensions", device="cpu", neighbor_skin=0.0
    )
    frames, alpha = ase.io.read(DATA / "XDATCAR.gz", index="9::10", format="vasp-xdatcar"), []
    for atoms in frames:
        output = calculator.run_model(atoms, {"mtt::polarizability": ModelOutput()})["mtt::polarizability"]
        (trace,) = output.block({"o3_lambda": 0}).values.detach().numpy().ravel().astype(float)
        alpha.append(cartesian(trace, output.block({"o3_lambda": 2}).values.detach().numpy().ravel().astype(float)))
    return np.array(alpha)


def cartesian(trace: float, five: np.ndarray) -> np.ndarray:
    """alpha^0 = tr/sqrt(3) and alpha^2 with the order xy, yz, 3z2 - r2, xz, x2 - y2, as the labels were written."""
    basis = np.zeros((5, 3, 3))
    for k, (i, j) in {0: (0, 1), 1: (1, 2), 3: (0, 2)}.items():
        basis[k, i, j] = basis[k, j, i] = np.sqrt(0.5)
    basis[2], basis[4] = np.diag([-1, -1, 2]) / np.sqrt(6), np.diag([1, -1, 0]) / np.sqrt(2)
    return abs(trace) / np.sqrt(3) * np.eye(3) + np.einsum("k,kij->ij", five, basis)


def bell(frames: int, ramp: int) -> np.ndarray:
    """A split cosine bell."""
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
    return np.concatenate([edge, np.ones(frames - 2 * ramp), edge[::-1]])


def density(series: np.ndarray, h: np.ndarray, wavenumber: np.ndarray) -> np.ndarray:
    """One-sided spectral density per cm^-1 from the autocorrelation at all lags."""
    x = h * (series - h @ series / h.sum())
    products = np.array([x[: len(x) - k] @ x[k:] for k in range(len(x))]) / (h @ h)
    phases = 2 * np.pi * CM_PER_FS * INTERVAL * np.outer(wavenumber, np.arange(len(x)))
    twice = np.full(len(x), 2.0)
    twice[0] = 1.0
    return 2 * CM_PER_FS * INTERVAL * (np.cos(phases) @ (twice * products))


def plain_spectrum(alpha: np.ndarray, ramp: int, output: np.ndarray) -> np.ndarray:
    """I(nu), equations S1-S3, at `output`; its ends are continued as a mirror has them."""
    nyquist = 1 / (2 * CM_PER_FS * INTERVAL)
    wavenumber = np.linspace(0, nyquist, 4 * len(alpha) + 1)
    h = bell(len(alpha), ramp)
    xx, yy, zz, xy, yz, zx = (alpha[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)))
    mean = density((xx + yy + zz) / 3, h, wavenumber)
    anisotropy = 3 * sum(density(x, h, wavenumber) for x in (xy, yz, zx))
    anisotropy += 0.5 * sum(density(x, h, wavenumber) for x in (xx - yy, yy - zz, zz - xx))
    raw = (1 - wavenumber * 1e-7 * LASER) ** 4 * wavenumber * (45 * mean + 7 * anisotropy) / 45
    mirrored = np.concatenate([raw[:0:-1], raw, raw[-2::-1]])
    places = np.concatenate([-wavenumber[:0:-1], wavenumber, 2 * nyquist - wavenumber[-2::-1]])
    line = np.exp(-0.5 * ((output[:, None] - places) / SMOOTHING) ** 2)
    return line @ mirrored / line.sum(axis=1)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def run_on_ranks(folder: Path, model: Path, arguments: str) -> None:
    more = f", arguments: {arguments}" if arguments else ""
    deck = DECK.format(data=DATA, model=model, arguments=more, smoothing=SMOOTHING, end=END, laser=LASER)
    (folder / "deck.yaml").write_text(deck)
    for ranks in (1, 2, 3):
        command = [sys.executable, "-m", "mlraman_hpc", "run", "deck.yaml", "--set", f"output=out{ranks}"]
        launcher = [str(Path(sys.executable).parent / "mpirun"), "-n", str(ranks)]
        subprocess.run(launcher + command, cwd=folder, check=True)
    for name in ("alpha.h5", "raman.h5"):
        contents = {hdf5.content_of(folder / f"out{ranks}" / name) for ranks in (1, 2, 3)}
        print(f"{name} on 1, 2 and 3 ranks: {'the same content' if len(contents) == 1 else contents}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--arguments", default="")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    run_on_ranks(folder, options.model.resolve(), options.arguments)
    ours, own = mr.load(folder / "out1" / "alpha.h5").value, own_tensors(options.model.resolve())
    fluctuation = np.sqrt(np.mean((own - own.mean(axis=0)) ** 2))
    print(f"alpha: differs by {np.abs(ours - own).max():.1e} Angstrom^3, which fluctuates by {fluctuation:.2g}")
    with h5py.File(folder / "out1" / "raman.h5") as file:
        wavenumber, total = file["wavenumber"][:], file["intensity/total"][:]
    same = mr.raman_spectrum(own, INTERVAL, smoothing=SMOOTHING, max_wavenumber=END, laser_wavelength=LASER)
    print(f"spectrum from its own tensors by raman_spectrum: differs by {apart(total, same.intensity['total']):.1e}")
    plain = plain_spectrum(own, max(8, len(own) // 20), wavenumber)
    print(f"spectrum from its own tensors by plain NumPy: differs by {apart(total, plain):.1e}")
    figure, axes = plt.subplots(layout="constrained")
    axes.plot(wavenumber, total, label="mlraman run")
    axes.plot(wavenumber, plain, "--", label="own tensors, NumPy")
    axes.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="intensity (Å$^6$)")
    axes.legend()
    figure.savefig(folder / "spectra.png", dpi=150)


if __name__ == "__main__":
    main()
