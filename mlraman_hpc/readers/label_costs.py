"""What labels cost, where they say so: `cpu_s` on the comment lines of extended XYZ."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import parse_numbers
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.unpacking import read_bytes

_COUNT = re.compile(rb"\s*\d+\s*\n")


def mean_cpu_seconds(files: list[Path]) -> float | None:
    """CPU-s of a structure on the average; None unless every structure of every file has a positive `cpu_s`."""
    costs: list[float] = []
    for path in files:
        try:
            content = read_bytes(path)
            if not _COUNT.match(content):
                return None
            _, comments = extxyz.frame_bounds(content, str(path), lambda text: None)
        except DataError:
            return None
        for comment in comments:
            values = parse_numbers(extxyz.value(comment, "cpu_s") or b"", 1)
            if values is None or values[0] <= 0:
                return None
            costs.append(float(values[0]))
    return float(np.mean(costs)) if costs else None
