"""Extended XYZ with a tensor in the comment line of each frame, as labels and as series."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.readers.tensors.base import Calculation, FileError, LabelFormat, Request
from mlraman_hpc.readers.text import FrameLocation, Warn, parse_numbers, quoted
from mlraman_hpc.readers.trajectory import extxyz
from mlraman_hpc.readers.unpacking import read_bytes

FILE_NAME = r"\.(ext)?xyz(\.gz)?$"
KEYS = {  # names of tensors, without regard to case
    "polarizability": ("polarizability", "polarizability_tensor", "alpha", "pol", "polar"),
    "dielectric": (
        "dielectric",
        "dielectric_tensor",
        "dielectric_constant",
        "epsilon",
        "epsilon_inf",
        "eps",
        "eps_inf",
    ),
    "susceptibility": ("susceptibility", "susceptibility_tensor", "chi", "chi_inf"),
}


class ExtendedXYZ(LabelFormat):
    """The tensor is a key of the comment line; the deck gives the unit of a polarizability."""

    name = "extxyz"
    file_name = FILE_NAME
    magic = rb"\s*\d+\s*\n"
    unit_is_known = False

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        file = read_tensors(path, request, warn)
        return [
            _calculation(file.frame(k), file.locations[k], {file.quantity: tensor}, request.species)
            for k, tensor in enumerate(file.tensors)
        ]


FORMAT = ExtendedXYZ()


def _calculation(
    text: bytes, location: FrameLocation, tensors: dict[str, np.ndarray], species: dict[str, int]
) -> Calculation:
    positions, numbers, cell, periodic = extxyz.read(text, location, species)
    source = f"{location.file}, frame {location.frame}"
    return Calculation(positions, numbers, cell, tensors, source, periodic)


@dataclass(frozen=True)
class TensorFile:
    """An extended XYZ file: bounds (frames, 2) in its content, comment lines, and tensors (frames, 3, 3) in these."""

    content: bytes
    bounds: np.ndarray
    comments: list[bytes]
    locations: list[FrameLocation]
    quantity: str
    tensors: np.ndarray

    def frame(self, k: int) -> bytes:
        return self.content[slice(*self.bounds[k])]


def read_tensors(path: Path, request: Request, warn: Warn) -> TensorFile:
    """All complete frames of a file.

    Errors: DataError without a frame, and for a frame without the tensor of the first; DeckKeyError where the deck has
    to say what the tensor is.
    """
    content = read_bytes(path)
    bounds, comments = extxyz.frame_bounds(content, str(path), warn)
    if not len(bounds):
        raise FileError(path, "no complete frame; the last line must be complete, with its line end.")
    locations = [FrameLocation(str(path), int(line), k) for k, line in enumerate(bounds[:, 2])]
    key, quantity = _tensor_key(comments[0], locations[0], request)
    tensors = [_tensor(comment, key, location) for comment, location in zip(comments, locations)]
    return TensorFile(content, bounds[:, :2], comments, locations, quantity, np.array(tensors))


def _tensor_key(comment: bytes, location: FrameLocation, request: Request) -> tuple[str, str]:
    """Name of the tensor in a comment line, and its quantity."""
    keys, section = _keys(comment), request.section
    if request.tensor is not None:
        return _named_key(keys, location, request)
    quantities = [request.quantity] if request.quantity else list(KEYS)
    tensors = [(key, quantity) for key in keys for quantity in quantities if key.lower() in KEYS[quantity]]
    if len(tensors) == 1:
        return tensors[0]
    listed = _listed(keys)
    if tensors:
        names = ", ".join(key for key, _ in tensors)
        raise location.error(f"several tensors, {names}: {listed}. Give the one to use in {section}.tensor.", 1)
    expected = request.quantity or "polarizability, dielectric tensor or susceptibility"
    raise location.error(f"no {expected}: {listed}. Give its name in {section}.tensor.", 1)


def _named_key(keys: list[str], location: FrameLocation, request: Request) -> tuple[str, str]:
    """The key that the deck names."""
    key, section = request.tensor, request.section
    if key not in keys:
        raise location.error(f"{section}.tensor is '{key}', {_listed(keys)}.", 1)
    quantity = request.quantity or next((name for name, known in KEYS.items() if key.lower() in known), None)
    if quantity is None:
        text = f"give polarizability, dielectric or susceptibility; '{key}' does not say which it is."
        raise DeckKeyError(f"{section}.quantity", text)
    return key, quantity


def _keys(comment: bytes) -> list[str]:
    return [key for key in extxyz.keys(comment) if key.lower() not in ("lattice", "properties", "pbc")]


def _listed(keys: list[str]) -> str:
    return f"the comment line has {', '.join(keys) or 'no key'}"


def _tensor(comment: bytes, key: str, location: FrameLocation) -> np.ndarray:
    """(3, 3) of a key: nine numbers row by row, or a nested list."""
    text = extxyz.value(comment, key)
    if text is None:
        raise location.error(f"no '{key}': {_listed(_keys(comment))}.", 1)
    plain = re.sub(rb"[\[\],]", b" ", text.removeprefix(b"_JSON"))
    values = parse_numbers(plain, 9)
    if values is not None:
        return values.reshape(3, 3)
    if len(plain.split()) == 6:
        raise location.error(
            f"'{key}' has 6 numbers, whose order the file does not say; write all nine, row by row.", 1
        )
    raise location.error(f"'{key}' needs nine numbers, row by row; found {quoted(text)}.", 1)
