"""vasprun.xml, vaspout.h5, ASE .traj, H5MD and plain XYZ, each against another reader or the formulas that made it."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.geometry import cellpar_to_cell
from ase.io.trajectory import Trajectory

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers.trajectory import byte_ranges, index_cache
from mlraman_hpc.readers.trajectory.index import build_index, read_frames
from tests.helpers import DATA

FILES = Path(__file__).parents[1] / "files"
BOHR = 0.529177210903


def index_of(path: Path, tmp_path: Path, species=None, warnings: list | None = None, cell=None):
    warn = pytest.fail if warnings is None else warnings.append
    return build_index([path], "auto", tmp_path / "scratch", species, warn, cell)


def written(text: str | bytes, path: Path) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def all_frames(index):
    return read_frames(index, np.arange(len(index)))


def assert_like_ase(frames, images):
    assert len(frames) == len(images)
    assert np.allclose(frames.positions, np.concatenate([atoms.positions for atoms in images]), atol=1e-12)
    assert frames.numbers.tolist() == [number for atoms in images for number in atoms.numbers]
    assert np.allclose(frames.cells, [atoms.cell.array for atoms in images], atol=1e-12)
    assert frames.periodic.tolist() == [atoms.pbc.tolist() for atoms in images]


# vasprun.xml


def varray(name: str, rows) -> str:
    lines = "".join("<v> " + " ".join(f"{x:15.8f}" for x in row) + " </v>\n" for row in rows)
    return f'<varray name="{name}" >\n{lines}</varray>\n'


def structure(k: int, attribute: str = "") -> str:
    cell = [[4 + 0.1 * k, 0, 0], [1, 5, 0], [0, 0, 6]]
    positions = [[0.1 + 0.01 * k, 0.2, 0.3], [0.5, 0.5, -0.25 - 0.01 * k], [0.7, 1.1, 0.9]]
    return (
        f'<structure{attribute}>\n<crystal>\n{varray("basis", cell)}<i name="volume"> 120.0 </i>\n'
        f"{varray('rec_basis', cell)}</crystal>\n{varray('positions', positions)}</structure>\n"
    )


ATOMS = """<atominfo>
<atoms> 3 </atoms>
<types> 2 </types>
<array name="atoms" >
<dimension dim="1">ion</dimension>
<field type="string">element</field>
<field type="int">atomtype</field>
<set>
<rc><c>Na</c><c> 1</c></rc>
<rc><c>Cl</c><c> 2</c></rc>
<rc><c>Cl</c><c> 2</c></rc>
</set>
</array>
</atominfo>
"""
ENERGIES = "".join(f'<i name="{name}"> -1.0 </i>\n' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
ENERGY = f"<energy>\n{ENERGIES}</energy>\n"
KPOINTS = f"<kpoints>\n{varray('kpointlist', [[0, 0, 0]])}{varray('weights', [[1]])}</kpoints>\n"
INITIAL, FINAL = ' name="initialpos" ', ' name="finalpos" '


def vasprun(frames: int = 4, settings: str = '<i type="int" name="IBRION"> 0</i>\n<i name="POTIM"> 2.5</i>\n') -> str:
    steps = "".join(
        f"<calculation>\n<scstep>\n{ENERGY}</scstep>\n{structure(k)}"
        f"{varray('forces', np.zeros((3, 3)))}{ENERGY}</calculation>\n"
        for k in range(frames)
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<generator>\n<i name="program"> vasp </i>\n'
        f"</generator>\n{KPOINTS}<parameters>\n{settings}</parameters>\n{ATOMS}"
        f"{structure(0, INITIAL)}{steps}{structure(3, FINAL)}</modeling>\n"
    )


def test_vasprun_as_ase_reads_it(tmp_path):
    path = written(vasprun(), tmp_path / "vasprun.xml")
    index = index_of(path, tmp_path)
    assert index.format == "vasprun" and index.frame_interval == 2.5 and index.species == ("Na", "Cl")
    assert_like_ase(all_frames(index), ase.io.read(path, index=":", format="vasp-xml", parallel=False))
    lines = path.read_text().splitlines()
    assert [lines[line - 1] for line in index.table["line"]] == ["<structure>"] * 4


def test_real_vasprun(tmp_path):
    path = DATA / "samples/tio2_eps.vasprun.xml.gz"
    if not path.exists():
        pytest.skip("the real data are not here")
    index = index_of(path, tmp_path)
    assert index.frame_interval is None
    # pymatgen 2026.10.24: Vasprun(...).ionic_steps[0]['structure']
    frames = all_frames(index)
    assert len(frames) == 1 and np.bincount(frames.numbers)[[8, 22]].tolist() == [72, 36]
    assert np.allclose(frames.cells[0], np.diag([11.37684345, 11.37684345, 9.60457420]))
    unpacked = written(gzip.decompress(path.read_bytes()), tmp_path / "vasprun.xml")
    assert_like_ase(frames, [ase.io.read(unpacked, format="vasp-xml", parallel=False)])


@pytest.mark.parametrize(
    "settings",
    [
        "",
        '<i name="POTIM"> 2.5</i>\n',
        '<i type="int" name="IBRION"> 2</i>\n<i name="POTIM"> 0.5</i>\n',
        '<i type="int" name="IBRION"> 0</i>\n<i type="int" name="NBLOCK"> 10</i>\n<i name="POTIM"> 2.5</i>\n',
        '<i type="int" name="IBRION"> 0</i>\n<i type="logical" name="ML_LMLFF"> T </i>\n<i name="POTIM"> 2.5</i>\n',
    ],
)
def test_vasprun_whose_time_step_is_not_certain(settings, tmp_path):
    assert index_of(written(vasprun(settings=settings), tmp_path / "vasprun.xml"), tmp_path).frame_interval is None


@pytest.mark.parametrize("cut, frames", [(100, 4), (1500, 3)])
def test_vasprun_still_being_written(cut, frames, tmp_path):
    text = vasprun().split('<structure name="finalpos"')[0]
    warnings: list[str] = []
    text = text[: len(text) - cut] if frames == 4 else text[: text.rfind("<structure>") + 200]
    index = index_of(written(text, tmp_path / "vasprun.xml"), tmp_path, warnings=warnings)
    assert len(index) == frames and len(warnings) == (frames == 3)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("0.12000000", "0.1200000x", r"vasprun.xml, line \d+ \(frame 2\): expected 3 vectors in 'positions'"),
        ("0.12000000", "****", r"\(frame 2\): expected 3 vectors in 'positions'"),
        ("<rc><c>Na</c><c> 1</c></rc>\n", "", r"2 atoms in the table of atoms, <atoms> says 3"),
        ("<c>Na</c>", "<c>Qq</c>", r"'Qq' is not a chemical element"),
        ("<structure>", "<structur>", r"frame 2|3 frames|vectors"),
    ],
)
def test_vasprun_mistakes(old, new, message, tmp_path):
    text = vasprun()
    if old == "<structure>":
        text = text.replace(old, new)
        message = r"no structure of an ionic step"
    with pytest.raises(DataError, match=message):
        all_frames(index_of(written(text.replace(old, new, 1), tmp_path / "vasprun.xml"), tmp_path))


# vaspout.h5


def test_vaspout_as_py4vasp_reads_it(tmp_path):
    index = index_of(FILES / "py4vasp.vaspout.h5", tmp_path)
    frames = all_frames(index)
    assert len(index) == 4 and index.species == ("O", "Ti", "Sr") and index.frame_interval is None
    assert frames.numbers[:7].tolist() == [38, 38, 22, 8, 8, 8, 8]
    # calculation.structure[:].to_dict() and structure[2].cartesian_positions()[3]
    assert np.allclose(
        frames.cells[0], [[6.9229, 0, 0], [4.69450302, 5.08804342, 0], [-5.80869622, -2.54401939, 2.77732928]]
    )
    assert np.allclose(frames.take([2]).positions[3], [9.77929751, 4.28301319, 0])


def vaspout(path: Path, frames: int = 3, **settings) -> Path:
    with h5py.File(path, "w") as file:
        rng = np.random.default_rng(0)
        file["intermediate/ion_dynamics/position_ions"] = rng.random((frames, 3, 3))
        file["intermediate/ion_dynamics/lattice_vectors"] = np.diag([4.0, 5, 6]) + np.zeros((frames, 1, 1))
        file["results/positions/ion_types"] = np.array([b"Na_pv", b"Cl "])
        file["results/positions/number_ion_types"] = [1, 2]
        for key, value in settings.items():
            file[f"input/incar/{key}"] = value
    return path


def test_vaspout_time_step_and_damage(tmp_path):
    path = vaspout(tmp_path / "vaspout.h5", IBRION=0, POTIM=1.5)
    assert index_of(path, tmp_path).frame_interval == 1.5
    with h5py.File(path, "r+") as file:
        file["intermediate/ion_dynamics/position_ions"][1, 0, 0] = np.nan
        file["intermediate/ion_dynamics/lattice_vectors"][2] = 0
    warnings: list[str] = []
    index = index_of(path, tmp_path, warnings=warnings)
    assert len(index) == 2 and "last 1 of 3 steps" in warnings[0]
    with pytest.raises(DataError, match=r"vaspout.h5 \(frame 1\): a position is not a number"):
        all_frames(index)
    written(path.read_bytes()[:2000], path)
    with pytest.raises(DataError, match=r"cannot be read as a vaspout.h5"):
        index_of(path, tmp_path)


# ASE


def traj(path: Path, frames: int = 5) -> list[Atoms]:
    rng = np.random.default_rng(1)
    images = []
    for k in range(frames):
        atoms = Atoms("AgI2", positions=rng.normal(size=(3, 3)), cell=[4, 5, 6 + 0.1 * k], pbc=True)
        atoms.set_velocities(rng.normal(size=(3, 3)))
        images.append(atoms)
    with Trajectory(path, "w") as file:
        for atoms in images:
            file.write(atoms)
    return images


def test_ase_trajectory(tmp_path):
    images = traj(tmp_path / "md.traj")
    index = index_of(tmp_path / "md.traj", tmp_path)
    assert index.format == "ase-traj" and index.frame_interval is None
    assert_like_ase(all_frames(index), images)
    velocities = read_frames(index.take([3, 1]), [0, 1], velocities=True).velocities
    assert np.array_equal(velocities, np.concatenate([images[k].get_velocities() for k in (3, 1)]))


def test_ase_trajectory_that_grows_or_is_cut(tmp_path):
    path = tmp_path / "md.traj"
    images = traj(path)
    with Trajectory(path, "a") as file:
        file.write(images[0])
    assert len(index_of(path, tmp_path)) == 6
    written(path.read_bytes()[:-150], path)
    warnings: list[str] = []
    index = index_of(path, tmp_path, warnings=warnings)
    assert 3 <= len(index) < 6 and "cut off" in warnings[0]
    assert_like_ase(all_frames(index), images[: len(index)])


# H5MD


def formula(k: int) -> np.ndarray:
    return np.array([[0.5 + 1.1 * a + 0.01 * k, 1 + 0.2 * a * k, 2 - 0.3 * a] for a in range(5)])


def test_h5md_of_mdanalysis(tmp_path):
    index = index_of(FILES / "mdanalysis.h5md.gz", tmp_path, ["Ag2", "I3"])
    frames = all_frames(index)
    assert (
        index.frame_interval == 500
        and index.steps(range(len(index))).tolist() == [0, 50, 100, 150]
        and index.species == ("Ag", "I")
    )
    assert np.allclose(frames.positions.reshape(4, 5, 3), [formula(k) for k in range(4)], atol=1e-6)
    # triclinic_dimensions of MDAnalysis 2.11.0
    assert np.allclose(frames.cells[1], [[6, 0, 0], [0, 7, 0], [1.4065502882, 0, 7.9769430161]], atol=1e-8)
    assert np.allclose(read_frames(index, [2], velocities=True).velocities, 0.1 * formula(2), atol=1e-6)
    with pytest.raises(DataError, match=r"names no species; give the element of each of the 5 atoms"):
        index_of(FILES / "mdanalysis.h5md.gz", tmp_path)


def test_h5md_of_pyh5md(tmp_path):
    warnings: list[str] = []
    index = index_of(FILES / "pyh5md.h5.gz", tmp_path, ["Ag", "I"], warnings)
    frames = all_frames(index)
    assert "read as Angstrom" in warnings[0] and index.frame_interval is None  # the time has no unit
    assert index.steps(range(len(index))).tolist() == [0, 10, 20, 30] and frames.numbers[:5].tolist() == [
        47,
        47,
        53,
        53,
        53,
    ]
    assert np.allclose(frames.positions.reshape(4, 5, 3), [formula(k) for k in range(4)])
    assert frames.cells[0].tolist() == [[6, 0, 0], [0, 7, 0], [0, 0, 0]]
    with pytest.raises(DataError, match=r"types 1, 2; give the elements"):
        index_of(FILES / "pyh5md.h5.gz", tmp_path, None, [])


def h5md(path: Path, **changes) -> Path:
    """Three frames of two atoms, with what `changes` replaces or (None) leaves out."""
    base = {
        "position/value": np.arange(18.0).reshape(3, 2, 3) / 10,
        "position/step": 5,
        "position/time": 0.25,
        "species": np.array([b"Na", b"Cl"]),
        "box/edges": np.array([4.0, 5, 6]),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        for key, value in {**base, **changes}.items():
            if value is not None:
                group[key] = value
        group["position/value"].attrs["unit"] = changes.get("unit", "nm")
        if "position/time" in group:
            group["position/time"].attrs["unit"] = "ps"
            group["position/time"].attrs["offset"] = 1.0
        group.require_group("box").attrs["boundary"] = [b"periodic"] * 3
        if "unit" in group:
            del group["unit"]
    return path


def test_h5md_that_says_far_more_atoms_than_it_holds(tmp_path):
    path = h5md(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["particles/all/position/value"]
        file.create_dataset("particles/all/position/value", shape=(10, 10**9, 3), chunks=(1, 1000, 3), dtype="f8")
    with pytest.raises(DataError, match=r"a\.h5: .* shape is \(10, 1000000000, 3\), for which the file has no room"):
        index_of(path, tmp_path)


def test_h5md_fixed_increments_units_and_boundary(tmp_path):
    index = index_of(h5md(tmp_path / "a.h5"), tmp_path)
    frames = all_frames(index)
    assert index.frame_interval == 250 and index.steps(range(len(index))).tolist() == [0, 5, 10]
    assert np.allclose(frames.positions[:2], [[0, 1, 2], [3, 4, 5]]) and np.allclose(frames.volumes, 120e3)


def test_h5md_numbers_before_the_unit(tmp_path):
    """As the specification allows: integers of a thousandth of an Angstrom."""
    values = np.arange(18).reshape(3, 2, 3).astype(np.int16)
    for unit, factor in (("0.001 Angstrom", 1e-3), ("10 pm", 0.1), ("2 0.5 nm", 10.0)):
        path = h5md(
            tmp_path / "a.h5", **{"position/value": values, "unit": unit, "box/edges": np.array([400.0, 500, 600])}
        )
        assert np.allclose(all_frames(index_of(path, tmp_path)).positions, values.reshape(-1, 3) * factor)


def test_h5md_cells_of_every_frame(tmp_path):
    edges = np.array([[4.0, 5, 6], [4.1, 5, 6], [4.2, 5, 6]])
    frames = all_frames(index_of(h5md(tmp_path / "a.h5", **{"box/edges": None, "box/edges/value": edges}), tmp_path))
    assert np.allclose(frames.cells[:, 0, 0], [40, 41, 42])
    matrix = np.array([[4.0, 0, 0], [1, 5, 0], [0, 0, 6]])
    frames = all_frames(index_of(h5md(tmp_path / "b.h5", **{"box/edges": matrix}), tmp_path))
    assert np.allclose(frames.cells[2], 10 * matrix)
    matrices = matrix * np.array([1, 1.1, 1.2])[:, None, None]
    frames = all_frames(index_of(h5md(tmp_path / "c.h5", **{"box/edges": None, "box/edges/value": matrices}), tmp_path))
    assert np.allclose(frames.cells, 10 * matrices)


def test_h5md_images_ids_and_numbers(tmp_path):
    images = np.zeros((3, 2, 3))
    images[1, 1] = [1, 0, -2]
    ids = np.array([[1, 2], [2, 1], [1, 2]])
    path = h5md(tmp_path / "a.h5", **{"image/value": images, "id/value": ids, "species": np.array([11, 17])})
    with h5py.File(path, "r+") as file:
        file["particles/all/species"].attrs["unit"] = "atomic number"
    frames = all_frames(index_of(path, tmp_path))
    assert frames.numbers.tolist() == [11, 17] * 3
    assert np.allclose(frames.take([1]).positions, [[9 + 40, 10, 11 - 120], [6, 7, 8]])
    assert np.allclose(frames.take([2]).positions, [[12, 13, 14], [15, 16, 17]])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"unit": "furlong"}, "positions in 'furlong'"),
        ({"unit": "0 Angstrom"}, "positions in '0 Angstrom'"),
        ({"unit": "Angstrom fs"}, "positions in 'Angstrom fs'"),
        ({"box/edges": np.ones(2)}, "box edges of shape"),
        ({"position/value": np.zeros((3, 2, 2))}, r"positions of shape \(3, 2, 2\)"),
        ({"position/value": np.full((3, 2, 3), np.nan)}, r"a.h5 \(frame 0\): a position .* is not a number"),
        ({"position/step": np.arange(4)}, r"'step' of shape \(4,\) does not fit 3 frames"),
        ({"species": np.array([b"Na", b"Qq"])}, "no element is known for species Qq"),
        ({"species": np.array([b"Na"])}, "species of shape"),
        ({"id/value": np.array([[1, 2], [2, 2], [1, 2]])}, r"id is missing or listed twice"),
        ({"box/edges": np.array([4.0, 0, 6])}, "has no volume"),
    ],
)
def test_h5md_mistakes(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        all_frames(index_of(h5md(tmp_path / "a.h5", **changes), tmp_path))


def test_hdf5_that_is_no_trajectory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match=r"Is it an H5MD trajectory"):
        index_of(tmp_path / "a.h5", tmp_path)
    with pytest.raises(DataError, match=r"cannot be read as an H5MD file"):
        index_of(written(b"\x89HDF\r\n\x1a\n" + bytes(500), tmp_path / "b.h5"), tmp_path)


# plain XYZ


def test_cp2k_xyz_with_a_cell_from_the_deck(tmp_path):
    text = "".join(
        f"     2\n i = {10 * k:8d}, time = {5.0 * k:12.3f}, E =       -17.1646402210\n"
        f"  Ag  0.{k} 0.2 0.3\n  I  1.0 1.5 -{k}.25\n"
        for k in range(3)
    )
    path = written(text, tmp_path / "cp2k-pos-1.xyz")
    index = index_of(path, tmp_path, cell=np.diag([4.0, 5, 6]))
    frames = all_frames(index)
    assert index.frame_interval == 5 and index.steps(range(len(index))).tolist() == [0, 10, 20]
    assert np.allclose(frames.volumes, 120) and frames.periodic.all() and frames.positions[5, 2] == -2.25
    assert not all_frames(index_of(path, tmp_path)).periodic.any()


def test_xyz_written_by_cp2k(tmp_path):
    cell = np.array([[5.3, 0, 0], [1.2, 5.1, 0], [0.4, -0.7, 5.6]])
    index = index_of(FILES / "cp2k_lif-pos-1.xyz", tmp_path, cell=cell)
    frames = all_frames(index)
    images = ase.io.read(FILES / "cp2k_lif-pos-1.xyz", index=":", format="xyz", parallel=False)
    assert (
        index.frame_interval == 0.5
        and index.steps(range(len(index))).tolist() == [0, 1, 2, 3]
        and index.species == ("Li", "F")
    )
    assert np.array_equal(frames.positions, np.concatenate([atoms.positions for atoms in images]))
    assert np.array_equal(frames.cells, [cell] * 4) and frames.periodic.all()


def test_a_cell_from_the_deck_that_is_not_needed(tmp_path):
    warnings: list[str] = []
    text = '2\nLattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3\nNa 0 0 0\nCl 1 1 1\n'
    index = index_of(written(text, tmp_path / "a.xyz"), tmp_path, warnings=warnings, cell=np.eye(3))
    assert "trajectory.cell is not used" in warnings[0] and np.allclose(all_frames(index).volumes, 120)


@pytest.mark.parametrize("unit, factor", [("angstrom", 1.0), ("atomic_unit", BOHR)])
@pytest.mark.parametrize(
    "title", ["Traj: positions{UNIT} Step: STEP Bead: 0", "Step: STEP Bead: 0 positions{UNIT}  cell{UNIT}"]
)
def test_ipi_xyz(title, unit, factor, tmp_path):
    def comment(k):
        rest = title.replace("UNIT", unit).replace("STEP", str(4 * k))
        return f"# CELL(abcABC):    4.00000     5.00000     6.00000    90.00000    80.00000    90.00000  {rest}"

    text = "".join(f"2\n{comment(k)}\nNa 0.1 0.2 0.3\nCl 1.0 1.5 -{k}.25\n" for k in range(3))
    index = index_of(written(text, tmp_path / "simulation.pos_0.xyz"), tmp_path)
    frames = all_frames(index)
    assert index.steps(range(len(index))).tolist() == [0, 4, 8] and index.frame_interval is None
    assert np.allclose(frames.positions[5], np.array([1, 1.5, -2.25]) * factor, rtol=1e-9)
    assert np.allclose(frames.cells[1], cellpar_to_cell([4, 5, 6, 90, 80, 90]) * factor, rtol=1e-9)


@pytest.mark.parametrize(
    "comment, message",
    [
        ("# CELL(abcABC): 4 5 6 90 90 90 Step: 0 Bead: 0 ", "does not name the unit"),
        ("# CELL(abcABC): 4 5 6 90 90 90 Traj: velocities{atomic_unit} Step: 0 ", "holds 'velocities', not positions"),
        ("# CELL(abcABC): 4 5 6 90 90 Traj: positions{angstrom} Step: 0 ", r"line 2 .*is not understood"),
        ("# CELL(abcABC): 4 5 6 90 90 90 Traj: positions{ell} Step: 0 ", "'ell' is not a known unit"),
    ],
)
def test_ipi_mistakes(comment, message, tmp_path):
    with pytest.raises(DataError, match=message):
        index_of(written(f"2\n{comment}\nNa 0 0 0\nCl 1 1 1\n", tmp_path / "a.xyz"), tmp_path)


def test_ipi_matrix_has_vectors_in_columns(tmp_path):
    text = "2\n# CELL(H): 4 1 0 0 5 0 0 0 6 Traj: positions{angstrom} Step: 0\nNa 0 0 0\nCl 1 1 1\n"
    frames = all_frames(index_of(written(text, tmp_path / "a.xyz"), tmp_path))
    assert frames.cells[0].tolist() == [[4, 0, 0], [1, 5, 0], [0, 0, 6]]


# the index on disk


def long_xyz(path: Path, frames: int, atoms: int = 2) -> Path:
    rows = "".join(f"Ag {a}.5 0.25 0.125\n" for a in range(atoms))
    return written("".join(f"{atoms}\nstep={k}\n{rows}" for k in range(frames)), path)


def test_index_is_used_again_until_the_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(index_cache, "LEAST_BYTES", 0)
    path = long_xyz(tmp_path / "md.xyz", 50)
    with open(path, "a") as file:
        file.write("2\nhalf a frame\n")
    first, second, third = [], [], []
    index = index_of(path, tmp_path, warnings=first)
    caches = list((tmp_path / "scratch").glob("md.xyz.*.index"))
    assert len(caches) == 1 and len(index) == 50 and "incomplete" in first[0]
    monkeypatch.setattr(index_cache, "_scan_and_save", pytest.fail)
    again = index_of(path, tmp_path, warnings=second)
    assert second == first and again.steps(range(50)).tolist() == index.steps(range(len(index))).tolist()
    assert np.array_equal(all_frames(again).positions, all_frames(index).positions)
    monkeypatch.undo()
    monkeypatch.setattr(index_cache, "LEAST_BYTES", 0)
    long_xyz(path, 60)  # the simulation has gone on
    assert len(index_of(path, tmp_path, warnings=third)) == 60 and not third
    written(b"damaged", caches[0])
    assert len(index_of(path, tmp_path)) == 60
    with pytest.raises(DataError, match=r"is not a chemical element|no element"):
        index_of(written(path.read_text().replace("Ag", "Qq"), path), tmp_path)


def test_only_the_bytes_of_the_frames_are_read(tmp_path, monkeypatch):
    path = long_xyz(tmp_path / "md.xyz", 400, 100)
    index = index_of(path, tmp_path)
    counted = []
    read_run = byte_ranges.read_run
    monkeypatch.setattr(byte_ranges, "read_run", lambda *args: counted.append(read_run(*args)) or counted[-1])
    read_frames(index.take(np.arange(0, 400, 10)), np.arange(40))  # every tenth frame, as a rank gets them
    assert abs(sum(map(len, counted)) / path.stat().st_size - 0.1) < 0.01
