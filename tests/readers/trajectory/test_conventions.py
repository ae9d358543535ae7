"""What programs write in their own manner: labels of atoms, isotopes, steps, times, files without positions, flips."""

import ase.io
import numpy as np
import pytest
from ase import Atoms

from mlraman_hpc.base.cells import flips
from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.text import atomic_number, isotope_masses, listed_number
from mlraman_hpc.readers.trajectory.index import build_index, read_frames

POSITIONS = 5 * np.random.default_rng(0).uniform(size=(4, 3))


def index_of(path, text, species=None):
    """The index, and what it warned of."""
    path.write_text(text)
    warnings: list[str] = []
    return build_index([path], "auto", path.parent, species, warnings.append), warnings


def xyz(comments, labels=("Ag", "Ag", "I", "I"), positions=POSITIONS) -> str:
    rows = [f"{label} " + " ".join(f"{x:.6f}" for x in row) for label, row in zip(labels, positions)]
    return "".join("\n".join([str(len(rows)), comment, *rows]) + "\n" for comment in comments)


def xdatcar(numbers, labels="Ag I") -> str:
    frame = "\n".join(" ".join(f"{x / 10:12.8f}" for x in row) for row in POSITIONS)
    head = f"made up\n1.0\n10 0 0\n0 10 0\n0 0 10\n{labels}\n2 2\n"
    return head + "".join(f"Direct configuration={number}\n{frame}\n" for number in numbers)


# labels of atoms


@pytest.mark.parametrize(
    ("label", "number"),
    [
        *((label, 47) for label in ("Ag", "Ag+", "ag", "AG", "Ag_pv", "Ag1")),
        *((label, 3) for label in ("Li_sv", "Li_sv/1a2b3c")),
        *((label, 1) for label in ("D", "T", "H12", "d")),
        *((label, None) for label in ("47", "HW", "Xx", "Ow1", "", "X", "+")),
        ("O2-", 8),
        ("Cl-1", 17),
        ("Fe3+", 26),
    ],
)
def test_labels(label, number):
    assert atomic_number(label, {}) == number
    assert atomic_number("Ow", {"Ow": 8}) == 8


def test_numbers_are_elements_only_where_a_column_lists_elements():
    assert atomic_number("47", {}) is None and listed_number("47", {}) == 47
    assert listed_number("1", {"1": 47}) == 47 and listed_number("119", {}) is None


def test_isotopes_have_their_masses():
    assert isotope_masses(["H", "O"], np.array([1, 8])) is None
    assert isotope_masses(["D", "O", "T1"], np.array([1, 8, 1])) == pytest.approx([2.014102, 15.999, 3.016049])


def test_labels_in_files_are_told(tmp_path):
    index, warnings = index_of(tmp_path / "a.xyz", xyz([""], ("Ag+", "47", "I1", "D")))
    assert index.numbers.tolist() == [47, 47, 53, 1] and index.masses[3] == pytest.approx(2.014102)
    assert "47 as Ag, Ag+ as Ag, D as H, I1 as I" in warnings[0]
    with pytest.raises(DataError, match=r"'Ow' is not .* may give it one, as in {HWx: H, Ow: O, Xx: C}"):
        index_of(tmp_path / "b.xyz", xyz([""], ("Ag", "Ow", "HWx", "Xx")))
    index, warnings = index_of(tmp_path / "b.xyz", xyz([""], ("Ag", "Ag", "Ow", "I")), {"Ow": "O"})
    assert index.numbers.tolist() == [47, 47, 8, 53]


def test_an_isotope_in_trajectory_species(tmp_path):
    assert index_of(tmp_path / "XDATCAR", xdatcar([1]), {"Ag": "D"})[0].masses == pytest.approx(
        [2.014102] * 2 + [126.90447] * 2
    )
    with pytest.raises(DeckError, match="beside other atoms of hydrogen"):
        index_of(tmp_path / "XDATCAR", xdatcar([1]), {"Ag": "D", "I": "H"})


def dump(columns: str, rows: list[str]) -> str:
    bounds = "ITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n0 10\n"
    return (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(rows)}\n{bounds}ITEM: ATOMS {columns}\n"
        + "\n".join(rows)
        + "\n"
    )


def test_lammps_type_labels_masses_and_default_elements(tmp_path):
    path = tmp_path / "a.dump"
    index, _ = index_of(path, dump("id typelabel x y z", ["1 Ag+ 1 1 1", "2 I 3 3 3"]))
    assert index.numbers.tolist() == [47, 53]
    index, _ = index_of(path, dump("id type x y z", ["2 D 1 1 1", "1 O1 3 3 3"]))
    assert index.numbers.tolist() == [8, 1] and index.masses == pytest.approx([15.999, 2.014102])
    assert "all are C" in index_of(path, dump("id type element x y z", ["1 1 C 1 1 1", "2 2 C 3 3 3"]))[1][0]
    with pytest.raises(DataError, match="not greater than zero"):
        index_of(path, dump("id type element mass x y z", ["1 1 C 0 1 1 1", "2 2 C 12 3 3 3"]))


def test_a_mapping_for_some_of_the_labels(tmp_path):
    rows = ["1 Ag_ion 1 1 1", "2 Xq 3 3 3"]
    index, warnings = index_of(tmp_path / "a.dump", dump("id typelabel x y z", rows), {"Xq": "I"})
    assert index.numbers.tolist() == [47, 53] and "not used" not in str(warnings)


def test_an_xdatcar_with_empty_lines(tmp_path):
    text = xdatcar([1, 2]).replace("Direct", "\nDirect")
    index, warnings = index_of(tmp_path / "XDATCAR", text)
    frames = read_frames(index, [1])
    assert len(index) == 2 and index.table["line"].tolist() == [9, 15] and not warnings
    assert frames.positions == pytest.approx(np.array(POSITIONS), abs=1e-6)
    with pytest.raises(DataError, match=r"line 13 \(frame 0\): expected three coordinates"):
        read_frames(index_of(tmp_path / "XDATCAR", text.replace(text.split("\n")[12], "x", 1))[0], [0])


def test_momenta_are_velocities_times_masses(tmp_path):
    atoms = Atoms("HO", POSITIONS[:2], cell=[9, 9, 9], pbc=True, masses=[2.0, 16.0], momenta=[[1.0, 2, 3], [4, 5, 6]])
    ase.io.write(tmp_path / "a.xyz", [atoms, atoms], format="extxyz")
    index = build_index([tmp_path / "a.xyz"], "auto", tmp_path, None, pytest.fail)
    assert read_frames(index, [0], velocities=True).velocities == pytest.approx(atoms.get_velocities())


@pytest.mark.parametrize("comment", ['Lattice="0 0 0 0 0 0 0 0 0"', 'Lattice="0 0 0 0 0 0 0 0 0" pbc="F F F"'])
def test_a_lattice_of_zeros_is_a_molecule(comment, tmp_path):
    frames = read_frames(index_of(tmp_path / "a.xyz", xyz([comment]))[0], [0])
    assert not frames.periodic.any() and not frames.cells.any()


# numbers of steps and times


@pytest.mark.parametrize(
    ("step", "interval", "unit"), [(0.001, 10.0, "metal"), (0.0005, 5.0, "metal"), (0.5, 5.0, "real"), (0.03, None, "")]
)
def test_times_of_lammps_extended_xyz(step, interval, unit, tmp_path):
    comments = [f'Timestep={10 * k} Time={10 * k * step:.6f} pbc="F F F"' for k in range(4)]
    index, warnings = index_of(tmp_path / "a.xyz", xyz(comments))
    assert index.frame_interval == (None if interval is None else pytest.approx(interval)) and index.stride == 10
    assert (f"one of units {unit}" in " ".join(warnings)) == bool(unit)


@pytest.mark.parametrize(
    ("numbers", "stride", "has_steps", "warning"),
    [
        ([10, 20, 30], 10, True, ""),
        ([1, 2, 3], 1, True, ""),
        ([10, 20, 40], None, True, "line 18 (frame 2): time step 40 follows 20"),
        ([1, 1, 1], None, False, ""),
        (["", "", ""], None, False, ""),
        (["******", "******", "******"], None, False, ""),
        (["     9", "    10", "    11"], 1, True, ""),
    ],
)
def test_numbers_of_an_xdatcar(numbers, stride, has_steps, warning, tmp_path):
    index, warnings = index_of(tmp_path / "XDATCAR", xdatcar(numbers))
    assert (index.stride, index.has_steps) == (stride, has_steps)
    assert warning in " ".join(warnings) and bool(warnings) == bool(warning)
    if has_steps:
        assert index.steps([0, 1, 2]).tolist() == [int(number) for number in numbers]


def test_an_xdatcar_that_goes_on_in_a_second_file(tmp_path):
    shifted = xdatcar([1, 2]).replace("0.1", "0.2")
    for name, text in (("XDATCAR_1", xdatcar([1, 2])), ("XDATCAR_2", shifted)):
        (tmp_path / name).write_text(text)
    files = [tmp_path / "XDATCAR_1", tmp_path / "XDATCAR_2"]
    index = build_index(files, "auto", tmp_path, None, lambda text: None)
    assert index.stride == 1 and not index.has_steps


def test_an_incar_beside_an_xdatcar(tmp_path):
    (tmp_path / "INCAR").write_text("IBRION = 0 ; POTIM = 2.0  ! fs\nNBLOCK = 5\n")
    index, _ = index_of(tmp_path / "XDATCAR", xdatcar([5, 10]))
    assert index.time_step == (2.0, str(tmp_path / "INCAR"))
    (tmp_path / "INCAR").write_text("IBRION = 2\nPOTIM = 0.5\n")
    assert index_of(tmp_path / "XDATCAR", xdatcar([5, 10]))[0].time_step is None


# files without positions


@pytest.mark.parametrize(
    ("name", "what"), [("run-vel-1.xyz", "velocities"), ("AgI-frc-1.xyz", "forces"), ("a-vel-2.xyz", "velocities")]
)
def test_velocities_and_forces_of_cp2k_are_refused_by_name(name, what, tmp_path):
    with pytest.raises(DataError, match=f"{name}: by its name this file of CP2K holds {what}, not positions"):
        index_of(tmp_path / name, xyz([" i = 0, time = 0.000, E = -1.0"]))


@pytest.mark.parametrize("name", ["run-pos-1.xyz", "velvet-1.xyz", "mar-vel.xyz"])
def test_other_names_are_no_reason(name, tmp_path):
    assert len(index_of(tmp_path / name, xyz([" i = 0, time = 0.000, E = -1.0"]))[0]) == 1


def test_what_is_too_dense_to_be_positions_is_refused(tmp_path):
    with pytest.raises(DataError, match="are these velocities or forces"):
        index_of(tmp_path / "a.xyz", xyz([""], ["Ag"] * 4, 0.01 * POSITIONS))


# cells that flip


def test_flips_of_a_tilted_cell():
    """xy of a cell that is sheared steadily, brought back between -1/2 and 1/2 of the width as LAMMPS does."""
    tilt = np.linspace(0, 17, 60)
    cells = np.tile(np.diag([10.0, 11, 12]), (60, 1, 1))
    smooth = cells.copy()
    smooth[:, 1, 0], cells[:, 1, 0] = tilt, tilt - 10 * np.round(tilt / 10)
    assert flips(smooth) is None
    assert flips(cells) @ cells == pytest.approx(smooth)
    assert np.round(np.linalg.det(flips(cells))).tolist() == [1] * 60
    jumping = np.where(np.arange(60)[:, None, None] < 30, cells[:1], 2.6 * cells[:1])
    assert flips(jumping) is None
