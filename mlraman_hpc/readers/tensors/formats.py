"""The table of label formats, and which of them a file has."""

from __future__ import annotations

import gzip
import re
import zlib
from importlib import import_module
from pathlib import Path

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.readers.tensors.base import FileError, LabelFormat

# one line for each format, in the order in which they are tried; each module holds FORMAT, a LabelFormat
MODULES = ("outcar", "vasprun", "vaspout", "extxyz", "deepmd", "anaddb", "qe", "aims", "cp2k", "numpy_pair")
LABEL_FORMATS: list[LabelFormat] = [import_module(f"{__package__}.{module}").FORMAT for module in MODULES]
MAGIC_BYTES = 20000  # outputs name their program below a banner, or below messages of MPI


def names() -> list[str]:
    """Of all label formats; besides, the deck knows 'table'."""
    return [format.name for format in LABEL_FORMATS]


def format_of(paths: list[Path], name: str = "auto") -> LabelFormat:
    """The format with this name; for 'auto' the one that all files have.

    Errors: DeckKeyError for an unknown name; DataError for files of several formats, or of none.
    """
    if name == "auto":
        return _common_format(paths)
    for format in LABEL_FORMATS:
        if format.name == name:
            return format
    raise DeckKeyError("reference.format", f"'{name}' is not one of auto, {', '.join(names())}, table.")


def companions(paths: list[Path], name: str = "auto") -> list[Path]:
    """Files that the labels depend on although the deck does not name them."""
    formats = [format for format in LABEL_FORMATS if name in ("auto", format.name)]
    files = (
        file
        for path in paths
        for format in formats
        if name != "auto" or _has_name(format, path)
        for file in format.companions(path)
    )
    return sorted(set(files))


def _common_format(paths: list[Path]) -> LabelFormat:
    formats = [_detected(path) for path in paths]
    if len(set(map(id, formats))) > 1 and all(path.suffix == ".npy" for path in paths):
        formats = [format for format in formats if format.name == "npy"]  # coordinates beside a polarizability.npy
    for path, format in zip(paths, formats):
        if format is not formats[0]:
            raise DataError(
                f"{path} is {format.name} but {paths[0]} is {formats[0].name}; give labels of one format, or name "
                "it in reference.format."
            )
    return formats[0]


def _detected(path: Path) -> LabelFormat:
    """By name, else by the first bytes."""
    for format in LABEL_FORMATS:
        if _has_name(format, path):
            return format
    start = _first_bytes(path)
    for format in LABEL_FORMATS:
        if format.magic is not None and re.match(format.magic, start, re.DOTALL):
            return format
    raise FileError(path, f"the format is not recognised; give reference.format, one of {', '.join(names())}, table.")


def _has_name(format: LabelFormat, path: Path) -> bool:
    return format.file_name is not None and re.search(format.file_name, path.name, re.IGNORECASE) is not None


def _first_bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.read(MAGIC_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(path, f"{getattr(error, 'strerror', None) or error}. Check the path.") from None
