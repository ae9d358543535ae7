"""Labelled structures from electronic-structure codes: frames with polarizabilities of the complete cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.readers.tensors.base import BadFilesError, Calculation, FileError, LabelFormat, Request, gap_warning
from mlraman_hpc.readers.tensors.components import check_unit, labels_of
from mlraman_hpc.readers.tensors.formats import format_of
from mlraman_hpc.readers.text import Warn, build_frames, numbers_of_atom_types, valid_cells
from mlraman_hpc.records.frames import Labels

REFUSE, LEAVE_OUT = "refuse", "leave_out"
_HINT = (
    "Labels that are not converged can be left out or used, with a warning: reference.unconverged: leave_out, or use"
)


def read_labels(
    files: list[Path],
    format: str,
    quantity: str | None,
    unit: str | None,
    warn: Warn,
    tensor_key: str | None = None,
    unconverged: str = REFUSE,
    order: list[str] | None = None,
    species: list[str] | dict | None = None,
    cell: list[list[float]] | None = None,
) -> Labels:
    """Structures of all files, in order, with alpha in Angstrom^3; alpha = V (epsilon - 1)/(4 pi) = V chi/(4 pi).

    A polarizability needs `unit` (one of POLARIZABILITY_UNITS) where the program does not fix it; a dielectric tensor
    or a susceptibility has none and needs a cell that is periodic in all directions. Tensors are symmetrised.
    order, species, cell: components of columns, elements of labels or of atoms, and the cell, for files that lack them.
    unconverged: 'refuse', 'leave_out' or 'use' tensors of calculations that did not reach their own criterion.
    Errors: DataError for what the files lack, naming file and frame (BadFilesError, naming all files that cannot be
    used); DeckKeyError for a missing unit.
    """
    if not files:
        raise DataError("reference.files: no file matches; check the path.")
    paths = [Path(file) for file in files]
    label_format = format_of(paths, format)
    if label_format.unit_is_known and unit is not None:
        raise DeckKeyError("reference.unit", f"the unit of {label_format.name} files is known; remove '{unit}'.")
    known = numbers_of_atom_types(species, "reference.species")
    request = Request("reference", quantity, unit, tensor_key, order, unconverged, known, cell)
    together = label_format.read_set(paths, request, warn)
    calculations = _read_files(label_format, paths, request, warn) if together is None else together
    calculations = label_format.combine(calculations)
    faults = [item.unconverged for item in calculations if item.unconverged is not None]
    if faults:
        warn(_unconverged(faults, calculations, unconverged))
    if unconverged == LEAVE_OUT:
        calculations = [item for item in calculations if item.unconverged is None]
        if not calculations:
            raise DataError("reference.unconverged: no label is converged, and leave_out leaves none.")
    quantities = [_quantity(calculation, request) for calculation in calculations]
    factors = {name: 1.0 if label_format.unit_is_known else check_unit(name, unit, "reference") for name in quantities}
    labels = _joined(calculations, quantities, factors, warn)
    left_out = tuple(f"{fault.file} (not converged)" for fault in faults) if unconverged == LEAVE_OUT else ()
    used = tuple(item.source for item in calculations if item.unconverged is not None)
    return replace(labels, unconverged=used, left_out=left_out)


def _read_files(label_format: LabelFormat, paths: list[Path], request: Request, warn: Warn) -> list[Calculation]:
    """The calculations of all files. Errors: the DataError of a single file, or BadFilesError."""
    calculations, errors = [], []
    for path in paths:
        try:
            of_file = label_format.read(path, request, warn)
            calculations += of_file
            if request.unconverged == REFUSE:
                errors += [(str(path), item.unconverged) for item in of_file if item.unconverged is not None]
        except DataError as error:
            errors.append((str(path), error))
    if errors:
        refused = [item.unconverged for item in calculations if item.unconverged is not None]
        error = errors[0][1] if len(paths) == 1 else BadFilesError(errors, len(paths))
        raise DataError(f"{error}\n{_HINT}") if refused and request.unconverged == REFUSE else error
    return calculations


def _unconverged(faults: list[FileError], calculations: list[Calculation], use: str) -> str:
    worst = max(asymmetry(item) for item in calculations if item.unconverged is not None)
    what = "left out" if use == LEAVE_OUT else "used all the same"
    named = "; ".join(str(fault) for fault in faults[:3]) + ("; ..." if len(faults) > 3 else "")
    return (
        f"{len(faults)} of {len(calculations)} labels are not converged to their own criterion and are {what} "
        f"(reference.unconverged: {use}). Their tensors are symmetric to {worst:.1g} of their largest component. "
        f"{named}"
    )


def asymmetry(calculation: Calculation) -> float:
    """|A - A^T|max/|A|max of the least symmetric tensor; linear response makes it vanish as it converges."""
    tensors = np.array(list(calculation.tensors.values()))
    return float(np.abs(tensors - tensors.transpose(0, 2, 1)).max() / np.abs(tensors).max())


def _quantity(calculation: Calculation, request: Request) -> str:
    """Which of the tensors is used. Errors: DeckKeyError where the deck's is not there, or has to be named."""
    names = list(calculation.tensors)
    if request.quantity in names:
        return request.quantity
    listed = " and a ".join(names)
    if request.quantity is not None:
        text = f"{calculation.source} holds a {listed} tensor; set {' or '.join(names)}, or leave it out."
        raise DeckKeyError("reference.quantity", text)
    if len(names) > 1:
        raise DeckKeyError("reference.quantity", f"{calculation.source} holds a {listed} tensor; give the one to use.")
    return names[0]


def _joined(calculations: list[Calculation], quantities: list[str], factors: dict[str, float], warn: Warn) -> Labels:
    frames = build_frames(
        [(item.positions, item.numbers, item.cell, item.periodic) for item in calculations],
        np.arange(len(calculations)),
    )
    sources = tuple(item.source for item in calculations)
    if (text := gap_warning([item.gap for item in calculations], sources)) is not None:
        warn(text)
    for k in np.flatnonzero(~valid_cells(frames.cells, frames.periodic)):
        text = f"the cell {frames.cells[k].tolist()} has no volume although the structure is periodic."
        raise FileError(sources[k], text)
    printed = [item.volume for item in calculations]
    volumes = np.array([volume if own is None else own for own, volume in zip(printed, frames.volumes)])
    tensors = np.array([item.tensors[quantity] for item, quantity in zip(calculations, quantities)])
    return labels_of(frames, tensors, quantities, factors, sources, warn, volumes)
