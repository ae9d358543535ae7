"""Learning curve of alpha-SiO2 from 20 to 700 labels, and convergence of its spectrum with labels and length.

    python tests/benchmarks/sio2.py [FOLDER]

Two to three minutes on one core. Prints the tables of 'mlraman docs spectra'; figures and report stay in FOLDER. Needs
the real data beside the checkout.
"""

import sys
from pathlib import Path

from mlraman_hpc.commands.run import run
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sio2"
DECK = """title: alpha-SiO2, 300 K
output: {folder}/out
reference: {{files: {data}/alpha.dat, format: table, order: [xx, yy, zz, xy, yz, zx], quantity: dielectric,
            first: 9, every: 10, train: 700, test: 300}}
descriptor: {{cutoff: 5.0, cutoff_width: 0.5, density_width: 0.3, max_angular: 4, max_radial: 5}}
learning_curve: {{sizes: [20, 40, 80, 140, 200, 300, 500, 700], draws: 8}}
convergence: {{train: [20, 40, 80, 140, 200, 300, 500], fraction: [0.125, 0.25, 0.5, 0.75]}}
trajectory: {{files: {data}/XDATCAR.gz, frame_interval: 1.0, first: 9, every: 10}}
spectrum: {{smoothing: 6, max_wavenumber: 1500}}
dynamics: {{}}
"""


def main(folder: Path) -> None:
    if not DATA.is_dir():
        sys.exit(f"skipped: {DATA} is not there")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deck.yaml").write_text(DECK.format(folder=folder, data=DATA))
    session = Session()
    job = Job(read_deck(folder / "deck.yaml"), session, Console(session))
    with job.folder():
        run(job)
    curve = hdf5.load(LearningCurve, job.output / "learning_curve.h5")
    found = hdf5.load(Convergence, job.output / "convergence.h5")
    print_tables(curve, found)


def print_tables(curve: LearningCurve, found: Convergence) -> None:
    distance = dict(zip(found.train_size, found.train_distance))
    print("\n| N_T | R2 diagonal | R2 off-diagonal | RMSE diagonal | RMSE off-diagonal (Angstrom^3) | distance |")
    for row, size in enumerate(curve.train_size):
        r2 = " | ".join(
            f"{curve.r2[part][row]:.5f} ± {curve.r2_spread[part][row]:.5f}" for part in ("diagonal", "off_diagonal")
        )
        rmse = " | ".join(f"{curve.rmse[part][row]:.5f}" for part in ("diagonal", "off_diagonal"))
        print(f"| {size} | {r2} | {rmse} | {100 * distance[size]:.2f} % |")
    print(f"\nstatistical error of the final spectrum {100 * found.statistical_error:.1f} %")
    print("| length (ps) | distance | expected |")
    for length, value, expected in zip(found.length, found.length_distance, found.length_expected):
        print(f"| {length:.3g} | {100 * value:.0f} % | {100 * expected:.0f} % |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/sio2").absolute())
