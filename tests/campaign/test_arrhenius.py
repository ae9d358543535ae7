"""Series of temperatures in a campaign: which materials belong together, and what is said of the fit."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from mlraman_hpc.base.units import BOLTZMANN_EV_PER_K
from mlraman_hpc.campaign import arrhenius
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.plots import transport as figures
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.fields import Record, stored
from mlraman_hpc.records.transport import Arrhenius, Dynamics
from mlraman_hpc.reports.render import figures_in, render
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from tests import small_system as small

DECK = """output: {out}
trajectory: {{files: XDATCAR, frame_interval: 1}}
dynamics: {{mobile: [Ag], blocks: 4, smoothing: 50}}
figures: false
materials:
  - {{name: a700, arrhenius: a, temperature: 700}}
  - {{name: a500, arrhenius: a, temperature: 500}}
  - {{name: a600, arrhenius: a, dynamics: {{temperature: 600}}}}
  - {{name: a300, arrhenius: a, temperature: 300}}
  - {{name: b500, arrhenius: b, temperature: 500}}
  - {{name: b600, arrhenius: b, temperature: 600}}
  - {{name: c500, arrhenius: c}}
  - {{name: alone}}
"""


@dataclass(frozen=True)
class SeriesAlone(Record, file_name="campaign.h5", kind="campaign"):
    arrhenius: Arrhenius = stored("arrhenius", "1")


KNOWN = {"a700": 700, "a500": 500, "a600": 600, "b500": 500, "b600": 600, "c500": 500, "alone": 500}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Dynamics:
    folder = tmp_path_factory.mktemp("template")
    (folder / "XDATCAR").write_text(small.xdatcar(small.frames(60)))
    (folder / "c.yaml").write_text(DECK.format(out=folder / "out"))
    deck = read_campaign(folder / "c.yaml").materials[0].deck
    job = Job(deck, Session(), Console(Session(), stream=io.StringIO()))
    job.output.mkdir(parents=True)
    dynamics(job)
    return hdf5.load(Dynamics, job.output / "dynamics.h5")


@pytest.fixture
def plan(tmp_path, template):
    """dynamics.h5 of every material, E_a = 0.2 eV, errors of 5 %; no D in a300; frames too far apart in c500."""
    (tmp_path / "c.yaml").write_text(DECK.format(out=tmp_path / "out"))
    plan = read_campaign(tmp_path / "c.yaml")
    for one in plan.materials:
        temperature = KNOWN.get(one.name, 300)
        d = 1e-3 * np.exp(-0.2 / (BOLTZMANN_EV_PER_K * temperature)) if one.name in KNOWN else np.nan
        vdos = dict(template.vdos) | {
            "total": np.where(np.arange(len(template.wavenumber)) < 9, 1.0, float(one.name == "c500"))
        }
        one.folder.mkdir(parents=True)
        hdf5.save(
            replace(
                template,
                diffusion={"Ag": d, "I": np.nan},
                diffusion_error={"Ag": 0.05 * d, "I": np.nan},
                vdos=vdos,
                diffusion_upper={"Ag": 2e-9, "I": 1e-9},
                temperature=temperature * (1.2 if one.name == "b500" else 1),
            ),
            one.folder,
            Job(one.deck, Session(), Console(Session())).origin("dynamics", {}),
        )
    return plan


def test_series_and_what_is_said_of_them(plan):
    found = arrhenius.series_of(plan, [one.name for one in plan.materials])
    assert set(found.energy) == {"a Ag", "b Ag", "c Ag"}
    assert found.material["a Ag"] == ("a300", "a500", "a600", "a700") and found.points["a Ag"] == 3
    assert found.energy["a Ag"] == pytest.approx(0.2) and found.energy_error["a Ag"] > 0.005
    value, low, high = found.room["a Ag"]
    assert (
        value == pytest.approx(1e-3 * np.exp(-0.2 / (BOLTZMANN_EV_PER_K * 300)), rel=1e-9, abs=0) and low < value < high
    )
    assert value**2 == pytest.approx(low * high, rel=1e-9, abs=0)
    assert "no D was found in a300: left out of the fit" in found.verdict["a Ag"]
    assert "the line passes above what D can be at most in a300" in found.verdict["a Ag"]
    assert found.upper["a Ag"][0] == 2e-9 and np.isnan(found.upper["a Ag"][1:]).all()
    assert "two temperatures only" in found.verdict["b Ag"] and np.isnan(found.chi2["b Ag"])
    assert "b500: the deck says 500 K, the atoms' motion 600 K" in found.verdict["b Ag"]
    assert np.isnan(found.energy["c Ag"]) and "dynamics.temperature gives it" in found.verdict["c Ag"]


@pytest.mark.slow
def test_file_log_page_and_figure(plan, tmp_path):
    found = arrhenius.series_of(plan, [one.name for one in plan.materials])
    ranking = Ranking(**{field.name: None for field in fields(Ranking) if field.name != "arrhenius"}, arrhenius=found)
    origin = Job(plan.materials[0].deck, Session(), Console(Session())).origin("campaign", {})
    hdf5.save(SeriesAlone(found), tmp_path, origin)
    again = hdf5.load(SeriesAlone, tmp_path).arrhenius
    assert again.energy == pytest.approx(found.energy, nan_ok=True) and again.material == found.material
    figures.arrhenius_figure(tmp_path / "campaign_arrhenius.png", ranking)
    page = render("arrhenius.html", arrhenius=found, figures=figures_in(tmp_path))
    assert "0.200 ± 0.0" in page and "data:image/png" in page
    log = arrhenius.lines(found)
    assert len(log) == 3 and log[0].startswith("a Ag: activation energy 0.200 ± ") and "D(300 K)" in log[0]


def test_only_what_is_there_counts(plan):
    assert arrhenius.series_of(plan, ["alone"]) is None
    assert not arrhenius.drawable(None)
    found = arrhenius.series_of(plan, ["c500"])
    assert not arrhenius.drawable(found)
    assert "data:image" not in render("arrhenius.html", arrhenius=found, figures={})
