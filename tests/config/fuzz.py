"""Damaged and absurd decks: one exit code of the promised ones, messages without a traceback, within seconds.

`python tests/config/fuzz.py [CASES] [FIRST_SEED]`, 1,000 cases by default; pytest runs a few of them. `python
tests/config/fuzz.py FOLDER` runs each deck of a folder. Every deck is read by `mlraman check` and `mlraman run`, in
processes with limits of time and memory, in a folder with a series of polarizabilities, a trajectory, labels, a pipe.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # before an installed package that calls itself tests

import mlraman_hpc
from tests import small_system
from tests.robustness import stages

SECONDS, MEMORY = 60, 6 << 30  # of processor time, since the machine may be busy
WAITED = 10 * SECONDS  # by the clock, for what waits for ever
CODES = (0, 2, 3)
SERIES = "series: {file: s.npy, frame_interval: 1, unit: angstrom^3}\n"
DECKS = (
    "output: out\n" + SERIES + "title: two words\nspectrum: {smoothing: 8.0, blocks: 4, temperature: 300}\n",
    "output: out\n" + SERIES + "spectrum:\n  smoothing: 20\n  step: 1.0\n  geometries:\n"
    "  - {name: zz, incident: [0, 0, 1], scattered: [0, 0, 1]}\n",
    small_system.DECK,
    "output: out\ntrajectory:\n  files: [XDATCAR]\n  frame_interval: 10\n  first: 10\n  last: 60\n"
    "dynamics:\n  mobile: [Ag]\n  smoothing: 40\n",
    "output: out\n" + SERIES + "forces: {files: forces.extxyz, reference: forces, predicted: model_forces}\n"
    "walltime: 00:10:00\nfigures: false\n",
)
VALUES = """1e400 -1e400 1e300 1e-300 1e-9 0 -1 -0.0 .inf .nan 99999999999999999999 1_000 0x10 null ~ true no '' [] {}
[[]] [1,2] {a:1} '"' ' * & ! | > % @ ` !!binary\u00a0aGVs !!int\u00a0x !!set\u00a0{a,b} *a &a\u00a0[*a] '$\\foo{$' "\\0"
"\\uD800" ../../x /dev/zero /dev/null fifo /proc/self/mem {name} '*' '**/*' '[' '~nobody/x' '$HOME/x' '${NOTHING}'
0.1.2 1e9 1000000000 auto Ag XX 12:61:61 1-00:00:00""".replace("{name}", "a" * 300).split(" ")


def folder_of_cases() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="decks."))
    small_system.write(folder, count=80)
    np.save(folder / "s.npy", small_system.alpha(small_system.frames(400)))
    (folder / "forces.extxyz").write_text(stages.with_forces(12))
    os.mkfifo(folder / "fifo")
    return folder


def preload() -> None:
    """Load the program here, so that no case has to: eight times as many in a second."""
    for module in pkgutil.walk_packages(mlraman_hpc.__path__, "mlraman_hpc."):
        with contextlib.suppress(ImportError):  # of programs that are not installed
            importlib.import_module(module.name)


def damaged(rng: np.random.Generator) -> bytes:
    """One of DECKS with one to three changes."""
    text = DECKS[int(rng.integers(len(DECKS)))]
    for _ in range(int(rng.integers(1, 4))):
        text = _changed(text, rng)
    raw = bytearray(text.encode(errors="surrogatepass"))
    if rng.random() < 0.15 and raw:  # other bytes, as of another encoding
        for place in rng.integers(len(raw), size=int(rng.integers(1, 4))):
            raw[place] = int(rng.integers(256))
    return bytes(raw)


def _changed(text: str, rng: np.random.Generator) -> str:
    lines = text.splitlines()
    at = int(rng.integers(max(1, len(lines))))
    kind = int(rng.integers(6))
    if kind <= 2 and lines:  # another value
        name, colon, value = lines[at].rpartition(": ")
        new = VALUES[int(rng.integers(len(VALUES)))].replace("\u00a0", " ")
        inner = value[value.find(",") :] if "," in value else "}" * value.count("}")
        lines[at] = f"{name}{colon}{new}{inner if rng.random() < 0.7 else ''}"
    elif kind == 3 and lines:  # a line twice, or none
        lines[at : at + 1] = [lines[at]] * int(rng.integers(3))
    elif kind == 4:  # deeper or less deep
        lines[at : at + 1] = [" " * int(rng.integers(4)) + lines[at].lstrip()] if lines else []
    else:  # characters
        whole, place = "\n".join(lines), int(rng.integers(len(text) + 1))
        sign = "{}[]:,&*!|>'\"%@`#-?\t\n\x00\x85\ufeff$\\"[int(rng.integers(26)) % 25]
        return whole[:place] + sign + whole[place + int(rng.integers(3)) :]
    return "\n".join(lines) + "\n"


def outcome(command: str, deck: str, folder: Path) -> tuple[int, str, float]:
    """Exit code (-9: it took too long), what was printed as errors, seconds; in a process of its own."""
    began = time.monotonic()
    log = folder / "errors"
    child = os.fork()
    if child == 0:
        _be_the_command(command, deck, folder, log)
    while _processor_seconds(child) < SECONDS and time.monotonic() - began < WAITED:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), log.read_text(errors="replace"), time.monotonic() - began


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _be_the_command(command: str, deck: str, folder: Path, log: Path) -> None:
    code = 1
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = io.StringIO(), os.fdopen(2, "w", buffering=1, closefd=False)
        from mlraman_hpc.cli import main

        main([command, deck])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException as error:
        with contextlib.suppress(Exception):
            os.write(2, f"Traceback: {error!r}".encode())
    finally:
        os._exit(code)


def judged(deck: str, folder: Path) -> tuple[list[str], list[str]]:
    """Exit codes of the commands, and what is wrong."""
    codes, faults = [], []
    for command in ("check", "run"):
        code, errors, seconds = outcome(command, deck, folder)
        codes.append(f"{command} {code}")
        wrong = code not in CODES or "Traceback" in errors or "internal error" in errors
        if wrong or (code and "error:" not in errors):
            tail = " / ".join((errors.strip() or "no message").splitlines()[-3:])
            faults.append(f"{command} {deck}: code {code} after {seconds:.0f} s: {tail[-300:]}")
        for path in (folder / "out", folder / "s.npy.cache"):
            shutil.rmtree(path, ignore_errors=True)
    return codes, faults


def run(cases: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Counts of exit codes, and a line for each fault."""
    counts, faults, folder = Counter(), [], folder_of_cases()
    try:
        for seed in range(first, first + cases):
            (folder / "deck.yaml").write_bytes(damaged(np.random.default_rng(seed)))
            codes, wrong = judged("deck.yaml", folder)
            counts.update(codes)
            faults += [f"seed {seed}: {text}" for text in wrong]
            if seed % 100 == 99:
                print(f"up to seed {seed}: {dict(sorted(counts.items()))}", *faults, sep="\n", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return counts, faults


def run_folder(decks: Path) -> list[str]:
    folder, faults = folder_of_cases(), []
    for deck in sorted(decks.glob("*.yaml")):
        shutil.copy(deck, folder)
        began = time.monotonic()
        codes, wrong = judged(deck.name, folder)
        print(f"{deck.name}: {', '.join(codes)} ({time.monotonic() - began:.1f} s)", *wrong, sep="\n    ", flush=True)
        faults += wrong
    shutil.rmtree(folder, ignore_errors=True)
    return faults


if __name__ == "__main__":
    os.environ.update(MLRAMAN_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    preload()
    if len(sys.argv) > 1 and Path(sys.argv[1]).is_dir():
        found = run_folder(Path(sys.argv[1]))
    else:
        counts, found = run(*([int(word) for word in sys.argv[1:]] or [1000]))
        print(*found, sep="\n")
        print(dict(sorted(counts.items())))
    print(f"{len(found)} wrong")
    sys.exit(bool(found))
