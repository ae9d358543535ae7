"""Peak memory of each rank of `mlraman predict` against the number of frames: 9 atoms, cutoff 5, l <= 4, two species.

Trajectories: an XDATCAR whose frames have one size, one whose frames differ by some bytes, and an extended XYZ. Each
run is a process of its own with no index kept from before, and tells VmHWM of /proc, the most that it has held, as it
ends. Files of 10^6 frames take 0.4 to 0.7 GB in the folder of temporary files.

Usage: python tests/benchmarks/memory.py [--frames 1000,100000,1000000] [--ranks 1,2] [--cases equal,varying,extxyz]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = """
import atexit, os, re, runpy, sys
folder = sys.argv.pop()
def tell():
    peak = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]
    with open(f"{folder}/peak.{os.environ.get('PMI_RANK', 0)}", "w") as file:
        file.write(peak)
atexit.register(tell)
sys.argv[0] = "mlraman"
runpy.run_module("mlraman_hpc", run_name="__main__")
"""


def numbers(k: int, case: str) -> str:
    return f"{k + 1:8d}" if case == "equal" else " " * (k * k % 11) + str(k + 1)


def blocks_of(frames) -> tuple[list[str], list[str]]:
    """Atoms of each frame, as an XDATCAR and as an extended XYZ have them."""
    import numpy as np

    from mlraman_hpc.base.elements import ELEMENTS

    positions = frames.positions.reshape(len(frames), -1, 3)
    symbols = [ELEMENTS[z] for z in frames.numbers]
    fractional = positions @ np.linalg.inv(frames.cells[0]) % 1.0
    return (
        ["".join(f"{x:12.8f}{y:12.8f}{z:12.8f}\n" for x, y, z in one) for one in fractional],
        [
            "".join(f"{symbol:2s}{x:16.8f}{y:16.8f}{z:16.8f}\n" for symbol, (x, y, z) in zip(symbols, one))
            for one in positions
        ],
    )


def write(folder: Path, case: str, frames, count: int) -> Path:
    direct, cartesian = blocks_of(frames)
    if case == "extxyz":
        atoms, cell = len(frames.numbers) // len(frames), " ".join(f"{x:.6f}" for x in frames.cells[0].ravel())
        with open(folder / "md.xyz", "w") as file:
            for k in range(count):
                file.write(
                    f'{atoms}\nLattice="{cell}" Properties=species:S:1:pos:R:3 step={5 * k} time_fs={10.0 * k} '
                    f'energy={-30 - k % 97 / 8} pbc="T T T"\n{cartesian[k % len(cartesian)]}'
                )
        return folder / "md.xyz"
    from prediction import write_xdatcar

    write_xdatcar(folder / "XDATCAR", frames, 0)
    with open(folder / "XDATCAR", "a") as file:
        for k in range(count):
            file.write(f"Direct configuration={numbers(k, case)}\n{direct[k % len(direct)]}")
    return folder / "XDATCAR"


def peaks(deck: Path, ranks: int) -> list[float]:
    """MB of each rank."""
    launcher = [str(Path(sys.executable).with_name("mpirun")), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-c", COMMAND, "predict", "--force", "--quiet", str(deck), str(deck.parent)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(done.stderr)
    return [int((deck.parent / f"peak.{rank}").read_text()) / 1024 for rank in range(ranks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", default="1000,100000,1000000")
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--cases", default="equal,varying,extxyz")
    options = parser.parse_args()
    counts = [int(count) for count in options.frames.split(",")]
    from prediction import DESCRIPTORS, crystal, prepare, random_model

    frames = crystal(9, 2, 16)
    model = random_model(frames, DESCRIPTORS[5, 4])
    print("trajectory  ranks  " + "".join(f"{count:>22d}" for count in counts) + "   frames: MB of each rank")
    for case in options.cases.split(","):
        found: dict[int, list[list[float]]] = {}
        for count in counts:
            with tempfile.TemporaryDirectory() as name:
                deck = prepare(Path(name), frames, model, 0)
                path = write(Path(name), case, frames, count)
                deck.write_text(deck.read_text().replace(f"{name}/XDATCAR", str(path)))
                if not found:
                    peaks(deck, 1)  # makes the machine code
                for ranks in map(int, options.ranks.split(",")):
                    found.setdefault(ranks, []).append(peaks(deck, ranks))
                    shutil.rmtree(Path(name) / "out")
        for ranks, row in found.items():
            cells = "".join(f"{' '.join(f'{one:.0f}' for one in some):>22}" for some in row)
            print(f"{case:<11} {ranks:5d}  {cells}", flush=True)


if __name__ == "__main__":
    main()
