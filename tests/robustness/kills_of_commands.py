"""Kills and stops every command that writes, serial and on ranks, at random moments of its run.

    python tests/robustness/kills_of_commands.py --kills 12 --stops 4      # of each command; half an hour on two cores

The same command is started again until it ends, and then its results must be those of an undisturbed run. In between no
file with a final name may be damaged or hold anything else; a stop ends with code 75 and leaves no lock. kills.py does
the same to `predict` on real data, and opens the files while they are written.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.base.atomic_files import MARK
from mlraman_hpc.base.errors import DataError, ExitCode
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.verified import damage
from tests.helpers import run_command, stop_signal
from tests.labelling import test_label
from tests.md import test_md
from tests.robustness import stages
from tests.robustness.kills import Run

SLOW = {"label": "0", "md": "0"}  # MLRAMAN_TEST_SLOW, s for each work unit
MADE = {  # command -> what it makes in out/, to be made again; the others start from nothing
    "train": ["model.h5"],
    "predict": ["alpha.h5"],
    "spectrum": ["raman.h5"],
    "dynamics": ["dynamics.h5"],
    "converge": ["convergence.h5"],
    "convert": ["trajectory.h5"],
}
COMMANDS = (*MADE, "run", "campaign", "label", "md")
DIFFERS = {"labelling.h5"}  # tells processor times
STARTS = 40  # after so many a run must have come to its end
MD_DECK = {"calculator": "emt", "arguments": "", "length": 4000, "replicas": 2, "equilibration": 200, "npt": 0} | {
    "ensemble": "nvt",
    "more": "",
}


@dataclass
class Tally:
    kills: int = 0
    stops: int = 0
    ended: int = 0
    longest_end: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.stops} stops, {self.ended} runs ended with equal results, ranks gone "
            f"{self.longest_end:.1f} s after a kill at most, failures: {len(self.failures)}"
        )


class Subject:
    """One command in a folder of its own, and what it makes when nothing disturbs it."""

    def __init__(self, command: str, folder: Path, prepared: Path):
        self.command, self.folder, self.start = command, folder / "work", folder / "start"
        _lay_out(command, self.start, prepared)
        shutil.copytree(self.start, self.folder)
        began = time.monotonic()
        done = run_command(0, self.arguments, self.folder, timeout=300)
        if done.returncode:
            raise SystemExit(f"{command}: code {done.returncode} undisturbed\n{done.stderr[-2000:]}")
        self.seconds = {ranks: time.monotonic() - began for ranks in (0, 2, 3)}
        self.expected = self.contents()
        self.renew()

    @property
    def arguments(self) -> list[str]:
        if self.command in ("label", "md"):
            return [self.command, "deck.yaml"]
        return [word for word in stages.arguments(self.command) if word != "--force"]

    def renew(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.start, self.folder)

    def files(self) -> list[Path]:
        """Results with a final name."""
        found = [*self.folder.glob("out/**/*.h5"), *self.folder.glob("campaign/**/*.h5")]
        return sorted(path for path in found if not path.name.startswith(".") and ".partial" not in path.name)

    def contents(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): hdf5.content_of(path)
            for path in self.files()
            if path.name not in DIFFERS
        }

    def wrong_files(self) -> list[str]:
        """Files that are damaged, or hold what an undisturbed run would not have made."""
        found = [text for path in self.files() if (text := damage(path))]
        try:
            found += [
                f"{name} holds {content}, not {self.expected.get(name)}"
                for name, content in self.contents().items()
                if content != self.expected.get(name)
            ]
        except DataError as error:
            found.append(str(error))
        return found if self.command != "label" else [text for text in found if "holds" not in text]  # rounds

    def debris(self) -> list[str]:
        places = [path for name in ("out", "campaign") for path in (self.folder / name).glob("**/")]
        names = (f".*.{MARK}*.tmp", "mlraman.lock", ".mlraman.lock.*")
        return [str(path) for folder in places for name in names for path in folder.glob(name)]


def _lay_out(command: str, folder: Path, prepared: Path) -> None:
    """`prepared` has all results of stages.DECK."""
    if command not in ("label", "md", "run"):
        shutil.copytree(prepared, folder)
        for name in MADE.get(command, ()):
            (folder / "out" / name).unlink()
        return
    folder.mkdir(parents=True)
    if command == "label":
        test_label.write(folder, 0.2)
        return
    if command == "md":
        from ase.build import bulk

        bulk("Cu", cubic=True).write(folder / "cu.vasp")
        (folder / "deck.yaml").write_text(test_md.DECK.format(**MD_DECK))
        return
    stages.lay_out(folder)


def disturb(subject: Subject, how: str, tally: Tally, rng: random.Random) -> None:
    """Start the command and kill or stop it at a random moment; where it came to its end, compare and start over."""
    ranks = rng.choice([0, 2, 3])
    before, began = subject.debris(), time.monotonic()  # of a run that was killed
    run = Run(subject.folder, ranks, subject.arguments, SLOW.get(subject.command, "0.02"))
    _let_run(run, rng.uniform(0.0, 1.1 * subject.seconds[ranks]))
    if run.process.poll() is None:
        (_kill if how == "kill" else _stop)(run, ranks, tally, rng)
    code, log = run.process.wait(timeout=60), run.log.read_text()
    tally.failures += [f"{subject.command}, {ranks} ranks: {text}" for text in subject.wrong_files()]
    if how == "stop" and (left := sorted(set(subject.debris()) - set(before))):
        tally.failures.append(f"{subject.command}, {ranks} ranks: after a stop {left} are left; code {code}")
    if code == ExitCode.DONE:
        subject.seconds[ranks] = 0.5 * (subject.seconds[ranks] + time.monotonic() - began)
        _compare(subject, tally)
    elif how == "stop" and code != ExitCode.STOPPED and "mlraman" in log:  # else Python or the launcher was loading
        tally.failures.append(f"{subject.command}, {ranks} ranks: code {code} after a stop: {log[-500:]}")
    elif "internal error" in log or "Traceback" in log:
        tally.failures.append(f"{subject.command}, {ranks} ranks: {log[-1500:]}")


def _let_run(run: Run, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.process.poll() is None:
        run.ranks()
        time.sleep(0.02)


def _kill(run: Run, ranks: int, tally: Tally, rng: random.Random) -> None:
    of_ranks = run.ranks() if ranks else []
    target = rng.choice(of_ranks) if of_ranks and rng.random() < 0.6 else run.process.pid
    try:
        os.kill(target, signal.SIGKILL)
    except ProcessLookupError:
        return
    tally.kills += 1
    seconds = run.gone()
    tally.longest_end = max(tally.longest_end, seconds)
    if seconds == math.inf:
        tally.failures.append("ranks lived on after a kill")


def _stop(run: Run, ranks: int, tally: Tally, rng: random.Random) -> None:
    run.process.send_signal(rng.choice([stop_signal(ranks), signal.SIGUSR1, *([] if ranks else [signal.SIGINT])]))
    tally.stops += run.process.wait(timeout=60) == ExitCode.STOPPED


def _compare(subject: Subject, tally: Tally) -> None:
    if (found := subject.contents()) != subject.expected:
        tally.failures.append(f"{subject.command}: other results {found}, expected {subject.expected}")
    if left := subject.debris():
        tally.failures.append(f"{subject.command}: {left} are left after the end")
    tally.ended += 1
    subject.renew()


def disturb_often(subject: Subject, kills: int, stops: int, seed: int) -> Tally:
    tally, rng = Tally(), random.Random(f"{subject.command} {seed}")
    for how, count in (("kill", kills), ("stop", stops)):
        for _ in range(STARTS * count):
            if getattr(tally, f"{how}s") >= count or tally.failures:
                break
            disturb(subject, how, tally, rng)
    for _ in range(STARTS):  # what is left comes to its end undisturbed
        done = run_command(3, subject.arguments, subject.folder, timeout=300)
        if done.returncode == 0:
            _compare(subject, tally)
            break
        tally.failures.append(f"{subject.command}: code {done.returncode} undisturbed: {done.stderr[-500:]}")
        break
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS))
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--stops", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prepared").mkdir()
        if set(options.commands) - {"label", "md", "run"}:
            stages.prepare(folder / "prepared")
        for command in options.commands:
            subject = Subject(command, folder / command, folder / "prepared")
            tally = disturb_often(subject, options.kills, options.stops, options.seed)
            print(f"{command}: {tally}", *tally.failures, sep="\n    ", flush=True)
            bad += len(tally.failures)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
