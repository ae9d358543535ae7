"""Derivatives of the polarizability: from columns, from forces in fields, and what is said about bad ones."""

import gzip
import re

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.units import ANGSTROM_PER_BOHR
from mlraman_hpc.readers.derivatives.field_forces import (
    DIRECTIONS,
    field_sets,
    response,
    runs_of_cp2k,
    runs_of_extended_xyz,
)
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from tests.helpers import DATA

AGI = DATA / "agi_derivatives"
real = pytest.mark.skipif(not AGI.exists(), reason="data are not beside the checkout")
SYMBOLS = ["Ag", "Ag", "I"]
ORDER = "xx,yy,zz,xy,yz,zx"
E = 0.002


def ignore(text):
    pass


def derivatives(seed=0):
    """(3, 3, 3, 3) bohr^2, symmetric, no sum over atoms"""
    values = np.random.default_rng(seed).normal(size=(3, 3, 3, 3))
    values = values + np.swapaxes(values, 2, 3)
    return values - values.mean(axis=0)


def columns_text(values, comment=f'unit=bohr^2 order="x:{ORDER} y:... z:..."', width=18):
    lines = [
        "3",
        f'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:polarizability_gradient:R:{width} {comment}',
    ]
    pairs = [("xyz".index(p[0]), "xyz".index(p[1])) for p in ORDER.split(",")]
    for k, symbol in enumerate(SYMBOLS):
        numbers = [values[k, c, a, b] for c in range(3) for a, b in pairs] if width == 18 else values[k].ravel()
        lines.append(f"{symbol} {k} 0.5 0.25 " + " ".join(f"{x:.10f}" for x in numbers))
    return "\n".join(lines) + "\n"


def forces_in_fields(values, born=None, zero=None):
    """{direction: (3, 3) hartree/bohr} of a response that is exactly quadratic"""
    rng = np.random.default_rng(5)
    born = rng.normal(size=(3, 3, 3)) if born is None else born
    born = born - born.mean(axis=0)
    zero = 0.01 * rng.normal(size=(3, 3))
    zero = zero - zero.mean(axis=0)
    fields = {name: E * np.array(direction) for name, direction in DIRECTIONS.items()}
    return {
        name: zero + born @ field + 0.5 * np.einsum("icab,a,b->ic", values, field, field)
        for name, field in fields.items()
    }


def fields_text(forces, directions=DIRECTIONS, comment="unit_field=hartree/(e*bohr) unit_forces=hartree/bohr"):
    text = ""
    for name, values in forces.items():
        field = " ".join(f"{E * x:.6f}" for x in directions[name])
        text += f'3\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 field="{field}" {comment}\n'
        for k, symbol in enumerate(SYMBOLS):
            text += f"{symbol} {k} 0.5 0.25 " + " ".join(f"{x:.14f}" for x in values[k]) + "\n"
    return text


def read(tmp_path, text, **options):
    path = tmp_path / "derivatives.extxyz"
    path.write_text(text)
    options = {"format": "auto", "unit": None, "order": None, "warn": ignore} | options
    return read_derivatives([path], **options)


def test_eighteen_and_twenty_seven_numbers(tmp_path):
    values = derivatives()
    six = read(tmp_path, columns_text(values))
    np.testing.assert_allclose(six.derivatives, values * ANGSTROM_PER_BOHR**2, rtol=0, atol=1e-9)
    nine = "unit=angstrom^2 order=xx,xy,xz,yx,yy,yz,zx,zy,zz"
    np.testing.assert_allclose(read(tmp_path, columns_text(values, nine, 27)).derivatives, values, rtol=0, atol=1e-9)
    assert six.frames.numbers.tolist() == [47, 47, 53]


def test_unit_and_order_of_the_deck(tmp_path):
    values, order = derivatives(), ORDER.split(",")
    labels = read(tmp_path, columns_text(values, ""), unit="angstrom^2", order=order)
    np.testing.assert_allclose(labels.derivatives, values, rtol=0, atol=1e-9)
    with pytest.raises(DeckKeyError, match=r"reference.derivatives.unit.*need their unit"):
        read(tmp_path, columns_text(values, ""), order=order)
    with pytest.raises(DeckKeyError, match=r"reference.derivatives.order.*never guessed"):
        read(tmp_path, columns_text(values, ""), unit="bohr^2")
    with pytest.raises(DeckKeyError, match="keep one of them"):
        read(tmp_path, columns_text(values), unit="angstrom^2")
    with pytest.raises(DeckKeyError, match="keep one of them"):
        read(tmp_path, columns_text(values), order=order[::-1])


@pytest.mark.parametrize(
    "comment, message",
    [
        ("unit=bohr order=xx,yy,zz,xy,yz,zx", "unit=bohr is not one of"),
        ("unit=bohr^2 order=xx,yy,zz,xy,yz,yz", "not six or nine different components"),
        ("unit=bohr^2 order=xx,yy,zz,xy,xz,yz,yx,zx,zy", "the order names 9 for each axis"),
        ("unit=bohr^2 order=17", "should be such as"),
    ],
)
def test_wrong_unit_or_order(tmp_path, comment, message):
    with pytest.raises((DataError, DeckKeyError), match=message):
        read(tmp_path, columns_text(derivatives(), comment))


def test_wrong_order_of_27_numbers(tmp_path):
    values = np.moveaxis(derivatives(), 1, 3)
    with pytest.raises(DataError, match="order of the 27 numbers"):
        read(tmp_path, columns_text(values, "unit=bohr^2 order=xx,xy,xz,yx,yy,yz,zx,zy,zz", 27))


def test_sum_over_atoms(tmp_path):
    values, said = derivatives(), []
    noisy = values + 0.2
    labels = read(tmp_path, columns_text(noisy), warn=said.append)
    np.testing.assert_allclose(labels.derivatives, values * ANGSTROM_PER_BOHR**2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(labels.net, 0.6 * ANGSTROM_PER_BOHR**2, rtol=1e-8)
    assert len(said) == 1 and "Ag" in said[0]
    with pytest.raises(DataError, match="do not sum to zero"):
        read(tmp_path, columns_text(values + 20))


def test_atoms_without_field_and_numbers_that_are_none(tmp_path):
    values = derivatives()
    values[1] = 0
    with pytest.raises(DataError, match="1 of 3 atoms have no derivatives"):
        read(tmp_path, columns_text(values))
    text = columns_text(derivatives()).splitlines()
    text[3] = " ".join([*text[3].split()[:-1], "nan"])
    with pytest.raises(DataError, match=r"line 4 .*finite numbers.*nan"):
        read(tmp_path, "\n".join(text) + "\n")


def test_a_quadratic_response_is_recovered(tmp_path):
    values = derivatives(3)
    labels = read(tmp_path, fields_text(forces_in_fields(values)))
    np.testing.assert_allclose(labels.derivatives, values * ANGSTROM_PER_BOHR**2, rtol=0, atol=1e-6)


def test_fields_in_any_order_and_unit(tmp_path):
    values = derivatives(3)
    forces = forces_in_fields(values)
    mixed = {name: forces[name] for name in list(DIRECTIONS)[::-1]}
    labels = read(tmp_path, fields_text(mixed))
    np.testing.assert_allclose(labels.derivatives, values * ANGSTROM_PER_BOHR**2, rtol=0, atol=1e-6)
    with pytest.raises(DataError, match="unit_forces"):
        read(tmp_path, fields_text(forces, comment="unit_field=au unit_forces=Ry/bohr"))


def test_missing_runs_are_named(tmp_path):
    forces = forces_in_fields(derivatives())
    del forces["-x"], forces["+z+x"]
    with pytest.raises(DataError, match=r"2 of 13 runs are missing: the fields \+z\+x, -x of 0.002"):
        read(tmp_path, fields_text(forces))


def test_wrong_sign(tmp_path):
    forces = forces_in_fields(derivatives())
    forces["+y"], forces["-y"] = forces["-y"], forces["+y"]
    with pytest.raises(DataError, match="wrong sign"):
        read(tmp_path, fields_text(forces))


def test_forces_that_do_not_sum_to_zero(tmp_path):
    forces = forces_in_fields(derivatives())
    forces["+y"] = forces["+y"] + 0.1
    with pytest.raises(DataError, match=r"in the field \+y sum to"):
        read(tmp_path, fields_text(forces))


def test_a_frame_without_field(tmp_path):
    text = fields_text(forces_in_fields(derivatives()))
    text = text.replace(' field="0.000000 0.000000 0.000000"', "")
    with pytest.raises(DataError, match="'field' should be"):
        read(tmp_path, text)


@real
def test_real_field_forces_give_the_derivatives_beside_them():
    columns = read_derivatives([AGI / "derivatives.extxyz"], "auto", None, None, ignore)
    fields = read_derivatives([AGI / "field_forces.extxyz.gz"], "auto", None, None, ignore)
    assert len(columns) == len(fields) == 10
    np.testing.assert_allclose(fields.derivatives, columns.derivatives, rtol=0, atol=1e-4)


@real
def test_born_charges_of_silver_iodide():
    runs = runs_of_extended_xyz(AGI / "field_forces.extxyz.gz", ignore)
    item = field_sets(runs)[0]
    born = response(item).born_charges
    trace = np.trace(born, axis1=1, axis2=2) / 3
    assert 1.0 < trace[item.runs[0].numbers == 47].mean() < 1.8
    assert abs(born.sum(axis=0)).max() < 0.1 * len(born)


@real
def test_an_output_of_cp2k():
    (run,) = runs_of_cp2k(AGI / "cp2k_run" / "out.txt.gz")
    np.testing.assert_allclose(run.field, [-0.002, 0, -0.002], rtol=0, atol=1e-7)
    others = runs_of_extended_xyz(AGI / "field_forces.extxyz.gz", ignore)
    same = [other for other in others if np.abs(other.forces - run.forces).max() < 1e-8]
    assert len(same) == 1
    np.testing.assert_allclose(same[0].field, run.field, rtol=0, atol=1e-7)


@real
def test_thirteen_outputs_of_cp2k(tmp_path):
    """The set of a frame as thirteen outputs made from the one that is there."""
    output = gzip.decompress((AGI / "cp2k_run" / "out.txt.gz").read_bytes()).decode()
    head = (AGI / "cp2k_run" / "forces.dat").read_text().split("Z\n")[0] + "Z\n"
    (own,) = runs_of_cp2k(AGI / "cp2k_run" / "out.txt.gz")
    runs = runs_of_extended_xyz(AGI / "field_forces.extxyz.gz", ignore)
    here = next(k for k, run in enumerate(runs) if np.abs(run.forces - own.forces).max() < 1e-8) // 13
    files = []
    for k, run in enumerate(runs[13 * here : 13 * here + 13]):
        folder = tmp_path / f"run{k:02d}"
        folder.mkdir()
        strength = np.linalg.norm(run.field)
        text = output
        direction = run.field / (strength or 1)
        for name, value in zip(("vector:       x", "             y", "             z"), direction):
            text = re.sub(rf"(PERIODIC_EFIELD\|[^\n]*{name}) +\S+", rf"\1 {value:.6E}", text)
        text = re.sub(r"(Intensity \[a\.u\.\]:) +\S+", rf"\1 {strength:.6E}", text)
        if not strength:
            text = re.sub(r" PERIODIC_EFIELD\|[^\n]*\n", "", text)
        rows = [f"{i + 1} 1 X " + " ".join(f"{x:.12f}" for x in row) for i, row in enumerate(run.forces)]
        (folder / "forces.dat").write_text(head + "".join(f" {row.replace(' ', '  ')}\n" for row in rows))
        (folder / "out.txt").write_text(text)
        files.append(folder / "out.txt")
    labels = read_derivatives(files, "cp2k", None, None, ignore)
    expected = read_derivatives([AGI / "derivatives.extxyz"], "auto", None, None, ignore).take([here])
    np.testing.assert_allclose(labels.derivatives, expected.derivatives, rtol=0, atol=1e-3)
    with pytest.raises(DataError, match="1 of 13 runs are missing"):
        read_derivatives(files[1:], "cp2k", None, None, ignore)


def test_columns_of_mimyria(tmp_path):
    """d alpha_ab / d r_c with c fastest, in bohr^3 for each Angstrom, beside forces."""
    values = derivatives()
    text = columns_text(values.transpose(0, 2, 3, 1), comment="", width=27)
    file = tmp_path / "predicted.xyz"
    file.write_text(text.replace("polarizability_gradient", "pgt"))
    labels = read_derivatives([file], "auto", None, None, pytest.fail)
    assert labels.derivatives == pytest.approx(ANGSTROM_PER_BOHR**3 * values, abs=1e-8)
    with pytest.raises(DeckKeyError, match=r"reference.derivatives.unit.*these files have it already"):
        read_derivatives([file], "auto", "bohr^2", None, pytest.fail)


def test_a_unit_in_the_file_by_its_usual_name(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text(columns_text(derivatives(), comment=f'unit=a0^2 order="x:{ORDER}"'))
    assert read_derivatives([file], "auto", None, None, pytest.fail).derivatives == pytest.approx(
        ANGSTROM_PER_BOHR**2 * derivatives(), abs=1e-8
    )
