"""labels.json: which frames are labelled, why, by what calculation, and how far each is.

The manifest is what connects a calculation with its frame; names of files mean nothing. It is written as a whole under
a temporary name and moved, so that it is never half there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError, first_line
from mlraman_hpc.records.frames import Frames

FILE_NAME = "labels.json"
FORMAT, VERSION = "mlraman labels", 1
DIGITS = 6  # of positions and cells in Angstrom, by which structures are told apart


class Purpose(str, Enum):
    """What a label is for. Test frames are drawn at random before all others and never trained on."""

    TRAIN = "train"
    TEST = "test"


class Kind(str, Enum):
    """What is computed of a frame."""

    POLARIZABILITY = "polarizability"
    DERIVATIVES = "derivatives"


class Status(str, Enum):
    """How far a calculation is. The last four are results that are kept apart."""

    SELECTED = "selected"
    PREPARED = "prepared"
    FINISHED = "finished"
    FAILED = "failed"
    UNCONVERGED = "unconverged"
    METALLIC = "metallic"
    OUTLIER = "outlier"

    @property
    def is_open(self) -> bool:
        """Whether a result is still to come."""
        return self in (Status.SELECTED, Status.PREPARED)

    @property
    def is_kept_apart(self) -> bool:
        """Whether there is a result, or should be one, that is not trained on."""
        return not self.is_open and self is not Status.FINISHED


@dataclass(frozen=True)
class Calculation:
    """One frame and what is computed of it.

    frame       number in the trajectory, from 0
    purpose, kind, status
    round       in which the frame was selected, from 1; that of test frames is 0
    rule        by which it was selected
    structure   hash of elements, positions and cell
    code        program; '' before `prepare`
    input       hash of its input files; '' before `prepare`
    folder      of its files, relative to the manifest's; '' before `prepare`
    attempts    how often it was started by us and ended by itself
    cpu_seconds of all attempts, where known
    reason      why it failed or is kept apart
    """

    frame: int
    purpose: Purpose
    kind: Kind
    round: int
    rule: str
    structure: str
    status: Status = Status.SELECTED
    code: str = ""
    input: str = ""
    folder: str = ""
    attempts: int = 0
    cpu_seconds: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """'frame_000120_polarizability': a folder name that sorts by frame and does not depend on the round."""
        return f"frame_{self.frame:06d}_{self.kind.value}"


@dataclass(frozen=True)
class Manifest:
    """All calculations of an output folder.

    trajectory  {name: hash} of the files that the frames are from
    frames      number of frames of the trajectory
    settings    of the selection of each round: {'1': hash}
    """

    trajectory: dict[str, str]
    frames: int
    calculations: tuple[Calculation, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        return max((item.round for item in self.calculations), default=0)

    def of(self, purpose: Purpose) -> list[Calculation]:
        return [item for item in self.calculations if item.purpose is purpose]

    @property
    def open(self) -> list[Calculation]:
        """Those without a result."""
        return [item for item in self.calculations if item.status.is_open]

    def count(self) -> dict[str, int]:
        """{status: number}, in the order of `Status`."""
        numbers = {status.value: sum(item.status is status for item in self.calculations) for status in Status}
        return {name: number for name, number in numbers.items() if number}

    def updated(self, changed: Iterable[Calculation]) -> Manifest:
        """With these calculations in place of those of the same name."""
        new = {item.name: item for item in changed}
        return replace(self, calculations=tuple(new.get(item.name, item) for item in self.calculations))


def structure_hash(frames: Frames, k: int) -> str:
    """Of elements, positions and cell of frame k, to a millionth of an Angstrom."""
    atoms = slice(*frames.first_atom[k : k + 2])
    digest = hashlib.sha256(np.ascontiguousarray(frames.numbers[atoms], dtype=np.int64).tobytes())
    for values in (frames.positions[atoms], frames.cells[k]):
        digest.update((np.round(values, DIGITS) + 0.0).astype(np.float64).tobytes())  # + 0.0: no negative zero
    return digest.hexdigest()[:24]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Errors: DataError where it cannot be written."""
    values = {
        "format": FORMAT,
        "version": VERSION,
        "trajectory": manifest.trajectory,
        "frames": manifest.frames,
        "settings": manifest.settings,
        "calculations": [asdict(item) for item in manifest.calculations],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest | None:
    """None where there is no such file. Errors: DataError for anything that is no manifest, naming what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: no JSON ({error.msg}); take an older copy of it") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: is no manifest of 'mlraman select'; move it away")
    if values.get("version") != VERSION:
        raise DataError(f"{path}: version {values.get('version')!r}, this program knows {VERSION}; use a newer program")
    try:
        calculations = tuple(_calculation(path, k, item) for k, item in enumerate(values["calculations"]))
        manifest = Manifest(
            {str(name): str(digest) for name, digest in values["trajectory"].items()},
            int(values["frames"]),
            calculations,
            {str(number): str(digest) for number, digest in values["settings"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{path}: {first_line(error)} is missing or of a wrong type; take an older copy of it"
        ) from None
    _check(path, manifest)
    return manifest


_TYPES: dict[str, type] = {"purpose": Purpose, "kind": Kind, "status": Status}


def _calculation(path: Path, number: int, values: Any) -> Calculation:
    known = {item.name for item in fields(Calculation)}
    if not isinstance(values, dict) or set(values) - known:
        raise DataError(f"{path}: calculation {number}: unknown keys; this program knows {', '.join(sorted(known))}")
    try:
        result = Calculation(**{name: _TYPES.get(name, lambda x: x)(value) for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: calculation {number}: {first_line(error)}") from None
    if not isinstance(result.frame, int) or not isinstance(result.round, int):
        raise DataError(f"{path}: calculation {number}: frame and round should be integers")
    return result


def _check(path: Path, manifest: Manifest) -> None:
    seen: dict[str, int] = {}
    for number, item in enumerate(manifest.calculations):
        if not 0 <= item.frame < manifest.frames:
            raise DataError(
                f"{path}: calculation {number}: frame {item.frame}, but the trajectory has {manifest.frames} frames"
            )
        if item.name in seen:
            raise DataError(f"{path}: calculations {seen[item.name]} and {number} are both {item.name}")
        seen[item.name] = number
