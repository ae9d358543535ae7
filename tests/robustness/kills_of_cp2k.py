"""Kills `mlraman label` with the real CP2K at random moments, alone or with its calculation; compares what comes out.

    python tests/robustness/kills_of_cp2k.py --kills 10      # ten minutes or more; needs cp2k.psmp

Two rounds on eight atoms of boron nitride. One calculation is made to fail, one not to converge. After each kill the
same command is started again until it ends; then labels, model, series and spectrum must have the content of an
undisturbed run, and a calculation that has ended must not have been started again. Where the loop ends before its kill,
a new one is begun.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.storage import hdf5
from tests.helpers import environment
from tests.labelling import boron_nitride

WRAPPER = """#!/bin/bash
echo >> started
case "$PWD" in
  *{broken}*) exit 9 ;;
  *{hopeless}*) sed -i 's/MAX_SCF .*/MAX_SCF 2/' "$1" ;;
esac
exec cp2k.psmp -i "$1" -o "$2"
"""


class Loop:
    """A folder in which the loop runs, as often as it is started."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        boron_nitride.write(folder)
        self.run("select")
        broken, hopeless = (f"frame_{frame:06d}" for frame in self.frames()[:2])
        (folder / "wrapper").write_text(WRAPPER.format(broken=broken, hopeless=hopeless))

    def frames(self) -> list[int]:
        return [item["frame"] for item in self.calculations() if item["purpose"] == "train"]

    def calculations(self) -> list[dict]:
        found: list[dict] = json.loads((self.folder / "out" / "labels.json").read_text())["calculations"]
        return found

    def start(self, command: str) -> subprocess.Popen:
        words = [sys.executable, "-m", "mlraman_hpc", command, "deck.yaml"]
        words += ["--set", f"labelling.command=bash {self.folder}/wrapper {{input}} {{output}}"]
        with open(self.folder / "log", "a") as log:
            return subprocess.Popen(words, cwd=self.folder, env=environment(None), stdout=log, stderr=log)

    def run(self, command: str) -> None:
        if code := self.start(command).wait():
            raise SystemExit(f"{command}: code {code}: {(self.folder / 'log').read_text()[-1000:]}")

    def ended(self) -> dict[str, int]:
        """When the output was written, of every calculation that has ended."""
        outputs = self.folder.glob("out/calculations/*/calculation.out")
        return {path.parent.name: path.stat().st_mtime_ns for path in outputs if b"ENDED AT" in path.read_bytes()}

    def starts(self) -> dict[str, int]:
        files = self.folder.glob("out/calculations/*/started")
        return {path.parent.name: path.read_text().count("\n") for path in files}

    def computing(self) -> list[int]:
        """Processes that work in a calculation's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if os.readlink(path).startswith(str(self.folder / "out" / "calculations")):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def contents(self) -> dict[str, str]:
        found = {name: hdf5.content_of(self.folder / "out" / name) for name in ("model.h5", "alpha.h5", "raman.h5")}
        labels = read_labels([self.folder / "out" / "labels.extxyz"], "auto", None, "angstrom^3", print)
        found["labels"] = str(labels.polarizability.tolist())  # the file tells processor times, too
        found["status"] = str([(item["frame"], item["purpose"], item["status"]) for item in self.calculations()])
        return found


def kill_once(loop: Loop, seconds: float, both: bool) -> tuple[bool, str]:
    """Whether it was killed before its end, and what was seen."""
    before, process = loop.ended(), loop.start("label")
    try:
        process.wait(seconds)
        return False, ""
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    computing = loop.computing()
    for number in computing if both else []:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    now = loop.ended()
    if any(now.get(name) != value for name, value in before.items()):
        raise SystemExit("a calculation that had ended was computed again or lost")
    what = (
        ("with its calculation" if both else "alone, its calculation went on") if computing else "between calculations"
    )
    return True, f"after {seconds:.1f} s {what}, {len(now)} calculations had ended"


def compare(loop: Loop, expected: dict[str, str], most: int) -> None:
    if differing := [name for name, value in loop.contents().items() if value != expected[name]]:
        raise SystemExit(f"another end: {', '.join(differing)}")
    extra = sum(loop.starts().values()) - most
    print(f"the same end; {extra} calculations were started again", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if shutil.which("cp2k.psmp") is None:
        sys.exit("cp2k.psmp is not installed")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        whole = Loop(Path(name) / "whole")
        began = time.monotonic()
        whole.run("label")
        length, expected, starts = time.monotonic() - began, whole.contents(), sum(whole.starts().values())
        print(f"undisturbed: {length:.0f} s, {len(whole.ended())} calculations ended, {expected['status']}", flush=True)
        loop, number, kills = Loop(Path(name) / "killed0"), 0, 0
        while kills < options.kills:
            killed, text = kill_once(loop, chance.uniform(0.05, 0.8) * length, chance.random() < 0.5)
            if killed:
                kills += 1
                print(f"kill {kills} {text}", flush=True)
                continue
            compare(loop, expected, starts)
            number += 1
            loop = Loop(Path(name) / f"killed{number}")
        loop.run("label")
        compare(loop, expected, starts)


if __name__ == "__main__":
    main()
