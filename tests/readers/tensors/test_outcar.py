"""OUTCARs of VASP 5 and 6: the tensor exactly as printed, and every kind of file that must be refused."""

from __future__ import annotations

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.tensors.base import Calculation
from mlraman_hpc.readers.tensors.outcar import FORMAT
from mlraman_hpc.readers.unpacking import read_bytes
from tests.helpers import DATA

LINE = "-" * 20
CELL = (
    "  4.000000000  0.000000000  0.000000000     0.25  0.0  0.0\n"
    "  0.000000000  5.000000000  0.000000000     0.0  0.2  0.0\n"
    "  0.000000000  0.000000000-10.000000000     0.0  0.0 -0.1\n"
)
TENSOR = f""" MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in DFT)
 {LINE}
           3.500000     0.010000    -0.020000
           0.010000     3.600000     0.030000
          -0.020000     0.030000     3.700000
 {LINE}
"""
OTHERS = f"""
 HEAD OF MICROSCOPIC STATIC DIELECTRIC TENSOR (INDEPENDENT PARTICLE)
 {LINE}
           9.5     0.0    -0.0
           0.0     9.6     0.0
          -0.0     0.0     9.7
 {LINE}
 MACROSCOPIC STATIC DIELECTRIC TENSOR IONIC CONTRIBUTION
 {LINE}
           7.5     0.0    -0.0
           0.0     7.6     0.0
          -0.0     0.0     7.7
 {LINE}
"""
REACHED = f"{LINE} aborting loop because EDIFF is reached {LINE}\n"
FORCES = " POSITION                                       TOTAL-FORCE (eV/Angst)\n"


def loop(iterations: int = 3, end: str = REACHED) -> str:
    return "".join(f"{LINE} Iteration      1({k:4d})  {LINE}\n" for k in range(1, iterations + 1)) + end


def text_of(before=loop(), after=loop(), tensors=TENSOR * 2, end="General timing and accounting") -> bytes:  # noqa: B008
    return f""" vasp.5.4.4
   LEPSILON = .TRUE.
   VRHFIN =Na: s1
   TITEL  = PAW_PBE Na_pv 05Jan2001
   TITEL  = PAW_PBE Cl 08Apr2002
                                     Primitive cell
  direct lattice vectors                    reciprocal lattice vectors
{CELL.replace("4.0", "2.0")}
  position of ions in fractional coordinates (direct lattice)
     0.9 0.9 0.9

   number of dos      NEDOS =    301   number of ions     NIONS =      3
   ions per type =               1   2
   NELM   =     60;   NELMIN=  4; NELMDL= -5     # of ELM steps
   LEPSILON=     T    determine dielectric tensor
      direct lattice vectors                 reciprocal lattice vectors
{CELL}
 position of ions in fractional coordinates (direct lattice)
   0.10000001  0.20000000  0.30000000
   0.50000000  0.00000000 -0.25000000
   0.12345678-0.12345678  1.50000000

{before}{FORCES}{after}{OTHERS}{tensors}
 {end} informations for this job:
""".encode()


def parse(text: bytes, name: str) -> Calculation:
    [calculation] = FORMAT.parse(text, name)
    if calculation.unconverged is not None:
        raise calculation.unconverged
    return calculation


def test_structure_and_tensor():
    one = parse(text_of(), "OUTCAR")
    assert one.tensors["dielectric"].tolist() == [[3.5, 0.01, -0.02], [0.01, 3.6, 0.03], [-0.02, 0.03, 3.7]]
    assert one.cell.tolist() == [[4, 0, 0], [0, 5, 0], [0, 0, -10]]
    assert one.numbers.tolist() == [11, 17, 17]
    assert np.allclose(one.positions, [[0.40000004, 1, -3], [2, 0, 2.5], [0.49382712, -0.6172839, -15]], atol=1e-12)


OLD_CELL = f""" old parameters found on file WAVECAR:
  energy-cutoff  :      400.00
  volume of cell :      225.00
      direct lattice vectors                 reciprocal lattice vectors
{CELL.replace("4.0", "4.5")}
  length of vectors

"""


def test_cell_of_the_wavecar_is_not_that_of_the_calculation():
    text = text_of().replace(b" position of ions in frac", OLD_CELL.encode() + b" position of ions in frac")
    assert b"4.500000000" in text
    calculation = parse(text, "OUTCAR")
    np.testing.assert_array_equal(calculation.cell, parse(text_of(), "OUTCAR").cell)
    np.testing.assert_array_equal(calculation.positions, parse(text_of(), "OUTCAR").positions)


@pytest.mark.parametrize("frame", [10, 20, 5000, 10000])
def test_tensors_of_sio2_are_those_of_the_table(frame):
    file, table = DATA / f"sio2/outcar/{frame:06d}.OUTCAR.gz", DATA / "sio2/alpha.dat"
    if not file.exists():
        pytest.skip("the real data are not here")
    one = parse(read_bytes(file), str(file))
    xx, yy, zz, xy, yz, zx = np.loadtxt(table)[frame // 10 - 1]
    e = one.tensors["dielectric"]
    assert [e[0, 0], e[1, 1], e[2, 2], e[0, 1], e[1, 2], e[2, 0]] == [xx, yy, zz, xy, yz, zx]
    # the cell and the frame of the trajectory that the table is for
    rows = read_bytes(DATA / "sio2/XDATCAR.gz").split(b"\n")
    first = 8 + 10 * (frame - 1)
    positions = np.array([row.split() for row in rows[first : first + 9]], float)
    cell = np.array([row.split() for row in rows[2:5]], float)
    shift = one.positions - positions @ cell
    shift -= np.round(shift @ np.linalg.inv(cell)) @ cell
    assert np.abs(shift).max() < 1e-6 and one.numbers.tolist() == [14] * 3 + [8] * 6


def test_vasp_6():
    file = DATA / "samples/tio2_ref_eps.OUTCAR.gz"
    if not file.exists():
        pytest.skip("the real data are not here")
    one = parse(read_bytes(file), str(file))
    assert np.bincount(one.numbers)[[8, 22]].tolist() == [72, 36]
    assert one.tensors["dielectric"][2, 2] == 6.372343


def test_displaced_atom():
    file = DATA / "samples/tio2_Ti5_0.1x_eps.OUTCAR.gz"
    if not file.exists():
        pytest.skip("the real data are not here")
    one = parse(read_bytes(file), str(file))
    # pymatgen 2026.10.24: Outcar(...).dielectric_tensor
    assert one.tensors["dielectric"].tolist() == [
        [6.953771, 7e-06, -0.022987],
        [8e-06, 6.957956, 0.0],
        [-0.022998, -4e-06, 6.371485],
    ]
    assert np.allclose(one.positions[4], [5.78842168, 5.68842173, 4.8022871])


def test_touching_numbers_of_the_tensor_are_split():
    tensors = TENSOR.replace("3.500000     0.010000    -0.020000", "13738.500000-16959.010000    -0.020000")
    assert parse(text_of(tensors=tensors), "OUTCAR").tensors["dielectric"][0].tolist() == [13738.5, -16959.01, -0.02]
    file = DATA / "samples/malformed_eps.OUTCAR.gz"
    if file.exists():
        tensor = parse(read_bytes(file), str(file)).tensors["dielectric"]
        assert tensor[0].tolist() == [5.704647, -0.000011, 0.00001]


@pytest.mark.parametrize(
    "text, message",
    [
        (text_of(end="Total"), r"did not finish"),
        (text_of(tensors=""), r"no tensor.*LEPSILON = T, so the calculation broke off"),
        (text_of(tensors="").replace(b"LEPSILON=     T", b"LEPSILON=     F"), r"LEPSILON was off \(LEPSILON = F\)"),
        (text_of(tensors=TENSOR.replace("in DFT", "in RPA (Hartree)")), r"only the one in RPA is there"),
        (text_of(tensors=TENSOR + TENSOR.replace("3.7", "3.8")), r"2 dielectric tensors that differ"),
        (text_of(tensors=TENSOR.replace("3.500000", "********")), r"three numbers of the dielectric tensor, found '\*"),
        (text_of(tensors=TENSOR.replace("3.500000", "nan")), r"expected three numbers of the dielectric tensor"),
        (text_of(tensors=TENSOR.replace("3.500000", "-13.5")), r"below 1 is impossible"),
        (text_of(loop(60, "")), r"after 60 iterations without reaching EDIFF"),
        (text_of(after=loop(60, "")), r"after 60 iterations without reaching EDIFF"),
        (text_of(after=loop(60, "") + loop()), r"after 60 iterations without reaching EDIFF"),
        (text_of(loop(7, f"{LINE} aborting loop EDIFF was not reached (unconverged)  {LINE}\n")), r"after 7 iter"),
        (text_of(loop(7, f"{LINE} aborting loop because hard stop was set {LINE}\n")), r"stopped by hand"),
        (text_of(after=FORCES), r"2 ionic steps"),
        (text_of().replace(b"type =               1   2", b"type =    1   1"), r"\(Na, Cl\) do not fit"),
        (text_of().replace(b"Cl 08Apr", b"Qq 08Apr"), r"\(Na, Qq\) do not fit"),
        (text_of().replace(b"0.12345678-0.1", b"*********-0.1"), r"line \d+: 3 lines of fractional coordinates"),
        (text_of().replace(b"NIONS", b"ATOMS"), r"no cell and positions"),
        (b"hello", r"did not finish"),
    ],
)
def test_refused_by_name(text, message):
    with pytest.raises(DataError, match=message) as error:
        parse(text, "some/OUTCAR")
    assert str(error.value).startswith("some/OUTCAR")


def test_lcalceps():
    tensors, off = TENSOR.replace(" in DFT)", ")"), (b"LEPSILON=     T", b"LEPSILON=     F")
    calculation = parse(text_of(tensors=tensors * 2).replace(*off), "OUTCAR")
    assert calculation.tensors["dielectric"].tolist() == parse(text_of(), "OUTCAR").tensors["dielectric"].tolist()
    with pytest.raises(DataError, match=r"2 ionic steps"):
        parse(text_of(tensors=tensors, after=FORCES).replace(*off), "OUTCAR")
    with pytest.raises(DataError, match=r"only the one in RPA is there"):
        parse(text_of(tensors=tensors).replace(off[0], b"LRPA    =     T"), "OUTCAR")


def bands(*occupations: float) -> bytes:
    rows = "".join(f"{k:7d}{2.5 * k:12.4f}{share:12.5f}\n" for k, share in enumerate(occupations, start=1))
    table = " E-fermi :   3.1000     XC(G=0):  -7.5\n\n k-point     1 :\n  band No.  band energies     occupation\n"
    table += f"{rows}\n"
    return text_of().replace(FORCES.encode(), table.encode() + FORCES.encode(), 1)


@pytest.mark.parametrize("occupations, gap", [((2, 2, 0), 2.5), ((2, 1.2, 0.8), 0.0), ((2, 2, 2), None)])
def test_gap_between_filled_and_empty_bands(occupations, gap):
    assert parse(bands(*occupations), "OUTCAR").gap == gap
    assert parse(text_of(), "OUTCAR").gap is None


def test_sixty_iterations_that_reach_ediff_are_good():
    assert parse(text_of(loop(60)), "OUTCAR").tensors["dielectric"][0, 0] == 3.5


def test_phonon_run_whose_tensor_precedes_the_displacements():
    one = parse(text_of(tensors=TENSOR + loop() + FORCES + loop() + FORCES), "OUTCAR")
    assert one.tensors["dielectric"][2, 2] == 3.7


def test_more_than_ten_elements():
    """'ions per type' goes on in the next line after ten."""
    symbols = "Li Na K Rb Cs Be Mg Ca Sr Ba Zn".split()
    titles = "".join(f"   TITEL  = PAW_PBE {symbol} 05Jan2001\n" for symbol in symbols)
    text = text_of().decode()
    head, tail = text.split("   TITEL  = PAW_PBE Na_pv 05Jan2001\n   TITEL  = PAW_PBE Cl 08Apr2002\n")
    text = (head + titles + tail).replace("NIONS =      3", "NIONS =     11")
    text = text.replace("ions per type =               1   2\n", f"ions per type =            {'   1' * 10}\n   1\n")
    rows = "".join(f"   0.{k:02d}000000  0.20000000  0.30000000\n" for k in range(11))
    begin = text.index("   0.10000001")
    end = text.index("\n\n", begin) + 1
    found = parse((text[:begin] + rows + text[end:]).encode(), "OUTCAR")
    assert found.numbers.tolist() == [3, 11, 19, 37, 55, 4, 12, 20, 38, 56, 30]


def test_nwrite_0_leaves_the_heads_of_the_potentials_out():
    """The list of potentials stays; each is named again where its head was."""
    text, one = text_of().decode(), parse(text_of(), "OUTCAR")
    names = ["PAW_PBE Na_pv 05Jan2001", "PAW_PBE Cl 08Apr2002"]
    listed = "".join(f" POTCAR:    {name}\n" for name in names)
    for name in names:
        text = text.replace(f"   TITEL  = {name}\n", f" POTCAR:    {name}\n")
    brief = parse((listed + text).encode(), "OUTCAR")
    assert brief.numbers.tolist() == one.numbers.tolist() and (brief.positions == one.positions).all()
