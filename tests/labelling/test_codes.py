"""Input for VASP, Quantum ESPRESSO and ABINIT: VASP's key by key, the others' by the programs themselves."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from mlraman_hpc.commands.collect import collect
from mlraman_hpc.commands.prepare import prepare
from mlraman_hpc.commands.select import select
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.labels import read_labels
from tests import small_system as small
from tests.labelling import boron_nitride, system

ESPRESSO, ABINIT = Path("/usr/share/espresso/pseudo"), Path("/usr/share/abinit/psp")  # of Debian's packages
CELL = 2.8 * (np.ones((3, 3)) - np.eye(3))  # two atoms of AlAs
PROGRAMS = {
    "qe": (
        ("pw.x", "ph.x"),
        [ESPRESSO / "Al.pz-vbc.UPF", ESPRESSO / "As.pz-bhs.UPF"],
        "ecutwfc: 16, gap_bands: 5",
        "{program} -i {input}",
    ),
    "abinit": (
        ("abinit", "anaddb"),
        [ABINIT / "13al.3.hgh", ABINIT / "33as.5.hgh"],
        "ecut: 8, ixc: 7",
        "{program} {input}",
    ),
}


def arsenide(folder: Path, code: str) -> tuple[str, ...]:
    """A deck of one frame of AlAs, moved off its sites; the changes that make its input."""
    positions = np.array([[0, 0, 0], [1.4, 1.4, 1.4]]) + np.random.default_rng(0).normal(scale=0.05, size=(20, 2, 3))
    text = small.extxyz(positions, interval=100.0, species=["Al", "As"], cell=CELL, digits=10)
    (folder / "trajectory.extxyz").write_text(text)
    _, files, more, command = PROGRAMS[code]
    names = dict(zip(("Al", "As"), (file.name for file in files)))
    parameters = f"{{pseudo_dir: {files[0].parent}, pseudopotentials: {json.dumps(names)}, kpoints: [3, 3, 3], {more}}}"
    (folder / "deck.yaml").write_text(
        "output: out\ntrajectory: {files: trajectory.extxyz}\n"
        f"labelling: {{code: {code}, frames: 1, test: 0, min_interval: 0, parameters: {parameters}, "
        f"command: '{command}'}}\n"
    )
    return ()


def made(folder: Path, *changes: str) -> Path:
    """Folder of all calculations."""
    job = system.job(folder, *changes)
    select(job)
    prepare(job)
    return folder / "out" / "calculations"


def incar(path: Path) -> dict[str, str]:
    lines = (line.partition("!")[0] for line in path.read_text().splitlines()[1:])
    return dict(map(str.strip, line.split("=")) for line in lines if "=" in line)


COMMON = {  # https://www.vasp.at/wiki: single point, no symmetry, tight, plain projectors, nothing left behind
    "IBRION": "-1", "NSW": "0", "ISYM": "0", "ENCUT": "520", "PREC": "Accurate", "EDIFF": "1E-8", "NELM": "200",
    "ISMEAR": "0", "SIGMA": "0.01", "LREAL": ".FALSE.", "NCORE": "1", "KPAR": "1", "LWAVE": ".FALSE.",
    "LCHARG": ".FALSE.",
}  # fmt: skip


def test_vasp_key_by_key(tmp_path):
    """LEPSILON alone, never IBRION 7 or 8; EFIELD_PEAD in eV/Angstrom, absent without a field; vasp_std."""
    boron_nitride.write(tmp_path)
    for name in "BN":
        (tmp_path / f"POTCAR_{name}").write_text(f"potential of {name}\n")
    changes = [
        "labelling.code=vasp",
        "labelling.command=null",
        "labelling.parameters={encut: 520, kpoints: [2, 2, 2], potcars: {B: ./POTCAR_B, N: ./POTCAR_N}}",
        "labelling.kind=derivatives",
        "labelling.frames=1",
        "labelling.test=1",
    ]
    calculations = made(tmp_path, *changes)
    (tensor,), (fields,) = calculations.glob("*_polarizability"), calculations.glob("*_derivatives")
    assert incar(tensor / "INCAR") == {**COMMON, "LEPSILON": ".TRUE."}
    assert incar(fields / "00_0" / "INCAR") == COMMON
    keys = incar(fields / "04_+x+y" / "INCAR")
    strength = 0.002 * 27.211386 / 0.529177
    np.testing.assert_allclose([float(x) for x in keys.pop("EFIELD_PEAD").split()], [strength, strength, 0], rtol=1e-6)
    assert keys == COMMON and len(list(fields.glob("*/INCAR"))) == 13
    assert (tensor / "KPOINTS").read_text().splitlines()[1:] == ["0", "Gamma", "2 2 2", "0 0 0"]
    assert (tensor / "POTCAR").read_text() == "potential of B\npotential of N\n"
    assert "srun vasp_std > vasp.log" in (tensor / "run.sh").read_text()
    atoms = read(tensor / "POSCAR")
    frame = boron_nitride.positions(120)[int(tensor.name.split("_")[1])]
    difference = (atoms.positions - frame) / 3.615
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-9)
    assert atoms.get_chemical_symbols() == boron_nitride.SPECIES


def test_vasp_needs_a_cutoff_and_never_has_a_potential_of_ours(tmp_path):
    boron_nitride.write(tmp_path)
    with pytest.raises(Exception, match="the templates also need encut"):
        made(tmp_path, "labelling.code=vasp", "labelling.parameters={}")
    job = system.job(tmp_path, "labelling.code=vasp", "labelling.parameters={encut: 400}")
    prepare(job)
    assert not list((tmp_path / "out").glob("**/POTCAR"))


@pytest.mark.slow
@pytest.mark.parametrize("code", list(PROGRAMS))
def test_the_program_takes_its_input_and_collect_its_output(tmp_path, code):
    programs, files, *_ = PROGRAMS[code]
    if any(shutil.which(program) is None for program in programs) or not all(file.exists() for file in files):
        pytest.skip(f"{code} is not installed")
    arsenide(tmp_path, code)
    calculations = made(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(["bash", str(calculations / "array.sh")], env=environment, check=True, timeout=300)
    collect(system.job(tmp_path))
    labels = read_labels([tmp_path / "out" / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    mean = np.trace(labels.polarizability[0]) / 3
    epsilon = 1 + 4 * np.pi * mean / abs(np.linalg.det(CELL))
    assert 15 < epsilon < 30  # a coarse mesh and LDA; both programs and potentials are within a few per cent
    deviation = labels.polarizability[0] - mean * np.eye(3)
    assert 0.01 < np.abs(deviation).max() / mean < 0.3  # the atoms are off their sites


ABINIT_THIRD_ORDER = """
optdriver6 5
usepead6 0
getwfk6 1
getddk6 2
get1den6 3
get1wf6 3
getdkde6 5
kptopt6 2
d3e_pert1_elfd6 1
d3e_pert1_phon6 1
d3e_pert1_atpol6 1 2
d3e_pert1_dir6 1 1 1
d3e_pert2_elfd6 1
d3e_pert2_dir6 1 1 1
d3e_pert3_elfd6 1
d3e_pert3_dir6 1 1 1
"""  # https://docs.abinit.org/topics/nonlinear: two fields and a displacement, by perturbation theory alone


def test_abinit_third_order_key_by_key(tmp_path):
    arsenide(tmp_path, "abinit")
    (folder,) = made(tmp_path, "labelling.kind=derivatives").glob("*_derivatives")
    text = (folder / "calculation.abi").read_text()
    assert text.endswith(ABINIT_THIRD_ORDER) and "\nndtset 6\n" in text and "\nixc 7\n" in text
    lines = dict(line.split(None, 1) for line in text.splitlines() if line[:1].isalpha() and " " in line)
    perturbations = {
        "rfelfd2": "2",
        "rfelfd3": "3",
        "rfphon3": "1",
        "rfatpol3": "1 2",
        "rf2_dkdk4": "1",
        "rf2_dkde5": "1",
    }
    files = {"getddk3": "2", "getddk4": "2", "getddk5": "2", "get1den5": "3", "getdelfd5": "3", "getdkdk5": "4"}
    kept = {"prtden3": "1", "prtwf3": "1", "prepanl3": "1", "prepanl4": "1", "prepanl5": "1"}
    assert {key: lines[key] for key in perturbations | files | kept} == perturbations | files | kept
    anaddb = (folder / "anaddb.abi").read_text()
    assert '"calculationo_DS6_DDB"' in anaddb and "nlflag 2 " in anaddb and "ramansr 0 " in anaddb
    assert sorted(path.name for path in folder.iterdir()) == ["anaddb.abi", "calculation.abi", "run.sh"]


@pytest.mark.slow
@pytest.mark.parametrize("code", list(PROGRAMS))
def test_the_program_takes_its_input_for_derivatives_and_collect_its_output(tmp_path, code):
    programs, files, *_ = PROGRAMS[code]
    if any(shutil.which(program) is None for program in programs) or not all(file.exists() for file in files):
        pytest.skip(f"{code} is not installed")
    arsenide(tmp_path, code)
    calculations = made(tmp_path, "labelling.kind=derivatives")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(["bash", str(calculations / "array.sh")], env=environment, check=True, timeout=600)
    job = system.job(tmp_path, "labelling.kind=derivatives")
    collect(job)
    assert "1 finished" in job.console.stream.getvalue(), job.console.warnings
    labels = read_derivatives([tmp_path / "out" / "derivatives.extxyz"], "auto", None, None, job.console.warn)
    # of two atoms by translation one is the other's opposite; by zincblende's symmetry xy is the largest along z
    values = labels.of_frame(0)
    np.testing.assert_allclose(values[0], -values[1], atol=1e-9)
    assert np.abs(values[0, 2, 0, 1]) > 3 * np.abs(values[0, 2, 2, 2])
