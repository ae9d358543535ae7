"""How often the error bars of the ionic conductivity hold the truth, for processes of ions whose conductivity is known.

    python tests/benchmarks/conductivity_truth.py [--seeds 150] [--frames 2400]     the table of 'mlraman docs dynamics'

Ions of charge +1 move, as many of charge -1 swing about their sites.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.numerics.charged_walks import PROCESSES, found_in, truth_of


def row(found, key, truth):
    """Coverage at one and two errors, mean, scatter and mean bar relative to the truth, number that gave a value."""
    value = np.array([getattr(one, key) for one in found])
    error = np.array([getattr(one, f"{key}_error") for one in found])
    known = np.isfinite(value)
    value, error = value[known], error[known]
    off = np.abs(value - truth) / error
    numbers = np.mean(off < 1), np.mean(off < 2), value.mean() / truth, value.std() / truth, error.mean() / truth
    return " | ".join([*(f"{x:.2f}" for x in numbers), str(known.sum())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--frames", type=int, default=2400)
    arguments = parser.parse_args()
    print("| process | estimate | within 1 | within 2 | mean / truth | scatter | bar | values |")
    for name, (process, per_frame, haven) in PROCESSES.items():
        found = [found_in(process, np.random.default_rng(seed), arguments.frames) for seed in range(arguments.seeds)]
        truth = truth_of(per_frame, haven)
        for key, its in (
            ("nernst_einstein", truth * haven),
            ("einstein", truth),
            ("green_kubo", truth),
            ("haven", haven),
            ("haven_green_kubo", haven),
        ):
            print(f"| {name} | {key} | {row(found, key, its)} |", flush=True)


if __name__ == "__main__":
    main()
