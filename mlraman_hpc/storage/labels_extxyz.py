"""Labelled structures as extended XYZ that reads back to the same numbers."""

from __future__ import annotations

import numpy as np

from mlraman_hpc.base.elements import symbols
from mlraman_hpc.records.frames import Labels


def text_of(labels: Labels) -> str:
    """Every frame with 'polarizability' in Angstrom^3 and all digits."""
    frames = labels.frames
    parts = []
    for k in range(len(labels)):
        atoms = slice(frames.first_atom[k], frames.first_atom[k + 1])
        parts.append(f"{atoms.stop - atoms.start}\n{_comment(labels, k)}\n")
        parts += [
            f"{name} {_numbers(row)}\n" for name, row in zip(symbols(frames.numbers[atoms]), frames.positions[atoms])
        ]
    return "".join(parts)


def _comment(labels: Labels, k: int) -> str:
    frames = labels.frames
    flags = " ".join("T" if flag else "F" for flag in frames.periodic[k])
    lattice = f'Lattice="{_numbers(frames.cells[k])}" ' if frames.cells[k].any() else ""
    return (
        f'{lattice}Properties=species:S:1:pos:R:3 polarizability="{_numbers(labels.polarizability[k])}" pbc="{flags}"'
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(x)) for x in np.ravel(values))
