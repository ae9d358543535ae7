"""The Python API: the same numbers as the command line, in five lines."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase import units
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet

import mlraman_hpc as mr
from mlraman_hpc.base.errors import DataError
from tests import small_system as small
from tests.helpers import ROOT

SHIPPED = ROOT / "input_examples" / "agi"
pytestmark = pytest.mark.filterwarnings("ignore::mlraman_hpc.api.PolarizabilityWarning")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of the command line on a small system."""
    folder = tmp_path_factory.mktemp("results")
    small.write(folder)
    subprocess.run([sys.executable, "-m", "mlraman_hpc", "run", "deck.yaml", "--quiet"], cwd=folder, check=True)
    return folder


def test_the_notebook_example_on_the_shipped_data(tmp_path, monkeypatch):
    """The first block of `mlraman docs python`, word for word."""
    text = (ROOT / "mlraman_hpc" / "docs" / "python.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    for file in ("labels.extxyz", "trajectory.extxyz.gz"):
        (tmp_path / file).symlink_to(SHIPPED / file)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        exec(compile(example, "python.md", "exec"), names)
    spectrum = names["spectrum"]
    assert (tmp_path / "raman.png").stat().st_size > 10_000
    assert len(names["alpha"].value) == 2400 and names["alpha"].frame_interval == pytest.approx(50.0)
    low = spectrum.wavenumber < 50
    assert spectrum.intensity["total"][low].max() == pytest.approx(spectrum.intensity["total"].max(), rel=0.5)


@pytest.mark.slow
def test_prediction_and_spectrum_are_those_of_the_command_line(results):
    model, known = mr.load_model(results / "out/model.h5"), mr.load(results / "out/alpha.h5")
    trajectory = mr.Trajectory(results / "XDATCAR", frame_interval=known.frame_interval)
    with pytest.warns(mr.PolarizabilityWarning, match="far outside the training range"):
        alpha = model.predict(trajectory, threads=2)
    assert np.array_equal(alpha.value, known.value) and np.array_equal(alpha.by_species, known.by_species)
    assert np.array_equal(alpha.members, known.members) and known.cell is None  # it is fixed
    assert mr.raman_spectrum(alpha, smoothing=20, blocks=0, remove_cell="volume").cell_part.share == 0  # it rests
    spectrum, file = mr.raman_spectrum(alpha, smoothing=20, blocks=4), mr.load(results / "out/raman.h5")
    scale = file.intensity["total"].max()
    np.testing.assert_allclose(spectrum.intensity["total"], file.intensity["total"], rtol=1e-9, atol=1e-12 * scale)


def test_deviations_of_the_committee_grow_with_the_distance_from_the_labels(results):
    model, trajectory = mr.load_model(results / "out/model.h5"), mr.Trajectory(results / "XDATCAR", frame_interval=10.0)
    far = [trajectory[k] for k in range(0, 20, 4)]
    for atoms in far:
        atoms.set_cell(1.03 * atoms.cell[:], scale_atoms=True)
    with pytest.warns(mr.PolarizabilityWarning, match="is another ensemble than the training set") as said:
        wide = model.predict(far, density_tolerance=0.2)
    factor = float(re.search(r"features are ([\d.]+) times", "".join(str(each.message) for each in said))[1])
    plain = model.predict(far, density_tolerance=0.2, compare=False)
    assert np.array_equal(wide.value, plain.value) and factor > 1.5
    with pytest.raises(DataError, match="volume or strain"):
        mr.raman_spectrum(wide, 10.0, remove_cell="nothing")
    ratio = (wide.members - wide.value[:, None]) / (plain.members - plain.value[:, None])
    np.testing.assert_allclose(ratio, factor, atol=0.051)


def test_slices_are_trajectories_and_items_are_atoms(results):
    trajectory = mr.Trajectory(results / "XDATCAR", frame_interval=10.0)
    part = trajectory[3:20:4]
    assert len(part) == 5 and part.frame_interval == 40.0 and trajectory.frame_interval == 10.0
    assert isinstance(part[1], ase.Atoms)
    np.testing.assert_allclose(part[1].positions, trajectory[7].positions, atol=1e-12)
    np.testing.assert_allclose(trajectory[-1].positions, list(trajectory[-2:])[1].positions, atol=1e-12)
    with pytest.raises(IndexError):
        trajectory[len(trajectory)]


def test_a_trajectory_says_what_it_is_and_warns_where_it_was_called(tmp_path):
    rows = "".join(f"2\ntime={10.0 * k}\nC1 0 0 0\nO {1.1 + 0.01 * k} 0 0\n" for k in range(4))
    (tmp_path / "a.xyz").write_text(rows)
    with pytest.warns(mr.PolarizabilityWarning, match="C1 as C") as said:
        trajectory = mr.Trajectory(tmp_path / "a.xyz")
    assert {Path(warning.filename).name for warning in said} == {"test_api.py"}
    assert repr(trajectory[::2]) == "<Trajectory: 2 frames of 2 atoms (C, O), 20 fs apart>"


def test_atoms_and_lists_of_atoms(results):
    model = mr.load_model(results / "out/model.h5")
    trajectory = mr.Trajectory(results / "XDATCAR", frame_interval=10.0)
    alone, together = model.predict(trajectory[2]), model.predict([trajectory[k] for k in range(4)])
    assert np.array_equal(alone.value[0], together.value[2])
    assert np.isnan(alone.time[-1]) or len(alone.time) == 1


def test_training_on_atoms_and_on_files(results, tmp_path):
    keys = {"quantity": "polarizability", "unit": "angstrom^3", "descriptor": {"cutoff": 4.0}, "seed": 3}
    from_file = mr.train(results / "labels.extxyz", **keys)
    assert set(from_file.scores) == {"r2", "rmse"}
    from_file.save(tmp_path / "model.h5")
    again = mr.load_model(tmp_path / "model.h5")
    assert np.array_equal(again.isotropic, from_file.isotropic)


def test_a_calculator_of_alpha(results):
    model = mr.load_model(results / "out/model.h5")
    atoms = mr.Trajectory(results / "XDATCAR", frame_interval=10.0)[0]
    atoms.calc = model.ase_calculator(LennardJones())
    forces = atoms.get_forces()
    assert forces.shape == (len(atoms), 3)
    alpha = model.predict(atoms).value[0]
    assert np.array_equal(atoms.calc.results["polarizability"], alpha)
    properties = atoms.get_properties(["energy", "forces"])  # what i-PI's ASE driver asks for
    assert np.array_equal(properties["polarizability"], alpha) and np.array_equal(properties["forces"], forces)
    assert {"energy", "forces", "polarizability"} <= set(properties) and len(properties) == len(list(properties))


def test_alpha_on_the_fly_is_that_of_predict(results, tmp_path):
    """Molecular dynamics with ASE; the frames that it leaves are predicted by the command line."""
    model = mr.load_model(results / "out/model.h5")
    atoms = mr.Trajectory(results / "XDATCAR", frame_interval=10.0)[0]
    atoms.calc = model.ase_calculator(LennardJones(sigma=2.5, epsilon=0.01))
    atoms.set_momenta(np.random.default_rng(0).normal(scale=1.0, size=(len(atoms), 3)))
    found, frames = [], []
    run = VelocityVerlet(atoms, 1.0 * units.fs)
    run.attach(lambda: (found.append(atoms.calc.results["polarizability"]), frames.append(atoms.copy())))
    run.run(5)
    ase.io.write(tmp_path / "run.traj", frames)
    (tmp_path / "deck.yaml").write_text(
        f"output: out\nmodel: {{file: {results / 'out/model.h5'}}}\n"
        "trajectory: {files: run.traj, frame_interval: 1.0}\n"
    )
    subprocess.run([sys.executable, "-m", "mlraman_hpc", "predict", "deck.yaml", "--quiet"], cwd=tmp_path, check=True)
    series = mr.load(tmp_path / "out/alpha.h5").value
    assert len(series) == 6 and np.abs(series[-1] - series[0]).max() > 1e-4
    np.testing.assert_allclose(np.array(found), series, rtol=0, atol=1e-10)


def test_arrays_tables_and_figures(results, tmp_path):
    spectrum = mr.load(results / "out/raman.h5")
    arrays = spectrum.to_arrays()
    assert arrays["intensity/total"].shape == arrays["wavenumber"].shape
    figure = spectrum.plot()
    assert figure.axes and not list(tmp_path.iterdir())
    spectrum.plot(tmp_path / "figure.png")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".pdf"}
    pandas = pytest.importorskip("pandas")
    table = spectrum.to_dataframe()
    assert isinstance(table, pandas.DataFrame) and len(table) == len(spectrum.wavenumber)


def test_what_cannot_be_done_is_one_message(results):
    model = mr.load_model(results / "out/model.h5")
    with pytest.raises(DataError, match="Xe"):
        model.predict(ase.Atoms("Xe2", [[0, 0, 0], [0, 0, 4]], cell=[9, 9, 9], pbc=True))
    with pytest.raises(DataError, match="frame_interval"):
        mr.raman_spectrum(np.zeros((64, 3, 3)))
    with pytest.raises(DataError, match="no such file"):
        mr.load(results / "nothing.h5")
    with pytest.raises(AttributeError):
        mr.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mlraman_hpc; print(sorted({'numpy', 'h5py', 'ase', 'featomic', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
