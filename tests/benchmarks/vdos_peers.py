"""The density of states of the shipped AgI trajectory against dynasor's, in all and by element.

    pip install dynasor; python tests/benchmarks/vdos_peers.py

dynasor (tools.acfs) gets the velocities with the centre of mass at rest, in A/fs, and does the rest its own way:
autocorrelation of each atom's velocity, a Gaussian on it that means sigma = 4 cm^-1, cosine transform.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.integrate import trapezoid

from mlraman_hpc.base.elements import masses, symbols
from mlraman_hpc.base.units import RAD_PER_FS_PER_WAVENUMBER
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

FILE = Path(__file__).resolve().parents[2] / "input_examples" / "agi" / "trajectory.extxyz.gz"
INTERVAL, SMOOTHING, LONGEST = 50.0, 4.0, 600  # fs, cm^-1, lags: where the Gaussian has long vanished


def ours(folder: Path) -> Dynamics:
    (folder / "deck.yaml").write_text(
        f"output: {folder}\nfigures: false\ntrajectory: {{files: {FILE}}}\n"
        f"dynamics: {{mobile: [Ag], smoothing: {SMOOTHING}}}\n"
    )
    session = Session()
    dynamics(Job(read_deck(folder / "deck.yaml"), session, Console(session, level=-1)))
    return hdf5.load(Dynamics, folder / "dynamics.h5")


def velocities(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(frames, atoms, 3) Angstrom/fs with the centre of mass at rest, and atomic numbers (atoms,)."""
    index = build_index([FILE], "auto", folder, None, print)
    frames, mass = read_frames(index, np.arange(len(index)), velocities=True), masses(index.numbers)
    values = frames.velocities.reshape(len(index), -1, 3)
    return values - np.average(values, axis=1, weights=mass)[:, None], index.numbers


def theirs(values: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(wavenumbers (cm^-1), mass-weighted spectra (atoms, wavenumbers)), not normalised."""
    from dynasor.tools.acfs import compute_acf, psd_from_acf

    spectra = []
    for atom in range(len(mass)):
        total = 0.0
        for axis in range(3):
            velocity = values[:, atom, axis]
            time, correlation = compute_acf(velocity, delta_t=INTERVAL)  # 1 at lag zero
            total = total + correlation * mass[atom] * np.mean(velocity**2)
        width = SMOOTHING * RAD_PER_FS_PER_WAVENUMBER
        window = np.exp(-0.5 * (width * time[:LONGEST]) ** 2)
        omega, spectrum = psd_from_acf(total[:LONGEST] * window, dt=INTERVAL, even=True)
        spectra.append(np.real(spectrum)[omega >= 0])
    return omega[omega >= 0] / RAD_PER_FS_PER_WAVENUMBER, np.array(spectra)


def main() -> None:
    try:
        import dynasor
    except ImportError:
        sys.exit("skipped: dynasor is not installed")
    with tempfile.TemporaryDirectory() as name:
        found = ours(Path(name))
        values, numbers = velocities(Path(name))
    nu, spectra = theirs(values, masses(numbers))
    species = np.array(symbols(numbers))
    total = spectra.sum(axis=0)
    scale = found.degrees["total"] / trapezoid(total, nu)
    print(f"dynasor {dynasor.__version__}; relative root of the integrated squared difference, integrals, S(0)")
    print("| | difference | integral | dynasor's | at zero | dynasor's (cm) |")
    for part, other in (("total", total), *((name, spectra[species == name].sum(axis=0)) for name in ("Ag", "I"))):
        mine = np.interp(nu, found.wavenumber, found.vdos[part])
        shown = nu <= found.wavenumber[-1]
        difference = np.linalg.norm((mine - scale * other)[shown]) / np.linalg.norm(mine[shown])
        area = scale * trapezoid(other, nu)
        print(
            f"| {part} | {100 * difference:.2f} % | {found.degrees[part]:.2f} | {area:.2f} | "
            f"{found.vdos[part][0]:.4f} | {scale * other[0]:.4f} |"
        )


if __name__ == "__main__":
    main()
