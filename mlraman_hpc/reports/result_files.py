"""`mlraman docs outputs`: every dataset of every result file, told by the records that are stored in them."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlraman_hpc import records
from mlraman_hpc.records.fields import Record

_HEAD = """# Result files and what is in them

Made from the program's own records, so it lists what this version writes. Files are HDF5; every dataset has an
attribute `unit` ('1': a pure number), every file `kind`, `format_version`, `deck` (the resolved deck), `parents` (with
hashes) and `history`. `mlraman_hpc.load(FILE)` reads any of them; so do h5py, MATLAB, Julia and HDFView. `NAME` in a
path stands for a key, such as a species or a kind of intensity. What is optional is there only where the deck asks for
it or the data allow it.
"""

_OTHERS = """
## Files for people and other programs

| file | holds |
|---|---|
| `raman.dat` | the spectrum as named columns; how to read it is below |
| `raman.jdx` | the smoothed total as JCAMP-DX, for programs of spectroscopy |
| `report.html`, `*.png` | the report in one file, and its figures |
| `resolved_deck.yaml` | the deck with every key and absolute paths; `mlraman run` takes it as it is, from any folder |
| `status.json` | what a running job does, how far it is and how long it will take: `mlraman status FOLDER` |
| `campaign.csv`, `campaign.html` | the ranking as a table and as a report |

`raman.dat` has names in its first line, comments (`#`) with the number and unit of each column, then the rows of
`raman.h5`:

```python
numpy.genfromtxt("raman.dat", names=True)                # spectrum["total"]
numpy.loadtxt("raman.dat", skiprows=1)
pandas.read_csv("raman.dat", sep=r"\\s+", comment="#")
```

`alpha.h5` and `trajectory.h5` follow H5MD 1.1. MDAnalysis opens `trajectory.h5` (from `mlraman convert`);
`alpha.h5` holds observables and no positions, which MDAnalysis needs: read it with h5py, pyh5md or
`mlraman_hpc.load`. Every observable of `alpha.h5` has `step` and `time`, and `/done` says which batches of frames
are finished. `trajectory.h5` has `species`, `position`, `box/edges` and, where there are velocities, `velocity` in
`/particles/trajectory`; the last three each with `value`, `step` and, where it is known, `time`.
"""


def description() -> str:
    """The text of the topic, as Markdown."""
    sections = "\n".join("\n".join(_section(record)) for record in record_types())
    return f"{_HEAD}\n{sections}{_OTHERS}"


def record_types() -> list[type[Record]]:
    """Every record that is a file of its own, by the name of the file."""
    for module in pkgutil.iter_modules(records.__path__):
        importlib.import_module(f"{records.__name__}.{module.name}")
    ours = (record for record in Record.__subclasses__() if record.__module__.startswith(records.__name__))
    return sorted(ours, key=lambda record: record.file_name)


def _section(record: type[Record]) -> Iterator[str]:
    title, _, notes = (record.__doc__ or "").strip().partition("\n")
    yield f"## {record.file_name}\n"
    yield f"{re.sub(r' *[(][^()]*[.]h5[^()]*[)]', '', title)}\n"
    if notes.strip():
        yield "```text"
        yield from (line.removeprefix("    ") for line in notes.strip("\n").rstrip().splitlines())
        yield "```\n"
    yield "| dataset | unit | |"
    yield "|---|---|---|"
    for path, unit, kind in datasets(record):
        yield f"| `{path}` | {unit.replace('|', ' ')} | {kind} |"
    yield ""


def datasets(record: type, prefix: str = "/", optional: bool = False) -> Iterator[tuple[str, str, str]]:
    """(path, unit, kind) of every dataset that a record can have."""
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        path, unit = f"{prefix}{field.metadata['path']}", field.metadata["unit"]
        hint, may_miss = _without_none(hints[field.name])
        if dataclasses.is_dataclass(hint):
            yield from datasets(hint, f"{path}/", optional or may_miss)
        else:
            names, kind = _kind(hint)
            yield path + names, unit, kind + (", optional" if optional or may_miss else "")


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type, and whether it may be None."""
    if not isinstance(hint, types.UnionType):
        return hint, False
    inner = [member for member in typing.get_args(hint) if member is not type(None)]
    return inner[0], len(inner) < len(typing.get_args(hint))


def _kind(hint: Any) -> tuple[str, str]:
    """('/NAME' for each level of dicts, what one dataset holds)"""
    if typing.get_origin(hint) is dict:
        names, kind = _kind(typing.get_args(hint)[1])
        return f"/NAME{names}", kind
    if typing.get_origin(hint) is tuple:
        return "", "list of texts" if typing.get_args(hint)[0] is str else "list"
    words = {np.ndarray: "array", float: "number", int: "integer", bool: "true or false", str: "text"}
    return "", words.get(hint, "text" if isinstance(hint, type) and issubclass(hint, str) else "value")
