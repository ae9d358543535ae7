"""Labelled structures from electronic-structure codes: frames with polarizabilities of the whole cell in Angstrom^3."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.tensors import aims, anaddb, cp2k, deepmd, outcar, qe, series
from mlraman_hpc.readers.tensors.base import Calculation
from mlraman_hpc.readers.tensors.components import (
    RELATIVE,
    check_order,
    check_unit,
    from_columns,
    polarizability_of,
    symmetric,
)
from mlraman_hpc.readers.tensors.tensor_keys import choose_key, tensor_in
from mlraman_hpc.readers.text import FrameLocation, Warn, build_frames, read_bytes, valid_cells
from mlraman_hpc.readers.trajectory import extxyz, vaspout, vasprun
from mlraman_hpc.readers.trajectory.index import TrajectoryIndex, read_frames
from mlraman_hpc.records.frames import Frames, Labels

TEXT = {"outcar": outcar, "vasprun": vasprun, "qe-ph": qe, "cp2k": cp2k, "aims": aims}
BINARY = {"vaspout": vaspout, "anaddb": anaddb}
FORMATS = ("extxyz", *TEXT, *BINARY, "deepmd")
_NAMES = {
    "outcar": r"outcar",
    "vasprun": r"vasprun.*xml",
    "vaspout": r"vaspout.*\.h5$",
    "extxyz": r"\.(ext)?xyz(\.gz)?$",
    "deepmd": r"^polarizability\.npy$",
    "anaddb": r"\.nc$",
}
_MARKS = {  # in the first bytes
    "outcar": rb"\s*vasp\.",
    "extxyz": rb"\s*\d+\s*\n",
    "vasprun": rb"<\?xml",
    "anaddb": rb"CDF",
    "vaspout": rb"\x89HDF",
    "qe-ph": rb".*Program (PHONON|PWSCF)",
    "aims": rb".*Invoking FHI-aims",
    "cp2k": rb".*CP2K\|",
}


def read_labels(
    files: list[Path], format: str, quantity: str | None, unit: str | None, warn: Warn, tensor_key: str | None = None
) -> Labels:
    """Structures and tensors of all files, in order.

    A polarizability needs `unit` (one of POLARIZABILITY_UNITS) where the program does not fix it; a dielectric tensor
    or a susceptibility has none and needs a cell that is periodic in all directions: alpha = V (epsilon - 1)/(4 pi).
    Tensors are symmetrised. pw.x outputs among those of ph.x only give more digits of their structures.
    Errors: DataError for what the files lack, naming file and frame; DeckError for a missing unit.
    """
    if not files:
        raise DataError("reference.files: no file matches; check the path.")
    paths = [Path(file) for file in files]
    if format not in ("auto", *FORMATS):
        raise DeckError(f"reference.format: '{format}' is not one of auto, {', '.join(FORMATS)}, table.")
    format = _one_format(paths) if format == "auto" else format
    if format == "extxyz":
        return _from_extxyz(paths, quantity, unit, tensor_key, warn)
    if format == "deepmd":
        return _from_deepmd(paths, quantity, unit, warn)
    return _from_outputs(paths, format, quantity, unit, warn)


def companions(paths: list[Path]) -> list[Path]:
    """Files that the labels depend on although the deck does not name them."""
    return sorted({file for path in paths if deepmd.is_label(path) for file in deepmd.companions(path)})


def read_table_labels(
    table: Path,
    order: list[str],
    quantity: str | None,
    unit: str | None,
    index: TrajectoryIndex,
    first: int,
    every: int,
    warn: Warn,
) -> Labels:
    """Structures from a trajectory, tensors from a table of six or nine columns: line k is of frame first + k every.

    Frames are counted from 0, comments and empty lines of the table not at all. Errors: as read_labels.
    """
    if quantity is None:
        raise DeckError(
            "reference.quantity: a table does not say what it holds; give polarizability, dielectric or susceptibility."
        )
    factor = check_unit(quantity, unit, "reference")
    order = check_order(order, "reference.order")
    values = series.read_table(Path(table), order)
    which = first + every * np.arange(len(values))
    if which[-1] >= len(index):
        fits = max(0, -(-(len(index) - first) // every))
        raise DataError(
            f"{table}: {len(values)} lines from frame {first} on every {every} frames end at frame "
            f"{which[-1]}, the trajectory has {len(index)} frames; only {fits} lines fit. "
            "Check reference.first and reference.every."
        )
    sources = tuple(f"{table}, row {k + 1} (frame {frame})" for k, frame in enumerate(which))
    return _labels(read_frames(index, which), from_columns(values, order), quantity, factor, sources, warn)


def _labels(frames: Frames, tensors, quantity: str, factor: float, sources: tuple[str, ...], warn: Warn) -> Labels:
    if quantity in RELATIVE and not frames.periodic.all():
        k = int(np.flatnonzero(~frames.periodic.all(axis=1))[0])
        raise DataError(
            f"{sources[k]}: {RELATIVE[quantity]} needs a cell that is periodic in all three directions; "
            f"found pbc {frames.periodic[k].tolist()}."
        )
    tensors = symmetric(np.asarray(tensors, dtype=float).reshape(-1, 3, 3), sources, warn)
    return Labels(frames, polarizability_of(tensors, quantity, factor, frames.volumes), sources)


def _one_format(paths: list[Path]) -> str:
    found = [_format_of(path) for path in paths]
    for path, format in zip(paths, found):
        if format != found[0]:
            raise DataError(
                f"{path} is {format} but {paths[0]} is {found[0]}; give labels of one format, or name "
                "it in reference.format."
            )
    return found[0]


def _format_of(path: Path) -> str:
    """By name, else by the first bytes."""
    for format, pattern in _NAMES.items():
        if re.search(pattern, path.name, re.IGNORECASE):
            return format
    start = _start(path)
    for format, mark in _MARKS.items():
        if re.match(mark, start, re.DOTALL):
            return format
    raise DataError(f"{path}: the format is not recognised; give reference.format, one of {', '.join(FORMATS)}, table.")


def _start(path: Path, length: int = 20000) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.read(length)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}. Check the path.") from None


# outputs, one configuration each


def _from_outputs(paths: list[Path], format: str, quantity: str | None, unit: str | None, warn: Warn) -> Labels:
    if unit is not None:
        raise DeckError(f"reference.unit: the unit of {format} files is known; remove '{unit}'.")
    ground_states, paths = _ground_states(paths) if format == "qe-ph" else ([], paths)
    read, faults = [], []
    for path in paths:
        try:
            read.append(_output(path, format))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError(_listed(faults, len(paths)))
    return _labels_of([qe.refined(one, ground_states) for one in read], tuple(map(str, paths)), quantity, warn)


def _output(path: Path, format: str) -> Calculation:
    if format in BINARY:
        return BINARY[format].read_label(str(path), str(path))
    return TEXT[format].read_label(read_bytes(path), str(path))


def _ground_states(paths: list[Path]) -> tuple[list[tuple], list[Path]]:
    """Structures of the pw.x outputs among the files, and the other files."""
    with_tensor = [path for path in paths if not qe.is_ground_state(_start(path))]
    if not with_tensor:
        raise DataError(f"{paths[0]}: outputs of pw.x have no dielectric tensor; give those of ph.x.")
    return [qe.structure(read_bytes(path), str(path)) for path in paths if path not in with_tensor], with_tensor


def _labels_of(read: list[Calculation], sources: tuple[str, ...], quantity: str | None, warn: Warn) -> Labels:
    for one, source in zip(read, sources):
        if quantity not in (None, one.quantity):
            raise DeckError(
                f"reference.quantity: {source} holds a {one.quantity} tensor; set {one.quantity}, or leave it out."
            )
    frames = build_frames([(one.positions, one.numbers, one.cell, one.periodic) for one in read], np.arange(len(read)))
    _check_cells(frames, [FrameLocation(source, 0, k) for k, source in enumerate(sources)])
    volumes = [own if one.volume is None else one.volume for one, own in zip(read, frames.volumes)]
    tensors = symmetric(np.array([one.tensor for one in read]), sources, warn)
    alpha = [
        polarizability_of(tensor[None], one.quantity, 1.0, volume)[0]
        for one, tensor, volume in zip(read, tensors, volumes)
    ]
    return Labels(frames, np.array(alpha), sources)


def _listed(faults: list[str], of: int) -> str:
    """All bad files in one message."""
    if of == 1:
        return faults[0]
    lines = [f"{len(faults)} of {of} files cannot be used; compute them again or take them out of reference.files:"]
    lines += [f"  {fault}" for fault in faults[:10]]
    if len(faults) > 10:
        lines.append(f"  and {len(faults) - 10} more")
    return "\n".join(lines)


def _from_deepmd(paths: list[Path], quantity: str | None, unit: str | None, warn: Warn) -> Labels:
    quantity = quantity or "polarizability"
    factor = check_unit(quantity, unit, "reference")
    parts, tensors, places = [], [], []
    for path in paths:
        found, values = deepmd.read_labels(path)
        places += [FrameLocation(str(path), 0, k) for k in range(len(found))]
        parts, tensors = parts + found, [*tensors, values]
    frames = build_frames(parts, np.arange(len(parts)))
    _check_cells(frames, places)
    sources = tuple(f"{place.file}, frame {place.frame}" for place in places)
    return _labels(frames, np.concatenate(tensors), quantity, factor, sources, warn)


# extended XYZ


def _from_extxyz(paths, quantity: str | None, unit: str | None, tensor_key: str | None, warn: Warn) -> Labels:
    texts, places = [], []
    for path in paths:
        content = read_bytes(path)
        bounds, _ = extxyz.frame_bounds(content, str(path), warn)
        texts += [content[first:last] for first, last, _, _ in bounds]
        places += [FrameLocation(str(path), int(line), k) for k, line in enumerate(bounds[:, 2])]
        if not len(bounds):
            raise DataError(f"{path}: no complete frame; the last line must be whole, with its line end.")
    key, quantity = choose_key(texts[0], places[0], quantity, tensor_key, "reference")
    factor = check_unit(quantity, unit, "reference")
    tensors = [tensor_in(text, key, place) for text, place in zip(texts, places)]
    frames = build_frames([extxyz.read(text, place, {}) for text, place in zip(texts, places)], np.arange(len(texts)))
    _check_cells(frames, places)
    sources = tuple(f"{place.file}, frame {place.frame}" for place in places)
    return _labels(frames, tensors, quantity, factor, sources, warn)


def _check_cells(frames: Frames, places: list[FrameLocation]) -> None:
    for k in np.flatnonzero(~valid_cells(frames.cells, frames.periodic)):
        raise places[k].error(f"the cell {frames.cells[k].tolist()} has no volume although the frame is periodic.")
