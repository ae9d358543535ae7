"""VASP vasprun.xml: the dielectric tensor of a single configuration."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.tensors.base import Calculation, same_tensor
from mlraman_hpc.readers.text import FrameLocation, numbers_in
from mlraman_hpc.readers.trajectory.vasprun import END, MARK, elements, parameter, read, vectors


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
    values = numbers_in(b" ".join(word for one in words for word in one), len(words))
    if values is None:
        raise DataError(f"{name}: the energy of an iteration is not a number.")
    return values


def _loops(energies: np.ndarray) -> list[np.ndarray]:
    """Response loops stand one after another without a mark: a new one starts where the energy jumps up again."""
    steps = np.diff(energies)
    return np.split(energies, np.flatnonzero(steps > 0.5 * steps.max(initial=0.0)) + 1)
