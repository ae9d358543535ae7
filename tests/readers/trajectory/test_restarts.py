"""Runs started again from a state before their last frame, and CP2K's file of cells beside the positions."""

from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory.index import build_index, files_beside, read_frames
from tests.readers.trajectory.test_conventions import index_of, xdatcar

FILES = Path(__file__).parents[1] / "files"
CELLS = np.loadtxt(FILES / "cp2k_md-1.cell")


def run(folder, *names) -> list[Path]:
    """Copies of CP2K's files, of which the first is the trajectory."""
    return [Path(copy(FILES / f"cp2k_md-{name}", folder)) for name in names]


def index_with_warnings(files, cell=None):
    warnings: list[str] = []
    return build_index(files, "auto", files[0].parent / "cache", None, warnings.append, cell), warnings


def moving(steps, start=0.0) -> str:
    """XYZ in the manner of CP2K of an atom that moves by 0.1 Angstrom a step."""
    rows = [f"2\n i = {step}, time = {0.5 * step}, E = 0\nO {start + 0.1 * step:.6f} 0 0\nH 0 1 0\n" for step in steps]
    return "".join(rows)


def test_what_a_new_start_writes_again_replaces_what_was_there(tmp_path):
    index, warnings = index_with_warnings(run(tmp_path, "pos-1.xyz", "1.cell")[:1])
    assert index.steps(np.arange(len(index))).tolist() == [*range(7)]
    assert (index.frame_interval, index.stride) == (0.5, 1)
    assert (
        "the run was started again at time step 3: 2 frames before, of time steps 3 to 4, are left out" in warnings[0]
    )
    frames = read_frames(index, np.arange(7))
    lines = (FILES / "cp2k_md-pos-1.xyz").read_text().splitlines()
    assert frames.positions[9] == pytest.approx([float(word) for word in lines[27].split()[1:]])  # the second step 3


def test_pieces_that_overlap(tmp_path):
    (tmp_path / "a.xyz").write_text(moving(range(0, 100, 10)))
    (tmp_path / "b.xyz").write_text(moving(range(60, 160, 10)))
    index, warnings = index_with_warnings([tmp_path / "a.xyz", tmp_path / "b.xyz"])
    assert index.steps(np.arange(len(index))).tolist() == [*range(0, 160, 10)] and index.stride == 10
    assert len(warnings) == 1 and "4 frames before, of time steps 60 to 90, are left out" in warnings[0]


def test_started_again_three_times_also_from_before_the_last_start(tmp_path):
    index, warnings = index_of(tmp_path / "a.xyz", "".join(map(moving, (range(9), range(5, 12), range(3, 14)))))
    assert index.steps(np.arange(len(index))).tolist() == [*range(14)] and len(warnings) == 2


@pytest.mark.parametrize(
    "text",
    [moving(range(5)) + moving(range(5)), moving(range(5)) + moving(range(3, 9), start=2.0)],
    ids=["counted from the start again", "atoms elsewhere"],
)
def test_another_run_is_not_taken_for_a_new_start(tmp_path, text):
    index, warnings = index_of(tmp_path / "a.xyz", text)
    assert len(index) == text.count("i =") and "spectra need even spacing" in warnings[0]


def test_gaps_in_the_numbers_of_frames_are_counted(tmp_path):
    _, warnings = index_of(tmp_path / "XDATCAR", xdatcar([10, 20, 40, 50, 70, 80, 90]))
    assert "time step 40 follows 20, where frames so far are 10 steps apart" in warnings[0]
    assert warnings[0].endswith("So in 1 more places.")
    assert not index_of(tmp_path / "XDATCAR", xdatcar([10, 20, 30]))[1]


def test_cells_beside_the_positions(tmp_path):
    files = run(tmp_path, "pos-1.xyz", "1.cell")
    index, warnings = index_with_warnings(files[:1])
    frames = read_frames(index, [6, 3])
    assert frames.cells.reshape(2, 9) == pytest.approx(CELLS[[8, 5], 2:11]) and frames.periodic.all()
    assert "periodic in all directions, with the cell in" in warnings[1]
    assert files_beside(files[:1], "auto") == files[1:] and not files_beside(files[:1], "xdatcar")
    index, warnings = index_with_warnings(files[:1], np.eye(3) * 6)  # trajectory.cell
    assert read_frames(index, [6]).cells[0].tolist() == (np.eye(3) * 6).tolist() and "cell in" not in str(warnings)


def test_a_constant_cell_may_be_printed_less_often(tmp_path):
    (tmp_path / "a-pos-1.xyz").write_text(moving(range(4)))
    rows = "".join(f"{step} {step} 5 0 0 0 6 0 0 0 7 210\n" for step in (0, 2))
    (tmp_path / "a-1.cell").write_text(f"# Step Time [fs] Ax ...\n{rows}3 1.5 5 0 0 0 6")  # still being written
    index, _ = index_with_warnings([tmp_path / "a-pos-1.xyz"])
    assert read_frames(index, [3]).cells[0].tolist() == np.diag([5, 6, 7]).tolist()
    (tmp_path / "a-1.cell").write_text(rows.replace("2 2 5", "2 2 5.5"))
    with pytest.raises(DataError, match=r"line 5 \(frame 1\): .*a-1.cell has no cell of time step 1: it has to be"):
        index_with_warnings([tmp_path / "a-pos-1.xyz"])
    (tmp_path / "a-1.cell").write_text(rows + "x 1 2 3\n")
    with pytest.raises(DataError, match=r"a-1.cell, line 3: expected step, time, nine components .* found 'x 1 2 3'"):
        index_with_warnings([tmp_path / "a-pos-1.xyz"])
