"""Derivatives of the polarizability with respect to the atoms' positions, as labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3, DERIVATIVE_UNITS, canonical_unit
from mlraman_hpc.readers.derivatives import anaddb
from mlraman_hpc.readers.derivatives.field_forces import (
    FORCES,
    FieldRun,
    FieldSet,
    field_sets,
    response,
    runs_of_cp2k,
    runs_of_extended_xyz,
)
from mlraman_hpc.readers.derivatives.quantum_espresso import raman_of_ph, runs_of_pw
from mlraman_hpc.readers.derivatives.vasp import runs_of_outcar, runs_of_vasprun
from mlraman_hpc.readers.tensors.base import Calculation, FileError
from mlraman_hpc.readers.tensors.components import check_order, from_columns
from mlraman_hpc.readers.text import FrameLocation, Warn, build_frames, parse_words, quoted, valid_cells
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.unpacking import read_bytes
from mlraman_hpc.records.frames import DerivativeLabels

COLUMNS = ("polarizability_gradient", "polarizability_derivative", "polarizability_derivatives", "dalpha_dr")
# Mimyria: 27 numbers, d alpha_ab / d r_c with c fastest, in atomic units of alpha for each Angstrom
MIMYRIA = "pgt"
KEY = "reference.derivatives"
_MARKS = {
    "cp2k": rb"CP2K\|",
    "outcar": rb"\A\s*vasp\.",
    "vasprun": rb"\A<\?xml[^>]*>\s*<modeling>",
    "qe-ph": rb"Program PHONON",
    "qe-pw": rb"Program PWSCF",
    "anaddb": rb"\A(CDF|\x89HDF)",
}
STRONG_NET, IMPOSSIBLE_NET = 0.1, 1.0  # |sum over atoms| / (rms sqrt(atoms)): noise over signal of a single number
ASYMMETRY = 0.05


@dataclass(frozen=True)
class _Derivatives:
    """Of one structure: configuration (positions, numbers, cell, periodic) and (atoms, 3, 3, 3) Angstrom^2."""

    configuration: tuple
    values: np.ndarray
    source: str


def read_derivatives(
    files: list[Path], format: str, unit: str | None, order: list[str] | None, warn: Warn
) -> DerivativeLabels:
    """d alpha_ab / d r_ic of all structures in the files, Angstrom^2, with the sum over atoms taken off.

    format  'extxyz' (18 or 27 numbers an atom), 'field-forces' (extended XYZ of forces in fields), 'cp2k', 'outcar',
            'vasprun' or 'qe-pw' (outputs of runs in fields), 'qe-ph' or 'anaddb' (third-order response), or 'auto'
    unit    of the numbers of extended XYZ, one of DERIVATIVE_UNITS, where its comment lines do not declare it
    order   their components for each of d/dx, d/dy, d/dz, such as [xx, yy, zz, xy, yz, zx], where these do not

    Errors: DataError naming file and reason; DeckKeyError for a unit or an order that is missing or wrong.
    """
    if not files:
        raise DataError(f"{KEY}.files: no file matches; check the path.")
    name = _detected(files[0]) if format == "auto" else format
    if name == "extxyz":
        structures = [item for path in files for item in _read_columns(path, unit, order, warn)]
    else:
        _refuse_what_is_known(unit, order)
        structures = _read_outputs(files, name, warn)
    return _labels(structures, warn)


def _refuse_what_is_known(unit: str | None, order: list[str] | None) -> None:
    for given, key in ((unit, "unit"), (order, "order")):
        if given is not None:
            raise DeckKeyError(f"{KEY}.{key}", f"these files have it already; remove {given}.")


def _detected(path: Path) -> str:
    """By the comment line, or by what the program prints at the start of its output."""
    start = read_bytes(path)[:20000]
    lines = start.split(b"\n", 2)
    if re.match(rb"\s*\d+\s*$", lines[0]) and len(lines) == 3:
        properties = (extxyz.value(lines[1], "properties") or b"").decode("utf-8", "replace").lower().split(":")
        known = set(properties) & {*COLUMNS, MIMYRIA}
        return "field-forces" if set(properties) & set(FORCES) and not known else "extxyz"
    detected = next((name for name, mark in _MARKS.items() if re.search(mark, start)), None)
    if detected is None:
        known = ", ".join(["extxyz", "field-forces", *_MARKS])
        raise FileError(path, f"the format is not recognised; give {KEY}.format, one of {known}.")
    return detected


# 18 or 27 numbers an atom


def _read_columns(path: Path, unit: str | None, order: list[str] | None, warn: Warn) -> list[_Derivatives]:
    content = read_bytes(path)
    bounds, comments = extxyz.frame_bounds(content, str(path), warn)
    if not len(bounds):
        raise FileError(path, "no complete frame; the last line must be complete, with its line end.")
    result = []
    for k, (begin, end, line, _) in enumerate(bounds):
        location, comment = FrameLocation(str(path), int(line), k), comments[k]
        text = content[begin:end]
        configuration = extxyz.read(text, location, {})
        name, values = _columns(text, comment, location)
        if name == MIMYRIA:
            _refuse_what_is_known(unit, order)
            tensors = ANGSTROM3_PER_BOHR3 * values.reshape(-1, 3, 3, 3).transpose(0, 3, 1, 2)
        else:
            factor = DERIVATIVE_UNITS[_unit(comment, unit, location)]
            components = _order(comment, order, location, values.shape[-1] // 3)
            rows = values.reshape(-1, values.shape[-1] // 3)
            tensors = factor * from_columns(rows, components).reshape(-1, 3, 3, 3)
        _check_symmetry(tensors, location)
        source = f"{path}, frame {k}"
        result.append(_Derivatives(configuration, (tensors + np.swapaxes(tensors, 2, 3)) / 2, source))
    return result


def _columns(text: bytes, comment: bytes, location: FrameLocation) -> tuple[str, np.ndarray]:
    """Name of the property, and (atoms, 18 or 27)."""
    rows = [row.split() for row in text.split(b"\n")[2:] if row.strip()]
    layout, _ = extxyz.columns(comment, b" ".join(rows[0]), location)
    name = next((name for name in (*COLUMNS, MIMYRIA) if name in layout), None)
    if name is None:
        raise location.error(f"Properties has no '{COLUMNS[0]}:R:18' (or :27); found {', '.join(layout)}.", 1)
    begin, count = layout[name]
    if count not in (18, 27) or (name == MIMYRIA and count != 27):
        raise location.error(f"'{name}' needs 18 or 27 numbers an atom, found {count}.", 1)
    values = [parse_words(row[begin : begin + count], count) for row in rows]
    for k, row in enumerate(values):
        if row is None:
            bad = next((word for word in rows[k][begin:] if parse_words([word], 1) is None), b"the end of the line")
            raise location.error(f"expected {count} finite numbers of '{name}', found {quoted(bad)}.", k + 2)
    return name, np.array(values)


def _unit(comment: bytes, unit: str | None, location: FrameLocation) -> str:
    declared = extxyz.value(comment, "unit")
    name = canonical_unit(declared.decode("utf-8", "replace"), DERIVATIVE_UNITS) if declared is not None else unit
    if declared is not None and unit is not None and name != unit:
        raise DeckKeyError(f"{KEY}.unit", f"is {unit}, but {location.file} declares {name}; keep one of them.")
    if name not in DERIVATIVE_UNITS:
        text = f"one of {', '.join(DERIVATIVE_UNITS)}; {location.file} has {'none' if name is None else name}."
        if declared is not None:
            raise location.error(f"unit={name} is not {text}", 1)
        raise DeckKeyError(f"{KEY}.unit", f"derivatives need their unit, {text}")
    return name


def _order(comment: bytes, order: list[str] | None, location: FrameLocation, count: int) -> list[str]:
    """Components of the columns of d/dx, which are those of d/dy and d/dz too."""
    declared = extxyz.value(comment, "order")
    names = order
    if declared is not None:
        match = re.match(r"(?:x:)?([a-z]{2}(?:,[a-z]{2})*)(?:\s|$)", declared.decode("utf-8", "replace"))
        if match is None:
            raise location.error(
                f"order={quoted(declared)} should be such as 'x:xx,yy,zz,xy,yz,zx y:... z:...': for d/dx, d/dy, d/dz "
                "each the components of alpha.",
                1,
            )
        names = match[1].split(",")
        if order is not None and order != names:
            text = f"is {', '.join(order)}, but {location.file} declares {', '.join(names)}; keep one of them."
            raise DeckKeyError(f"{KEY}.order", text)
    components = check_order(names, f"{KEY}.order")
    if len(components) != count:
        raise location.error(f"{3 * count} numbers an atom, but the order names {len(components)} for each axis.", 1)
    return components


def _check_symmetry(tensors: np.ndarray, location: FrameLocation) -> None:
    difference = np.abs(tensors - np.swapaxes(tensors, 2, 3)).max()
    if difference > ASYMMETRY * np.abs(tensors).max():
        raise location.error(
            "the derivatives of alpha_ab and alpha_ba differ by more than a few per cent; the order of the 27 numbers "
            "is probably another one: for d/dx, d/dy, d/dz each the nine components.",
            1,
        )


# outputs of programs


def _read_outputs(files: list[Path], format: str, warn: Warn) -> list[_Derivatives]:
    if format == "anaddb":
        return [_of_response(*anaddb.derivatives_of(path)) for path in files]
    if format == "qe-ph":
        return [_of_response(*item) for item in raman_of_ph(files)]
    runs = [run for path in files for run in _runs(path, format, warn)]
    return [_of_set(item, warn) for item in field_sets(runs)]


def _runs(path: Path, format: str, warn: Warn) -> list[FieldRun]:
    if format == "field-forces":
        return runs_of_extended_xyz(path, warn)
    readers = {"cp2k": runs_of_cp2k, "outcar": runs_of_outcar, "vasprun": runs_of_vasprun, "qe-pw": runs_of_pw}
    return readers[format](path)


def _of_response(structure: Calculation, values: np.ndarray) -> _Derivatives:
    configuration = (structure.positions, structure.numbers, structure.cell, structure.periodic)
    return _Derivatives(configuration, (values + np.swapaxes(values, 2, 3)) / 2, structure.source)


def _of_set(item: FieldSet, warn: Warn) -> _Derivatives:
    measured = response(item)
    for text in measured.warnings:
        warn(text)
    run = item.runs[0]
    return _Derivatives((run.positions, run.numbers, run.cell, run.periodic), measured.derivatives, item.source)


# checks of all


def _labels(structures: list[_Derivatives], warn: Warn) -> DerivativeLabels:
    frames = build_frames([item.configuration for item in structures], np.arange(len(structures)))
    sources = tuple(item.source for item in structures)
    for k in np.flatnonzero(~valid_cells(frames.cells, frames.periodic)):
        raise FileError(sources[k], f"the cell {frames.cells[k].tolist()} has no volume although it is periodic.")
    nets = []
    for item in structures:
        _check_all_atoms(item)
        nets.append(item.values.sum(axis=0))
        _check_net(item, nets[-1], warn)
    values = np.concatenate([item.values - net / len(item.values) for item, net in zip(structures, nets)])
    return DerivativeLabels(frames, values, np.array(nets), sources)


def _check_all_atoms(item: _Derivatives) -> None:
    """Errors: FileError for numbers that are not finite, and for atoms without any response."""
    if not np.isfinite(item.values).all():
        raise FileError(item.source, "some derivatives are not finite numbers; take this frame out.")
    still = ~item.values.any(axis=(1, 2, 3))
    if still.any():
        raise FileError(
            item.source,
            f"{still.sum()} of {len(still)} atoms have no derivatives, all their numbers are zero: a field on only "
            "some atoms, or atoms that were kept fixed. All atoms are needed.",
        )


def _check_net(item: _Derivatives, net: np.ndarray, warn: Warn) -> None:
    """The sum over atoms is zero by translation: of numbers with relative noise e it is e rms sqrt(atoms)."""
    values = item.values
    relative = sqrt(np.mean(net**2) / (np.mean(values**2) * len(values)))
    if relative > IMPOSSIBLE_NET:
        raise FileError(
            item.source,
            f"the derivatives do not sum to zero over the atoms (root mean square of the sums "
            f"{sqrt(np.mean(net**2)):.3g} Angstrom^2, of single numbers {sqrt(np.mean(values**2)):.3g}): nothing but "
            "noise. Check the forces' convergence and grid, and that all runs belong together.",
        )
    if relative > STRONG_NET:
        numbers = item.configuration[1]
        by_element = ", ".join(
            f"{ELEMENTS[z]} {sqrt(np.mean(values[numbers == z] ** 2)):.3g}" for z in np.unique(numbers)
        )
        warn(
            f"{item.source}: the derivatives sum to {sqrt(np.mean(net**2)):.3g} Angstrom^2 over the atoms, "
            f"{relative:.2f} of what independent atoms would give (root mean square of single numbers: {by_element}): "
            "noise; a finer grid or a softer pseudopotential helps"
        )
