"""What a calculation has cost, as its outputs print it: elapsed time times cores, in s.

That is all that is known of one that a job array has run, and of one that `srun` has placed on other nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mlraman_hpc.labelling.codes import Recipe
from mlraman_hpc.readers.unpacking import read_bytes

SHARE_OF_LAUNCHER = 0.1  # a launcher's own CPU time is less than this share of what it has launched
_SECONDS = {b"d": 86400.0, b"h": 3600.0, b"m": 60.0, b"s": 1.0}


def core_seconds(recipe: Recipe, folder: Path) -> float | None:
    """Of all steps of a run whose output says it; None where none does."""
    values = [
        seconds
        for step in recipe.steps
        if step.program in _READERS and (folder / step.output).is_file()
        if (seconds := _READERS[step.program](read_bytes(folder / step.output))) is not None
    ]
    return sum(values) if values else None


def cost(measured: float | None, printed: float | None) -> float | None:
    """CPU time that we measured, or that of the outputs where what we measured was a launcher's."""
    if measured is None or (printed is not None and measured < SHARE_OF_LAUNCHER * printed):
        return printed
    return measured


def _last(pattern: bytes, text: bytes) -> tuple[bytes, ...] | None:
    values = re.findall(pattern, text, re.MULTILINE)
    if not values:
        return None
    return values[-1] if isinstance(values[-1], tuple) else (values[-1],)


def _number(pattern: bytes, text: bytes) -> float | None:
    values = _last(pattern, text)
    return None if values is None else float(values[0])


def _cp2k(text: bytes) -> float | None:
    elapsed = _number(rb"^ CP2K +\d+(?: +[\d.]+){4} +([\d.]+) *$", text)  # the first line of the table of timings
    ranks = _number(rb"GLOBAL\| Total number of message passing processes +(\d+)", text)
    threads = _number(rb"GLOBAL\| Number of threads for this process +(\d+)", text)
    return None if elapsed is None else elapsed * (ranks or 1) * (threads or 1)


def _vasp(text: bytes) -> float | None:
    elapsed = _number(rb"Elapsed time \(sec\): +([\d.]+)", text)
    cores = _number(rb"running on +(\d+) total cores", text)
    both = _last(rb"running +(\d+) mpi-ranks, with +(\d+) threads/rank", text)
    if both is not None:
        cores = float(both[0]) * float(both[1])
    return None if elapsed is None else elapsed * (cores or 1)


def _espresso(text: bytes) -> float | None:
    """'PWSCF : 1m 2.34s CPU 1m 5.67s WALL', of all ranks alike."""
    line = _last(rb"^ +(?:PWSCF|PHONON) +:.*CPU +(.*?) *WALL", text)
    if line is None:
        return None
    elapsed = sum(float(value) * _SECONDS[unit] for value, unit in re.findall(rb"([\d.]+) *([dhms])", line[0]))
    return elapsed * (_number(rb"running on +(\d+) +processor", text) or 1)


def _abinit(text: bytes) -> float | None:
    """Summed over ranks already."""
    return _number(rb"Overall time at end \(sec\) *: *cpu= *[\d.]+ +wall= *([\d.]+)", text)


_READERS: dict[str, Callable[[bytes], float | None]] = {
    "cp2k.psmp": _cp2k,
    "vasp_std": _vasp,
    "pw.x": _espresso,
    "ph.x": _espresso,
    "abinit": _abinit,
}
