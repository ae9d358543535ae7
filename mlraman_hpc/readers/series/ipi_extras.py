"""Tensors that i-PI writes along a run: `<trajectory> extras </trajectory>` with `extra_type="polarizability"`.

A line such as '#EXTRAS(polarizability)# Step:  20' and the numbers, in three lines of three or one of nine; their unit
is that of the program that computed them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlraman_hpc.readers.series.base import Series, SeriesFormat
from mlraman_hpc.readers.tensors.base import FileError, Request
from mlraman_hpc.readers.text import parse_numbers
from mlraman_hpc.readers.unpacking import read_bytes

_HEAD = re.compile(rb"^ *#\*?EXTRAS[^#\n]*#[^\n]*?Step: +(\d{1,18})\b[^\n]*\n", re.MULTILINE)


class IpiExtras(SeriesFormat):
    name = "ipi"

    def recognises(self, start: bytes) -> bool:
        return _HEAD.match(start) is not None

    def read(self, file: Path, request: Request) -> Series:
        text = read_bytes(file)
        heads = list(_HEAD.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        tensors, messages = [], []
        for k, (head, end) in enumerate(zip(heads, ends)):
            values = parse_numbers(text[head.end() : end], 9)
            whole = values is not None and (end < len(text) or text.endswith(b"\n"))
            if not whole and k and end == len(text):
                messages.append(f"{file}: the last tensor is incomplete; the {k} before it are used.")
                break
            if values is None:
                line = text[: head.start()].count(b"\n") + 1
                raise FileError(file, "nine numbers must follow, the components row by row.", line)
            tensors.append(values.reshape(3, 3))
        if not tensors:
            raise FileError(file, "no line '#EXTRAS(...)# Step: ...' in the file; is it one of i-PI's extras?")
        steps = np.array([int(head[1]) for head in heads[: len(tensors)]])
        return Series(np.array(tensors), steps, messages=messages)
