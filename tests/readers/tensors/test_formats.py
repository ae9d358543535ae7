"""Labels of every program: numbers in the file, another reader, and the mistakes that must be refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.base.units import ANGSTROM3_PER_BOHR3
from mlraman_hpc.readers.tensors.formats import companions
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import on_trajectory
from mlraman_hpc.readers.trajectory.index import build_index
from tests.helpers import DATA

FILES = Path(__file__).parents[1] / "files"
BOHR = 0.529177210903
TENSOR = np.array([[3.5, 0.01, -0.02], [0.01, 3.6, 0.03], [-0.02, 0.03, 3.7]])


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip("the real data are not here")
    return DATA / name


def labels_of(*paths: Path, quantity=None, unit=None, warnings=None):
    return read_labels(list(paths), "auto", quantity, unit, pytest.fail if warnings is None else warnings.append)


def edited(path: Path, tmp_path: Path, *changes: tuple[str, str], cut: int | None = None) -> Path:
    """A copy with each first `old` replaced by `new`, cut off after `cut` characters."""
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("latin-1")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    copy = tmp_path / path.name.removesuffix(".gz")
    copy.write_text(text[:cut], encoding="latin-1")
    return copy


def alpha(epsilon, volume: float) -> np.ndarray:
    epsilon = np.array(epsilon, dtype=float)
    return volume * ((epsilon + epsilon.T) / 2 - np.eye(3)) / (4 * np.pi)


# VASP


FIRST = 'name="epsilon" >\n   <v>       6.95882353'


def test_vasprun():
    labels = labels_of(real("samples/tio2_eps.vasprun.xml.gz"))
    # pymatgen 2026.10.24: Vasprun(...).epsilon_static and ionic_steps[0]['structure'][50].coords
    epsilon = [[6.95882353, -5.75e-6, -8.96e-6], [-2.9e-7, 6.95884757, -5.35e-6], [-4.13e-6, -6.04e-6, 6.37287749]]
    assert np.allclose(labels.polarizability[0], alpha(epsilon, 1243.14469355), rtol=1e-9, atol=1e-8)
    assert np.allclose(labels.frames.positions[50], [5.68842173, 9.48070261, 6.79906482])
    assert np.bincount(labels.frames.numbers)[[8, 22]].tolist() == [72, 36]


@pytest.mark.parametrize(
    "changes, cut, message",
    [
        ([], -200, r"did not finish \(no </modeling>"),
        ([('name="epsilon"', 'name="epsilon_rpa"')], None, r"no dielectric tensor 'epsilon' \(only epsilon_rpa\)"),
        ([('<i type="int" name="NELM">    80', '<i type="int" name="NELM">    29')] * 2, None, r"NELM = 29 iterations"),
        ([(FIRST, FIRST.replace("6.95882353", "0.95882353"))], None, r"below 1"),
        ([(FIRST, FIRST.replace("6.95882353", "**********"))], None, r"line 2045 .*expected 3 vectors in 'epsilon'"),
        ([("<structure>", "<structur>")], None, r"no structure of an ionic step"),
        ([("<atoms>     108", "<atoms>     107")], None, r"108 atoms in the table"),
    ],
)
def test_vasprun_refused(changes, cut, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(edited(real("samples/tio2_eps.vasprun.xml.gz"), tmp_path, *changes, cut=cut))


def vaspout(path: Path, **changes) -> Path:
    base = {
        "intermediate/ion_dynamics/position_ions": [[[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]],
        "intermediate/ion_dynamics/lattice_vectors": [np.diag([2.0, 2.5, 3])],
        "intermediate/ion_dynamics/scale": 2.0,
        "results/positions/ion_types": np.array([b"Na", b"Cl"]),
        "results/positions/number_ion_types": [1, 1],
        "results/linear_response/electron_dielectric_tensor": TENSOR,
        "results/linear_response/ion_dielectric_tensor": 7 * TENSOR,
        "results/linear_response/method_dielectric_tensor": b"dft",
        "intermediate/ion_dynamics/electronic_step_converged": [0],
    }
    with h5py.File(path, "w") as file:
        for key, value in {**base, **changes}.items():
            if value is not None:
                file[key] = value
    return path


def test_vaspout(tmp_path):
    labels = labels_of(vaspout(tmp_path / "vaspout.h5"))
    assert np.allclose(labels.polarizability[0], alpha(TENSOR, 120)) and labels.frames.numbers.tolist() == [11, 17]
    assert np.allclose(labels.frames.positions, [[0.4, 1, 1.8], [2, 2.5, 3]])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"results/linear_response/electron_dielectric_tensor": None}, "no dielectric tensor"),
        ({"results/linear_response/electron_dielectric_tensor": np.nan * TENSOR}, "is not a number"),
        ({"results/linear_response/method_dielectric_tensor": b"rpa"}, "of the method 'rpa'"),
        ({"intermediate/ion_dynamics/electronic_step_converged": [1]}, "did not reach EDIFF"),
        ({"intermediate/ion_dynamics/position_ions": np.zeros((2, 2, 3))}, "2 ionic steps"),
        ({"results/positions/ion_types": np.array([b"Na", b"Qq"])}, "make no sense"),
    ],
)
def test_vaspout_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(vaspout(tmp_path / "vaspout.h5", **changes))


# Quantum ESPRESSO


def test_quantum_espresso():
    labels = labels_of(real("samples/qe_si_distorted_ph.out"))
    epsilon = [
        [19.779119712, -7.805947824, -7.425167826],
        [-7.805947915, 16.269362589, -4.592541118],
        [-7.425167939, -4.592541080, 15.894105156],
    ]
    volume = 265.6094 * BOHR**3
    assert np.allclose(labels.polarizability[0], alpha(epsilon, volume), rtol=1e-7)
    assert np.allclose(labels.frames.positions[1], np.array([0.37974, 0.34570, 0.33522]) * 7.21569 * BOHR, rtol=1e-8)
    assert np.allclose(labels.frames.cells[0, 1], np.array([0.7202, 0, 0.7071]) * 7.21569 * BOHR, rtol=1e-8)
    assert labels.frames.numbers.tolist() == [14, 14]


@pytest.mark.parametrize(
    "names",
    [
        ("samples/qe_si_distorted_ph.out", "samples/qe_si_distorted_scf.out"),
        ("codes/LiCoO2.phG.out", "codes/LiCoO2.scf.out"),
    ],
)
def test_quantum_espresso_with_the_digits_of_the_ground_state(names):
    ph, scf = map(real, names)
    labels, alone = labels_of(ph, scf), labels_of(ph)
    atoms = ase.io.read(scf, format="espresso-out", parallel=False)
    assert len(labels) == 1 and labels.source == (str(ph),)
    assert np.allclose(labels.frames.positions, atoms.positions, atol=2e-6)
    assert np.allclose(labels.frames.cells[0], atoms.cell.array, atol=2e-6)
    assert labels.frames.numbers.tolist() == atoms.numbers.tolist()
    assert 1e-6 < np.abs(alone.frames.cells[0] - atoms.cell.array).max() < 1e-3
    assert np.allclose(labels.polarizability, alone.polarizability, rtol=1e-5)


def test_quantum_espresso_prints_the_tensor_twice():
    labels = labels_of(real("codes/LiCoO2.phG.out"))
    assert np.allclose(labels.polarizability[0], alpha(np.diag([7.169290506] * 2 + [3.999521670]), 217.1091 * BOHR**3))
    assert labels.frames.numbers.tolist() == [27, 8, 8, 3]


@pytest.mark.parametrize(
    "changes, message",
    [
        ([("JOB DONE.", "")], "did not finish"),
        ([("Dielectric constant in cartesian", "Something")], "no dielectric tensor: compute it with epsil"),
        ([("End of electric fields calculation", "")], "did not converge"),
        ([("19.779119712", "19.7791197x2")], r"line 156: expected three numbers"),
        ([("19.779119712", "-9.779119712")], "below 1 is impossible"),
        ([("tau(    2)", "tua(    2)")], "the 2 positions in the header are not complete"),
        ([("a(3) = (  0.7071  0.7071", "a(3) = (  0.7071  0.9071")], "volume of the axes"),
        ([("2     Si  28", "2     Qq  28")], "'Qq' is not a chemical element"),
        ([("7.2157  a.u.", "-7.2157  a.u.")], "not a positive number"),
        ([("Program PHONON", "Program PWSCF ")], "have no dielectric tensor; give those of ph.x"),
    ],
)
def test_quantum_espresso_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(edited(real("samples/qe_si_distorted_ph.out"), tmp_path, *changes))


# CP2K


def test_cp2k():
    labels = labels_of(real("samples/cp2k_h2o_polar.out"))
    a, b, c = (
        [6.273840514024, -0.402712743162, 1.411187681601],
        [-0.402329489941, 5.015755535031, 0.127627098726],
        [1.410802413002, 0.127085258933, 3.988027372109],
    )
    matrix = np.array([a, b, c]) * ANGSTROM3_PER_BOHR3
    assert np.allclose(labels.polarizability[0], (matrix + matrix.T) / 2, rtol=1e-12)
    assert labels.frames.numbers.tolist() == [8, 1, 1]
    assert labels.frames.cells[0].tolist() == np.diag([8, 8.5, 9]).tolist()
    assert labels.frames.positions[1].tolist() == [4.757, 4.35, 4.42] and labels.frames.periodic.all()


def test_cp2k_triclinic():
    labels = labels_of(FILES / "cp2k_water.out.gz", warnings=[])
    assert np.allclose(labels.frames.cells[0], [[5.3, 0, 0], [1.2, 5.1, 0], [0.4, -0.7, 5.6]], atol=1e-6)
    assert labels.polarizability[0, 0, 0] == pytest.approx(0.560195682386, rel=1e-6)
    assert labels.polarizability[0, 0, 2] == pytest.approx((0.250294706593 + 0.250246247003) / 2, rel=1e-6)
    assert labels.polarizability[0, 1, 2] == pytest.approx((0.000355395049 + 0.000235060749) / 2, rel=1e-5)


def test_cp2k_not_converged():
    with pytest.raises(DataError, match=r"line 601: 'SCF run NOT converged'"):
        labels_of(FILES / "cp2k_not_converged.out.gz")


@pytest.mark.parametrize(
    "changes, message",
    [
        ([("PROGRAM ENDED AT", "")], "did not finish"),
        (
            [
                (
                    "Run type                                                         ENERGY",
                    "Run type                                                             MD",
                )
            ],
            "the run type is MD",
        ),
        ([("tensor [ang^3]", "tensor [nm^3]")], "found 1 complete ones"),
        ([("6.273840514024", "6.373840514024")], "do not agree"),
        ([("6.273840514024", "           NaN")], "expected xx,yy,zz and three numbers"),
        ([("xy,xz,yz", "xy,yz,xz")], "expected xy,xz,yz"),
        ([("CELL| Vector b", "CELL| Vektor b")], "no complete cell"),
        ([("0.000   |b| =     8.500000", "0.000   |b| =     9.500000")] * 2, "the lengths"),
        ([("      2    2 H     1      4.757000", "      2    2 H     1      4.7570x0")], "the table of atomic coord"),
        ([("The linear solver converged in", "The linear solver didn't converge! Max")], "didn't converge"),
    ],
)
def test_cp2k_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(edited(real("samples/cp2k_h2o_polar.out"), tmp_path, *changes))


# ABINIT


def test_abinit_classic_netcdf():
    labels = labels_of(real("codes/alas_anaddb.nc"))
    assert np.allclose(labels.polarizability[0], alpha(9.76060478 * np.eye(3), 2 * (5.305 * BOHR) ** 3), atol=1e-6)
    assert labels.frames.numbers.tolist() == [13, 33]
    assert np.allclose(labels.frames.positions[1], [5.305 * BOHR / 2] * 3)


def unpacked(tmp_path: Path) -> Path:
    path = tmp_path / "abinit_si_anaddb.nc"
    path.write_bytes(gzip.decompress((FILES / "abinit_si_anaddb.nc.gz").read_bytes()))
    return path


def test_abinit_netcdf4(tmp_path):
    labels = labels_of(unpacked(tmp_path))
    # 'Electronic dielectric tensor' in the text output of the same run
    epsilon = [
        [22.60599372, -10.52069924, -9.88932321],
        [-10.52069932, 26.81622952, -13.14831781],
        [-9.88932338, -13.14831777, 24.26571880],
    ]
    cell = 10.2 * BOHR * np.array([[0, 0.51, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0.02]])
    assert np.allclose(labels.polarizability[0], alpha(epsilon, abs(np.linalg.det(cell))), rtol=1e-8)
    assert np.allclose(labels.frames.cells[0], cell) and labels.frames.numbers.tolist() == [14, 14]
    assert np.allclose(labels.frames.positions[1], [0.27, 0.24, 0.25] @ cell)


def test_abinit_refused(tmp_path):
    path = unpacked(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["emacro_cart"]
    with pytest.raises(DataError, match=r"no emacro_cart: run anaddb with dieflag 1"):
        labels_of(path)
    for content, message in (
        (b"CDF\x01" + bytes(20), "cannot be read as a netCDF|no primitive_vectors"),
        (real("codes/alas_anaddb.nc").read_bytes()[:3000], "cannot be read as a netCDF"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            labels_of(path)


# FHI-aims

AIMS = """          Invoking FHI-aims ...
  | Number of atoms                   :        2
  Input geometry:
  | Unit cell:
  |        4.00000000        0.00000000        0.00000000
  |        1.00000000        5.00000000        0.00000000
  |        0.00000000        0.00000000        6.00000000
  | Atomic structure:
  |       Atom                x [A]            y [A]            z [A]
  |    1: Species Na            0.02000000        1.84132012        5.18434305
  |    2: Species Cl           -1.59463000        0.92066006        2.59172805

  Finished reading input file 'geometry.in'.
  Self-consistency cycle converged.
  CP-self-consistency cycle converged.
DFPT polarizability (Bohr^3)        xx        yy        zz        xy        xz        yz
  | Polarizability:--->            124.878   114.867   125.170     0.427     0.304    -0.008

DIELECTRIC
          Have a nice day.
"""
DIELECTRIC = """DFPT for dielectric_constant:--->  # PARSE DFPT_dielectric_tensor
               6.091191906729025             0.017394768478640             0.012379037684464
               0.017394961434766             6.090748706638381            -0.000340732176474
               0.012363060864791            -0.000342120559294             6.103119620755202
"""


def aims(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = AIMS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "aims.out").write_text(text)
    return tmp_path / "aims.out"


def test_aims_dielectric_tensor(tmp_path):
    warnings: list[str] = []
    labels = labels_of(aims(tmp_path, ("DIELECTRIC", DIELECTRIC)), warnings=warnings)
    epsilon = np.array(DIELECTRIC.split()[-9:], float).reshape(3, 3)
    assert np.allclose(labels.polarizability[0], alpha(epsilon, 120), rtol=1e-12) and not warnings
    assert labels.frames.cells[0].tolist() == [[4, 0, 0], [1, 5, 0], [0, 0, 6]]
    assert labels.frames.positions[1].tolist() == [-1.59463, 0.92066006, 2.59172805]


def test_aims_six_components_are_xx_yy_zz_xy_xz_yz(tmp_path):
    labels = labels_of(aims(tmp_path))
    matrix = np.array([[124.878, 0.427, 0.304], [0.427, 114.867, -0.008], [0.304, -0.008, 125.170]])
    assert np.allclose(labels.polarizability[0], matrix * ANGSTROM3_PER_BOHR3, rtol=1e-12)


def test_aims_molecule_with_all_nine(tmp_path):
    cell = AIMS[AIMS.index("  | Unit cell") : AIMS.index("  | Atomic")]
    rows = "DFPT for polarizability:--->\n  9.1 0.1 0.2\n 0.1 9.2 0.3\n 0.2 0.3 9.3\nThe mean polarizability is 9.2"
    labels = labels_of(aims(tmp_path, (cell, "  | No unit cell requested.\n"), ("DIELECTRIC", rows)))
    assert np.allclose(labels.polarizability[0, 1], np.array([0.1, 9.2, 0.3]) * ANGSTROM3_PER_BOHR3)
    assert not labels.frames.periodic.any()


@pytest.mark.parametrize(
    "changes, message",
    [
        ([("Have a nice day.", "")], "did not finish"),
        ([("  Self-consistency cycle converged", "  Self-consistency cycle not yet converged")], "did not converge"),
        ([("xy        xz        yz", "xy        yz        xz")], "expected six numbers in the order xx yy zz xy xz yz"),
        ([("   114.867", " ********")], "expected six numbers"),
        ([("DFPT polarizability", "DFPT nothing")], "no polarizability and no dielectric tensor"),
        ([("Species Cl", "Species Qq")], "species 'Qq' is not a chemical element"),
        ([("1.84132012", "1.84x32012")], "input geometry is missing or not complete"),
        ([("atoms                   :        2", "atoms                   :        3")], "not complete"),
        ([("DIELECTRIC", "Updated atomic structure:")], "relaxed or moved"),
        ([("  |        1.00000000        5.0", "  |        1.0000000x        5.0")], "expected nine numbers"),
    ],
)
def test_aims_refused(changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        labels_of(aims(tmp_path, *changes))


# deepmd


def deepmd(tmp_path: Path, sets=("set.000", "set.001"), frames: int = 3):
    rng = np.random.default_rng(3)
    (tmp_path / "type.raw").write_text("1\n0\n")
    (tmp_path / "type_map.raw").write_text("I\nAg\n")
    values = []
    for name in sets:
        (tmp_path / name).mkdir()
        one = {
            "coord": rng.normal(size=(frames, 6)),
            "box": np.tile(np.diag([4.0, 5, 6]).ravel(), (frames, 1)),
            "polarizability": (lambda a: (a + a.transpose(0, 2, 1)).reshape(-1, 9))(rng.normal(size=(frames, 3, 3))),
        }
        for key, value in one.items():
            np.save(tmp_path / name / f"{key}.npy", value)
        values.append(one)
    return [tmp_path / name / "polarizability.npy" for name in sets], values


def test_deepmd(tmp_path):
    paths, values = deepmd(tmp_path)
    labels = labels_of(*paths, unit="angstrom^3")
    assert len(labels) == 6 and labels.frames.numbers[:2].tolist() == [47, 53]
    assert np.allclose(labels.polarizability[4], values[1]["polarizability"][1].reshape(3, 3))
    assert np.array_equal(labels.frames.positions[8:10], values[1]["coord"][1].reshape(2, 3))
    assert labels.source[4] == f"{paths[1]}, frame 1" and len(companions(paths)) == 6
    (tmp_path / "nopbc").touch()
    assert not labels_of(*paths, unit="angstrom^3").frames.periodic.any()


def test_deepmd_refused(tmp_path):
    paths, _ = deepmd(tmp_path)
    with pytest.raises(DeckError, match=r"reference.unit"):
        labels_of(*paths)
    np.save(tmp_path / "set.000" / "box.npy", np.zeros((2, 9)))
    with pytest.raises(DataError, match=r"3 tensors for 3 coordinates and 2 cells"):
        labels_of(*paths, unit="bohr^3")
    np.save(tmp_path / "set.000" / "coord.npy", np.full((3, 6), np.nan))
    with pytest.raises(DataError, match=r"coord.npy: row 0 holds"):
        labels_of(*paths, unit="bohr^3")
    np.save(paths[0], np.zeros((3, 6)))
    with pytest.raises(DataError, match=r"polarizability.npy: .* shape \(3, 6\); needed"):
        labels_of(*paths, unit="bohr^3")
    (tmp_path / "type.raw").write_text("1 2\n")
    with pytest.raises(DataError, match=r"type.raw: needed: numbers from 0 to 1"):
        labels_of(*paths, unit="bohr^3")
    (tmp_path / "type_map.raw").unlink()
    with pytest.raises(DataError, match=r"type_map.raw: No such file"):
        labels_of(*paths, unit="bohr^3")


def test_deepmd_tensors_of_atoms_are_summed(tmp_path):
    paths, values = deepmd(tmp_path)
    for k, path in enumerate(paths):
        whole = values[k]["polarizability"]
        share = np.random.default_rng(k).normal(size=whole.shape)
        np.save(path.with_name("atomic_polarizability.npy"), np.hstack([share, whole - share]))
    atomic = [path.with_name("atomic_polarizability.npy") for path in paths]
    found, expected = labels_of(*atomic, unit="au"), labels_of(*paths, unit="bohr^3")
    assert np.allclose(found.polarizability, expected.polarizability) and len(companions(atomic)) == 6
    np.save(atomic[0], np.zeros((3, 10)))
    with pytest.raises(DataError, match=r"shape \(3, 10\); needed: finite numbers \(frames, 9 atoms\)"):
        labels_of(*atomic, unit="bohr^3")


# pairs of arrays


def numpy_pair(folder, frames: int = 4, tensors: str = "polarizability.npy"):
    rng = np.random.default_rng(5)
    positions, alpha = rng.uniform(0, 6, size=(frames, 3, 3)), 30 + rng.normal(size=(frames, 3, 3))
    alpha = alpha + alpha.transpose(0, 2, 1)
    np.save(folder / "coordinates.npy", positions)
    np.save(folder / tensors, alpha)
    return [folder / "coordinates.npy", folder / tensors], positions, alpha


@pytest.mark.parametrize("tensors", ["polarizability.npy", "alpha.npy"])
def test_a_pair_of_numpy_arrays(tensors, tmp_path):
    files, positions, alpha = numpy_pair(tmp_path, tensors=tensors)
    cell = [[6.0, 0, 0], [0, 7, 0], [0, 0, 8]]
    options = {"species": ["Ag1", "I2"], "cell": cell}
    labels = read_labels(files[::-1], "auto", None, "A^3", pytest.fail, **options)
    assert np.allclose(labels.polarizability, alpha) and np.allclose(labels.frames.positions, positions.reshape(-1, 3))
    assert labels.frames.numbers[:3].tolist() == [47, 53, 53] and labels.frames.periodic.all()
    assert labels.source[2] == f"{files[1]}, frame 2"
    np.save(tmp_path / "box.npy", np.tile(np.eye(3) * 9, (4, 1, 1)))
    labels = read_labels([*files, tmp_path / "box.npy"], "auto", None, "A^3", pytest.fail, species=["Ag", "I", "I"])
    assert np.allclose(labels.frames.volumes, 729)
    assert not read_labels(files, "npy", None, "A^3", pytest.fail, species=["Ag", "I", "I"]).frames.periodic.any()


def test_pairs_of_numpy_arrays_refused(tmp_path):
    files, _, _ = numpy_pair(tmp_path, tensors="alpha.npy")
    with pytest.raises(DeckError, match=r"reference.species"):
        labels_of(*files, unit="bohr^3")
    for wrong, message in (
        (files[:1], "no file of tensors beside it"),
        ([*files, files[1]], "two files of tensors"),
        ([*files, files[0]], "two files of coordinates"),
    ):
        with pytest.raises(DataError, match=message):
            read_labels(wrong, "npy", None, "bohr^3", pytest.fail, species=["Ag", "I", "I"])
    with pytest.raises(DataError, match=r"coordinates.npy: shape \(4, 3, 3\); needed: \(frames, 2, 3\)"):
        read_labels(files, "npy", None, "bohr^3", pytest.fail, species=["Ag", "I"])
    np.save(files[1], np.ones((5, 3, 3)))
    with pytest.raises(DataError, match="5 tensors for 4 frames"):
        read_labels(files, "npy", None, "bohr^3", pytest.fail, species=["Ag", "I", "I"])


# what all have in common


def test_labels_of_atoms_with_names_of_their_own(tmp_path):
    text = (
        '2\nLattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3 alpha="2 0 0 0 2 0 0 0 2"\n{}1 0 0 0\nOw 1 2 3\n'
    )
    (tmp_path / "a.extxyz").write_text(text.replace("{}", "H"))
    labels = read_labels([tmp_path / "a.extxyz"], "auto", None, "au", pytest.fail, species={"Ow": "O"})
    assert labels.frames.numbers.tolist() == [1, 8]


def test_susceptibility_is_the_dielectric_tensor_less_one(tmp_path):
    head = '2\nLattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3 '
    for key, tensor in (("epsilon", TENSOR), ("chi", TENSOR - np.eye(3))):
        values = " ".join(map(str, tensor.ravel()))
        (tmp_path / f"{key}.xyz").write_text(f'{head}{key}="{values}"\nNa 0 0 0\nCl 1 2 3\n')
    chi = labels_of(tmp_path / "chi.xyz")
    assert np.allclose(chi.polarizability, labels_of(tmp_path / "epsilon.xyz").polarizability, rtol=1e-12)
    assert np.allclose(chi.polarizability[0], alpha(TENSOR, 120))
    with pytest.raises(DeckError, match=r"a susceptibility has no unit"):
        labels_of(tmp_path / "chi.xyz", unit="bohr^3")


def test_units_and_quantities_that_files_fix(tmp_path):
    with pytest.raises(DeckError, match=r"the unit of aims files is known; remove 'bohr\^3'"):
        labels_of(aims(tmp_path), unit="bohr^3")
    with pytest.raises(DeckError, match=r"holds a polarizability tensor; set polarizability"):
        labels_of(aims(tmp_path), quantity="dielectric")


def test_formats_are_not_mixed(tmp_path):
    with pytest.raises(DataError, match=r"cp2k_water.out.gz is cp2k but .* is aims"):
        labels_of(aims(tmp_path), FILES / "cp2k_water.out.gz")


# labels named by frame

PATTERN = r"(\d+)\.OUTCAR"


@pytest.fixture(scope="module")
def sio2(tmp_path_factory):
    files = [real(f"sio2/outcar/{frame:06d}.OUTCAR.gz") for frame in (10, 20, 5000, 10000)]
    index = build_index([real("sio2/XDATCAR.gz")], "auto", tmp_path_factory.mktemp("scratch"), None, pytest.fail)
    return labels_of(*files), index


def test_labels_are_matched_to_frames_by_name(sio2):
    labels, index = sio2
    matched, text = on_trajectory(labels, index, PATTERN, -1)
    assert matched.frames.index.tolist() == [9, 19, 4999, 9999]
    assert text.startswith("4 labels are frames 9 to 9999 of the trajectory")
    shift = (matched.frames.positions - labels.frames.positions) @ np.linalg.inv(labels.frames.cells[0])
    assert np.abs(shift - np.round(shift)).max() < 1e-6
    assert np.array_equal(matched.polarizability, labels.polarizability)


@pytest.mark.parametrize(
    "pattern, offset, kind, message",
    [
        (PATTERN, 0, DataError, r"would be frame 10000 of the trajectory, which has frames 0 to 9999"),
        (
            PATTERN,
            -2,
            DataError,
            r"000010.OUTCAR.gz: an atom is 0.00\d+ Angstrom from where frame 8 .*. Frame 9 fits: "
            r"change reference.frame_offset by 1",
        ),
        (r"(\d+)\.vasp", -1, DeckError, r"frame_from_name: '.*' finds no number in '000010.OUTCAR.gz'"),
        (r"\d+", -1, DeckError, r"it needs one group"),
        (r"(\d+", -1, DeckError, r"not a regular expression"),
    ],
)
def test_labels_that_do_not_match(pattern, offset, kind, message, sio2):
    with pytest.raises(kind, match=message):
        on_trajectory(*sio2, pattern, offset)
