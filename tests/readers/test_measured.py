"""Measured spectra as instruments and databases write them."""

import gzip

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.measured import read_measured
from mlraman_hpc.reports.jcamp_dx import jcamp_dx

SHIFT, INTENSITY = [100.5, 101.0, 101.5, 102.0], [3.0, 12.25, -1.0, 1000.0]
COLUMNS = {
    "blanks": "# shift intensity\n100.5 3\n101.0 12.25\n101.5 -1\n102 1e3\n",
    "commas": "Raman shift,Intensity\n100.5,3\n101.0,12.25\n101.5,-1\n102,1000\n",
    "semicolons and decimal commas": "Verschiebung;Intensität\n100,5;3\n101,0;12,25\n101,5;-1,0\n102;1000\n",
    "tabs and decimal commas": "100,5\t3\n101,0\t12,25\n101,5\t-1\n102\t1000\n",
    "blanks and decimal commas": "100,5 3\n101,0 12,25\n101,5 -1\n102 1000\n",
    "RRUFF": "##NAMES=Quartz\n##RRUFFID=R000000\n100.5, 3\n101.0, 12.25\n101.5, -1\n102.0, 1000\n##END=\n",
    "falling": "102 1000\n101.5 -1\n101.0 12.25\n100.5 3\n",
    "rod": "data_1\nloop_\n_raman_spectrum.raman_shift\n_raman_spectrum.intensity\n"
    "100.5 3\n101 12.25(3)\n# a comment\n\n101.5 -1\n102 1000\nloop_\n_x\n1\n",
}
HEAD = "##TITLE=t\n##JCAMP-DX=4.24\n##DATA TYPE=RAMAN SPECTRUM\n##XUNITS=1/CM\n"
ORDERED = HEAD + "##FIRSTX=100.5\n##LASTX=102\n##XFACTOR=1\n##YFACTOR=0.25\n##NPOINTS=4\n##XYDATA=(X++(Y..Y))\n"
PACKED = {  # 12, 49, -4, 4000 in units of 0.25
    "as they are": "100.5 12 49\n101.5 -4 4000\n##END=\n",
    "PAC": "100.5+12+49\n101.5-4+4000\n##END=\n",
    "SQZ": "100.5A2D9\n101.5d D000\n##END=\n",
    "DIF": "100.5A2L7n3\n102d M004\n102D000 $$ check\n##END=\n",
}


def written(tmp_path, text, name="measured.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def check(path):
    shift, intensity = read_measured(path)
    np.testing.assert_allclose(shift, SHIFT, rtol=1e-12)
    np.testing.assert_allclose(intensity, INTENSITY, rtol=1e-12)


@pytest.mark.parametrize("text", COLUMNS.values(), ids=COLUMNS)
def test_two_columns(tmp_path, text):
    check(written(tmp_path, text))


@pytest.mark.parametrize("text", PACKED.values(), ids=PACKED)
def test_jcamp_dx_with_equal_steps(tmp_path, text):
    check(written(tmp_path, ORDERED + text))


SQUEEZED = {0: "@", **{digit: "ABCDEFGHI"[digit - 1] for digit in range(1, 10)}}
DIFFERENCES = {0: "%", **{digit: "JKLMNOPQR"[digit - 1] for digit in range(1, 10)}}
REPEATS = "-STUVWXYZs"


def packed(value: int, letters: dict[int, str]) -> str:
    digits = str(abs(value))
    first = letters[int(digits[0])]
    return (first if value >= 0 else first.lower()) + digits[1:]


@pytest.mark.parametrize("form", ["AFFN", "PAC", "SQZ", "DIF", "DIFDUP"])
def test_jcamp_dx_of_any_numbers(tmp_path, form):
    """All digits after an X without a point: '10E7' is 10 and 57."""
    values = 7 * np.random.default_rng(0).integers(-3, 4, size=200).cumsum()
    values[20:30] = 5
    rows, start = [], 0
    while start < len(values) - (form.startswith("DIF")):
        part = values[start : start + 9].tolist()
        if form == "AFFN":
            text = " " + " ".join(
                f"{value:.1E}".replace("E+0", "E") if value % 10 == 0 else str(value) for value in part
            )
        elif form == "PAC":
            text = "".join(f"{value:+d}" for value in part)
        elif form == "SQZ":
            text = "".join(packed(value, SQUEEZED) for value in part)
        else:
            text, steps = packed(part[0], SQUEEZED), np.diff(part).tolist()
            while steps:
                count = 1
                while form == "DIFDUP" and count < len(steps) and steps[count] == steps[0]:
                    count += 1
                text += packed(steps[0], DIFFERENCES) + (REPEATS[count] if count > 1 else "")
                steps = steps[count:]
        rows.append(f"{start}{text}")
        start += len(part) - form.startswith("DIF")  # the next line begins with the last value, as a check
    if form.startswith("DIF"):
        rows.append(f"{start}{packed(int(values[-1]), SQUEEZED)}")
    head = ORDERED.replace("FIRSTX=100.5", "FIRSTX=0").replace("LASTX=102", "LASTX=199").replace("=4\n", "=200\n")
    shift, intensity = read_measured(written(tmp_path, head + "\n".join(rows) + "\n##END=\n"))
    np.testing.assert_array_equal(shift, np.arange(200))
    np.testing.assert_allclose(4 * intensity, values, rtol=1e-12)


def test_jcamp_dx_repeats_values(tmp_path):
    """DUP after a value repeats it, after a difference repeats the difference; the next line begins with a check."""
    text = ORDERED.replace("NPOINTS=4", "NPOINTS=7").replace("LASTX=102", "LASTX=103.5")
    _, intensity = read_measured(written(tmp_path, text + "100.5A0UJ1T\n102.5C2%J\n##END=\n"))
    np.testing.assert_allclose(intensity * 4, [10, 10, 10, 21, 32, 32, 33], rtol=1e-12)
    with pytest.raises(DataError, match=r"measured.txt:12: the check at the head of the line is 31, not 32"):
        read_measured(written(tmp_path, text + "100.5A0UJ1T\n102.5C1%J\n##END=\n"))


def test_jcamp_dx_pairs_and_files_of_other_kinds(tmp_path):
    check(written(tmp_path, HEAD + "##XYPOINTS=(XY..XY)\n100.5,3; 101,12.25\n101.5,-1\n102,1000\n##END=\n"))
    with pytest.raises(DataError, match="XUNITS are NANOMETERS"):
        read_measured(written(tmp_path, (ORDERED + PACKED["PAC"]).replace("1/CM", "NANOMETERS")))
    with pytest.raises(DataError, match="3 values, but NPOINTS says 4"):
        read_measured(written(tmp_path, ORDERED + "100.5 12 49 -4\n##END=\n"))
    with pytest.raises(DataError, match=r"measured.txt:11: not JCAMP-DX numbers"):
        read_measured(written(tmp_path, ORDERED + "100.5 12 = 49 -4\n##END=\n"))


def test_what_we_write_we_read(tmp_path):
    x, y = np.arange(0, 400, 0.5), np.random.default_rng(1).normal(size=800) * 1e-7
    shift, intensity = read_measured(written(tmp_path, jcamp_dx(x, y, "α-AgI", ["warning: " + 200 * "x"])))
    np.testing.assert_allclose(shift, x, atol=1e-9)
    np.testing.assert_allclose(intensity, y, atol=1e-8 * abs(y).max())
    assert max(map(len, jcamp_dx(x, y, "t", ["x" * 200]).splitlines())) <= 80


def test_packed_and_other_encodings(tmp_path):
    text = COLUMNS["semicolons and decimal commas"]
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b").write_bytes(text.encode("latin-1"))
    (tmp_path / "c").write_bytes(text.encode("utf-16"))
    for name in ("a.gz", "b", "c"):
        check(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 4\n5 6 7\n", r": line 3: 3 numbers \('5 6 7'\)"),
        ("1 2\n3 4\nend\n5 6\n", r": line 3: not numbers \('end'\)"),
        ("nothing\n", "no numbers in the file"),
        ("1 2\n", "no numbers in the file"),
        (
            COLUMNS["rod"].replace("101 12.25(3)", "101 12.25 3"),
            r": line 6: '101 12.25 3', where 2 values are expected",
        ),
        (COLUMNS["rod"].replace("101 12.25(3)", "101 ?"), r": line 6: '101 \?', where 2 values are expected"),
    ],
)
def test_what_cannot_be_read(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_measured(written(tmp_path, text))
