"""Polarizability series made by other programs."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.readers.series.formats import read_series
from tests.helpers import DATA

SIX = ["xx", "yy", "zz", "xy", "yz", "zx"]
NINE = ["xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz"]
MATRIX = np.array([[1, 4, 6], [4, 2, 5], [6, 5, 3.0]])


def series_of(
    text: str,
    tmp_path,
    order=SIX,
    quantity="polarizability",
    unit="angstrom^3",
    volume=None,
    name="alpha.dat",
    format="auto",
):
    file = tmp_path / name
    file.write_text(text)
    return read_series(file, format, order, quantity, unit, volume)


@pytest.mark.parametrize(
    "row, order",
    [
        ("1 2 3 4 5 6", SIX),
        ("1 2 3 4 6 5", ["xx", "yy", "zz", "xy", "xz", "yz"]),
        ("1 4 6 4 2 5 6 5 3", NINE),
        ("7 0.5 1 2 3 4 5 6", ["step", "time", *SIX]),
        ("1 2 3 99 4 5 6", ["xx", "yy", "zz", "skip", "xy", "yz", "zx"]),
    ],
)
def test_tables(row, order, tmp_path):
    value, steps, messages = series_of(f"# alpha\n\n{row}  # first\n{row}\n", tmp_path, order)
    assert np.array_equal(value, [MATRIX, MATRIX]) and not messages
    assert steps is None or steps.tolist() == [7, 7]


def test_units(tmp_path):
    value, _, _ = series_of("1 2 3 4 5 6\n", tmp_path, unit="bohr^3")
    assert np.allclose(value[0], MATRIX * ANGSTROM3_PER_BOHR3)
    value, _, messages = series_of("1 2 3 4 5 6\n", tmp_path, quantity="dielectric", unit=None, volume=100.0)
    assert np.allclose(value[0], 100 * (MATRIX - np.eye(3)) / (4 * np.pi)) and not messages
    value, _, messages = series_of("1 2 3 4 5 6\n", tmp_path, quantity="dielectric", unit=None)
    assert np.allclose(value[0], (MATRIX - np.eye(3)) / (4 * np.pi)) and "arbitrary units" in messages[0]


def test_gpumd():
    file = DATA / "samples/bazro3_tnep_300K_polarizability_8fs.out.gz"
    if not file.exists():
        pytest.skip("the real data are not here")
    table = np.loadtxt(file)
    value, steps, messages = read_series(file, "gpumd", None, "polarizability", "angstrom^3", None)
    assert np.array_equal(value[:, [0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]], table[:, 1:])
    assert steps.tolist() == list(range(0, 19208, 8)) and not messages


def test_gpumd_by_name(tmp_path):
    value, steps, _ = series_of("0 1 2 3 4 5 6\n8 1 2 3 4 5 6\n", tmp_path, None, name="polarizability.out")
    assert np.array_equal(value[1], MATRIX) and steps.tolist() == [0, 8]


def test_sio2_table(tmp_path):
    file = DATA / "sio2/alpha.dat"
    if not file.exists():
        pytest.skip("the real data are not here")
    value, _, _ = read_series(file, "auto", SIX, "dielectric", None, 4 * np.pi)
    assert np.allclose(
        value[0, [0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]],
        [1.534301, 1.548085, 1.577736, 0.008830, -0.005494, -0.005261],
        rtol=1e-12,
    )


@pytest.mark.parametrize("shape, order", [((5, 3, 3), None), ((5, 9), NINE), ((5, 6), SIX)])
def test_npy(shape, order, tmp_path):
    row = {3: MATRIX, 2: MATRIX.ravel() if shape[-1] == 9 else np.arange(1, 7)}[len(shape)]
    np.save(tmp_path / "a.npy", np.broadcast_to(row, shape).astype(np.float32))
    value, _, _ = read_series(tmp_path / "a.npy", "auto", order, "polarizability", "angstrom^3", None)
    assert np.array_equal(value, np.broadcast_to(MATRIX, (5, 3, 3)))


@pytest.mark.parametrize(
    "array, order, error, message",
    [
        (np.ones((5, 6)), None, DeckError, r"series.order: give the order"),
        (np.ones((5, 6)), NINE, DataError, r"6 columns where series.order names 9"),
        (np.ones(5), SIX, DataError, r"shape \(5,\)"),
        (np.ones((0, 3, 3)), None, DataError, r"shape \(0, 3, 3\)"),
        (np.full((2, 3, 3), np.nan), None, DataError, r"tensor 1: .*not finite"),
        (np.full((2, 3, 3), 1j), None, DataError, r"real numbers"),
    ],
)
def test_npy_mistakes(array, order, error, message, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(error, match=message):
        read_series(tmp_path / "a.npy", "auto", order, "polarizability", "angstrom^3", None)


def test_not_npy(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read as a .npy"):
        series_of("1 2 3", tmp_path, name="a.npy")


def test_npy_whose_header_asks_for_any_memory(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**10, 3, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(720))
    with pytest.raises(DataError, match=r"a\.npy: cannot be read as a .npy array \(mmap length is greater"):
        read_series(tmp_path / "a.npy", "auto", None, "polarizability", "angstrom^3", None)


def xyz(key: str, frames: int = 3) -> str:
    return "".join(
        f'1\nLattice="4 0 0 0 5 0 0 0 6" step={10 * k} {key}="1 4 6 4 2 5 6 5 3"\nNa 0 0 0\n' for k in range(frames)
    )


def test_extended_xyz(tmp_path):
    value, steps, _ = series_of(xyz("alpha"), tmp_path, None, name="a.xyz")
    assert np.array_equal(value[2], MATRIX) and steps.tolist() == [0, 10, 20]
    value, _, messages = series_of(xyz("epsilon"), tmp_path, None, "dielectric", None, name="a.xyz")
    assert np.allclose(value[0], 120 * (MATRIX - np.eye(3)) / (4 * np.pi)) and not messages
    with pytest.raises(DataError, match=r"no polarizability: the comment line has step, beta"):
        series_of(xyz("beta"), tmp_path, None, name="a.xyz")


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 2 3 4 5 6\n1 2 3 4 5\n", r"alpha.dat, line 2: 5 columns, the order names 6"),
        ("# c\n\n1 2 3 4 5 6\n1 2 3 4 5 x\n", r"line 4: expected 6 numbers, found '1 2 3 4 5 x'"),
        ("1 2 3 4 5 6\n# c\n1 2 3 4 5 nan\n", r"line 3: not a finite number"),
        ("1 2 3 4 5 6\n1 2 3 4 5 1e999\n", r"line 2: not a finite number"),
        ("# c\n1 2 3 4 5 6 7 8 9\n", r"line 2: 9 columns, the order names 6"),
        ("", r"no numbers in the file"),
        ("# only a comment\n", r"no numbers in the file"),
        ("\ufffd\x00\n", r"line 1"),
    ],
)
def test_table_mistakes(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        series_of(text, tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"order": None}, r"series.order: give the order of the columns, for example \[xx, yy, zz, xy, yz, zx\]"),
        ({"order": ["xx", "yy", "zz", "xy", "yx", "zx"]}, r"not six or nine different"),
        ({"unit": None}, r"series.unit: a polarizability needs its unit"),
        ({"quantity": "dielectric"}, r"series.unit: a dielectric tensor has no unit"),
        ({"format": "hdf5"}, r"series.format"),
    ],
)
def test_deck_mistakes(changes, message, tmp_path):
    with pytest.raises(DeckError, match=message):
        series_of("1 2 3 4 5 6\n", tmp_path, **changes)


def test_uneven_steps_and_asymmetry_are_told(tmp_path):
    rows = "0 1 4 6 4 2 5 6 5 3\n5 1 4 6 4 2 5 6 5 3\n9 1 4 6 5 2 5 6 5 3\n"
    _, _, messages = series_of(rows, tmp_path, ["step", *NINE])
    assert "step 9 follows 5" in messages[0]
    assert "tensor 3" in messages[1] and "above 0.05" in messages[1]


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"no.dat"):
        read_series(tmp_path / "no.dat", "auto", SIX, "polarizability", "bohr^3", None)


def test_packed_table(tmp_path):
    (tmp_path / "a.dat.gz").write_bytes(gzip.compress(b"1 2 3 4 5 6\n" * 4))
    assert len(read_series(tmp_path / "a.dat.gz", "auto", SIX, "polarizability", "bohr^3", None)[0]) == 4
    (tmp_path / "a.dat.gz").write_bytes(gzip.compress(b"1 2 3 4 5 6\n" * 4)[:-10])
    with pytest.raises(DataError, match=r"a.dat.gz"):
        read_series(tmp_path / "a.dat.gz", "auto", SIX, "polarizability", "bohr^3", None)


@pytest.mark.parametrize("end", ["", "\n"])
def test_table_without_a_last_line_end(end, tmp_path):
    lines = "".join(f"{k}.25 3.5 3.6 0.01 0.02 0.03\n" for k in range(3))
    (tmp_path / "a.dat").write_text(lines[:-1] + end)
    read_series(tmp_path / "a.dat", "table", ["xx", "yy", "zz", "xy", "yz", "zx"], "dielectric", None, 1.0)


@pytest.mark.parametrize("cut", [2, 3, 4, 58])  # the last within the first line
def test_table_cut_inside_its_last_number(cut, tmp_path):
    lines = "".join(f"{k}.25 3.5 3.6 0.01 0.02 0.03\n" for k in range(3))
    (tmp_path / "a.dat").write_text(lines[:-cut])
    with pytest.raises(DataError, match=r"the last line has no line end"):
        read_series(tmp_path / "a.dat", "table", ["xx", "yy", "zz", "xy", "yz", "zx"], "dielectric", None, 1.0)
