"""`mlraman md`: files that the readers take, restarts to the same bits, runs that fail alone."""

import shutil
import sys

import h5py
import numpy as np
import pytest
from ase.build import bulk

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.md.calculators import KNOWN, calculator_class
from mlraman_hpc.storage import hdf5
from tests.helpers import ROOT, stop_signal, wait_for_line

DECK = """output: out
figures: false
md: {{structure: cu.vasp, supercell: [2, 1, 1], calculator: {calculator}, arguments: {{{arguments}}}, temperature: 300,
  time_step: 5, frame_interval: 10, length: {length}, replicas: {replicas}, equilibration: {equilibration}, npt: {npt},
  checkpoint: 20, ensemble: {ensemble}{more}}}
"""


@pytest.fixture
def deck(tmp_path):
    def write(folder=tmp_path, **changes):
        values = {"calculator": "emt", "arguments": "", "length": 300, "replicas": 1, "equilibration": 100, "npt": 0}
        values |= {"ensemble": "nvt", "more": ""} | changes
        folder.mkdir(exist_ok=True)
        bulk("Cu", cubic=True).write(folder / "cu.vasp")
        (folder / "deck.yaml").write_text(DECK.format(**values))
        return folder

    return write


def contents(folder) -> dict[str, dict[str, np.ndarray]]:
    """All numbers of all trajectories."""
    result = {}
    for path in sorted((folder / "out").glob("trajectory_*.h5")):
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visit(names.append)
            result[path.name] = {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}
            result[path.name]["time"] = file["particles/trajectory/position/time"][()]
    return result


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[file][name], other[file][name], equal_nan=one[file][name].dtype.kind == "f")
        for file in one
        for name in one[file]
    )


def test_a_run_is_a_trajectory_with_velocities(mlraman, deck):
    folder = deck(length=2000, ensemble="nve")
    done = mlraman(0, "md", "deck.yaml")
    assert "temperatures differ by about 65 K between runs" in done.stdout  # 300 K/sqrt(21)
    ((name, values),) = contents(folder).items()
    assert name == "trajectory_300K_0.h5" and not list((folder / "out").glob("*.partial"))
    positions, velocities = (values[f"particles/trajectory/{key}/value"] for key in ("position", "velocity"))
    assert positions.shape == velocities.shape == (200, 8, 3)
    np.testing.assert_allclose(values["time"], 10.0 * np.arange(200), rtol=1e-12)
    middle = (positions[2:] - positions[:-2]) / 20.0  # Angstrom/fs, if the units are right
    np.testing.assert_allclose(middle, velocities[1:-1], atol=0.05 * np.abs(velocities).max())
    energy = values["observables/conserved_energy/value"]
    np.testing.assert_allclose(
        energy, values["observables/potential_energy/value"] + values["observables/kinetic_energy/value"], rtol=1e-12
    )
    assert np.std(energy) < 0.02 * np.std(values["observables/potential_energy/value"])
    np.testing.assert_allclose(
        values["md/temperature"][0], values["observables/temperature/value"].mean(), rtol=1e-9, atol=0
    )
    done = mlraman(0, "md", "deck.yaml")
    assert "up to date" in done.stdout
    extra = "dynamics: {}\ntrajectory: {files: out/trajectory_300K_0.h5}\n"
    (folder / "deck.yaml").write_text((folder / "deck.yaml").read_text() + extra)
    done = mlraman(0, "dynamics", "deck.yaml")
    assert "velocities" in done.stdout


@pytest.mark.mpi
@pytest.mark.slow
def test_kills_and_stops_do_not_change_a_bit(mlraman, deck, background, tmp_path):
    reference = deck(tmp_path / "reference", replicas=4, length=1500, npt=100)
    mlraman(0, "md", "deck.yaml", folder=reference)
    expected = contents(reference)
    assert len(expected) == 4
    folder = deck(tmp_path / "killed", replicas=4, length=1500, npt=100)
    for wait, kill in ((0.7, True), (1.5, False), (0.2, True)):
        process = background(2, "md", "deck.yaml", folder=folder)
        first = wait == 0.7
        try:
            wait_for_line(process, "4 runs of" if first else "runs of")
        except AssertionError:  # on a fast machine one run or none is left, and ends
            assert not first and process.returncode == 0
            break
        try:
            process.wait(wait)
        except Exception:
            process.kill() if kill else process.send_signal(stop_signal(2))
        process.communicate()
        assert process.returncode in ((-9, 0) if kill else (75, 0))
    mlraman(2, "md", "deck.yaml", folder=folder)
    assert same(contents(folder), expected)


@pytest.fixture
def importable(monkeypatch):
    """The program can import calculators of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize(("kind", "text"), [("raise", "ValueError"), ("nan", "not numbers"), ("explode", "explodes")])
def test_a_run_that_fails_is_named_and_the_others_finish(mlraman, deck, importable, kind, text):
    arguments = f"kind: {kind}, calls: 120"
    more = ", renew_calculator: false"
    folder = deck(calculator="tests.md.broken:Failing", arguments=arguments, replicas=3, more=more)
    done = mlraman(0, "md", "deck.yaml", code=3)
    assert "300 K, replica 1: step" in done.stderr and "of production" in done.stderr and text in done.stderr
    assert [*contents(folder)] == ["trajectory_300K_0.h5", "trajectory_300K_2.h5"]
    mlraman(0, "md", "deck.yaml")  # fails once in each process, at a call that a run that goes on does not reach
    assert len(contents(folder)) == 3


def test_a_missing_package_is_one_message(mlraman, deck):
    deck(calculator="nowhere.at_all:Calculator")
    done = mlraman(0, "md", "deck.yaml", code=2)
    (line,) = done.stderr.strip().splitlines()
    assert "deck.yaml" in line and "md.calculator" in line and "nowhere" in line and "beside the deck" in line


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - {"emt", "lj"}))
def test_the_package_of_a_short_name_is_told_where_it_is_missing(monkeypatch, name):
    """Also where it is installed: Python refuses to import a module that is None among the loaded ones."""
    known = KNOWN[name]
    for module in (known.needs, known.target.split(":")[0].split(".")[0]):
        if module not in (None, "ase"):
            monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeckKeyError, match=f"needs the package {known.package}, .*; 'pip install {known.package}'$"):
        calculator_class(name)


def test_a_calculator_beside_the_deck_is_found_and_its_change_noticed(mlraman, deck, tmp_path):
    """From another folder, so that Python would not find it by itself."""
    folder = deck(tmp_path / "inner", length=50, equilibration=0, calculator="my_force_field:Springs")
    own = folder / "my_force_field.py"
    own.write_text((ROOT / "tests" / "md" / "broken.py").read_text())
    mlraman(0, "md", "inner/deck.yaml")
    assert "up to date" in mlraman(0, "md", "inner/deck.yaml").stdout
    own.write_text(own.read_text().replace("5.0", "6.0"))
    assert "wrote" in mlraman(0, "md", "inner/deck.yaml").stdout


def test_arguments_that_are_refused_are_one_message(mlraman, deck, importable):
    deck(arguments="nonsense: 1", calculator="tests.md.broken:Springs")
    done = mlraman(0, "md", "deck.yaml", code=2)
    assert "md.arguments" in done.stderr and "nonsense" in done.stderr


def test_the_check_plans_what_is_not_given(mlraman, deck):
    folder = deck()
    text = (folder / "deck.yaml").read_text()
    text = text.replace("time_step: 5, frame_interval: 10, length: 300, ", "")
    (folder / "deck.yaml").write_text(text)
    done = mlraman(0, "check", "deck.yaml")
    assert "highest band" in done.stdout and "ns/day" in done.stdout and "a frame every" in done.stdout
    assert not (folder / "out").exists() or not list((folder / "out").glob("*.h5"))


@pytest.mark.parametrize("engine", ["lammps", "gpumd", "ipi", "vasp"])
def test_input_of_other_engines(mlraman, deck, engine):
    folder = deck(replicas=2)
    done = mlraman(0, "md", "deck.yaml", "--write", engine)
    files = sorted((folder / "out" / engine / "300K_1").iterdir())
    assert len(files) >= 2 and "frame_interval: 10" in done.stdout
    texts = {path.name: path.read_text() for path in files}
    assert any("300" in text for text in texts.values())
    seeds = [path.read_text() for path in sorted((folder / "out" / engine).glob("300K_*/*"))]
    assert len(set(seeds)) > len(files)  # replicas have seeds of their own


def test_forces_of_the_decks_own_calculator(mlraman, deck):
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    folder, frames = deck(), []
    for seed in range(5):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        forces = atoms.get_forces() / 0.8  # a force field that is too soft
        atoms.calc = SinglePointCalculator(atoms, forces=forces)
        frames.append(atoms)
    write(folder / "labels.extxyz", frames)
    (folder / "deck.yaml").write_text((folder / "deck.yaml").read_text() + "forces: {files: labels.extxyz}\n")
    done = mlraman(0, "forces", "deck.yaml")
    assert "Cu: predicted forces have the slope 0.80" in done.stderr
    with h5py.File(folder / "out" / "forces.h5") as file:
        np.testing.assert_allclose(file["slope/Cu"][()], 0.8, rtol=1e-5)
    assert "up to date" in mlraman(0, "forces", "deck.yaml").stdout


def test_another_deck_begins_anew(mlraman, deck):
    folder = deck(length=50, equilibration=0)
    mlraman(0, "md", "deck.yaml")
    before = hdf5.read_origin(folder / "out" / "trajectory_300K_0.h5").key
    mlraman(0, "md", "deck.yaml", "--set", "md.seed=1")
    assert hdf5.read_origin(folder / "out" / "trajectory_300K_0.h5").key != before
    shutil.rmtree(folder / "out")
