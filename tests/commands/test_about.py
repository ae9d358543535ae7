"""Examples, documentation, status, the report as text, the self-test."""

import json
import re

import pytest
import yaml

from mlraman_hpc.cli import parser
from tests import small_system as small
from tests.helpers import ROOT, run_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("about")
    small.write(folder)
    done = run_command(0, ["run", "deck.yaml", "--set", "figures=false"], folder)
    assert done.returncode == 0, done.stderr
    return folder


def succeeds(*arguments, folder):
    done = run_command(0, list(arguments), folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_examples_are_listed_and_copied(tmp_path):
    listed = succeeds("examples", folder=tmp_path)
    for path in (*(ROOT / "input_examples").iterdir(), ROOT / "jobscripts"):
        assert re.search(rf"^{path.name} ", listed, re.MULTILINE)
    assert "mlraman check agi/deck.yaml" in succeeds("examples", "agi", folder=tmp_path)
    assert {path.name for path in (tmp_path / "agi").iterdir()} >= {
        "deck.yaml",
        "labels.extxyz",
        "trajectory.extxyz.gz",
    }
    succeeds("examples", "jobscripts", "--to", "scripts", folder=tmp_path)
    assert (tmp_path / "scripts" / "slurm.sh").is_file()
    done = run_command(0, ["examples", "agi"], tmp_path)
    assert done.returncode == 3 and "is there already" in done.stderr
    done = run_command(0, ["examples", "vaps"], tmp_path)
    assert done.returncode == 2 and "did you mean 'vasp'?" in done.stderr


def test_every_topic_has_a_title_and_a_text(tmp_path):
    topics = [line.split()[0] for line in succeeds("docs", folder=tmp_path).splitlines()]
    assert {"limits", "outputs", "changelog", "formats"} <= set(topics)
    assert "## raman.h5" in succeeds("docs", "outputs", folder=tmp_path)
    limits = succeeds("docs", "limits", folder=tmp_path)
    sections = re.findall(r"^## \d+\. ", limits, re.MULTILINE)
    assert len(sections) == 10 and limits.count("\n*Do:*") == len(sections)  # each with what to do


def test_kinds_of_decks(tmp_path):
    assert yaml.safe_load(succeeds("init", "vasp", folder=tmp_path))["trajectory"]["frame_interval"] is None
    done = run_command(0, ["init", "lamps"], tmp_path)
    assert done.returncode == 2 and "did you mean 'lammps'?" in done.stderr


def test_status_of_finished_running_and_dead_jobs(folder, tmp_path):
    assert "out: run done; so far train " in succeeds("status", folder=folder)
    status = json.loads((folder / "out" / "status.json").read_text())
    assert status["state"] == "done" and {"train", "predict", "spectrum"} <= set(status["stages"])
    job = tmp_path / "job"
    job.mkdir()
    progress = {"what": "predicting", "done": 5, "total": 20, "unit": "frames", "seconds_left": 90.0}
    (job / "status.json").write_text(
        json.dumps(status | {"state": "running", "stage": "predict", "progress": progress})
    )
    assert "ended without a word (killed?)" in succeeds("status", "job", folder=tmp_path)
    (job / "mlraman.lock").write_text("")
    assert "run running, predict: 5 of 20 frames (25 %); 1 min 30 s left" in succeeds("status", "job", folder=tmp_path)
    assert run_command(0, ["status", "nothing"], tmp_path).returncode == 3


def test_a_failed_run_says_so(tmp_path):
    small.write(tmp_path)
    done = run_command(0, ["run", "deck.yaml", "--set", "trajectory.files=none.xyz"], tmp_path)
    assert done.returncode == 3
    assert "run failed" in succeeds("status", "out", folder=tmp_path)


def test_the_resolved_deck_runs_from_another_folder(folder, tmp_path):
    out = succeeds("run", str(folder / "out" / "resolved_deck.yaml"), folder=tmp_path)
    assert "up to date" in out and "predicting" not in out
    assert list(tmp_path.iterdir()) == []


def test_report_as_text(folder):
    text = succeeds("report", "deck.yaml", "--text", "--quiet", folder=folder)
    assert re.search(r"share of the Raman intensity below 50 .*\d", text)
    assert "R² of off-diagonal components" in text and max(map(len, text.splitlines())) <= 110


@pytest.mark.slow
def test_the_self_test_passes(tmp_path):
    assert "self-test passed in" in succeeds("info", "--selftest", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_can_be_completed():
    """shtab makes a script of the parser."""
    shtab = pytest.importorskip("shtab")
    script = shtab.complete(parser(), "bash")
    assert "learning-curve" in script and "--selftest" in script
