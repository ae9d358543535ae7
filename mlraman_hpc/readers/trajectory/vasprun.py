"""VASP vasprun.xml: the structure of every ionic step, and the dielectric tensor of a single one.

Read by byte offsets: only the structures' own lines are looked at, whatever else the file holds. Structures of ionic
steps have no name; initialpos, finalpos and primitive_cell do. Also with a machine-learned force field.
"""

from __future__ import annotations

import mmap
import re

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import (
    Configuration,
    FrameLocation,
    Warn,
    atomic_number,
    incomplete_frame,
    memory_mapped,
    parse_numbers,
    quoted,
    release_pages,
    split_touching_numbers,
)
from mlraman_hpc.readers.trajectory.base import FileIndex, TextFormat, TrajectoryIndex
from mlraman_hpc.readers.trajectory.frame_table import FrameTable

MARK, END = b"<structure>", b"</structure>"
_RENAMED = {b"r": b"Zr", b"X": b"Xe"}  # VASP cuts these names


class Vasprun(TextFormat):
    name = "vasprun"
    file_names = r"vasprun.*xml"
    needs = ("frame_interval",)

    def recognises(self, start: bytes) -> bool:
        return start.startswith(b"<?xml")

    def scan(self, path: str, name: str, atom_types: dict[str, int], table: FrameTable, warn: Warn) -> FileIndex:
        """Errors: DataError without atoms or structures."""
        with memory_mapped(path, name) as text:
            begin = text.find(MARK)
            if begin < 0:
                raise DataError(
                    f"{name}: no structure of an ionic step; is it a vasprun.xml, and is the first step done?"
                )
            head = text[:begin]
            numbers, interval = elements(head, name), _time_step(head)
            _find_structures(text, begin, name, len(numbers), interval or 0.0, table, warn)
        if not len(table):
            raise DataError(f"{name}: no complete structure.")
        return FileIndex(table.finish(), numbers, masses=_masses(head, len(numbers)), has_times=interval is not None)

    def parse_frames(self, texts: list[bytes], index: TrajectoryIndex, velocities: bool) -> list[Configuration]:
        return [Configuration(*read(text, location, index.numbers)) for text, location in zip(texts, index.locations())]


FORMAT = Vasprun()


def _find_structures(
    text: mmap.mmap, begin: int, name: str, atoms: int, interval: float, table: FrameTable, warn: Warn
) -> None:
    """Append all structures to `table`, `interval` fs apart."""
    line, before, since = 1, 0, 0
    while begin >= 0:
        since = release_pages(text, before, since)
        line, before = line + text[before:begin].count(b"\n"), begin
        end, following = text.find(END, begin), text.find(MARK, begin + 1)
        if end < 0 or 0 <= following < end:
            if following >= 0:
                raise FrameLocation(name, line, len(table)).error("the structure has no end.")
            warn(incomplete_frame(name, len(table), line))
            break
        table.add(begin, end, line, atoms, time=interval * len(table))
        begin = following


def _masses(head: bytes, atoms: int) -> np.ndarray | None:
    """(atoms,) u from the table of atom types (POMASS), where that is complete."""
    start = head.find(b'<array name="atomtypes"')
    table = head[start : head.find(b"</array>", start)] if start >= 0 else b""
    types = re.findall(rb"<rc>\s*<c>\s*(\d+)\s*</c>\s*<c>[^<]*</c>\s*<c>\s*([0-9.]+)\s*</c>", table)
    values = parse_numbers(b" ".join(word for row in types for word in row), 2 * len(types))
    if not types or values is None or values[0::2].sum() != atoms:
        return None
    return np.repeat(values[1::2], values[0::2].astype(int))


def read(text: bytes, location: FrameLocation, numbers: np.ndarray):
    """(positions (atoms, 3) Angstrom, numbers, cell, periodic) of one structure."""
    cell = vectors(text, b"basis", 3, location)
    return vectors(text, b"positions", len(numbers), location) @ cell, numbers, cell, np.ones(3, bool)


def elements(head: bytes, name: str) -> np.ndarray:
    """Atomic numbers from the table of atoms."""
    start = head.find(b'<array name="atoms"')
    table = head[start : head.find(b"</array>", start)] if start >= 0 else b""
    labels = re.findall(rb"<rc>\s*<c>\s*(\w+)\s*</c>\s*<c>\s*\d+\s*</c>\s*</rc>", table)
    count = re.search(rb"<atoms>\s*(\d+)\s*</atoms>", head)
    if not labels or count is None or int(count[1]) != len(labels):
        raise DataError(
            f"{name}: {len(labels)} atoms in the table of atoms, <atoms> says "
            f"{count[1].decode() if count else 'nothing'}."
        )
    numbers = [atomic_number(_RENAMED.get(label, label).decode("ascii", "replace"), {}) for label in labels]
    if None in numbers:
        raise DataError(f"{name}: {quoted(labels[numbers.index(None)])} is not a chemical element.")
    return np.array(numbers)


def vectors(text: bytes, label: bytes, rows: int, location: FrameLocation) -> np.ndarray:
    """(rows, 3) of the first <varray> with this name. Errors: DataError where it is missing or not complete."""
    start = text.find(b'<varray name="' + label + b'"')
    end = text.find(b"</varray>", start)
    body = text[text.find(b">", start) + 1 : end] if 0 <= start < end else b""
    values = parse_numbers(split_touching_numbers(re.sub(rb"</?v>", b" ", body)), 3 * rows)
    if values is None:
        raise location.error(
            f"expected {rows} vectors in '{label.decode()}', found {quoted(body)}.", text[: max(start, 0)].count(b"\n")
        )
    return values.reshape(rows, 3)


def setting(head: bytes, label: bytes) -> bytes | None:
    """The value that VASP used, which stands after what the user gave."""
    values = re.findall(rb'<i [^>]*name="' + label + rb'"[^>]*>\s*([^<\s]+)\s*</i>', head)
    return values[-1] if values else None


def parameter(head: bytes, label: bytes) -> float | None:
    """A setting that is a number, or None."""
    value = parse_numbers(setting(head, label) or b"", 1)
    return None if value is None else float(value[0])


def _time_step(head: bytes) -> float | None:
    """fs between structures: POTIM, where each step of the dynamics is written."""
    learned = (setting(head, b"ML_LMLFF") or b"F").strip(b".").upper()[:1] == b"T"
    if parameter(head, b"IBRION") != 0 or parameter(head, b"NBLOCK") not in (None, 1) or learned:
        return None
    return parameter(head, b"POTIM") or None


# labels


def read_label(text: bytes, name: str) -> Calculation:
    """Structure and macroscopic electronic dielectric tensor with local fields ('epsilon').

    Errors: DataError for a file that is not complete, not converged, or leaves the structure open.
    """
    if b"</modeling>" not in text[-1000:]:
        raise DataError(f"{name}: the calculation did not finish (no </modeling> at the end).")
    begin = text.find(MARK)
    if begin < 0:
        raise DataError(f"{name}: no structure of an ionic step.")
    places = [found.start() for found in re.finditer(rb'<varray name="epsilon"', text)]
    following = text.find(MARK, begin + 1)
    if not places:
        raise DataError(
            f"{name}: no dielectric tensor 'epsilon'{_others(text)}: compute it with LEPSILON = .TRUE. and "
            "LRPA = .FALSE."
        )
    if 0 <= following < places[-1] or places[0] < begin:
        raise DataError(
            f"{name}: several ionic steps; which structure the dielectric tensor belongs to is not clear. "
            "Compute one configuration at a time (NSW = 0)."
        )
    head = text[:begin]
    _check_converged(text, head, begin, places[-1], name)
    numbers = elements(head, name)
    positions, _, cell, _ = read(
        text[begin : text.find(END, begin)], FrameLocation(name, head.count(b"\n") + 1, 0), numbers
    )
    tensors = [
        vectors(text[at : at + 1000], b"epsilon", 3, FrameLocation(name, text[:at].count(b"\n") + 1, 0))
        for at in places
    ]
    return Calculation(positions, numbers, cell, same_tensor(tensors, name), "dielectric")


def _others(text: bytes) -> str:
    found = sorted({label.decode() for label in re.findall(rb'<varray name="(epsilon_\w+)"', text)})
    return f" (only {', '.join(found)})" if found else ""


def _check_converged(text: bytes, head: bytes, structure: int, tensor: int, name: str) -> None:
    """No loop took NELM iterations, which is how one ends that did not reach EDIFF."""
    most = parameter(head, b"NELM")
    if most is None:
        raise DataError(f"{name}: NELM is missing from the parameters.")
    loops = [_energies(text[head.rfind(b"<calculation>") : structure], name)]
    loops += _loops(_energies(text[structure:tensor], name))
    if max(map(len, loops)) >= most:
        raise DataError(
            f"{name}: a loop took NELM = {most:g} iterations or more, so EDIFF may not have been reached. "
            "The OUTCAR says it for certain: give that one, or compute it again with a larger NELM."
        )


def _energies(text: bytes, name: str) -> np.ndarray:
    """The energy of every iteration."""
    words = [
        re.findall(rb'name="e_fr_energy">([^<]*)<', step)[-1:]
        for step in re.findall(rb"<scstep>.*?</scstep>", text, re.DOTALL)
    ]
    values = parse_numbers(b" ".join(word for one in words for word in one), len(words))
    if values is None:
        raise DataError(f"{name}: the energy of an iteration is not a number.")
    return values


def _loops(energies: np.ndarray) -> list[np.ndarray]:
    """Response loops stand one after another without a mark: a new one starts where the energy jumps up again."""
    steps = np.diff(energies)
    return np.split(energies, np.flatnonzero(steps > 0.5 * steps.max(initial=0.0)) + 1)
