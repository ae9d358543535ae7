"""A run of `mlraman` that is killed or stopped, and what became of such runs."""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlraman_hpc.base.errors import ExitCode
from tests.helpers import environment, launcher, stop_signal

SLOW = "0.05"  # MLRAMAN_TEST_SLOW, s for each work unit
END_SECONDS = 60.0  # after which a run that was killed or stopped has not ended


class Run:
    """One `mlraman` under mpirun, or without (0 ranks); its ranks are found as the launcher's descendants."""

    def __init__(self, folder: Path, ranks: int, arguments: Sequence[str] = ("predict", "deck.yaml"), slow: str = SLOW):
        self.count = ranks
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

    def gone(self, seconds: float = END_SECONDS) -> float:
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


@dataclass
class Tally:
    """kills: of a rank or of the launcher; stops: signals after which the exit code told of a stop; longest_end: s."""

    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    longest_end: float = 0.0
    failures: list[str] = field(default_factory=list)

    def kill(self, run: Run, rng: random.Random) -> None:
        """Kill a rank or the launcher, and wait until all have ended."""
        ranks = run.ranks() if run.count else []
        target = rng.choice(["rank", "launcher"]) if ranks else "launcher"
        try:
            os.kill(rng.choice(ranks) if target == "rank" else run.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has just ended by itself
            return
        self.kills[target] += 1
        seconds = run.gone()
        self.longest_end = max(self.longest_end, seconds)
        if seconds == math.inf:
            self.failures.append(f"ranks lived on after the {target} was killed")

    def stop(self, run: Run, rng: random.Random) -> signal.Signals:
        """Send one of the signals that ask for a stop, and wait for the end."""
        number = rng.choice([stop_signal(run.count), signal.SIGUSR1, *([] if run.count else [signal.SIGINT])])
        run.process.send_signal(number)
        self.stops[number.name] += run.process.wait(timeout=END_SECONDS) == ExitCode.STOPPED
        return number

    def __str__(self) -> str:
        return (
            f"kill -9: {self.kills['rank']} of a rank, {self.kills['launcher']} of the launcher; stops: "
            f"{dict(self.stops)}; ranks gone {self.longest_end:.1f} s after a kill at most; failures: "
            f"{len(self.failures)}"
        )


def options(description: str | None, kills: int, stops: int) -> argparse.ArgumentParser:
    """Of a script: how many of each, by default so many, and the seed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--stops", type=int, default=stops)
    parser.add_argument("--seed", type=int, default=0)
    return parser
