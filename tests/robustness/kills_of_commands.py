"""Kills and stops every command that writes, serial and on ranks, at random moments of its run.

    python tests/robustness/kills_of_commands.py --kills 12 --stops 4      # of each command; half an hour on two cores

The same command is started again until it ends, and then its results must be those of an undisturbed run. In between no
file with a final name may be damaged or hold anything else; a stop ends with code 75 and leaves no lock. kills.py does
the same to `predict` on real data, and opens the files while they are written.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.base.atomic_files import MARK
from mlraman_hpc.base.errors import DataError, ExitCode
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.verified import damage
from tests.helpers import run_command
from tests.labelling import test_label
from tests.md import test_md
from tests.robustness import stages
from tests.robustness.disturbed_run import Run, Tally, options

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
class Ends(Tally):
    ended: int = 0

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.ended} runs ended with equal results"


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


def disturb(subject: Subject, how: str, tally: Ends, rng: random.Random) -> None:
    """Start the command and kill or stop it at a random moment; where it came to its end, compare and start over."""
    ranks = rng.choice([0, 2, 3])
    before, began = subject.debris(), time.monotonic()  # of a run that was killed
    run = Run(subject.folder, ranks, subject.arguments, SLOW.get(subject.command, "0.02"))
    _let_run(run, rng.uniform(0.0, 1.1 * subject.seconds[ranks]))
    if run.process.poll() is None:
        (tally.kill if how == "kill" else tally.stop)(run, rng)
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


def _compare(subject: Subject, tally: Ends) -> None:
    if (found := subject.contents()) != subject.expected:
        tally.failures.append(f"{subject.command}: other results {found}, expected {subject.expected}")
    if left := subject.debris():
        tally.failures.append(f"{subject.command}: {left} are left after the end")
    tally.ended += 1
    subject.renew()


def disturb_often(subject: Subject, kills: int, stops: int, seed: int) -> Ends:
    tally, rng = Ends(), random.Random(f"{subject.command} {seed}")
    for how, count in (("kill", kills), ("stop", stops)):
        for _ in range(STARTS * count):
            if getattr(tally, f"{how}s").total() >= count or tally.failures:
                break
            disturb(subject, how, tally, rng)
    done = run_command(3, subject.arguments, subject.folder, timeout=300)  # what is left comes to its end undisturbed
    if done.returncode:
        tally.failures.append(f"{subject.command}: code {done.returncode} undisturbed: {done.stderr[-500:]}")
    else:
        _compare(subject, tally)
    return tally


def main() -> None:
    parser = options(__doc__, kills=12, stops=4)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS))
    chosen = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prepared").mkdir()
        if set(chosen.commands) - {"label", "md", "run"}:
            stages.prepare(folder / "prepared")
        for command in chosen.commands:
            subject = Subject(command, folder / command, folder / "prepared")
            tally = disturb_often(subject, chosen.kills, chosen.stops, chosen.seed)
            print(f"{command}: {tally}", *tally.failures, sep="\n    ", flush=True)
            bad += len(tally.failures)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
