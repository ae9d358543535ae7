"""Kills and stops predictions at random moments, as supercomputers do, and compares what comes out bit by bit.

    python tests/robustness/kills.py --kills 200 --stops 50          # about half an hour on two cores

Every restart goes on with what is there, on a random number of ranks. While ranks run, the files are opened again and
again. The run is good if every finished series equals that of an uninterrupted run and no file was ever unreadable.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.base.errors import ExitCode
from mlraman_hpc.storage import hdf5
from tests.helpers import DATA, environment, launcher, stop_signal

DECK = """output: out
reference:
  {{files: {data}/alpha.dat, format: table, order: [xx, yy, zz, xy, yz, zx], quantity: dielectric, first: 9, every: 10,
   train: 60, test: 60}}
descriptor: {{cutoff: 5.0, cutoff_width: 0.5, density_width: 0.3, max_angular: 4, max_radial: 5}}
trajectory: {{files: {data}/XDATCAR.gz, frame_interval: 1.0}}
"""
END_SECONDS = 10.0  # in which all ranks have ended after a kill, on a machine that is not busy
SLOW = "0.05"  # s for each of the 176 batches


@dataclass
class Figures:
    kills: dict[str, int] = field(default_factory=lambda: {"rank": 0, "launcher": 0})
    stops: dict[str, int] = field(default_factory=lambda: {"SIGTERM": 0, "SIGUSR1": 0})
    finished: int = 0
    looks: int = 0
    resumed: int = 0
    longest_end: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"kill -9: {self.kills['rank']} of a rank, {self.kills['launcher']} of the launcher; stops: "
            f"{self.stops}; {self.resumed} runs went on from a partial file; {self.finished} series finished "
            f"and equal; files opened {self.looks} times while written; ranks gone {self.longest_end:.1f} s after "
            f"a kill at most; failures: {len(self.failures)}"
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


class Run:
    """One `mlraman` under mpirun, or without (0 ranks); its ranks are found as the launcher's descendants."""

    def __init__(self, folder: Path, ranks: int, arguments: Sequence[str] = ("predict", "deck.yaml"), slow: str = SLOW):
        command = [*(launcher(ranks) if ranks else []), sys.executable, "-m", "mlraman_hpc", *arguments]
        self.log = folder / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment({"MLRAMAN_TEST_SLOW": slow}),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.known: set[int] = set()

    def ranks(self) -> list[int]:
        """Processes of ours that none of ours has started (while MPI starts, each rank has one that watches it)."""
        parents = {
            pid: parent
            for pid, parent in _descendants(self.process.pid).items()
            if pid != self.process.pid
            and b"mlraman_hpc" in _command_line(pid)
            and b"mpirun" not in _command_line(pid).split(b"\0")[0]
            and b"hydra" not in _command_line(pid)
            and b"prte" not in _command_line(pid)
        }
        self.known |= set(parents)
        return [pid for pid, parent in parents.items() if parent not in parents]

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Until the log has it, or the run has ended."""
        end = time.monotonic() + seconds
        while text not in self.log.read_text() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)

    def wait_for_rows(self, path: Path, seconds: float = 60.0) -> None:
        """Until rows are written, or the run has ended."""
        before, end = _written(path), time.monotonic() + seconds
        while _written(path) == before and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)

    def gone(self, seconds: float = 60.0) -> float:
        """Seconds until the launcher and every rank that was seen have ended; infinite where one has not."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None and not any(_alive(pid) for pid in self.known):
                return time.monotonic() - began
            time.sleep(0.02)
        for pid in [*self.known, self.process.pid]:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        return math.inf


def _written(path: Path) -> int:
    """When, ns; 0 where there is no file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _descendants(leader: int) -> dict[int, int]:
    """{process: its parent} of the launcher's descendants, which may be in sessions of their own."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    descendants, front = {}, [leader]
    while front:
        front = [pid for pid, parent in parents.items() if parent in front]
        descendants |= {pid: parents[pid] for pid in front}
    return descendants


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


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
        ranks = run.ranks()
        target = rng.choice(["rank", "launcher"]) if ranks else "launcher"
        os.kill(rng.choice(ranks) if target == "rank" else run.process.pid, signal.SIGKILL)
        figures.kills[target] += 1
        seconds = run.gone()
        figures.longest_end = max(figures.longest_end, seconds)
        if seconds == math.inf:
            figures.failures.append(f"ranks lived on after the {target} was killed")
    elif run.process.returncode:
        figures.failures.append(f"code {run.process.returncode}: {run.log.read_text()[-500:]}")
    check_files(folder, content, figures)
    finish(run, folder, content, figures)


def stop_once(folder: Path, content: str, figures: Figures, rng: random.Random) -> None:
    run = Run(folder, rng.choice([3, 3, 3, 2, 4]))
    run.wait_for("MPI:")  # before, Python itself is still loading
    if watch(run, folder, content, figures, rng.uniform(0.0, 5.0)):
        number = rng.choice([stop_signal(3), signal.SIGUSR1])
        run.process.send_signal(number)
        code = run.process.wait(timeout=60)
        complete = (folder / "out" / "alpha.h5").exists()
        if code != ExitCode.STOPPED and not (code == ExitCode.DONE and complete):
            figures.failures.append(f"code {code} after {number.name}: {run.log.read_text()[-500:]}")
        figures.stops[number.name] += code == ExitCode.STOPPED
        if (folder / "out" / "mlraman.lock").exists():
            figures.failures.append("the lock was left behind")
    elif run.process.returncode:
        figures.failures.append(f"code {run.process.returncode}: {run.log.read_text()[-500:]}")
    finish(run, folder, content, figures)


def campaign(folder: Path, data: Path, kills: int, stops: int, seed: int, report=lambda figures: None) -> Figures:
    rng, figures = random.Random(seed), Figures()
    content = prepare(folder, data)
    while sum(figures.kills.values()) < kills and not figures.failures:
        kill_once(folder, content, figures, rng)
        report(figures)
    while sum(figures.stops.values()) < stops and not figures.failures:
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = campaign(
            Path(folder),
            DATA / "sio2",
            options.kills,
            options.stops,
            options.seed,
            lambda figures: print(figures, flush=True),
        )
    if figures.longest_end > END_SECONDS:
        figures.failures.append(f"ranks lived on for {figures.longest_end:.0f} s")
    print(figures, *figures.failures, sep="\n")
    sys.exit(bool(figures.failures))


if __name__ == "__main__":
    main()
