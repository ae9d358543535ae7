"""Tensors that CP2K and i-PI write along a run: as a series, and as labels on the frames of the same time steps."""

from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckKeyError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.readers.series.formats import read_series, stated_interval
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index, read_frames

FILES = Path(__file__).parent / "files"
POLAR = FILES / "cp2k_md-1.polar"
ROWS = np.loadtxt(POLAR)
MADE_ANEW = [0, 1, 2, 5, 6, 7, 8]  # rows of steps 0 to 6: 3 and 4 were written again
KEPT = ROWS[MADE_ANEW, 2:].reshape(-1, 3, 3) * ANGSTROM3_PER_BOHR3
SYMMETRIC = (KEPT + KEPT.transpose(0, 2, 1)) / 2


def series(file, unit=None, format="auto", order=None):
    return read_series(file, format, order, "polarizability", unit, None)


def index_of(folder):
    for name in ("pos-1.xyz", "1.cell"):
        copy(FILES / f"cp2k_md-{name}", folder)
    return build_index([folder / "cp2k_md-pos-1.xyz"], "auto", folder / "cache", None, lambda text: None)


def test_tensors_of_cp2k_along_a_run():
    value, steps, messages = series(POLAR)
    assert value == pytest.approx(SYMMETRIC, rel=1e-12) and steps.tolist() == [*range(7)]
    assert "2 tensors of time steps that it wrote again are left out" in messages[0]
    assert stated_interval(POLAR, "auto") == 0.5
    with pytest.raises(DeckKeyError, match=r"series.unit.*cp2k files are in bohr\^3; remove 'angstrom\^3'"):
        series(POLAR, "angstrom^3")


def test_blocks_of_tensors_of_cp2k():
    value, steps, _ = series(FILES / "cp2k_md-raman-1.data")
    before = ROWS[:5, 2:].reshape(-1, 3, 3)
    expected = (before + before.transpose(0, 2, 1)) / 2 * ANGSTROM3_PER_BOHR3
    assert value == pytest.approx(expected, abs=1e-5) and steps is None
    assert stated_interval(FILES / "cp2k_md-raman-1.data", "auto") is None


def test_damaged_files_of_cp2k(tmp_path):
    file = tmp_path / "a-1.polar"
    text = POLAR.read_text()
    file.write_text(text.replace("0.85779416", "0.8577x416"))
    with pytest.raises(DataError, match=r"a-1.polar, line 3: expected 11 numbers"):
        series(file)
    file.write_text(text.replace("xx [a.u.]", "xx [Angstrom^3]"))
    with pytest.raises(DataError, match=r"a-1.polar, line 1: the first line does not name nine components"):
        series(file)
    for step in ("1.5", "1e30"):
        file.write_text(text.replace("       1       0.500", f"     {step}       0.500"))
        with pytest.raises(DataError, match="a time step is not a whole number"):
            series(file)
    file = tmp_path / "a-raman-1.data"
    file.write_text("POLARIZABILITY TENSOR (Angstrom^3):\n")
    with pytest.raises(DataError, match=r"block 0 of the tensor is damaged"):
        series(file)
    file.write_text((FILES / "cp2k_md-raman-1.data").read_text().replace("1.74501", "*******"))
    with pytest.raises(DataError, match=r"block 2 of the tensor is damaged"):
        series(file)
    file = tmp_path / "run.out"
    file.write_text(" CP2K| version string:   CP2K version 2023.1\n")
    with pytest.raises(DataError, match=r"the tensors along a run are in PROJECT-1.polar"):
        series(file)


def test_labels_on_the_frames_of_their_time_steps(tmp_path):
    index, warnings = index_of(tmp_path), []
    labels = read_table_labels(POLAR, None, None, None, index, 0, 1, warnings.append)
    frames = read_frames(index, np.arange(7))
    assert labels.polarizability == pytest.approx(SYMMETRIC, rel=1e-12)
    assert (labels.frames.positions == frames.positions).all() and (labels.frames.cells == frames.cells).all()
    text = POLAR.read_text().splitlines(keepends=True)
    (tmp_path / "b-1.polar").write_text(text[0] + text[3] + text[6].replace("3       1.500", "9       4.500"))
    warnings.clear()
    labels = read_table_labels(tmp_path / "b-1.polar", None, None, None, index, 0, 1, warnings.append)
    assert labels.frames.index.tolist() == [2] and "1 of 2 time steps have no frame" in warnings[0]
    (tmp_path / "b-1.polar").write_text(text[0] + text[6].replace("3       1.500", "9       4.500"))
    with pytest.raises(DataError, match=r"its time steps, 9 to 9, are none of the trajectory's, 0 to 6"):
        read_table_labels(tmp_path / "b-1.polar", None, None, None, index, 0, 1, warnings.append)


def test_an_output_of_a_run_names_the_file_with_the_tensors(tmp_path):
    file = tmp_path / "run.out"
    file.write_text(" CP2K| version\n GLOBAL| Run type    MD\n PROGRAM ENDED AT 1\n")
    with pytest.raises(DataError, match=r"the run type is MD.*give the PROJECT-1.polar of a run"):
        read_labels([file], "auto", None, None, pytest.fail)


def test_extras_of_i_pi(tmp_path):
    file = tmp_path / "run.polarizability_0"
    rows = [f" #EXTRAS(polarizability)# Step:  {step:10d} \n1 2 3\n2 5 6\n3 6 {step}.5\n" for step in (10, 20, 30)]
    file.write_text("".join(rows))
    value, steps, messages = series(file, "bohr^3")
    assert steps.tolist() == [10, 20, 30] and not messages
    expected = np.array([[[1, 2, 3], [2, 5, 6], [3, 6, step + 0.5]] for step in (10, 20, 30)])
    assert value == pytest.approx(expected * ANGSTROM3_PER_BOHR3)
    with pytest.raises(DeckKeyError, match=r"series.unit"):
        series(file)
    file.write_text("".join(rows)[:-7])
    value, _, messages = series(file, "bohr^3")
    assert len(value) == 2 and "the last tensor is incomplete; the 2 before it are used" in messages[0]
    file.write_text(rows[0].replace("1 2 3", "1 2 3 4") + rows[1])
    with pytest.raises(DataError, match=r"line 1: nine numbers must follow"):
        series(file, "bohr^3")
