"""`dynamics.lattice_sites`: the same numbers on any number of ranks, in file, log and report; mistakes told apart."""

from __future__ import annotations

import io

import numpy as np
import pytest

from mlraman_hpc.base.errors import UserError
from mlraman_hpc.commands.check import inspect
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.commands.report import report
from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.transport import Dynamics, JumpMotion
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

EDGE = 4.0  # of the caesium chloride cell: host atoms at the corners, sites in the middle
DECK = """output: {out}
trajectory: {{files: run.extxyz, frame_interval: 20.0}}
dynamics: {{mobile: [Ag], lattice_sites: sites.vasp, smoothing: 20, blocks: 4}}
figures: false
"""


def poscar(edge: float, elements: str, counts: str, scaled) -> str:
    rows = [" ".join(f"{x:.6f}" for x in row) for row in scaled]
    cell = [f"{edge} 0 0", f"0 {edge} 0", f"0 0 {edge}"]
    return "\n".join(["sites", "1.0", *cell, elements, counts, "Direct", *rows]) + "\n"


def write(folder, frames: int = 300, sites: str | None = None) -> None:
    """27 host atoms that swing and drift, twelve Ag that jump along x every 40 frames in the mean; wrapped."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * EDGE
    host = corners[None] + rng.normal(scale=0.1, size=(frames, 27, 3))
    way = np.cumsum(rng.choice([-1, 0, 0, 1], size=(frames, 12)) * (rng.random((frames, 12)) < 0.05), axis=0)
    silver = corners[None, :12] + EDGE / 2 + rng.normal(scale=0.2, size=(frames, 12, 3))
    silver[1:, :, 0] += EDGE * (way[1:] + way[:-1]) / 2  # half-way for a frame
    drift = np.array([1.1, 0.3, 0]) + np.linspace(0, 3, frames)[:, None, None] * np.array([0, 1.0, 0])
    positions = np.concatenate([silver, host], axis=1) + drift
    positions -= 3 * EDGE * np.floor(positions / (3 * EDGE))
    lattice = f'Lattice="{3 * EDGE} 0 0 0 {3 * EDGE} 0 0 0 {3 * EDGE}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    lines = []
    for atoms in positions:
        lines += ["39", lattice]
        lines += [f"{name} {x:.6f} {y:.6f} {z:.6f}" for name, (x, y, z) in zip(["Ag"] * 12 + ["I"] * 27, atoms)]
    (folder / "run.extxyz").write_text("\n".join(lines) + "\n")
    (folder / "sites.vasp").write_text(sites or poscar(EDGE, "I Ag", "1 1", [[0, 0, 0], [0.5, 0.5, 0.5]]))
    (folder / "deck.yaml").write_text(DECK.format(out=folder / "out"))


def compute(folder, *changes: str) -> tuple[Job, str]:
    session, stream = Session(), io.StringIO()
    job = Job(read_deck(folder / "deck.yaml", list(changes)), session, Console(session, stream=stream))
    job.output.mkdir(exist_ok=True)
    dynamics(job)
    return job, stream.getvalue()


def result(folder) -> Dynamics:
    return hdf5.load(Dynamics, folder / "out" / "dynamics.h5")


@pytest.mark.mpi
def test_any_number_of_ranks_gives_the_same_file(mlraman, tmp_path):
    write(tmp_path)
    contents = set()
    for ranks in (0, 2, 4):
        mlraman(ranks, "dynamics", "deck.yaml", "--force")
        contents.add(hdf5.content_of(tmp_path / "out" / "dynamics.h5"))
    assert len(contents) == 1


def test_file_log_and_report(tmp_path):
    write(tmp_path)
    job, said = compute(tmp_path, "figures=true")
    found = result(tmp_path).jumps
    assert "27 sites of Ag" in said and "repeated to fill the trajectory's cell" in said
    assert found.lengths["Ag"][0] == pytest.approx(EDGE, abs=0.01)
    assert found.counts["Ag"][0] > 0.95 * found.jumps["Ag"]
    assert abs(found.rate["Ag"] - 0.05 / 2 / 0.02) < 4 * found.rate_error["Ag"]
    assert found.radius["Ag"] == pytest.approx(EDGE / 3, rel=0.01) and found.position["Ag"].shape == (27, 3)
    assert found.misfit < 0.05 and found.verdict["Ag"].startswith(f"{JumpMotion.HOPPING}: ")
    assert f"{found.jumps['Ag']} jumps between sites" in said
    assert (tmp_path / "out" / "jumps.png").stat().st_size > 1000
    report(job)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "residence time of Ag on a site" in text and "Jumps of Ag between lattice sites: hopping" in text
    assert "is up to date" in compute(tmp_path)[1]
    (tmp_path / "sites.vasp").write_text(poscar(EDGE, "I Ag", "1 1", [[0, 0, 0], [0.5, 0.5, 0.49]]))
    assert "is up to date" not in compute(tmp_path)[1]


def test_check_places_the_sites_in_the_first_frame(tmp_path):
    write(tmp_path, frames=40)
    session, stream = Session(), io.StringIO()
    inspect(Job(read_deck(tmp_path / "deck.yaml"), session, Console(session, stream=stream)), print, trial_seconds=0.01)
    assert "27 sites of Ag" in stream.getvalue()
    (tmp_path / "sites.vasp").write_text(poscar(1.3 * EDGE, "Ag", "1", [[0, 0, 0]]))
    with pytest.raises(UserError, match="nor one of which"):
        inspect(Job(read_deck(tmp_path / "deck.yaml"), session, Console(session)), print, trial_seconds=0.01)


def test_a_campaign_finds_the_sites_from_anywhere(tmp_path):
    write(tmp_path, frames=1)
    (tmp_path / "c.yaml").write_text((tmp_path / "deck.yaml").read_text() + "materials: [{name: a}]\n")
    assert read_campaign(tmp_path / "c.yaml").materials[0].deck.dynamics.lattice_sites == str(tmp_path / "sites.vasp")


def test_without_sites_nothing_changes(tmp_path):
    write(tmp_path)
    compute(tmp_path, "dynamics.lattice_sites=null")
    assert result(tmp_path).jumps is None


def test_sites_alone_are_taken_where_they_are(tmp_path, capsys):
    write(tmp_path, sites=poscar(EDGE, "Ag", "1", [[0.775, 0.575, 0.5]]))
    compute(tmp_path)
    assert "has no atom of the host lattice" in capsys.readouterr().err
    assert result(tmp_path).jumps.jumps["Ag"] > 0


@pytest.mark.parametrize(
    ("sites", "change", "words"),
    [
        (poscar(EDGE, "I Na", "1 1", [[0, 0, 0], [0.5, 0.5, 0.5]]), "figures=false", "has no Ag, whose sites"),
        (poscar(1.3 * EDGE, "I Ag", "1 1", [[0, 0, 0], [0.5, 0.5, 0.5]]), "figures=false", "nor one of which"),
        (poscar(EDGE, "I Ag", "2 1", [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]), "figures=false", "has 54 I"),
        ("not a structure", "figures=false", "ASE cannot read"),
        (None, "dynamics.mobile=[]", "needs dynamics.mobile"),
        (None, "dynamics.drift=total", "leave dynamics.drift out"),
        (None, "dynamics.lattice_sites=none.cif", "no such file"),
    ],
)
def test_mistakes(tmp_path, sites, change, words):
    write(tmp_path, frames=40, sites=sites)
    with pytest.raises(UserError, match="lattice_sites") as caught:
        compute(tmp_path, change)
    assert words in str(caught.value) and "\n" not in str(caught.value)
