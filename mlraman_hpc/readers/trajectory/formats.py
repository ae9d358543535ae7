"""The table of trajectory formats: looked up by name, or by what a file is called and how it begins."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.readers.trajectory.base import TrajectoryFormat
from mlraman_hpc.records.formats import TRAJECTORY_FORMATS


def format_named(name: str) -> TrajectoryFormat:
    """Loads no other format. Errors: DeckError for a name that is not in the table."""
    if name not in TRAJECTORY_FORMATS:
        raise DeckKeyError("trajectory.format", f"'{name}' is not one of auto, {', '.join(TRAJECTORY_FORMATS)}.")
    return import_module(TRAJECTORY_FORMATS[name], __package__).FORMAT


def detect_format(path: str, name: str) -> str:
    """By the file's `name`, and failing that by its first bytes. Errors: DataError where no format fits."""
    formats = {key: format_named(key) for key in TRAJECTORY_FORMATS}
    for key, format in formats.items():
        if re.search(format.file_names, Path(name).name, re.IGNORECASE):
            return key
    with open(path, "rb") as file:
        start = file.read(2000)
    for key, format in formats.items():
        if format.recognises(start):
            return key
    raise DataError(f"{name}: unknown format. Give trajectory.format, one of {', '.join(formats)}.")


def format_of_files(paths: tuple[str, ...], names: tuple[str, ...], format: str) -> TrajectoryFormat:
    """The deck's format, or for 'auto' that of the files, which must be the same for all.

    Errors: DataError for files that are missing, unknown or of several formats.
    """
    chosen = None if format == "auto" else format_named(format)
    for path, name in zip(paths, names):
        if not Path(path).is_file():
            raise DataError(f"{name}: there is no such file.")
    if chosen is not None:
        return chosen
    detected = [detect_format(path, name) for path, name in zip(paths, names)]
    for name, other in zip(names, detected):
        if other != detected[0]:
            raise DataError(
                f"{name} is {other} but {names[0]} is {detected[0]}; the files of a run must have one format."
            )
    return format_named(detected[0])
