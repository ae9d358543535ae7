"""What reading labels is made of: calculations, the formats that hold them, and errors that carry file and reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.text import Warn, parse_numbers, quoted, reading_errors, split_touching_numbers
from mlraman_hpc.readers.unpacking import read_bytes

SMALL_GAP = 0.2  # eV, below which labels are named
PARTIAL = 0.02  # of full occupation


@dataclass(frozen=True)
class Calculation:
    """One structure, and the tensors of it, exactly as printed.

    positions  (atoms, 3) Angstrom
    numbers    (atoms,) atomic numbers
    cell       (3, 3) Angstrom, rows are lattice vectors; zero along directions that are not periodic
    tensors    {quantity: (3, 3)}: 'dielectric' and 'susceptibility' are relative; 'polarizability' is in Angstrom^3,
               or in the unit that the deck names where the format does not know it. Empty: a structure only
    source     where it was read, for messages: 'run.out' or 'run.out, frame 12'
    periodic   (3,) bool
    volume     Angstrom^3, where it was printed with more digits than the cell; else None
    unconverged  why the tensor is not converged to the calculation's own criterion; None where it is
    gap        eV between occupied and empty states, 0 or less for a metal; None where the output does not say
    """

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    tensors: dict[str, np.ndarray]
    source: str
    periodic: np.ndarray = field(default_factory=lambda: np.ones(3, bool))
    volume: float | None = None
    unconverged: FileError | None = None
    gap: float | None = None


@dataclass(frozen=True)
class Request:
    """What a section of the deck says about the tensors of its files; None where it says nothing.

    section   'reference' or 'series', for messages
    quantity  'polarizability', 'dielectric' or 'susceptibility'
    unit      of a polarizability, one of POLARIZABILITY_UNITS
    tensor    name of the tensor in files that name theirs
    order     components of the columns in files that have columns
    unconverged  what to do with tensors that are not converged: refuse, leave_out, use
    species   what files call an atom, or the number of an atom in files that call it nothing -> atomic number
    cell      (3, 3) Angstrom, for files without one
    """

    section: str
    quantity: str | None = None
    unit: str | None = None
    tensor: str | None = None
    order: list[str] | None = None
    unconverged: str = "refuse"
    species: dict[str, int] = field(default_factory=dict)
    cell: list[list[float]] | None = None


class LabelFormat(Protocol):
    """A kind of file that holds structures with their tensors.

    A format is a module with an object FORMAT of this kind, and a line in `formats.MODULES`.

    name          as the deck says it in reference.format
    file_name     regular expression, searched in the names of files without regard to case; None: any name
    magic         regular expression that the first bytes of a file match; None: any bytes
    unit_is_known whether the unit of a polarizability is known; else the deck has to give it
    """

    name: str
    file_name: str | None = None
    magic: bytes | None = None
    unit_is_known: bool = True

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        """All calculations of one file. Errors: DataError naming what makes it unusable."""
        raise NotImplementedError

    def read_set(self, paths: list[Path], request: Request, warn: Warn) -> list[Calculation] | None:
        """All calculations of files that only mean something together; None where each is read by itself."""
        return None

    def combine(self, calculations: list[Calculation]) -> list[Calculation]:
        """The calculations that labels are made of, from those of all files of a set. Errors: DataError."""
        return calculations

    def companions(self, path: Path) -> list[Path]:
        """Further files that `read` reads along with this one."""
        return []


class TextOutput(LabelFormat, Protocol):
    """A format that is the text output of a program."""

    def read(self, path: Path, request: Request, warn: Warn) -> list[Calculation]:
        return self.parse(read_bytes(path), str(path))

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        """All calculations of the text of file `name`. Errors: DataError naming what makes it unusable."""
        ...


class FileError(DataError):
    """A file that cannot be used: `file`, `reason`, and the `line` at fault, counted from 1, where there is one."""

    def __init__(self, file: str | Path, reason: str, line: int | None = None):
        super().__init__(file, reason, line)
        self.file, self.reason, self.line = str(file), reason, line

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class BadFilesError(DataError):
    """Files of a set that cannot be used: `errors` holds (file, error) of each, `total` is the number of all files."""

    def __init__(self, errors: list[tuple[str, DataError]], total: int):
        super().__init__(errors, total)
        self.errors, self.total = errors, total

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """(file, reason) of each."""
        return [(file, error.reason if isinstance(error, FileError) else str(error)) for file, error in self.errors]

    def __str__(self) -> str:
        lines = [
            f"{len(self.errors)} of {self.total} files cannot be used; compute them again or take them out of "
            "reference.files:"
        ]
        return "\n".join([*lines, *(f"  {error}" for _, error in self.errors)])


def tensor_below(text: bytes, offset: int, name: str) -> np.ndarray:
    """(3, 3) on the second to fourth line after `offset`, the end of a heading. Errors: FileError naming the line."""
    lines = text[offset : offset + 1000].split(b"\n")[2:5]
    if len(lines) < 3:
        raise FileError(name, "the dielectric tensor is cut short.")
    rows = [parse_numbers(split_touching_numbers(line.strip(b" ()\r")), 3) for line in lines]
    for k, row in enumerate(rows):
        if row is None:
            line = text[:offset].count(b"\n") + 3 + k
            raise FileError(name, f"expected three numbers of the dielectric tensor, found {quoted(lines[k])}.", line)
    return np.array(rows)


def single_dielectric(tensors: list[np.ndarray], name: str, tolerance: float = 2e-6) -> np.ndarray:
    """The dielectric tensor of a structure, which may be printed more than once.

    Errors: FileError for tensors that differ by more than `tolerance`, or a diagonal below 1.
    """
    if any(np.abs(tensor - tensors[0]).max() > tolerance for tensor in tensors):
        raise FileError(
            name,
            f"holds {len(tensors)} dielectric tensors that differ; which one belongs to the structure is not clear. "
            "Compute one configuration at a time.",
        )
    if not (np.diag(tensors[-1]) >= 1).all():
        raise FileError(
            name,
            f"the dielectric tensor has the diagonal {np.diag(tensors[-1]).tolist()}; below 1 is impossible for "
            "electrons at rest (a metal, or not converged).",
        )
    return tensors[-1]


# the gap between occupied and empty states: where it closes, alpha diverges


def band_gap(energies: np.ndarray, occupations: np.ndarray) -> float | None:
    """Lowest empty less highest occupied energy (eV); 0 with partly filled bands, None where all are filled alike.

    energies, occupations  (states,) of all k-points and spins
    """
    if not len(energies) or not occupations.max() > 0:
        return None
    share = occupations / occupations.max()
    if ((share > PARTIAL) & (share < 1 - PARTIAL)).any():
        return 0.0
    filled = share > 0.5
    return None if filled.all() else float(energies[~filled].min() - energies[filled].max())


def gap_warning(gaps: list[float | None], sources: tuple[str, ...]) -> str | None:
    """Which labels are metallic or nearly so; None where no output says that one is."""
    small = [(gap, source) for gap, source in zip(gaps, sources) if gap is not None and gap < SMALL_GAP]
    if not small:
        return None
    named = ", ".join(f"{source} ({_gap_in_words(gap)})" for gap, source in sorted(small)[:5])
    more = f" and {len(small) - 5} more" if len(small) > 5 else ""
    known = sum(gap is not None for gap in gaps)
    return (
        f"{len(small)} of {known} labels whose output has occupations or a gap are metallic or close to it: {named}"
        f"{more}. Their polarizability is not that of an insulator; compare them with the others, or take them out "
        "with reference.leave_out"
    )


def _gap_in_words(gap: float) -> str:
    return f"gap {gap:.2g} eV" if gap > 0 else "partly filled bands"


def npy_array(path: Path) -> np.ndarray:
    """The array of a .npy file, read only where the file is as large as its header says. Errors: DataError."""
    with reading_errors(str(path), "a .npy array"):
        if not isinstance(np.load(path, mmap_mode="r", allow_pickle=False), np.ndarray):
            raise ValueError("several arrays")
        return np.load(path, allow_pickle=False)
