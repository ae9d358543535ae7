"""Labels: units, what the file calls the tensor, and the mistakes a set of labels can hold."""

from __future__ import annotations

import pickle
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3, COULOMB_EV_ANGSTROM
from mlraman_hpc.readers.tensors.base import BadFilesError, FileError
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index
from tests.helpers import DATA
from tests.readers.tensors.test_outcar import bands, loop
from tests.readers.tensors.test_outcar import text_of as outcar_text

ORDER = ["xx", "yy", "zz", "xy", "yz", "zx"]
TENSOR = "10 1 2 1 11 3 2 3 12"
MATRIX = np.array([[10, 1, 2], [1, 11, 3], [2, 3, 12.0]])


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip("the real data are not here")
    return DATA / name


def xyz(keys: str = f'polarizability="{TENSOR}"', frames: int = 3, cell: str = 'Lattice="4 0 0 0 5 0 0 0 6" ') -> str:
    return f"2\n{cell}Properties=species:S:1:pos:R:3 {keys}\nNa 0 0 0\nCl 1 2 3\n" * frames


def labels_of(text: str, tmp_path: Path, quantity=None, unit="bohr^3", tensor_key=None, warnings=None):
    file = tmp_path / "labels.extxyz"
    file.write_text(text)
    warn = pytest.fail if warnings is None else warnings.append
    return read_labels([file], "auto", quantity, unit, warn, tensor_key=tensor_key)


@pytest.mark.parametrize(
    "name, unit, factor",
    [
        ("agi/labels.extxyz", "bohr^3", ANGSTROM3_PER_BOHR3),
        ("samples/allegropol_sio2_201.extxyz.gz", "e^2 angstrom^2/eV", COULOMB_EV_ANGSTROM),
        ("samples/qm7x_reduced_100.xyz", "bohr^3", ANGSTROM3_PER_BOHR3),
    ],
)
def test_real_labels_as_ase_reads_them(name, unit, factor):
    file = real(name)
    warnings: list[str] = []
    labels = read_labels([file], "auto", None, unit, warnings.append)
    expected = ase.io.read(file, index=":", format="extxyz", parallel=False)
    assert len(labels) == len(expected)
    for k in (0, len(expected) // 2, len(expected) - 1):
        frames = labels.take([k]).frames
        tensor = np.reshape(expected[k].info["polarizability"], (3, 3)) * factor
        assert np.allclose(labels.polarizability[k], (tensor + tensor.T) / 2, rtol=1e-12)
        assert np.array_equal(frames.positions, expected[k].positions)
        assert frames.numbers.tolist() == expected[k].numbers.tolist()
        assert np.array_equal(frames.cells[0], expected[k].cell.array)
        assert labels.source[k] == f"{file}, frame {k}"


@pytest.mark.parametrize("value", [MATRIX, MATRIX.ravel(), MATRIX.tolist()])
def test_what_ase_writes(value, tmp_path):
    atoms = Atoms("NaCl", positions=[[0, 0, 0], [1, 2, 3]], cell=[4, 5, 6], pbc=True)
    atoms.info["alpha"] = value
    ase.io.write(tmp_path / "a.xyz", [atoms, atoms], format="extxyz")
    labels = read_labels([tmp_path / "a.xyz"], "auto", None, "angstrom^3", pytest.fail)
    assert np.array_equal(labels.polarizability, [MATRIX, MATRIX])


def test_dielectric_tensor(tmp_path):
    labels = labels_of(xyz(f'epsilon="{TENSOR}"'), tmp_path, unit=None)
    assert np.allclose(labels.polarizability[1], 120 * (MATRIX - np.eye(3)) / (4 * np.pi), rtol=1e-14)


def test_outcars_are_turned_into_polarizabilities(tmp_path):
    files = [real(f"sio2/outcar/{frame:06d}.OUTCAR.gz") for frame in (10, 20)]
    warnings: list[str] = []
    labels = read_labels(files, "auto", None, None, warnings.append)
    epsilon = np.array(
        [[2.534301, 0.0088305, -0.0052615], [0.0088305, 2.548085, -0.005494], [-0.0052615, -0.005494, 2.577736]]
    )
    volume = 4.87343 * 4.220514 * 5.37419
    assert np.allclose(labels.polarizability[0], volume * (epsilon - np.eye(3)) / (4 * np.pi), rtol=1e-12)
    assert labels.source == tuple(map(str, files)) and labels.frames.periodic.all() and not warnings


def test_table_labels_are_those_of_the_outcars(tmp_path):
    index = build_index([real("sio2/XDATCAR.gz")], "auto", tmp_path, None, pytest.fail)
    labels = read_table_labels(real("sio2/alpha.dat"), ORDER, "dielectric", None, index, 9, 10, pytest.fail)
    assert len(labels) == 1000 and labels.frames.index[[0, 1, 999]].tolist() == [9, 19, 9999]
    outcars = [real(f"sio2/outcar/{frame:06d}.OUTCAR.gz") for frame in (10, 20, 5000, 10000)]
    same = read_labels(outcars, "outcar", "dielectric", None, pytest.fail)
    mine = labels.take([0, 1, 499, 999])
    assert np.abs(mine.polarizability - same.polarizability).max() < 1e-5
    cell = mine.frames.cells[0]
    shift = (mine.frames.positions - same.frames.positions) @ np.linalg.inv(cell)
    assert np.abs(shift - np.round(shift)).max() < 1e-7


@pytest.mark.parametrize(
    "first, every, message",
    [(10, 10, r"1000 lines.*end at frame 10000.*only 999 lines fit"), (0, 11, r"only 910 lines fit")],
)
def test_table_longer_than_the_trajectory(first, every, message, tmp_path):
    index = build_index([real("sio2/XDATCAR.gz")], "auto", tmp_path, None, pytest.fail)
    with pytest.raises(DataError, match=message):
        read_table_labels(real("sio2/alpha.dat"), ORDER, "dielectric", None, index, first, every, pytest.fail)


def test_table_needs_quantity_and_order(tmp_path):
    with pytest.raises(DeckError, match=r"reference.quantity"):
        read_table_labels(tmp_path / "a", ORDER, None, None, None, 0, 1, pytest.fail)
    with pytest.raises(DeckError, match=r"reference.order: give the order"):
        read_table_labels(tmp_path / "a", None, "dielectric", None, None, 0, 1, pytest.fail)
    with pytest.raises(DeckError, match=r"xx, yy, zz, xy, yz is not six or nine"):
        read_table_labels(tmp_path / "a", ORDER[:5], "dielectric", None, None, 0, 1, pytest.fail)


@pytest.mark.parametrize("unit", [None, "eV"])
def test_polarizability_needs_its_unit(unit, tmp_path):
    with pytest.raises(DeckError, match=r"reference.unit.*angstrom\^3, bohr\^3, e\^2 angstrom\^2/eV"):
        labels_of(xyz(), tmp_path, unit=unit)


def test_dielectric_tensor_has_no_unit(tmp_path):
    with pytest.raises(DeckError, match=r"reference.unit: a dielectric tensor has no unit"):
        labels_of(xyz(f'epsilon="{TENSOR}"'), tmp_path)


def test_outcar_holds_no_polarizability(tmp_path):
    with pytest.raises(DeckError, match=r"reference.unit: the unit of outcar files is known"):
        read_labels([tmp_path / "OUTCAR"], "auto", "polarizability", "bohr^3", pytest.fail)


@pytest.mark.parametrize(
    "keys, quantity, tensor_key, message",
    [
        (
            'energy=1 dipole="1 2 3"',
            None,
            None,
            r"labels.extxyz, line 2 \(frame 0\): no polarizability, dielectric tensor or .*: .* has energy, dipole",
        ),
        (f'polarizability="{TENSOR}" alpha="{TENSOR}"', None, None, r"several tensors, polarizability, alpha"),
        (f'polarizability="{TENSOR}"', "dielectric", None, r"no dielectric: the comment line has polarizability"),
        (f'mine="{TENSOR}"', None, "yours", r"reference.tensor is 'yours', the comment line has mine"),
        ('polarizability="1 2 3 4 5 6"', None, None, r"6 numbers, whose order the file does not say"),
        ('polarizability="1 2 3"', None, None, r"needs nine numbers"),
        ('polarizability="1 2 3 4 x 6 7 8 9"', None, None, r"needs nine numbers"),
        ('polarizability="1 2 3 4 nan 6 7 8 9"', None, None, r"labels.extxyz, line 2 .*nine numbers"),
    ],
)
def test_wrong_tensors(keys, quantity, tensor_key, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(xyz(keys), tmp_path, quantity, tensor_key=tensor_key)


def test_named_tensor(tmp_path):
    text = xyz(f'mine="{TENSOR}" alpha="9 0 0 0 9 0 0 0 9"')
    labels = labels_of(text, tmp_path, "polarizability", "angstrom^3", "mine")
    assert np.array_equal(labels.polarizability[0], MATRIX)
    with pytest.raises(DeckError, match=r"reference.quantity.*'mine' does not say"):
        labels_of(text, tmp_path, None, "angstrom^3", "mine")


def test_one_frame_without_tensor(tmp_path):
    with pytest.raises(DataError, match=r"line 14 \(frame 3\): no 'polarizability': the comment line has energy"):
        labels_of(xyz() + xyz("energy=3", 1), tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        (xyz(f'epsilon="{TENSOR}"', cell=""), r"periodic in all three directions.*\[False, False, False\]"),
        (xyz(f'pbc="T T F" epsilon="{TENSOR}"'), r"\[True, True, False\]"),
    ],
)
def test_dielectric_needs_a_periodic_cell(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(text, tmp_path, unit=None)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("Cl 1 2 3", "Cl 1 2 inf", r"line 4 \(frame 0\): expected a number in column 4"),
        ("Cl 1 2 3", "Cl 1 2 x", r"line 4"),
        ("4 0 0 0 5 0", "4 0 0 4 0 0", r"no volume"),
        ("Na 0 0 0\n", "", r"line 5.*number of atoms"),
    ],
)
def test_wrong_structures(old, new, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(xyz().replace(old, new, 1), tmp_path)


@pytest.mark.parametrize("wrong, strong", [(1.1, False), (3.0, True)])
def test_asymmetry_is_told(wrong, strong, tmp_path):
    warnings: list[str] = []
    text = xyz() + xyz(f'polarizability="10 {wrong} 2 1 11 3 2 3 12"', 1)
    labels = labels_of(text, tmp_path, unit="angstrom^3", warnings=warnings)
    assert labels.polarizability[3, 0, 1] == labels.polarizability[3, 1, 0] == pytest.approx((wrong + 1) / 2)
    assert len(warnings) == 1 and "frame 3" in warnings[0] and f"{(wrong - 1) / 12:.2g}" in warnings[0]
    assert ("above 0.05" in warnings[0]) == strong


def test_all_bad_files_are_data_of_one_error(tmp_path):
    files = [tmp_path / f"{k:02d}.OUTCAR" for k in range(13)]
    files[0].write_bytes(outcar_text())
    for file in files[1:]:
        file.write_text("cut short")
    files[1].write_bytes(outcar_text().replace(b"NIONS", b"ATOMS"))
    with pytest.raises(BadFilesError) as caught:
        read_labels(files, "auto", None, None, pytest.fail)
    error = pickle.loads(pickle.dumps(caught.value))  # ranks send errors to each other
    assert error.total == 13 and [file for file, _ in error.reasons] == list(map(str, files[1:]))
    assert error.reasons[0][1].startswith("no cell and positions before the first iteration")
    assert {reason[:30] for _, reason in error.reasons[1:]} == {"the calculation did not finish"}
    lines = str(error).splitlines()
    assert lines[0].startswith("12 of 13 files cannot be used") and len(lines) == 13
    assert lines[12].startswith(f"  {files[12]}: the calculation did not finish")


def test_the_error_of_a_single_file_names_file_and_line(tmp_path):
    (tmp_path / "OUTCAR").write_bytes(outcar_text().replace(b"3.500000", b"********"))
    with pytest.raises(FileError, match="expected three numbers") as caught:
        read_labels([tmp_path / "OUTCAR"], "auto", None, None, pytest.fail)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.file == str(tmp_path / "OUTCAR") and str(error) == f"{error.file}, line {error.line}: {error.reason}"


def test_formats(tmp_path):
    file = tmp_path / "labels"
    file.write_text(xyz())
    assert len(read_labels([file], "auto", None, "bohr^3", pytest.fail)) == 3
    file.write_text("hello\n")
    with pytest.raises(DataError, match=r"the format is not recognised"):
        read_labels([file], "auto", None, "bohr^3", pytest.fail)
    with pytest.raises(DeckError, match=r"'cube' is not one of"):
        read_labels([file], "cube", None, "bohr^3", pytest.fail)
    with pytest.raises(DataError, match=r"no file matches"):
        read_labels([], "auto", None, "bohr^3", pytest.fail)
    with pytest.raises(DataError, match=r"No such file"):
        read_labels([tmp_path / "no.xyz"], "auto", None, "bohr^3", pytest.fail)


def outcars(tmp_path, *texts: bytes) -> list[Path]:
    files = [tmp_path / f"{number}.OUTCAR" for number in range(len(texts))]
    for file, text in zip(files, texts):
        file.write_bytes(text)
    return files


def test_labels_that_are_not_converged_are_refused_left_out_or_used(tmp_path):
    files = outcars(tmp_path, outcar_text(), outcar_text(after=loop(60, "")), outcar_text())
    with pytest.raises(DataError, match=r"1 of 3 files(.|\n)*1.OUTCAR.*after 60 iter(.|\n)*reference.unconverged"):
        read_labels(files, "auto", None, None, pytest.fail)
    for use, count in (("leave_out", 2), ("use", 3)):
        warnings: list[str] = []
        labels = read_labels(files, "auto", None, None, warnings.append, unconverged=use)
        assert len(labels) == count
        assert len(warnings) == 1 and "1 of 3 labels are not converged" in warnings[0]
        assert f"reference.unconverged: {use}" in warnings[0] and "after 60 iterations" in warnings[0]
        assert labels.unconverged == ((str(files[1]),) if use == "use" else ())
        assert labels.left_out == ((f"{files[1]} (not converged)",) if use == "leave_out" else ())
    assert read_labels(files, "auto", None, None, [].append, unconverged="use").take([0]).unconverged == ()
    with pytest.raises(DataError, match="leaves none"):
        read_labels(files[1:2], "auto", None, None, [].append, unconverged="leave_out")


def test_what_is_damaged_stays_refused(tmp_path):
    files = outcars(tmp_path, outcar_text(), outcar_text(after=loop(60, "")), outcar_text(end="Total"))
    for use in ("leave_out", "use"):
        with pytest.raises(DataError, match=r"1 of 3 files.*\n.*2.OUTCAR.*did not finish"):
            read_labels(files, "auto", None, None, pytest.fail, unconverged=use)


def test_metallic_labels_are_named(tmp_path):
    warnings: list[str] = []
    read_labels(outcars(tmp_path, bands(2, 2, 0), bands(2, 1.2, 0.8)), "auto", None, None, warnings.append)
    assert len(warnings) == 1
    assert "1 of 2 labels" in warnings[0] and "1.OUTCAR (partly filled bands)" in warnings[0]
