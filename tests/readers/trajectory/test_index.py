"""Trajectories of real codes against ASE's reader, and one test for each thing a file can have wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from tests.helpers import DATA

ARGYRODITE = [f"argyrodite/Li6PS5Cl/50p/run{k}_XDATCAR.gz" for k in range(1, 7)]
ASE_FORMAT = {"xdatcar": "vasp-xdatcar", "extxyz": "extxyz", "lammps-dump": "lammps-dump-text"}


def real(*names: str) -> list[Path]:
    files = [DATA / name for name in names]
    if not all(file.exists() for file in files):
        pytest.skip("the real data are not here")
    return files


def index_of(text: str | bytes | list, tmp_path: Path, name: str = "XDATCAR", format: str = "auto", species=None):
    """Index of files with these contents, and the warnings."""
    texts = text if isinstance(text, list) else [text]
    files = []
    for k, content in enumerate(texts):
        files.append(tmp_path / (name if len(texts) == 1 else f"{k}.{name}"))
        files[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
    warnings: list[str] = []
    return build_index(files, format, tmp_path / "scratch", species, warnings.append), warnings


def all_frames(index):
    return read_frames(index, np.arange(len(index)))


def modulo_cell(shift: np.ndarray, cell: np.ndarray) -> np.ndarray:
    return shift - np.round(shift @ np.linalg.pinv(cell)) @ cell


def assert_like_ase(index, which, scaled=False, **options):
    """Cells, elements and positions (up to lattice vectors) are those that ASE reads."""
    frames = read_frames(index, which)
    assert frames.index.tolist() == list(which)
    for k, number in enumerate(which):
        path = index.paths[index.table["file"][number]]
        local = int(number) - int(np.searchsorted(index.table["file"], index.table["file"][number]))
        atoms = ase.io.read(path, index=local, format=ASE_FORMAT[index.format], parallel=False, **options)
        one = frames.take([k])
        assert one.numbers.tolist() == atoms.numbers.tolist()
        assert np.allclose(one.cells[0], atoms.cell.array * atoms.pbc[:, None], atol=1e-6)
        assert one.periodic[0].tolist() == atoms.pbc.tolist()
        corner = 0 if scaled else atoms.get_celldisp().T  # ASE counts scaled positions from the corner, others not
        shift = one.positions - (atoms.positions - corner)
        assert np.abs(modulo_cell(shift, one.cells[0])).max() < 1e-6


# real files


@pytest.mark.parametrize(
    "name, frames, which",
    [
        ("sio2/XDATCAR.gz", 10000, [0, 1, 777]),
        ("samples/si_npt.XDATCAR", 5, [0, 1, 2, 3, 4]),
        ("samples/na3ps4_aimd_800K.XDATCAR.gz", 200, [0, 5, 199]),
        ("agi/trajectory.extxyz.gz", 2400, [0, 1, 2399]),
        ("samples/allegropol_sio2_201.extxyz.gz", 201, [0, 100, 200]),
        ("samples/agi_prv_200frames_20fs.lammpstrj.gz", 200, [0, 1, 199]),
        ("codes/lammps/traj.dump", 2, [0, 1]),
        ("codes/lammps/shift_origin.dump", 2, [0]),
        ("codes/lammps/conf_s_su.dump", 2, [0, 1]),
    ],
)
def test_real_files_as_ase_reads_them(name, frames, which, tmp_path):
    elements = ["Ag", "I"] if "dump" in name or "lammps" in name else None
    index = build_index(real(name), "auto", tmp_path, elements, pytest.fail)
    assert len(index) == frames
    assert_like_ase(index, which, "shift" in name, **({"specorder": elements} if elements else {}))


def test_files_are_chained(tmp_path):
    index = build_index(real(*ARGYRODITE), "auto", tmp_path, None, pytest.fail)
    lengths = np.bincount(index.table["file"])
    assert len(index) == 700 and len(lengths) == 6
    joint = int(lengths[0])
    assert_like_ase(index, [joint - 1, joint])
    assert index.species == ("Li", "P", "S", "Cl")


def test_iodide_files(tmp_path):
    files = real(*(f"argyrodite/Li6PS5I/0p/run{k}_XDATCAR.gz" for k in range(1, 7)))
    index = build_index(files, "auto", tmp_path, None, pytest.fail)
    assert len(index) == 700 and np.bincount(index.numbers)[[3, 15, 16, 53]].tolist() == [192, 32, 160, 32]
    # pymatgen 2026.10.24: Xdatcar(run6).structures[-1][7].coords
    assert np.allclose(read_frames(index, [699]).positions[7], [12.75716946, 13.39695734, 20.35251646], atol=1e-7)


def test_dump_of_unwrapped_columns_written_twice(tmp_path):
    warnings: list[str] = []
    index = build_index(real("codes/lammps/conf_unfold.dump"), "auto", tmp_path, ["Ag", "I"], warnings.append)
    frames = all_frames(index)
    assert len(index) == 1 and "repeats the one before it" in warnings[0]
    # dpdata 1.1.0 gives the cell, and these positions once they are wrapped
    cell = np.array([[2.5243713, 0, 0], [1.2621856, 2.0430257, 0], [1.2874292, 0.7485898, 2.2254033]])
    assert np.allclose(frames.cells[0], cell, atol=1e-6)
    wrapped = modulo_cell(frames.positions - [[0, 0, 0], [1.2621856, 0.7018028, 0.5513885]], cell)
    assert np.abs(wrapped).max() < 2e-6


def test_files_in_the_wrong_order_give_a_warning(tmp_path):
    warnings: list[str] = []
    files = real(*(ARGYRODITE[k] for k in (0, 2, 1)))
    build_index(files, "auto", tmp_path, None, warnings.append)
    assert len(warnings) == 1 and "run3_XDATCAR.gz, line 8 (frame " in warnings[0] and "wrong order" in warnings[0]


def test_positions_stay_unwrapped_and_times_are_read(tmp_path):
    index = build_index(real("agi/trajectory.extxyz.gz"), "auto", tmp_path, None, pytest.fail)
    assert index.frame_interval == 50.0
    assert index.steps([0, 1, 2]).tolist() == [0, 5, 10]
    frames = all_frames(index)
    atoms = ase.io.read(index.paths[0], index=2399, format="extxyz", parallel=False)
    assert np.array_equal(frames.take([2399]).positions, atoms.positions)
    jumps = np.diff(frames.positions.reshape(2400, 32, 3), axis=0)
    assert np.abs(jumps).max() < 2
    assert np.array_equal(read_frames(index, [2399], velocities=True).velocities, atoms.arrays["vel"])


def test_image_flags_unwrap_a_dump(tmp_path):
    index = build_index(real("samples/agi_prv_200frames_20fs.lammpstrj.gz"), "auto", tmp_path, ["Ag", "I"], pytest.fail)
    positions = all_frames(index).positions.reshape(200, 128, 3)
    assert np.abs(np.diff(positions, axis=0)).max() < 2
    # atom 1 of the first frame: x y z = 13.837246 4.733249 2.752462, images 0 0 -1, corner and edge from its header
    edge = 10.317733621612359 + 0.19773362161229091
    expected = [13.837246 + 0.39546724322458182, 4.733249 + 0.39546724322458182, 2.752462 + 0.19773362161229091 - edge]
    assert np.allclose(positions[0, 0], expected, atol=1e-9)
    velocities = read_frames(index, [0], velocities=True).velocities
    assert velocities[0].tolist() == [1.275518, -0.616821, -2.198710]


def test_any_frames_in_any_order(tmp_path):
    index = build_index(real(*ARGYRODITE), "auto", tmp_path, None, pytest.fail)
    which = np.array([699, 3, 4, 5, 199, 200, 3])
    frames, single = read_frames(index, which), [read_frames(index, [k]) for k in which]
    assert frames.index.tolist() == which.tolist()
    assert np.array_equal(frames.positions, np.concatenate([one.positions for one in single]))
    assert len(read_frames(index, [])) == 0


def test_an_archive_is_unpacked_once(tmp_path):
    file = real("samples/na3ps4_aimd_800K.XDATCAR.gz")
    first = build_index(file, "auto", tmp_path, None, pytest.fail)
    stamp = Path(first.paths[0]).stat().st_mtime_ns
    again = build_index(file, "auto", tmp_path, None, pytest.fail)
    assert again.paths == first.paths and Path(again.paths[0]).stat().st_mtime_ns == stamp
    copy = Path(first.paths[0]).name
    assert {path.name for path in tmp_path.iterdir()} == {copy, f"{copy}.sum"}
    assert first.names == (str(file[0]),)


# XDATCAR

HEADER = "two atoms\n 1\n 4.0 0.0 0.0\n 0.0 5.0 0.0\n 0.0 0.0 6.0\n Na Cl\n 1 1\n"


def xdatcar(frames: int = 4, header: str = HEADER, start: int = 0) -> str:
    return header + "".join(
        f"Direct configuration={k + 1:6d}\n  {0.1 + 0.01 * k:.8f}  0.20000000  0.30000000\n"
        f"  0.50000000  0.50000000 {-0.25 - 0.01 * k:.8f}\n"
        for k in range(start, start + frames)
    )


def test_xdatcar_fixed_cell(tmp_path):
    index, warnings = index_of(xdatcar(), tmp_path)
    frames = all_frames(index)
    assert not warnings and len(frames) == 4 and index.species == ("Na", "Cl")
    assert np.allclose(frames.take([3]).positions, [[0.52, 1.0, 1.8], [2.0, 2.5, -1.68]], atol=1e-12)
    assert index.table["line"].tolist() == [8, 11, 14, 17]


def test_xdatcar_glued_numbers(tmp_path):
    index, _ = index_of(xdatcar().replace("0.50000000 -", "0.50000000-"), tmp_path)
    assert np.allclose(all_frames(index).positions[1], [2.0, 2.5, -1.5], atol=1e-12)


def test_xdatcar_scale_and_volume(tmp_path):
    doubled, _ = index_of(xdatcar(header=HEADER.replace("\n 1\n", "\n 2.0\n", 1)), tmp_path)
    assert np.allclose(all_frames(doubled).volumes, 960)
    by_volume, _ = index_of(xdatcar(header=HEADER.replace("\n 1\n", "\n -960\n", 1)), tmp_path)
    assert np.allclose(all_frames(by_volume).volumes, 960)


def test_xdatcar_changing_cell_and_new_start(tmp_path):
    text = xdatcar(2) + xdatcar(2, HEADER.replace("4.0", "4.4"), 2) + xdatcar(3, HEADER.replace("4.0", "4.4"), 4)
    index, warnings = index_of(text, tmp_path)
    frames = all_frames(index)
    assert not warnings
    assert frames.cells[:, 0, 0].tolist() == [4.0, 4.0, 4.4, 4.4, 4.4, 4.4, 4.4]
    assert index.table["line"].tolist() == [8, 11, 21, 24, 34, 37, 40]
    assert np.allclose(frames.positions[8, 0], 0.14 * 4.4)


@pytest.mark.parametrize("title", ["two atoms", "a title longer than what is read of a header at once " * 20])
def test_xdatcar_cells_together_and_one_by_one(tmp_path, title):
    wide = HEADER.replace("two atoms", title).replace("\n 1\n", "\n 1.5\n", 1)
    header = [wide.replace("4.0 0.0", f"{4 + 0.01 * k:.2f} {0.1 * (k % 3):.1f}") for k in range(6)]
    index, _ = index_of(["".join(xdatcar(1, header[k], k) for k in part) for part in (range(4), range(4, 6))], tmp_path)
    cells = all_frames(index).cells
    one_by_one = [read_frames(index, [k]).cells[0] for k in range(6)]
    assert cells[:, 0, 0].tolist() == [(4 + 0.01 * k) * 1.5 for k in range(6)] and cells[4, 0, 1] == 0.1 * 1.5
    assert cells.tobytes() == np.array(one_by_one).tobytes()
    assert read_frames(index, [5, 0, 5]).cells.tobytes() == cells[[5, 0, 5]].tobytes()


def test_xdatcar_frame_repeated_at_a_new_start(tmp_path):
    index, warnings = index_of(xdatcar(20) + xdatcar(20, start=19), tmp_path)
    assert len(index) == 39 and "repeats" in warnings[0] and "line 75" in warnings[0]


def test_repeated_joint_frame_of_files(tmp_path):
    index, warnings = index_of([xdatcar(3), xdatcar(3, start=2)], tmp_path)
    assert len(index) == 5 and len(warnings) == 1 and "1.XDATCAR, line 8 (frame 3)" in warnings[0]
    assert np.allclose(all_frames(index).positions[::2, 0] / 4, 0.1 + 0.01 * np.arange(5))


def test_xdatcar_without_elements(tmp_path):
    text = xdatcar(header=HEADER.replace(" Na Cl\n", ""))
    index, _ = index_of(text, tmp_path, species=["Na", "Cl"])
    assert index.species == ("Na", "Cl") and index.table["line"][0] == 7
    with pytest.raises(DataError, match=r"trajectory.species"):
        index_of(text, tmp_path)


def test_xdatcar_names_of_potentials(tmp_path):
    index, _ = index_of(xdatcar(header=HEADER.replace("Na Cl", "Na_pv/1a2b Cl")), tmp_path)
    assert index.species == ("Na", "Cl")


@pytest.mark.parametrize("cut", [1, 2, 5, 40, 85, 110])
def test_xdatcar_still_being_written(cut, tmp_path):
    text = xdatcar(5)
    index, warnings = index_of(text[:-cut], tmp_path)
    whole = 5 if cut == 1 else 4 if cut < 102 else 3
    assert len(index) == whole
    assert (len(warnings) == 1 and "incomplete" in warnings[0]) or cut == 1
    assert np.isfinite(all_frames(index).positions).all()


@pytest.mark.parametrize("cut", [5, 40, 100, 120])
def test_changing_cell_still_being_written(cut, tmp_path):
    text = "".join(xdatcar(1, HEADER.replace("4.0", f"4.{k}"), k) for k in range(4))
    index, warnings = index_of(text[:-cut], tmp_path)
    assert len(index) == 3 and "incomplete" in warnings[0]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("0.12000000", "0.1200000x", r"XDATCAR, line 15 \(frame 2\): expected three coordinates"),
        ("0.12000000", "nan", r"XDATCAR, line 15 \(frame 2\): expected three coordinates"),
        ("0.12000000", "****", r"line 15 \(frame 2\)"),
        ("  0.12000000  0.20000000  0.30000000\n", "", r"line 14 \(frame 2\): 1 lines of coordinates.*2 atoms"),
        ("  0.12000000", "  0.1 0.12000000", r"line 15 \(frame 2\): expected three coordinates"),
        (" 4.0 0.0 0.0", " 0.0 0.0 0.0", r"line 8 \(frame 0\): the cell .* has no volume"),
        (" 4.0 0.0 0.0", " 4.0 a 0.0", "line 3.*lattice vector"),
        ("\n 1\n", "\n x\n", "line 2.*scale"),
        (" Na Cl", " Na Qq", "line 6.*'Qq' is not a chemical element"),
        (" 1 1\n", " 1 1 1\n", "line 7.*2 elements but 3 counts"),
        (" 1 1\n", " one 1\n", "line 7.*number of atoms"),
        (" 1 1\n", " 1 1\n velocities\n", "line 8"),
    ],
)
def test_xdatcar_mistakes(old, new, message, tmp_path):
    with pytest.raises(DataError, match=message):
        all_frames(index_of(xdatcar().replace(old, new, 1), tmp_path)[0])


def test_xdatcar_other_atoms_further_down(tmp_path):
    with pytest.raises(DataError, match=r"line 19.*other atoms"):
        index_of(xdatcar(2) + xdatcar(2, HEADER.replace("Na Cl", "K Cl")), tmp_path)


def test_no_frame_at_all(tmp_path):
    with pytest.raises(DataError, match=r"Direct configuration"):
        index_of(HEADER, tmp_path)
    with pytest.raises(DataError, match=r"no complete frame of 2"):
        index_of(HEADER + "Direct configuration=     1\n", tmp_path)
    with pytest.raises(DataError, match=r"empty"):
        index_of("", tmp_path)


# extended XYZ


def xyz(frames: int = 3, extra: str = "", lattice: str = 'Lattice="4 0 0 0 5 0 0 0 6" ') -> str:
    return "".join(
        f"2\n{lattice}Properties=species:S:1:pos:R:3{extra} time_fs={2.5 * k}\nNa 0.{k} 0.2 0.3\nCl 1.0 1.5 -{k}.25\n"
        for k in range(frames)
    )


def test_xyz_small(tmp_path):
    index, warnings = index_of(xyz(), tmp_path, "md.xyz")
    frames = all_frames(index)
    assert not warnings and index.format == "extxyz" and index.frame_interval == 2.5
    assert frames.positions[5].tolist() == [1.0, 1.5, -2.25] and frames.periodic.all()
    assert read_frames(index, [0], velocities=True).velocities is None


def test_xyz_without_lattice(tmp_path):
    frames = all_frames(index_of(xyz(lattice=""), tmp_path, "md.xyz")[0])
    assert not frames.periodic.any() and not frames.cells.any() and np.isnan(frames.volumes).all()


def test_xyz_slab_has_no_third_vector(tmp_path):
    frames = all_frames(index_of(xyz(lattice='Lattice="4 0 0 0 5 0 0 0 6" pbc="T T F" '), tmp_path, "md.xyz")[0])
    assert frames.cells[0].tolist() == [[4, 0, 0], [0, 5, 0], [0, 0, 0]]
    assert frames.periodic[0].tolist() == [True, True, False]


def test_xyz_plain(tmp_path):
    frames = all_frames(index_of("2\nwater\nNa 0 0 0\nCl 0 0 1\n" * 3, tmp_path, "md.xyz")[0])
    assert len(frames) == 3 and frames.positions[1, 2] == 1


def test_xyz_columns_in_any_order(tmp_path):
    row = "2\nlattice=[[4,0,0],[0,5,0],[0,0,6]] Properties=velocities:R:3:id:I:1:pos:R:3:Z:I:1\n"
    row += "1 2 3 7 0.1 0.2 0.3 11\n4 5 6 8 1 1.5 2 17\n"
    index, _ = index_of(row * 2, tmp_path, "md.extxyz")
    frames = all_frames(index)
    assert frames.numbers.tolist() == [11, 17] * 2 and frames.positions[0].tolist() == [0.1, 0.2, 0.3]
    assert frames.volumes.tolist() == pytest.approx([120, 120])
    assert read_frames(index, [1], velocities=True).velocities[1].tolist() == [4, 5, 6]


def test_xyz_order_may_change_inside_a_file(tmp_path):
    text = "2\nc\nNa 0 0 0\nCl 0 0 1\n2\nc\nCl 0 0 1\nNa 0 0 0\n"
    assert all_frames(index_of(text, tmp_path, "md.xyz")[0]).numbers.tolist() == [11, 17, 17, 11]


def test_xyz_uneven_times_are_not_used(tmp_path):
    index, warnings = index_of(xyz(5).replace("time_fs=10.0", "time_fs=11.0"), tmp_path, "md.xyz")
    assert index.frame_interval is None and "frame 4" in warnings[0]


def test_xyz_time_is_taken_as_fs_and_said_so(tmp_path):
    index, warnings = index_of(xyz(5).replace("time_fs", "Time"), tmp_path, "md.xyz")
    assert index.frame_interval == 2.5 and "read as fs" in warnings[0]


@pytest.mark.parametrize("cut", [3, 10, 30, 90])
def test_xyz_still_being_written(cut, tmp_path):
    index, warnings = index_of(xyz(4)[:-cut], tmp_path, "md.xyz")
    assert len(index) == 3 and "incomplete" in warnings[0]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("Na 0.1 0.2 0.3\n", "", r"md.xyz, line 9 \(frame 2\): expected a number of atoms, found 'Lattice"),
        ("Na 0.1 0.2 0.3", "Na 0.1 0.2", r"line 7 \(frame 1\): expected 4 columns"),
        ("Na 0.1 0.2 0.3", "Na 0.1 x 0.3", r"line 7 \(frame 1\): expected a number in column 3"),
        ("Na 0.1 0.2 0.3", "Na 0.1 inf 0.3", r"line 7 \(frame 1\): expected a number in column 3, found 'inf'"),
        ("Na 0.1 0.2 0.3", "Na 0.1 1_0 0.3", r"line 7 \(frame 1\): expected a number"),
        ("Na 0.1 0.2 0.3", "Xx 0.1 0.2 0.3", r"line 7 \(frame 1\): 'Xx' is not a chemical element"),
        ("Na 0.1 0.2 0.3", "K 0.1 0.2 0.3", r"line 5 \(frame 1\): 1 Cl, 1 K; the first frame has 1 Na, 1 Cl"),
        ("2\nLattice", "3\nLattice", "line 6.*found 'Lattice"),
        ("pos:R:3", "force:R:3", "line 2.*no 'pos:R:3'"),
        ("species:S:1", "name:S:1", "line 2.*neither 'species:S:1' nor 'Z:I:1'"),
        ("pos:R:3", "pos:R", "line 2.*not a list"),
        ("4 0 0 0 5 0", "4 0 0 4 0 0", r"frame 0\): the cell"),
        ("4 0 0 0 5 0", "4 0 0 0 5", "line 2.*nine numbers"),
        ('Lattice="4 0 0 0 5 0 0 0 6"', 'pbc="T T T"', "line 2.*no Lattice"),
        ("time_fs", 'pbc="T T" time_fs', "line 2.*three of T and F"),
    ],
)
def test_xyz_mistakes(old, new, message, tmp_path):
    with pytest.raises(DataError, match=message):
        all_frames(index_of(xyz().replace(old, new, 1), tmp_path, "md.xyz")[0])


def test_xyz_changed_atom_count(tmp_path):
    with pytest.raises(DataError, match=r"line 5 \(frame 1\): 1 atoms, the first frame has 2"):
        index_of("2\nc\nNa 0 0 0\nCl 0 0 1\n1\nc\nCl 0 0 1\n", tmp_path, "md.xyz")


# LAMMPS


def dump(columns="id element x y z", rows="2 Cl 3 2 2\n1 Na 2 2 2\n", box="pp pp pp\n1 5\n1 6\n1 7", steps=(0, 10, 20)):
    return "".join(
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS {box}\nITEM: ATOMS {columns}\n{rows}"
        for step in steps
    )


TILTED = "xy xz yz pp pp pp\n0 6 1\n0 4.5 0.5\n0 5 -0.5"
TILTED_CELL = np.array([[4.5, 0, 0], [1, 4, 0], [0.5, -0.5, 5]])


@pytest.mark.parametrize(
    "columns, rows, expected",
    [
        ("id type x y z", "2 2 3 2 2\n1 1 2 2 2\n", [[1, 1, 1], [2, 1, 1]]),
        ("id type xu yu zu", "2 2 30 2 2\n1 1 2 2 2\n", [[1, 1, 1], [29, 1, 1]]),
        ("id type x y z ix iy iz", "2 2 3 2 2 1 0 -2\n1 1 2 2 2 0 0 0\n", [[1, 1, 1], [6, 1, -11]]),
        ("type xs id ys zs", "2 0.5 2 0.5 0.5\n1 0 1 0 0.25\n", [[0, 0, 1.5], [2, 2.5, 3]]),
        ("id type xsu ysu zsu", "1 1 0 0 0\n2 2 1.5 0.5 -0.5\n", [[0, 0, 0], [6, 2.5, -3]]),
    ],
)
def test_dump_columns(columns, rows, expected, tmp_path):
    index, warnings = index_of(dump(columns, rows), tmp_path, "md.lammpstrj", species=["Na", "Cl"])
    frames = all_frames(index)
    assert not warnings and index.steps(range(len(index))).tolist() == [0, 10, 20]
    assert np.allclose(frames.take([2]).positions, expected) and frames.numbers[:2].tolist() == [11, 17]


def test_dump_tilted_box(tmp_path):
    rows = "1 Na 0.5 0.5 0.5 0 0 0\n2 Cl 0.1 0.2 0.3 1 -1 2\n"
    frames = all_frames(index_of(dump("id element xs ys zs ix iy iz", rows, TILTED), tmp_path, "md.dump")[0])
    assert np.allclose(frames.cells[0], TILTED_CELL)
    assert np.allclose(frames.positions[:2], np.array([[0.5, 0.5, 0.5], [1.1, -0.8, 2.3]]) @ TILTED_CELL)
    # the bounds enclose the tilted box: its corner is at x = -1, y = 0.5
    corner, _ = index_of(
        dump("id element x y z", "1 Na 0 0 0\n2 Cl 0.1 0.2 0.3\n", TILTED.replace("0 6", "-1 5")), tmp_path, "md.dump"
    )
    assert np.allclose(all_frames(corner).positions[0], [1, -0.5, 0])


def test_dump_general_box(tmp_path):
    box = "abc origin pp pp pp\n0 4 0 1\n5 0 0 1\n0 0 6 1"
    frames = all_frames(index_of(dump(box=box), tmp_path, "md.dump")[0])
    assert frames.cells[0].tolist() == [[0, 4, 0], [5, 0, 0], [0, 0, 6]]
    assert frames.positions[0].tolist() == [1, 1, 1]


def test_dump_wall(tmp_path):
    frames = all_frames(index_of(dump(box="pp pp ff\n1 5\n1 6\n1 7"), tmp_path, "md.dump")[0])
    assert frames.periodic[0].tolist() == [True, True, False] and not frames.cells[0, 2].any()


def test_dump_species_by_mapping(tmp_path):
    rows = "1 7 1 1 1\n2 8 2 2 2\n"
    index, _ = index_of(dump("id type x y z", rows), tmp_path, "md.dump", species={7: "Na", 8: "Cl"})
    assert index.species == ("Na", "Cl")


def test_dump_times(tmp_path):
    text = "ITEM: UNITS\nmetal\n" + "".join(
        f"ITEM: TIME\n{0.002 * step}\n" + dump(steps=[step]) for step in (0, 10, 20)
    )
    index, _ = index_of(text, tmp_path, "md.dump")
    assert index.frame_interval == pytest.approx(20) and index.table["line"].tolist() == [5, 18, 31]
    assert len(all_frames(index)) == 3
    with pytest.raises(DataError, match=r"units 'lj'"):
        index_of(text.replace("metal", "lj"), tmp_path, "md.dump")


def test_dump_restarted_into_the_same_file(tmp_path):
    index, warnings = index_of(dump(steps=(0, 10, 10, 20)), tmp_path, "md.dump")
    assert index.steps(range(len(index))).tolist() == [0, 10, 20] and "repeats" in warnings[0]


def test_dump_uneven_steps_are_told(tmp_path):
    _, warnings = index_of(dump(steps=(0, 10, 20, 40)), tmp_path, "md.dump")
    assert "time step 40 follows 20" in warnings[0]


def test_dump_without_ids_is_told(tmp_path):
    _, warnings = index_of(dump("element x y z", "Na 1 1 1\nCl 2 2 2\n"), tmp_path, "md.dump")
    assert "no column 'id'" in warnings[0]


@pytest.mark.parametrize("cut", [3, 20, 60, 115])
def test_dump_still_being_written(cut, tmp_path):
    index, warnings = index_of(dump()[:-cut], tmp_path, "md.dump")
    assert len(index) == 2 and "incomplete" in warnings[0]


@pytest.mark.parametrize(
    "text, message",
    [
        (dump("id type x y z", "1 1 1 1 1\n2 2 2 2 2\n"), r"line 10.*trajectory.species"),
        (dump(rows="1 Na 1 1 1\n2 Cl 1 1\n"), r"md.dump, line 11 \(frame 0\): expected 5 columns"),
        (dump(rows="1 Na 1 1 1\n1 Cl 1 1 2\n"), "atom 1 is listed twice"),
        (dump(rows="1 Na 1 1 1\n2 Cl 1 1 x\n"), "line 11.*column 'z', found 'x'"),
        (dump(rows="1 Na 1 1 1\n2 Qq 1 1 2\n"), "no element is known for element Qq"),
        (dump("id element q x y", "1 Na 1 1 1\n2 Cl 1 1 2\n"), "no columns x y z"),
        (dump("id mol x y z", "1 1 1 1 1\n2 1 1 1 2\n"), "neither a column 'element' nor 'type'"),
        (dump(rows="1 Na 1 1 nan\n2 Cl 1 1 2\n"), r"line 10 \(frame 0\): expected a number in column 'z', found 'nan'"),
        (
            dump(steps=[0]) + dump(rows="1 Na 1 1 1\n", steps=[5]) + dump(steps=[7]),
            r"frame 1\): the frame has 1 atom lines",
        ),
        (dump(box="pp pp pp\n1 5\n1 1\n1 7"), r"frame 0\): the cell"),
        (dump(box="pp pp pp\n1 5\n1 y\n1 7"), "line 6.*bounds of the box"),
        (dump().replace("ATOMS\n2\n", "ATOMS\n0\n"), r"expected a time step and a number of atoms"),
        (dump(rows="1 Na 1 1 1\n2 Cl 1 1 2\n3 Cl 1 1 3\n"), r"line 10.*3 atom lines, the frame says 2"),
        (dump().replace("BOX BOUNDS", "BOX"), "BOX BOUNDS"),
        (dump().replace("NUMBER OF ATOMS\n2", "NUMBER OF ATOMS\ntwo"), "expected a time step and a number of atoms"),
        (dump(steps=[0]) + dump(rows="2 Na 1 1 1\n1 Cl 1 1 2\n", steps=[5]), r"frame 1\): 1 Na, 1 Cl.*by id"),
    ],
)
def test_dump_mistakes(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        all_frames(index_of(text, tmp_path, "md.dump")[0])


# any format


def test_format_by_first_bytes(tmp_path):
    assert index_of(dump(), tmp_path, "a")[0].format == "lammps-dump"
    assert index_of(xdatcar(), tmp_path, "b")[0].format == "xdatcar"
    assert index_of(xyz(), tmp_path, "c")[0].format == "extxyz"
    assert index_of(gzip.compress(xyz().encode()), tmp_path, "d.gz")[0].format == "extxyz"
    with pytest.raises(DataError, match=r"trajectory.format, one of xdatcar"):
        index_of("hello\n", tmp_path, "e")
    with pytest.raises(DeckError, match=r"'pdb' is not one of"):
        index_of("hello\n", tmp_path, "e", format="pdb")


def test_archive_cut_short(tmp_path):
    lines = "".join(
        f"2\nc\nNa {' '.join(map(str, row[:3]))}\nCl {' '.join(map(str, row[3:]))}\n"
        for row in np.random.default_rng(0).random((3000, 6))
    )
    packed = gzip.compress(lines.encode())
    for _ in range(2):  # the second time as well, although there is a copy
        index, warnings = index_of(packed[: len(packed) // 2], tmp_path, "md.xyz.gz")
        assert "archive ends early" in warnings[0] and 500 < len(index) < 2000
    with pytest.raises(DataError, match=r"damaged archive"):
        index_of(b"no archive", tmp_path, "md.xyz.gz")


def test_files_with_other_atoms(tmp_path):
    with pytest.raises(DataError, match=r"1 K, 1 Cl|1 Cl, 1 K"):
        index_of([xdatcar(), xdatcar(header=HEADER.replace("Na", "K"))], tmp_path)
    with pytest.raises(DataError, match=r"same atoms in the same order"):
        index_of(["2\nc\nNa 0 0 0\nCl 0 0 1\n", "2\nc\nCl 0 0 0\nNa 0 0 1\n"], tmp_path, "md.xyz")


def test_missing_files_and_unknown_elements(tmp_path):
    with pytest.raises(DataError, match=r"no such file|No such file"):
        build_index([tmp_path / "XDATCAR"], "auto", tmp_path, None, pytest.fail)
    with pytest.raises(DataError, match=r"No such file"):
        build_index([tmp_path / "XDATCAR.gz"], "auto", tmp_path, None, pytest.fail)
    with pytest.raises(DataError, match=r"no file matches"):
        build_index([], "auto", tmp_path, None, pytest.fail)
    with pytest.raises(DeckError, match=r"Qq is not a chemical element"):
        index_of(dump(), tmp_path, "md.dump", species=["Qq"])


def test_species_that_are_not_needed(tmp_path):
    _, warnings = index_of(xdatcar(), tmp_path, species=["Ag", "I"])
    assert "trajectory.species is not used" in warnings[0]


def test_frames_that_are_not_there(tmp_path):
    index, _ = index_of(xdatcar(), tmp_path)
    with pytest.raises(DataError, match=r"frame 4 was asked for; there are frames 0 to 3"):
        read_frames(index, [0, 4])
    Path(index.paths[0]).write_text(xdatcar(2))
    with pytest.raises(DataError, match=r"shorter since"):
        read_frames(index, [3])
    Path(index.paths[0]).unlink()
    with pytest.raises(DataError, match=r"Every node must see"):
        read_frames(index, [3])
