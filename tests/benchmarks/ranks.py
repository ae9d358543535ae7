"""`mlraman predict` as whole processes on 1, 2 and 8 ranks, start to end, by the clock, in turn and several times.

Needs free cores: the load is printed, and a second column takes start-up off by a run of a fourth of the length.
128 atoms, cutoff 5, l <= 4, two species, from XDATCAR to alpha.h5.

Usage: python tests/benchmarks/ranks.py [--frames 40000] [--ranks 1,2,8] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prediction import DESCRIPTORS, crystal, prepare, random_model


def clock(deck: Path, ranks: int) -> float:
    """Seconds of one run, thrown away results included."""
    command = [
        Path(sys.executable).with_name("mpirun"),
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "mlraman_hpc",
        "predict",
        "--force",
        "--quiet",
        deck,
    ]
    began = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--ranks", default="1,2,8")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ranks = list(map(int, options.ranks.split(",")))
    frames = crystal(128, 2, 16)
    model = random_model(frames, DESCRIPTORS[5, 4])
    with tempfile.TemporaryDirectory() as name:
        decks = {}
        for count in (options.frames // 4, options.frames):
            (Path(name) / str(count)).mkdir()
            decks[count] = prepare(Path(name) / str(count), frames, model, count)
            clock(decks[count], 1)  # index and file cache
        print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores; {options.frames} frames")
        print("ranks: seconds (ratio to the first) | without start-up")
        for _ in range(options.repeats):
            whole = {n: [clock(decks[count], n) for count in decks] for n in ranks}
            loop = {n: long - short for n, (short, long) in whole.items()}
            print(
                "   ".join(
                    f"{n}: {whole[n][1]:6.2f} ({whole[ranks[0]][1] / whole[n][1]:4.2f}) | "
                    f"{loop[n]:6.2f} ({loop[ranks[0]] / loop[n]:4.2f})"
                    for n in ranks
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
