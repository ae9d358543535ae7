"""Labelled structures from electronic-structure codes: frames with polarizabilities of the whole cell in Angstrom^3."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import DataError, DeckError
from ..schema.records import Frames, Labels
from . import extxyz, outcar, series
from .components import check_order, check_unit, from_columns, polarizability_of, symmetric
from .pieces import Place, Warn, frames_of, good_cells, whole
from .tensor_keys import choose_key, tensor_in
from .trajectory import TrajectoryIndex, read_frames

FORMATS = ("extxyz", "outcar")


def read_labels(
    files: list[Path], format: str, quantity: str | None, unit: str | None, warn: Warn, tensor_key: str | None = None
) -> Labels:
    """Structures and tensors of all files, in order.

    A polarizability needs `unit` (one of POLARIZABILITY_UNITS); a dielectric tensor has none and needs a cell that is
    periodic in all directions: alpha = V (epsilon - 1)/(4 pi). Tensors are symmetrised.
    Errors: DataError for what the files lack, naming file and frame; DeckError for a missing unit.
    """
    if not files:
        raise DataError("reference.files: no file matches; check the path.")
    paths = [Path(file) for file in files]
    if (_format_of(paths[0]) if format == "auto" else format) == "outcar":
        return _from_outcars(paths, quantity, unit, warn)
    if format not in ("auto", "extxyz"):
        raise DeckError(f"reference.format: '{format}' is not one of auto, {', '.join(FORMATS)}, table.")
    return _from_extxyz(paths, quantity, unit, tensor_key, warn)


def read_table_labels(
    table: Path, order: list[str], quantity: str | None, unit: str | None, index: TrajectoryIndex, first: int,
    every: int, warn: Warn,
) -> Labels:
    """Structures from a trajectory, tensors from a table of six or nine columns: line k is of frame first + k every.

    Frames are counted from 0, comments and empty lines of the table not at all. Errors: as read_labels.
    """
    if quantity is None:
        raise DeckError("reference.quantity: a table does not say what it holds; give polarizability or dielectric.")
    factor = check_unit(quantity, unit, "reference")
    order = check_order(order, "reference.order")
    values = series.read_table(Path(table), order)
    which = first + every * np.arange(len(values))
    if which[-1] >= len(index):
        fits = max(0, -(-(len(index) - first) // every))
        raise DataError(f"{table}: {len(values)} lines from frame {first} on every {every} frames end at frame "
                        f"{which[-1]}, the trajectory has {len(index)} frames; only {fits} lines fit. "
                        "Check reference.first and reference.every.")
    sources = tuple(f"{table}, row {k + 1} (frame {frame})" for k, frame in enumerate(which))
    return _labels(read_frames(index, which), from_columns(values, order), quantity, factor, sources, warn)


def _labels(frames: Frames, tensors, quantity: str, factor: float, sources: tuple[str, ...], warn: Warn) -> Labels:
    if quantity == "dielectric" and not frames.periodic.all():
        k = int(np.flatnonzero(~frames.periodic.all(axis=1))[0])
        raise DataError(f"{sources[k]}: a dielectric tensor needs a cell that is periodic in all three directions; "
                        f"found pbc {frames.periodic[k].tolist()}.")
    tensors = symmetric(np.asarray(tensors, dtype=float).reshape(-1, 3, 3), sources, warn)
    return Labels(frames, polarizability_of(tensors, quantity, factor, frames.volumes), sources)


def _format_of(path: Path) -> str:
    """By name, else by content: an OUTCAR begins with VASP's version, an XYZ file with a number of atoms."""
    if re.search("outcar", path.name, re.IGNORECASE):
        return "outcar"
    if re.search(r"\.(ext)?xyz(\.gz)?$", path.name, re.IGNORECASE):
        return "extxyz"
    start = whole(path)[:200].lstrip()
    if start.startswith(b"vasp."):
        return "outcar"
    if start.split(b"\n")[0].strip().isdigit():
        return "extxyz"
    raise DataError(f"{path}: neither extended XYZ nor an OUTCAR; give reference.format, one of "
                    f"{', '.join(FORMATS)}, table.")


# VASP


def _from_outcars(paths: list[Path], quantity: str | None, unit: str | None, warn: Warn) -> Labels:
    if quantity == "polarizability":
        raise DeckError("reference.quantity: an OUTCAR holds a dielectric tensor; set dielectric, or leave it out.")
    check_unit("dielectric", unit, "reference")
    read, faults = [], []
    for path in paths:
        try:
            read.append(outcar.read(whole(path), str(path)))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError(_listed(faults, len(paths)))
    frames = frames_of([(one.positions, one.numbers, one.cell, np.ones(3, bool)) for one in read], np.arange(len(read)))
    sources = tuple(map(str, paths))
    _check_cells(frames, [Place(source, 1, k) for k, source in enumerate(sources)])
    return _labels(frames, [one.dielectric for one in read], "dielectric", 1.0, sources, warn)


def _listed(faults: list[str], of: int) -> str:
    """All bad files in one message."""
    if of == 1:
        return faults[0]
    lines = [f"{len(faults)} of {of} OUTCARs cannot be used; compute them again or take them out of reference.files:"]
    lines += [f"  {fault}" for fault in faults[:10]]
    if len(faults) > 10:
        lines.append(f"  and {len(faults) - 10} more")
    return "\n".join(lines)


# extended XYZ


def _from_extxyz(paths, quantity: str | None, unit: str | None, tensor_key: str | None, warn: Warn) -> Labels:
    texts, places = [], []
    for path in paths:
        content = whole(path)
        bounds, _ = extxyz.frame_bounds(content, str(path), warn)
        texts += [content[first:last] for first, last, _, _ in bounds]
        places += [Place(str(path), int(line), k) for k, line in enumerate(bounds[:, 2])]
        if not len(bounds):
            raise DataError(f"{path}: no complete frame; the last line must be whole, with its line end.")
    key, quantity = choose_key(texts[0], places[0], quantity, tensor_key, "reference")
    factor = check_unit(quantity, unit, "reference")
    tensors = [tensor_in(text, key, place) for text, place in zip(texts, places)]
    frames = frames_of([extxyz.read(text, place, {}) for text, place in zip(texts, places)], np.arange(len(texts)))
    _check_cells(frames, places)
    sources = tuple(f"{place.name}, frame {place.frame}" for place in places)
    return _labels(frames, tensors, quantity, factor, sources, warn)


def _check_cells(frames: Frames, places: list[Place]) -> None:
    for k in np.flatnonzero(~good_cells(frames.cells, frames.periodic)):
        raise places[k].fault(f"the cell {frames.cells[k].tolist()} has no volume although the frame is periodic.")
