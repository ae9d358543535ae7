"""What the readers share: numbers and elements in text, bytes of files, frames from parts, and errors that name file,
line and frame.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlraman_hpc.base.elements import ELEMENTS, ISOTOPES, is_element, masses, symbols
from mlraman_hpc.base.errors import DataError, DeckKeyError, first_line
from mlraman_hpc.records.frames import Frames

Warn = Callable[[str], None]
RESIDENT_BYTES = 1 << 22  # of a memory-mapped file that stay in memory behind the position of a scan
_ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(ELEMENTS) if number}
_LABEL = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")  # letters that a digit, a sign, '_' or the like may follow


@dataclass(frozen=True)
class FrameLocation:
    """A frame in a file, for messages: `line` is the frame's first line, counted from 1; 0 in a file without lines."""

    file: str
    line: int
    frame: int

    def error(self, what: str, row: int = 0) -> DataError:
        """A DataError that says `what` is wrong in the frame's line `row`, counted from 0."""
        line = f", line {self.line + row}" if self.line else ""
        return DataError(f"{self.file}{line} (frame {self.frame}): {what}")


# what libraries raise on a file that is cut short, damaged or of another kind
_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    AttributeError,
    struct.error,
    zlib.error,
)


@contextmanager
def reading_errors(name: str, kind: str) -> Iterator[None]:
    """What a library raises inside becomes a DataError: the file is damaged or no `kind`."""
    try:
        yield
    except _DAMAGE as error:
        reason = first_line(error)
        raise DataError(
            f"{name}: cannot be read as {kind} ({reason}). It is damaged, still being written, or something else."
        ) from None


def consecutive_slices(rows: np.ndarray) -> list[slice]:
    """Slices that give these rows in this order, one for every run of consecutive rows."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs]


def quoted(text: bytes, width: int = 60) -> str:
    """A line of a file as it appears in a message."""
    words = text.decode("utf-8", "replace").strip()
    return f"'{words[:width]}...'" if len(words) > width else f"'{words}'"


def parse_numbers(text: bytes, count: int) -> np.ndarray | None:
    """`count` finite numbers separated by blanks, or None where the text holds anything else."""
    return parse_words(text.split(), count)


def parse_words(words: list[bytes], count: int) -> np.ndarray | None:
    """The words as `count` finite numbers, or None."""
    if len(words) != count or b"_" in b"".join(words):  # Python reads 1_0 as ten
        return None
    try:
        values = np.array(words, dtype=float) if words else np.empty(0)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def split_touching_numbers(text: bytes) -> bytes:
    """Fortran prints -0.25-0.31 where the field is too narrow; the minus sign still tells where a number begins."""
    return re.sub(rb"(?<=[0-9.])-", b" -", text)


def numbers_of_atom_types(species: list[str] | dict | None, key: str = "trajectory.species") -> dict[str, int]:
    """What a file calls an atom -> atomic number, from the deck's `key`.

    A list names the elements of types 1, 2, ..., or with counts ([Ag16, I16]) those of atoms 1, 2, ...; a mapping those
    of any labels. Errors: DeckError for what is no element.
    """
    if species is None:
        return {}
    if not isinstance(species, dict):
        species = dict(enumerate(_elements_of_atoms(species), start=1))
    elements = {str(label): isotope_element(str(element)) for label, element in species.items()}
    unknown = [element for element in elements.values() if not is_element(element)]
    if unknown:
        raise DeckKeyError(key, f"{', '.join(unknown)} is not a chemical element; use symbols such as Ag.")
    return {label: _ATOMIC_NUMBERS[element] for label, element in elements.items()}


def isotope_element(label: str) -> str:
    """H for D and T, any other label as it is."""
    return ISOTOPES[label][0] if label in ISOTOPES else label


def _elements_of_atoms(species: list[str]) -> list[str]:
    """[Ag16, I16] -> the element of each atom; anything else as it is."""
    counted = [re.fullmatch(r"([A-Z][a-z]?)(\d+)", str(word)) for word in species]
    if not species or None in counted:
        return species
    return [match[1] for match in counted for _ in range(int(match[2]))]


def atomic_number(label: str, atom_types: dict[str, int]) -> int | None:
    """Atomic number of a label in `atom_types`, an element symbol, or a symbol with something after it.

    Understood are Li_sv, Li_sv/1a2b3c, C1, Ag+, O2-, D and T, in any case; None for anything else.
    """
    return atom_types.get(label) or _ATOMIC_NUMBERS.get(label) or _ATOMIC_NUMBERS.get(_symbol_in(label))


def _symbol_in(label: str) -> str:
    """The element symbol that a label begins with, '' where it begins with none."""
    match = _LABEL.match(label)
    symbol = match[1].capitalize() if match else ""
    return ISOTOPES[symbol][0] if symbol in ISOTOPES else symbol


def element_guess(label: str) -> str:
    """An element for the label of a message: that of its first letter, as in OW and HW1; else C."""
    return label[0].upper() if label[:1].upper() in _ATOMIC_NUMBERS else "C"


def listed_number(label: str, atom_types: dict[str, int]) -> int | None:
    """As `atomic_number`, in a column where a number that is no label of `atom_types` is an atomic number."""
    number = atomic_number(label, atom_types)
    return int(label) if number is None and label.isdigit() and 0 < int(label) < len(ELEMENTS) else number


def isotope_masses(labels: Sequence[str], numbers: np.ndarray) -> np.ndarray | None:
    """(atoms,) u where some of the labels name an isotope, D or T; others have standard masses. None without."""
    own = [_isotope_mass(label) for label in labels]
    if not any(own):
        return None  # also without labels
    return np.array([mass or standard for mass, standard in zip(own, masses(numbers))])


def _isotope_mass(label: str) -> float:
    match = _LABEL.match(label)
    return ISOTOPES.get(match[1].capitalize(), ("", 0.0))[1] if match else 0.0


def warn_of_labels(name: str, labels: Iterable[str], atom_types: dict[str, int], warn: Warn) -> None:
    """A warning where labels are read as an element that they are not the symbol of."""
    read = {
        label: number
        for label in sorted(set(labels) - set(atom_types) - set(_ATOMIC_NUMBERS))
        if (number := listed_number(label, atom_types)) is not None
    }
    if read:
        few = [f"{label} as {ELEMENTS[number]}" for label, number in list(read.items())[:8]]
        more = ", ..." if len(read) > len(few) else ""
        warn(f"{name}: atoms are read by their labels, {', '.join(few)}{more}; trajectory.species may say otherwise.")


def composition(numbers: np.ndarray) -> str:
    """For messages: '16 Ag, 16 I'."""
    kinds, counts = np.unique(numbers, return_counts=True)
    return ", ".join(f"{count} {symbol}" for symbol, count in zip(symbols(kinds), counts))


class Configuration(NamedTuple):
    """One frame: positions (atoms, 3) Angstrom, numbers (atoms,), cell (3, 3) Angstrom and periodic (3,).

    velocities (atoms, 3) are in the file's own unit, None where they are missing or were not read.
    """

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    periodic: np.ndarray
    velocities: np.ndarray | None = None


def build_frames(configurations: Sequence[tuple], index: np.ndarray) -> Frames:
    """Frames from Configurations, or tuples of their first four fields; `index` (frames,) are their numbers.

    Velocities are None unless all have them.
    """
    positions, numbers, cells, periodic, *others = zip(*configurations) if configurations else ((), (), (), ())
    velocities = others[0] if others else (None,)
    return Frames(
        positions=np.concatenate([*positions, np.empty((0, 3))]),
        numbers=np.concatenate([*numbers, np.empty(0, int)]).astype(np.int64),
        first_atom=np.concatenate([[0], np.cumsum([len(frame) for frame in positions])]).astype(np.int64),
        cells=np.array(cells, dtype=float).reshape(-1, 3, 3),
        periodic=np.array(periodic, dtype=bool).reshape(-1, 3),
        index=index,
        velocities=None if any(frame is None for frame in velocities) else np.concatenate(velocities),
    )


def valid_cells(cells: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Whether the vectors along periodic directions are finite and independent."""
    # a unit vector across what is not periodic leaves the volume of what is
    finite = (np.abs(cells) < 1e6).all(axis=(1, 2))
    cells = np.where(finite[:, None, None], cells, 0)
    lengths = np.linalg.norm(cells, axis=2)
    unit = np.divide(cells, lengths[:, :, None], out=np.zeros_like(cells), where=lengths[:, :, None] > 0)
    gram = unit @ unit.transpose(0, 2, 1) + np.eye(3) * ~periodic[:, :, None]
    return finite & (np.linalg.det(gram) > 1e-9)


@contextmanager
def memory_mapped(path: Path | str, name: str) -> Iterator[mmap.mmap]:
    """The file as bytes that the system reads when they are used. Errors: DataError for empty and unreadable files."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise DataError(f"{name}: the file is empty.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                yield text
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}. Check the path and its permissions.") from None


def release_pages(text: mmap.mmap | bytes, position: int, since: int) -> int:
    """Releases the memory of a mapped file once RESIDENT_BYTES lie between `since` and `position`.

    Returns the new `since`.
    """
    if position - since < RESIDENT_BYTES:
        return since
    if isinstance(text, mmap.mmap):
        text.madvise(mmap.MADV_DONTNEED)
    return position


def line_ends(text: mmap.mmap | bytes, chunk: int = 1 << 20) -> Iterator[np.ndarray]:
    """Positions of the line ends, a chunk of the file at a time."""
    since = 0
    for begin in range(0, len(text), chunk):
        since = release_pages(text, begin, since)
        yield begin + np.flatnonzero(np.frombuffer(text[begin : begin + chunk], np.uint8) == 10)


def incomplete_frame(name: str, frames: int, line: int) -> str:
    """The warning for a file that ends within a frame, which begins at `line`."""
    return (
        f"{name}, line {line}: the last frame is incomplete (still being written, cut short, or no last line end); "
        f"the {frames} frames before it are used."
    )
