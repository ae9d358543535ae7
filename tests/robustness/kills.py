"""Kills and stops predictions at random moments, as supercomputers do, and compares what comes out bit by bit.

    python tests/robustness/kills.py --kills 200 --stops 50          # about half an hour on two cores

Every restart goes on with what is there, on a random number of ranks. While ranks run, the files are opened again and
again. The run is good if every finished series equals that of an uninterrupted run and no file was ever unreadable.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.base.errors import ExitCode
from mlraman_hpc.storage import hdf5
from tests.helpers import DATA, environment
from tests.robustness.disturbed_run import Run, Tally, options

DECK = """output: out
reference:
  {{files: {data}/alpha.dat, format: table, order: [xx, yy, zz, xy, yz, zx], quantity: dielectric, first: 9, every: 10,
   train: 60, test: 60}}
descriptor: {{cutoff: 5.0, cutoff_width: 0.5, density_width: 0.3, max_angular: 4, max_radial: 5}}
trajectory: {{files: {data}/XDATCAR.gz, frame_interval: 1.0}}
"""
SOON = 10.0  # s in which all ranks have ended after a kill, on a machine that is not busy


@dataclass
class Figures(Tally):
    finished: int = 0
    looks: int = 0
    resumed: int = 0

    def __str__(self) -> str:
        return (
            f"{super().__str__()}; {self.resumed} runs went on from a partial file; {self.finished} series finished "
            f"and equal; files opened {self.looks} times while written"
        )


def prepare(folder: Path, data: Path) -> str:
    """A trained model and the content of the uninterrupted series, which is removed again."""
    (folder / "deck.yaml").write_text(DECK.format(data=data))
    for command in ("train", "predict"):
        subprocess.run(
            [sys.executable, "-m", "mlraman_hpc", command, "deck.yaml"],
            cwd=folder,
            env=environment(None),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    content = hdf5.content_of(folder / "out" / "alpha.h5")
    (folder / "out" / "alpha.h5").unlink()
    return content


def check_files(folder: Path, content: str, figures: Figures) -> None:
    """Both files must be readable whenever they exist, and a final one complete."""
    figures.looks += 1
    for name in ("alpha.partial.h5", "alpha.h5"):
        path = folder / "out" / name
        try:
            with h5py.File(path, "r", locking=False) as file:
                file["done"][:], file["observables/polarizability/value"][:10]
                if name == "alpha.h5" and (file.attrs["content"] != content or not file["done"][:].all()):
                    figures.failures.append(f"{name}: wrong content")
        except FileNotFoundError:
            continue
        except (OSError, KeyError, RuntimeError) as error:
            if path.exists():  # not just moved or removed between two looks
                figures.failures.append(f"{name}: {error}")


def watch(run: Run, folder: Path, content: str, figures: Figures, seconds: float) -> bool:
    """Look at the files for a while; whether the run is still going."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.process.poll() is None:
        run.ranks()
        check_files(folder, content, figures)
        time.sleep(min(0.1, max(0.0, end - time.monotonic())))
    return run.process.poll() is None


def finish(run: Run, folder: Path, content: str, figures: Figures) -> None:
    """A run that came to its end: compare and start over."""
    path = folder / "out" / "alpha.h5"
    figures.resumed += "are there already" in run.log.read_text()
    if not path.exists():
        return
    if (finished := hdf5.content_of(path)) != content:
        figures.failures.append(f"finished series differs: {finished}")
    figures.finished += 1
    path.unlink()


def kill_once(folder: Path, content: str, figures: Figures, rng: random.Random) -> None:
    run = Run(folder, rng.choice([3, 3, 3, 2, 4]))
    if rng.random() < 0.25:  # while it starts, on a machine that is not busy
        going = watch(run, folder, content, figures, rng.uniform(0.3, 3.0))
    else:  # while it works: at once, or when it has written something
        run.wait_for(" batches")
        if rng.random() < 0.6:
            run.wait_for_rows(folder / "out" / "alpha.partial.h5")
        going = watch(run, folder, content, figures, rng.uniform(0.0, 2.0))
    if going:
        figures.kill(run, rng)
    elif run.process.returncode:
        figures.failures.append(f"code {run.process.returncode}: {run.log.read_text()[-500:]}")
    check_files(folder, content, figures)
    finish(run, folder, content, figures)


def stop_once(folder: Path, content: str, figures: Figures, rng: random.Random) -> None:
    run = Run(folder, rng.choice([3, 3, 3, 2, 4]))
    run.wait_for("MPI:")  # before, Python itself is still loading
    if watch(run, folder, content, figures, rng.uniform(0.0, 5.0)):
        number = figures.stop(run, rng)
        code = run.process.returncode
        complete = (folder / "out" / "alpha.h5").exists()
        if code != ExitCode.STOPPED and not (code == ExitCode.DONE and complete):
            figures.failures.append(f"code {code} after {number.name}: {run.log.read_text()[-500:]}")
        if (folder / "out" / "mlraman.lock").exists():
            figures.failures.append("the lock was left behind")
    elif run.process.returncode:
        figures.failures.append(f"code {run.process.returncode}: {run.log.read_text()[-500:]}")
    finish(run, folder, content, figures)


def campaign(folder: Path, data: Path, kills: int, stops: int, seed: int, report=lambda figures: None) -> Figures:
    rng, figures = random.Random(seed), Figures()
    content = prepare(folder, data)
    while figures.kills.total() < kills and not figures.failures:
        kill_once(folder, content, figures, rng)
        report(figures)
    while figures.stops.total() < stops and not figures.failures:
        stop_once(folder, content, figures, rng)
        report(figures)
    for _ in range(20):  # what is left must come to its end undisturbed
        run = Run(folder, 3)
        if run.process.wait(timeout=120) == 0:
            break
    finish(run, folder, content, figures)
    if any((folder / "out").glob(".*.tmp")) or (folder / "out" / "mlraman.lock").exists():
        figures.failures.append("debris was left in the results folder")
    return figures


def main() -> None:
    chosen = options(__doc__, kills=200, stops=50).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = campaign(
            Path(folder),
            DATA / "sio2",
            chosen.kills,
            chosen.stops,
            chosen.seed,
            lambda figures: print(figures, flush=True),
        )
    if figures.longest_end > SOON:
        figures.failures.append(f"ranks lived on for {figures.longest_end:.0f} s")
    print(figures, *figures.failures, sep="\n")
    sys.exit(bool(figures.failures))


if __name__ == "__main__":
    main()
