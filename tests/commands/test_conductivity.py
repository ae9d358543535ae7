"""Ionic conductivity in `mlraman dynamics`: file, log, check and report; charges; runs; mistakes told apart."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.commands.check import inspect
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.commands.report import report
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.numerics.spectra.errorbars import student_factor
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from tests.close import assert_close

EDGE = 12.0
DECK = """output: {out}
trajectory: {{files: run.extxyz, frame_interval: 20.0}}
dynamics: {{mobile: [Ag], smoothing: 20, blocks: 4, temperature: 500}}
figures: false
"""


def write(folder, name="run.extxyz", seed=0, frames=500, pbc="T T T", drift=0.0, cations=12) -> None:
    """Walkers of silver with a fixed step, iodine that swings, all drifting along x."""
    rng = np.random.default_rng(seed)
    silver = np.cumsum(0.15 * rng.normal(size=(frames, cations, 3)), axis=0)
    iodine = 0.1 * rng.normal(size=(frames, 12, 3))
    start = rng.uniform(0, EDGE, size=(cations + 12, 3))
    positions = start + np.concatenate([silver, iodine], axis=1)
    positions[..., 0] += drift * np.arange(frames)[:, None]
    lattice = f'Lattice="{EDGE} 0 0 0 {EDGE} 0 0 0 {EDGE}" Properties=species:S:1:pos:R:3 pbc="{pbc}"'
    names, lines = ["Ag"] * cations + ["I"] * 12, []
    for atoms in positions:
        lines += [str(len(names)), lattice]
        lines += [f"{name} {x:.6f} {y:.6f} {z:.6f}" for name, (x, y, z) in zip(names, atoms)]
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "deck.yaml").write_text(DECK.format(out=folder / "out"))


def compute(folder, *changes: str) -> tuple[Job, str]:
    session, stream = Session(), io.StringIO()
    job = Job(read_deck(folder / "deck.yaml", list(changes)), session, Console(session, stream=stream))
    job.output.mkdir(exist_ok=True)
    dynamics(job)
    return job, stream.getvalue()


def result(folder) -> Conductivity | None:
    return hdf5.load(Dynamics, folder / "out" / "dynamics.h5").conductivity


@pytest.mark.slow
def test_file_log_and_report(tmp_path):
    write(tmp_path)
    job, said = compute(tmp_path, "figures=true")
    found = result(tmp_path)
    assert found.charge == {"Ag": 1, "I": -1} and found.charge_source == "oxidation states"
    assert found.temperature == 500 and found.temperature_source == "deck" and found.carriers == ("Ag",)
    assert found.volume == pytest.approx(EDGE**3) and found.total_charge == 0
    # N q^2 D/(V k T) with D = 0.15^2/2 Angstrom^2 in 20 fs
    expected = 16021.77 * 12 * 0.15**2 / 2 / 20 / (EDGE**3 * 8.617333e-5 * 500)
    assert found.nernst_einstein == pytest.approx(expected, abs=4 * found.nernst_einstein_error)
    assert found.einstein == pytest.approx(expected, abs=3 * found.einstein_error)
    assert found.green_kubo == pytest.approx(expected, abs=3 * found.green_kubo_error)
    assert "charges: Ag +1, I -1 e (oxidation states, neutral cell)" in said and "Haven ratio" in said
    with h5py.File(tmp_path / "out" / "dynamics.h5") as file:
        units = [file[f"conductivity/{name}"].attrs["unit"] for name in ("einstein", "spectrum/value", "haven")]
        assert units == ["S/cm", "S/cm", "1"]
        assert file["conductivity/charge/Ag"].attrs["unit"] == "e"
    assert (tmp_path / "out" / "conductivity.png").stat().st_size > 1000
    report(job)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ionic conductivity of independent ions (Nernst-Einstein), 500 K" in text and "Haven ratio" in text
    assert "is up to date" in compute(tmp_path)[1]


def test_a_neutral_cell_may_drift_and_a_charged_one_says_so(tmp_path, capsys):
    write(tmp_path)
    compute(tmp_path, "dynamics.drift=total")
    still = result(tmp_path)
    write(tmp_path, drift=0.02)
    compute(tmp_path, "dynamics.drift=total")
    moved = result(tmp_path)
    assert_close([moved.einstein, moved.green_kubo], [still.einstein, still.green_kubo], rtol=1e-4)
    capsys.readouterr()
    compute(tmp_path, "dynamics.charges={Ag: 1, I: 0}")
    assert "add up to +12 e" in capsys.readouterr().err
    assert_close(result(tmp_path).einstein, still.einstein, rtol=0.05)  # at rest is the host lattice
    assert any("add up to" in text for text in hdf5.load(Dynamics, tmp_path / "out" / "dynamics.h5").warnings)


def test_runs_are_averaged(tmp_path):
    """The Haven ratio is that of the means; errors are the scatter between the runs."""
    for number in range(3):
        write(tmp_path, f"run_{number}.extxyz", seed=number)
    compute(tmp_path, "trajectory.files=run_*.extxyz", "trajectory.runs=true", "figures=true")
    runs = [hdf5.load(Dynamics, tmp_path / "out" / "runs" / str(k) / "dynamics.h5").conductivity for k in range(3)]
    found = result(tmp_path)
    each = np.array([run.green_kubo for run in runs])
    error = student_factor(2) * each.std(ddof=1) / 3**0.5
    assert_close([found.green_kubo, found.green_kubo_error], [each.mean(), error], rtol=1e-12)
    assert_close(found.haven_green_kubo, found.nernst_einstein / found.green_kubo, rtol=1e-12)
    assert (tmp_path / "out" / "conductivity.png").exists()


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"cations": 9}, [], "no one choice of usual oxidation states of Ag, I makes the cell neutral"),
        ({"pbc": "T T F"}, [], "the cell is not periodic in three directions"),
        ({}, ["dynamics.charges={Ag: 0, I: 0}"], "all charges are zero"),
    ],
)
def test_without_charges_there_is_none_and_it_is_said(tmp_path, options, changes, words):
    write(tmp_path, frames=60, **options)
    assert f"no ionic conductivity: {words}" in compute(tmp_path, *changes)[1]
    assert result(tmp_path) is None


@pytest.mark.parametrize(
    ("charges", "words"),
    [
        ("{Cu: 1}", "Cu is not in the trajectory, which has Ag, I"),
        ("{Ag: 2}", "no usual oxidation states of I make the cell neutral"),
        ("{Ag: x}", "dynamics.charges"),
        ("{Ag: .nan}", "dynamics.charges"),
    ],
)
def test_mistakes(tmp_path, charges, words):
    write(tmp_path, frames=20)
    with pytest.raises(UserError, match=words):
        compute(tmp_path, f"dynamics.charges={charges}")


def test_check_tells_the_charges(tmp_path):
    write(tmp_path, frames=40)
    session, stream = Session(), io.StringIO()
    inspect(Job(read_deck(tmp_path / "deck.yaml"), session, Console(session, stream=stream)), print, trial_seconds=0.01)
    assert "charges: Ag +1, I -1 e" in stream.getvalue()


def test_a_kinetic_temperature_that_misses_motion_is_told(tmp_path, capsys):
    write(tmp_path, frames=100)
    compute(tmp_path, "dynamics.temperature=null")
    assert "conductivity is that at the kinetic temperature" in capsys.readouterr().err
    assert result(tmp_path).temperature_source == "kinetic energy"
