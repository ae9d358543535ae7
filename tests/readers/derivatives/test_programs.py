"""Derivatives from outputs of VASP, Quantum ESPRESSO and ABINIT.

Those of Quantum ESPRESSO and ABINIT are real (tests/readers/files); those of VASP are made up in its layout.
"""

import gzip
import re
import tarfile

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.derivatives.field_forces import (
    DIRECTIONS,
    EV_PER_ANGSTROM,
    FieldRun,
    FieldSet,
    field_sets,
    response,
)
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.derivatives.quantum_espresso import runs_of_pw
from tests.readers.derivatives.test_labels import E, derivatives, forces_in_fields, ignore
from tests.readers.tensors.test_formats import FILES

POSITIONS = np.array([[0.0, 0.1, 0.05], [0.2, 0.1, 0.05], [0.4, 0.1, 0.05]])  # fractional, cell of 5 Angstrom


def outcar(forces, field) -> str:
    """Forces in hartree/bohr, field in hartree/(e bohr)."""
    lattice = "".join(f"{5.0 * (a == b):13.9f}" for a in range(3) for b in range(3)).strip()
    rows = ["  ".join(lattice.split()[3 * k : 3 * k + 3]) + "   0.2 0.0 0.0" for k in range(3)]
    table = "".join(
        f"{x:13.5f}{y:13.5f}{z:13.5f}   {fx:15.9f}{fy:15.9f}{fz:15.9f}\n"
        for (x, y, z), (fx, fy, fz) in zip(5 * POSITIONS, forces / EV_PER_ANGSTROM)
    )
    echo = "".join(f"{x:16.10f}" for x in field / EV_PER_ANGSTROM)
    return (
        " vasp.6.3.0 20Jan22 complex\n   EFIELD_PEAD = 9 9 9\n"
        "   TITEL  = PAW_PBE Ag 02Apr2005\n   TITEL  = PAW_PBE I 08Apr2002\n"
        "   ions per type =   2   1\n   number of ions     NIONS =      3\n   NELM   =     80;   NELMIN=  4\n"
        f"   EFIELD_PEAD={echo}\n"
        "      direct lattice vectors                 reciprocal lattice vectors\n" + "\n".join(rows) + "\n"
        " position of ions in fractional coordinates (direct lattice)\n"
        + "".join(f"  {x:.8f}  {y:.8f}  {z:.8f}\n" for x, y, z in POSITIONS)
        + "--------------------------------------- Iteration      1(   1)  ---------\n"
        "------------------------ aborting loop because EDIFF is reached ----------\n"
        " POSITION                                       TOTAL-FORCE (eV/Angst)\n ------------------\n"
        + table
        + " ------------------\n General timing and accounting informations for this job:\n"
    )


def vasprun(forces, field) -> str:
    def vectors(name, values):
        rows = "".join(f"<v> {x:.10f} {y:.10f} {z:.10f} </v>\n" for x, y, z in values)
        return f'<varray name="{name}" >\n{rows}</varray>\n'

    echo = "".join(f"{x:16.10f}" for x in field / EV_PER_ANGSTROM)
    atoms = "".join(f"<rc><c>{s}</c><c>   {t}</c></rc>\n" for s, t in (("Ag", 1), ("Ag", 1), ("I ", 2)))
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        f'<incar>\n<v name="EFIELD_PEAD">{echo}</v>\n</incar>\n'
        '<parameters><separator name="electronic convergence" >'
        '<i type="int" name="NELM">    60</i></separator></parameters>\n'
        f'<atominfo>\n<atoms>       3 </atoms>\n<array name="atoms" >\n<set>\n{atoms}</set>\n</array>\n</atominfo>\n'
        "<calculation>\n<scstep></scstep>\n<structure>\n<crystal>\n"
        + vectors("basis", 5 * np.eye(3))
        + "</crystal>\n"
        + vectors("positions", POSITIONS)
        + "</structure>\n"
        + vectors("forces", forces / EV_PER_ANGSTROM)
        + "</calculation>\n</modeling>\n"
    )


def vasp_set(tmp_path, write, name, values):
    paths = []
    for k, (direction, forces) in enumerate(forces_in_fields(values).items()):
        path = tmp_path / f"{k:02d}.{name}"
        path.write_text(write(forces, E * np.array(DIRECTIONS[direction])))
        paths.append(path)
    return paths


@pytest.mark.parametrize("write, name", [(outcar, "OUTCAR"), (vasprun, "vasprun.xml")])
def test_a_set_of_vasp(tmp_path, write, name):
    values = derivatives(4)
    paths = vasp_set(tmp_path, write, name, values)
    labels = read_derivatives(paths, "auto", None, None, pytest.fail)
    expected = values * ANGSTROM_PER_BOHR**2
    np.testing.assert_allclose(labels.derivatives, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    assert labels.frames.numbers.tolist() == [47, 47, 53]
    np.testing.assert_allclose(labels.frames.positions, 5 * POSITIONS, atol=1e-6)
    with pytest.raises(DataError, match=r"1 of 13 runs are missing: the fields -z"):
        read_derivatives(
            [path for k, path in enumerate(paths) if k != list(DIRECTIONS).index("-z")], "auto", None, None, ignore
        )
    with pytest.raises(DeckKeyError, match="have it already"):
        read_derivatives(paths, "auto", "bohr^2", None, ignore)


@pytest.mark.parametrize(
    "write, old, new, message",
    [
        (outcar, "General timing", "", "did not finish"),
        (outcar, "because EDIFF is reached", "EDIFF was not reached (unconverged)", "without reaching EDIFF"),
        (outcar, "TOTAL-FORCE", "", "no table 'TOTAL-FORCE'"),
        (outcar, "EFIELD_PEAD=    ", "EFIELD_PEAD= x  ", "EFIELD_PEAD should be three numbers"),
        (vasprun, "</modeling>", "", "did not finish"),
        (vasprun, 'name="NELM">    60', 'name="NELM">    1', "may not have been reached"),
        (vasprun, 'name="forces"', 'name="pushes"', "'forces'"),
        (vasprun, "<structure>", "<structure></structure><structure>", "several ionic steps"),
    ],
)
def test_bad_runs_of_vasp(tmp_path, write, old, new, message):
    path = tmp_path / "run"
    text = write(forces_in_fields(derivatives())["+x"], E * np.array([1, 0, 0]))
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_derivatives([path], "outcar" if write is outcar else "vasprun", None, None, ignore)


def field_run(forces, field):
    cell = 5 * np.eye(3)
    return FieldRun(POSITIONS @ cell, np.array([47, 47, 53]), cell, np.ones(3, bool), forces, np.asarray(field), "run")


def test_two_strengths_of_the_field():
    """A term of the fourth order in the field is seen; without it nothing is said; a lonely run is named."""
    forces = {
        name: (E * np.array(d), f) for (name, d), f in zip(DIRECTIONS.items(), forces_in_fields(derivatives()).values())
    }
    runs = [field_run(f, field) for field, f in forces.values()]
    zero, born_part = forces["0"][1], forces["+x"][1] - forces["-x"][1]
    second = forces["+x"][1] + forces["-x"][1] - 2 * zero
    strong = [field_run(zero + s * born_part + 2 * second, [2 * s * E, 0, 0]) for s in (1, -1)]
    assert response(FieldSet((*runs, *strong))).warnings == ()
    bent = [field_run(zero + s * born_part + 3 * second, [2 * s * E, 0, 0]) for s in (1, -1)]
    (warning,) = response(FieldSet((*runs, *bent))).warnings
    assert "in the stronger field differ from those in the weaker" in warning and "by 0.5" in warning
    (warning,) = response(FieldSet((*runs, strong[0]))).warnings
    assert "(0.004, 0, 0)" in warning and "fit to no set" in warning


def test_born_charges_that_do_not_sum_to_zero():
    forces = forces_in_fields(derivatives())
    runs = [
        field_run(f + 0.3 * E * np.array(DIRECTIONS[name]), E * np.array(DIRECTIONS[name]))
        for name, f in forces.items()
    ]
    assert any("Born charges sum to 0.9 e" in warning for warning in response(FieldSet(tuple(runs))).warnings)


# Quantum ESPRESSO


def unpacked_fields(tmp_path):
    with tarfile.open(FILES / "qe_sic_fields.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return sorted(tmp_path.glob("field_*.out"))


def unpacked(tmp_path, name):
    path = tmp_path / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((FILES / name).read_bytes()))
    return path


def test_fields_of_pw_and_third_order_of_ph_agree(tmp_path):
    """Two independent ways to the same derivatives, on the same k points; they differ by the finite k mesh."""
    paths = unpacked_fields(tmp_path)
    assert len(paths) == 13
    fields = read_derivatives(paths, "auto", None, None, ignore)
    third = read_derivatives([unpacked(tmp_path, "qe_sic_lraman.out.gz")], "auto", None, None, ignore)
    assert fields.frames.numbers.tolist() == [14, 6]
    np.testing.assert_allclose(fields.frames.positions, third.frames.positions, rtol=0, atol=1e-4)
    ratio = (fields.derivatives * third.derivatives).sum() / (third.derivatives**2).sum()
    assert ratio == pytest.approx(0.80, abs=0.01)
    assert np.corrcoef(fields.derivatives.ravel(), third.derivatives.ravel())[0, 1] > 0.97
    # central differences of ph.x's dielectric tensor, h = 0.01 Angstrom, same cutoff, 4 x 4 x 4 shifted k points
    assert third.derivatives[0, 0, 1, 2] == pytest.approx(-2.44, rel=0.15)


def test_born_charges_of_silicon_carbide(tmp_path):
    runs = [run for path in unpacked_fields(tmp_path) for run in runs_of_pw(path)]
    born = response(field_sets(runs)[0]).born_charges
    assert 2.3 < np.trace(born[0]) / 3 < 3.0
    np.testing.assert_allclose(born.sum(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize(
    "old, new, message",
    [
        (b"JOB DONE.", b"", "did not finish"),
        (b"convergence has been achieved", b"convergence NOT achieved", "did not converge"),
        (b"Forces acting on atoms", b"Forces", "needed: one table of forces"),
        (b"atom    2 type  2", b"atom    2 typo  2", "three numbers for each of 2 atoms"),
        (b"In a.u.(Ry)  cartesian system", b"In a.u.(Ry)  some system", "components of the field"),
        (b"Program PWSCF", b"Program CP", "not an output of pw.x"),
    ],
)
def test_bad_runs_of_pw(tmp_path, old, new, message):
    path = unpacked_fields(tmp_path)[1]
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_derivatives([path], "qe-pw", None, None, ignore)


def test_bad_runs_of_ph(tmp_path):
    path = unpacked(tmp_path, "qe_sic_lraman.out.gz")
    text = path.read_bytes()
    for old, new, message in (
        (b"JOB DONE.", b"", "did not finish"),
        (b"Raman tensor (A^2)", b"", "lraman = .true."),
        (b"atom #    2    pol.  3", b"", "of 1 of 2 atoms is missing"),
        (b"Program PHONON", b"Program X", "not an output of ph.x"),
    ):
        assert old in text
        path.write_bytes(text.replace(old, new))
        with pytest.raises(DataError, match=re.escape(message)):
            read_derivatives([path], "qe-ph", None, None, ignore)
    with pytest.raises(DataError, match=r"give those of ph\.x with lraman"):
        read_derivatives([unpacked_fields(tmp_path)[0]], "qe-ph", None, None, ignore)


# ABINIT


def test_third_order_response_of_abinit(tmp_path):
    """What anaddb prints, 1/bohr times the volume; and central differences of the dielectric tensor of two more runs.

    Third order needs a dense mesh: d chi_yz/dx of Al is 0.47 of the difference on 4 x 4 x 4 k points, 0.80 on these.
    """
    path = unpacked(tmp_path, "abinit_alas_dchidt.nc.gz")
    labels = read_derivatives([path], "auto", None, None, ignore)
    assert labels.frames.numbers.tolist() == [13, 33]
    volume = 10.64**3 / 4 * ANGSTROM_PER_BOHR**2
    values = labels.derivatives / volume
    assert values[0, 0, 0, 0] == pytest.approx(0.022693790, abs=1e-7)
    assert values[0, 1, 0, 2] == pytest.approx(-0.107501180, abs=1e-7)
    assert values[1, 0, 0, 1] == pytest.approx(0.004174092, abs=1e-7)
    epsilon_ahead, epsilon_behind, step = -0.1026523184, -0.0354007855, 0.04  # bohr
    difference = (epsilon_ahead - epsilon_behind) / (4 * np.pi * step)
    assert values[0, 0, 1, 2] == pytest.approx(0.80 * difference, rel=0.01)
    with h5py.File(path, "r+") as file:
        del file["dchidt"]
    with pytest.raises(DataError, match="no dchidt: run anaddb with nlflag 1"):
        read_derivatives([path], "anaddb", None, None, ignore)
