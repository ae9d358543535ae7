"""vasprun.xml of response calculations: which tensor, and whether its loops converged. The file is made here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.tensors.base import Calculation
from mlraman_hpc.readers.tensors.vasprun import FORMAT

TENSOR = np.array([[3.5, 0.01, -0.02], [0.01, 3.6, 0.03], [-0.02, 0.03, 3.7]])
CELL, FRACTIONAL = np.diag([4.0, 5, 6]), np.array([[0, 0, 0], [0.5, 0.25, 0.5]])
LIMIT = '<separator name="electronic convergence" >\n<i type="int" name="NELM">    20</i>\n</separator>\n'
GW = '<separator name="response functions" >\n<i type="int" name="NELM">     1</i>\n</separator>\n'
SETTINGS = f'<i type="logical" name="LRPA"> F  </i>\n{LIMIT}'


def varray(name: str, rows: np.ndarray) -> str:
    lines = "".join(f"<v> {' '.join(f'{x:.8f}' for x in row)} </v>\n" for row in rows)
    return f'<varray name="{name}" >\n{lines}</varray>\n'


def loop(iterations: int, start: float, end: float, rate: float = 0.2) -> list[float]:
    """Energies that approach `end` by a factor in each iteration."""
    return [end + (start - end) * rate**k for k in range(iterations)]


def iterations(energies: Sequence[float]) -> str:
    return "".join(f'<scstep>\n<i name="e_fr_energy"> {energy:.8f} </i>\n</scstep>\n' for energy in energies)


GROUND = loop(12, 80, -47)
RESPONSE = [loop(11, -690, -563.5), loop(12, -740, -591), loop(10, -7.8, -8.29), loop(15, -8.4, -7.5)]


def text_of(ground=GROUND, response=RESPONSE, settings: str = SETTINGS, tensors=(("epsilon", TENSOR),)) -> bytes:
    atoms = "".join(f"<rc><c>{name}</c><c> {k}</c></rc>\n" for k, name in enumerate(("Na", "Cl"), start=1))
    structure = f"<structure>\n{varray('basis', CELL)}{varray('positions', FRACTIONAL)}</structure>\n"
    after = iterations(np.concatenate(response)) + "".join(varray(name, rows) for name, rows in tensors)
    return (
        f'<?xml version="1.0"?>\n<modeling>\n<parameters>\n{settings}</parameters>\n<atominfo>\n<atoms> 2 </atoms>\n'
        f'<array name="atoms" >\n<set>\n{atoms}</set>\n</array>\n</atominfo>\n<calculation>\n{iterations(ground)}'
        f"{structure}{after}</calculation>\n</modeling>\n"
    ).encode()


def parse(text: bytes) -> Calculation:
    [calculation] = FORMAT.parse(text, "vasprun.xml")
    if calculation.unconverged is not None:
        raise calculation.unconverged
    return calculation


def test_structure_and_tensor():
    calculation = parse(text_of())
    np.testing.assert_array_equal(calculation.tensors["dielectric"], TENSOR)
    np.testing.assert_allclose(calculation.positions, FRACTIONAL @ CELL, rtol=0, atol=1e-12)
    assert calculation.numbers.tolist() == [11, 17]


def test_lcalceps():
    names = [("epsilon_nscf", TENSOR + 1), ("epsilon_scf", TENSOR)]
    np.testing.assert_array_equal(parse(text_of(tensors=names)).tensors["dielectric"], TENSOR)
    both = [*names, ("epsilon", TENSOR + 2)]
    np.testing.assert_array_equal(parse(text_of(tensors=both)).tensors["dielectric"], TENSOR + 2)
    with pytest.raises(DataError, match=r"no dielectric tensor 'epsilon' \(only epsilon_nscf, epsilon_scf\).*LRPA"):
        parse(text_of(tensors=names, settings=SETTINGS.replace(" F ", " T ")))


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS + GW])
def test_loops_of_the_response_are_told_apart(settings):
    parse(text_of(settings=settings))
    parse(text_of(settings=settings, response=[*RESPONSE, loop(19, -16.4, -17.4), loop(19, -16.7, -17.4)]))


@pytest.mark.parametrize("rate", [0.2, 0.9, -0.9, -1.0])
@pytest.mark.parametrize("at", range(5))
def test_a_loop_of_nelm_iterations_is_refused(rate, at):
    """Also where it is far from converged, alternates, or stands between other loops."""
    response = [*RESPONSE[:at], loop(20, -8.4, -7.5, rate), *RESPONSE[at:]]
    with pytest.raises(DataError, match="a loop took NELM = 20 iterations or more"):
        parse(text_of(response=response))


def test_gap_between_filled_and_empty_states():
    def eigenvalues(occupations) -> bytes:
        rows = "".join(f"<r> {energy:.4f} {share:.4f} </r>\n" for energy, share in zip((-7.0, 1.5, 3.0), occupations))
        return f"<eigenvalues>\n<array>\n{rows}</array>\n</eigenvalues>\n</calculation>".encode()

    assert parse(text_of()).gap is None
    assert parse(text_of().replace(b"</calculation>", eigenvalues([1, 1, 0]))).gap == pytest.approx(1.5)
    assert parse(text_of().replace(b"</calculation>", eigenvalues([1, 0.7, 0.3]))).gap == 0


def test_a_ground_state_of_nelm_iterations_is_refused():
    with pytest.raises(DataError, match="a loop took NELM = 20 iterations or more"):
        parse(text_of(ground=loop(20, 80, -47)))
    with pytest.raises(DataError, match="NELM is missing"):
        parse(text_of(settings=SETTINGS.replace("NELM", "NELMIN") + GW))
