"""Makes one rank fail in every stage of every command, in every manner, and looks at how the job ends.

    python tests/robustness/stages.py                    # about 250 runs, half an hour
    python tests/robustness/stages.py --kinds kill --commands predict dynamics
    MLRAMAN_TEST_MPIRUN=/usr/bin/mpirun.openmpi MPI4PY_LIBMPI=libmpi.so.40 python tests/robustness/stages.py

Good is: all ranks gone within ten seconds, an exit code that is not 0, one message (ours, or the launcher's where a
rank vanished), every file with a final name readable, and the same command afterwards goes through.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.base.errors import ExitCode
from tests import small_system as small
from tests.helpers import environment, launcher

STAGES = {  # command -> where its ranks meet: stage, or stage/step
    "train": ["deck", "folder", "train", "train/descriptors", "train/fit"],
    "learning-curve": ["learning-curve", "learning-curve/descriptors", "learning-curve/fits", "learning-curve/write"],
    "predict": ["predict", "predict/index", "predict/first frame", "predict/batches", "predict/write"],
    "spectrum": ["spectrum"],
    "compare": ["compare"],
    "dynamics": [
        "dynamics",
        "dynamics/index",
        "dynamics/exchange",
        "dynamics/frame",
        "dynamics/blocks",
        "dynamics/write",
    ],
    "coupling": ["coupling"],
    "converge": ["converge", "converge/descriptors", "converge/fits", "converge/batches", "converge/spectra"],
    "forces": ["forces"],
    "report": ["report"],
    "convert": ["convert", "convert/index", "convert/copy", "convert/write"],
    "benchmark": ["benchmark", "benchmark/stages", "benchmark/ranks"],
    "check": ["check"],
    "campaign": ["materials", "predict/batches", "label test", "ranking"],
}
KINDS = ("exception", "memory", "exit", "segfault", "kill")
SECONDS = 10.0  # from the failure to the end of the job, on a machine that is not busy
HANGS_SECONDS = 120.0
DECK = (
    small.DECK
    + """comparison: {series: {file: alpha.npy, unit: angstrom^3, frame_interval: 10}}
dynamics: {mobile: [Ag]}
learning_curve: {sizes: [4, 8], draws: 2}
convergence: {train: [6, 10], fraction: [0.5]}
forces: {files: forces.extxyz, reference: forces, predicted: model_forces}
"""
)
CAMPAIGN = """output: campaign
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 3, max_radial: 3}
materials:
- {name: a, trajectory: {files: XDATCAR, frame_interval: 10}, model: out/model.h5,
   reference: {files: labels.extxyz, quantity: polarizability, unit: angstrom^3}}
"""


@dataclass(frozen=True)
class Trial:
    command: str
    stage: str
    rank: int
    ranks: int
    kind: str

    def __str__(self) -> str:
        return f"{self.command}: rank {self.rank} of {self.ranks}, {self.kind} in {self.stage}"


@dataclass(frozen=True)
class Outcome:
    code: int
    seconds: float
    log_text: str
    problems: list[str]


def lay_out(folder: Path) -> Path:
    """Decks and data of a small system, with every section."""
    import numpy as np

    small.write(folder)
    np.save(folder / "alpha.npy", small.alpha(small.frames(150)))
    (folder / "deck.yaml").write_text(DECK)
    (folder / "forces.extxyz").write_text(with_forces(12))
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    return folder


def prepare(folder: Path) -> None:
    """All results but those of the campaign."""
    lay_out(folder)
    for command in ("run", "convert"):
        subprocess.run(
            [sys.executable, "-m", "mlraman_hpc", *arguments(command)],
            cwd=folder,
            check=True,
            env=environment(None),
            stdout=subprocess.DEVNULL,
        )


def with_forces(count: int) -> str:
    import numpy as np

    rng, lines = np.random.default_rng(5), []
    for positions in small.frames(count, seed=2):
        lattice = " ".join(f"{x:.4f}" for x in small.CELL.ravel())
        lines += ["5", f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3:model_forces:R:3 pbc="T T T"']
        for name, position in zip(small.SPECIES, positions):
            force = rng.normal(size=3)
            values = [*position, *force, *(force + 0.05 * rng.normal(size=3))]
            lines.append(f"{name} " + " ".join(f"{x:.6f}" for x in values))
    return "\n".join(lines) + "\n"


def arguments(command: str) -> list[str]:
    """The command line of a command, without figures, whatever is there already."""
    deck = "campaign.yaml" if command == "campaign" else "deck.yaml"
    force = [] if command in ("run", "check", "benchmark") else ["--force"]
    return [command, deck, *force, "--set", "figures=false"]


def attempt(folder: Path, trial: Trial) -> Outcome:
    """Run the command with the fault, and judge how it ended, but for the time that it took."""
    mark = folder / "failed"
    mark.unlink(missing_ok=True)
    fault = f"{trial.stage}:{trial.rank}:{trial.kind}:1:{mark}"
    start = launcher(trial.ranks) if trial.ranks else []
    command = [*start, sys.executable, "-m", "mlraman_hpc", *arguments(trial.command)]
    with open(folder / "log", "w+b") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment({"MLRAMAN_TEST_FAIL": fault, "PYTHONFAULTHANDLER": "0"}),
            start_new_session=True,
        )
        seconds = _wait(process, mark)
        log.seek(0)
        log_text = log.read().decode(errors="replace")
    problems = ["hangs"] if seconds == math.inf else []
    problems += [*_ended(trial, process.returncode, log_text, mark), *unreadable(folder)]
    return Outcome(process.returncode, seconds, log_text, problems)


def _wait(process: subprocess.Popen, mark: Path) -> float:
    """Seconds from the failure to the end of the job; infinite where it had to be ended."""
    failed, began = None, time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        failed = failed or (now if mark.exists() else None)
        if now - (failed or began) > HANGS_SECONDS:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return math.inf
        time.sleep(0.02)
    return time.monotonic() - (failed or time.monotonic())


def _ended(trial: Trial, code: int, log_text: str, mark: Path) -> list[str]:
    problems = []
    if not mark.exists():
        return [f"the stage was not reached (code {code})"]
    if code in (ExitCode.DONE, ExitCode.DECK, ExitCode.STOPPED):
        problems.append(f"exit code {code}")
    ours = log_text.count("mlraman: internal error") + log_text.count("mlraman: error:")
    if trial.kind in ("exception", "memory") and ours != 1:
        problems.append(f"{ours} messages")
    if ours > 1 or ("internal error" in log_text and trial.kind != "exception"):
        problems.append(f"{ours} messages, of a bug where there was none or too many")
    if not log_text.strip():
        problems.append("no message")
    return problems


def unreadable(folder: Path) -> list[str]:
    """Files with a final name that cannot be read."""
    problems = []
    for path in [*folder.glob("out/**/*.h5"), *folder.glob("campaign/**/*.h5")]:
        if not path.name.startswith("."):
            try:
                with h5py.File(path, "r") as file:
                    file.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
            except OSError as error:
                problems.append(f"{path.name} cannot be read: {error}")
    return problems


def trials(commands: list[str], kinds: list[str], every: bool) -> list[Trial]:
    """In each stage every kind on 3 ranks and one on 2, on the first and the last rank by turns or on both."""
    chosen, turn = [], 0
    for command in commands:
        for stage in STAGES[command]:
            for number, kind in enumerate(kinds):
                turns = (0, 2) if every else (2 * ((turn + number) % 2),)
                chosen += [Trial(command, stage, rank, 3, kind) for rank in turns]
            chosen.append(Trial(command, stage, turn // 2 % 2, 2, kinds[turn % len(kinds)]))
            turn += 1
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", default=list(STAGES))
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--all", action="store_true", help="every kind on the first and the last rank in each stage")
    options = parser.parse_args()
    codes: dict[tuple, Counter] = {}
    bad, longest = 0, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for trial in trials(options.commands, options.kinds, options.all):
            outcome = attempt(folder, trial)
            if outcome.seconds > SECONDS:
                outcome.problems.append(f"{outcome.seconds:.1f} s until the end")
            where = (trial.kind, "first" if trial.rank == 0 else "last")
            codes.setdefault(where, Counter())[outcome.code] += 1
            longest[where] = max(longest.get(where, 0.0), outcome.seconds)
            print(f"{trial}: code {outcome.code}, {outcome.seconds:.1f} s", *outcome.problems, sep="; ", flush=True)
            if outcome.problems:
                bad += 1
                print(outcome.log_text[-3000:], flush=True)
        for command in options.commands:
            subprocess.run(
                [sys.executable, "-m", "mlraman_hpc", *arguments(command)],
                cwd=folder,
                check=True,
                env=environment(None),
                stdout=subprocess.DEVNULL,
            )
    for (kind, rank), count in codes.items():
        print(
            f"{kind:<10} {rank:<6} rank: {sum(count.values())} times, codes {dict(count)}, at most "
            f"{longest[kind, rank]:.1f} s"
        )
    print(f"bad: {bad}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
