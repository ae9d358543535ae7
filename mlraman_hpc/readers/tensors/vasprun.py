"""VASP vasprun.xml: the dielectric tensor of a single configuration."""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.readers.tensors.base import Calculation, FileError, TextOutput, band_gap, single_dielectric
from mlraman_hpc.readers.text import FrameLocation, parse_numbers
from mlraman_hpc.readers.trajectory.vasprun import END, MARK, elements, parameter, read, setting, vectors

_STATE = re.compile(rb"<r> *(\S+ +\S+) *</r>")
JUMP = 300  # between loops of real files 1,700 and more, within them 3 and less


class Vasprun(TextOutput):
    """A vasprun.xml of a single configuration: its electronic dielectric tensor with local fields.

    LEPSILON calls it 'epsilon', LCALCEPS 'epsilon_scf'.
    """

    name = "vasprun"
    file_name = r"vasprun.*xml"
    magic = rb"<\?xml"

    def parse(self, text: bytes, name: str) -> list[Calculation]:
        label = b"epsilon" if _headings(text, b"epsilon") else b"epsilon_scf"
        begin, headings = _structure_and_tensors(text, label, name)
        head = text[:begin]
        unconverged = _not_converged(text, head, begin, headings[-1], name)
        numbers = elements(head, name)
        location = FrameLocation(name, head.count(b"\n") + 1, 0)
        positions, _, cell, _ = read(text[begin : text.find(END, begin)], location, numbers)
        tensors = [
            vectors(text[at : at + 1000], label, 3, FrameLocation(name, text[:at].count(b"\n") + 1, 0))
            for at in headings
        ]
        tensor = {"dielectric": single_dielectric(tensors, name)}
        return [Calculation(positions, numbers, cell, tensor, name, unconverged=unconverged, gap=_gap(text))]


FORMAT = Vasprun()


def _headings(text: bytes, label: bytes) -> list[int]:
    """First bytes of the arrays with this name."""
    return [match.start() for match in re.finditer(rb'<varray name="' + label + b'"', text)]


def _structure_and_tensors(text: bytes, label: bytes, name: str) -> tuple[int, list[int]]:
    """First bytes of the structure and of its tensors. Errors: FileError where they do not belong together."""
    if b"</modeling>" not in text[-1000:]:
        raise FileError(name, "the calculation did not finish (no </modeling> at the end).")
    begin = text.find(MARK)
    if begin < 0:
        raise FileError(name, "no structure of an ionic step.")
    headings, following = _headings(text, label), text.find(MARK, begin + 1)
    only_hartree = label == b"epsilon_scf" and (setting(text[:begin], b"LRPA") or b"F").strip(b".").upper() == b"T"
    if not headings or only_hartree:
        raise FileError(
            name,
            f"no dielectric tensor 'epsilon'{_others(text)}: compute it with LEPSILON or LCALCEPS = .TRUE. and "
            "LRPA = .FALSE.",
        )
    if 0 <= following < headings[-1] or headings[0] < begin:
        raise FileError(
            name,
            "several ionic steps; which structure the dielectric tensor belongs to is not clear. "
            "Compute one configuration at a time (NSW = 0).",
        )
    return begin, headings


def _others(text: bytes) -> str:
    names = sorted({label.decode() for label in re.findall(rb'<varray name="(epsilon_\w+)"', text)})
    return f" (only {', '.join(names)})" if names else ""


def _gap(text: bytes) -> float | None:
    """eV, from the eigenvalues of the ground state, which come first."""
    start = text.find(b"<eigenvalues>")
    states = _STATE.findall(text, start, text.find(b"</eigenvalues>", start)) if start >= 0 else []
    values = parse_numbers(b" ".join(states), 2 * len(states))
    return None if values is None else band_gap(*values.reshape(-1, 2).T)


def _not_converged(text: bytes, head: bytes, structure: int, tensor: int, name: str) -> FileError | None:
    """What to say where a loop took NELM iterations, which is how one ends that did not reach EDIFF."""
    limit, criterion = parameter(_convergence(head), b"NELM"), parameter(head, b"EDIFF")
    if limit is None:
        raise FileError(name, "NELM is missing from the parameters.")
    loops = [_energies(text[head.rfind(b"<calculation>") : structure], name)]
    loops += _response_loops(_energies(text[structure:tensor], name), criterion or 1e-8)
    if max(map(len, loops)) >= limit:
        return FileError(
            name,
            f"a loop took NELM = {limit:g} iterations or more, so EDIFF may not have been reached. "
            "The OUTCAR says it for certain: give that one, or compute it again with a larger NELM.",
        )
    return None


def _convergence(head: bytes) -> bytes:
    """The parameters of electronic convergence, where they are set apart: those of GW have a NELM, too."""
    start = head.find(b'<separator name="electronic convergence"')
    return head[start : head.find(b"</separator>", start)] if start >= 0 else head


def _energies(text: bytes, name: str) -> np.ndarray:
    """The energy of every iteration."""
    words = [
        re.findall(rb'name="e_fr_energy">([^<]*)<', step)[-1:]
        for step in re.findall(rb"<scstep>.*?</scstep>", text, re.DOTALL)
    ]
    values = parse_numbers(b" ".join(word for matches in words for word in matches), len(words))
    if values is None:
        raise FileError(name, "the energy of an iteration is not a number.")
    return values


def _response_loops(energies: np.ndarray, criterion: float) -> list[np.ndarray]:
    """The loops of all directions and kinds of response, which stand one after another without a mark.

    A loop approaches its energy, by `criterion` (eV) or less in the end, and the next one starts far from it: where the
    energy changes by JUMP times more than in the two iterations before. Loops that are not told apart count as one,
    so that a loop which did not converge is never overlooked.
    """
    changes = np.abs(np.diff(energies))
    before = np.maximum(np.maximum(changes[1:-1], changes[:-2]), criterion)
    return np.split(energies, np.flatnonzero(changes[2:] > JUMP * before) + 3)
