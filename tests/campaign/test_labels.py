"""Labels in a campaign: who gets the next round; rounds by command and by one array; what fails stops nobody."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlraman_hpc.campaign.labels import Standing, next_materials
from mlraman_hpc.labelling.stopping import Verdict
from tests import small_system as small
from tests.helpers import run_command
from tests.labelling.fake_cp2k import __file__ as FAKE

DECK = """output: out
figures: false
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 2, max_radial: 2}
model: {committee: 4}
trajectory: {files: "{name}/XDATCAR", frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
dynamics: {mobile: [Ag]}
labelling: {frames: 8, test: 2, most: 16, min_interval: 20, stop_share: 1.0e-9, code: cp2k, command: COMMAND}
materials:
  - {name: a}
  - {name: b, labelling: {most: 8}}
  - {name: c, reference: {files: c/labels.extxyz, quantity: polarizability, unit: angstrom^3, train: 16, test: 8}}
"""
COMMAND = f'"{sys.executable} {FAKE} {{input}} {{output}}"'


def standing(name: str, need: float, verdict: Verdict = Verdict.GO_ON, open: int = 0) -> Standing:
    return Standing(name, need=need, verdict=verdict.value, open=open)


def test_the_next_round_goes_where_the_ranking_needs_it():
    shares = dict.fromkeys("abcd", 0.5)
    standings = [
        standing("a", 3.0),
        standing("b", 1.6),
        standing("c", 1.4),
        standing("d", 9.0, Verdict.NO_FRAMES),
        Standing("e", need=9),
    ]
    assert next_materials(standings, shares) == [
        "a",
        "b",
    ]  # c below half of the largest, d at its end, e has its labels
    assert next_materials([standing("a", 0.4), standing("b", 0.51)], shares) == ["b"]
    assert next_materials([standing("a", 0.4), standing("b", 0.5)], shares) == []
    assert next_materials([*standings, standing("d", float("nan"))], shares) == ["d"]  # no spectrum yet
    assert next_materials([standing("a", 3.0), standing("b", 0.1, open=2)], shares) == ["b"]  # what is begun is ended


def write(folder: Path, command: str) -> None:
    for seed, name in zip((0, 1, 11), "abc"):  # of these no tensor is an outlier
        (folder / name).mkdir()
        (folder / name / "XDATCAR").write_text(small.xdatcar(small.frames(100, seed=seed)))
    labelled = small.frames(24, seed=1)
    (folder / "c" / "labels.extxyz").write_text(small.extxyz(labelled, small.alpha(labelled)))
    (folder / "c.yaml").write_text(DECK.replace("COMMAND", command))


def table(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "out" / "labels.csv") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def statuses(folder: Path, name: str) -> list[str]:
    values = json.loads((folder / "out" / name / "labels.json").read_text())["calculations"]
    return [item["status"] for item in values]


@pytest.mark.slow
def test_rounds_by_command_and_the_ranking_after_them(tmp_path):
    write(tmp_path, COMMAND)
    (tmp_path / "b" / "XDATCAR").write_text("no trajectory\n")
    done = run_command(0, ["label", "c.yaml"], tmp_path, 300)
    assert done.returncode == 3 and "1 of 3 materials failed" in done.stderr and "b: " in done.stderr
    rows = table(tmp_path)
    assert set(rows) == {"a", "c"} and rows["a"]["labels"] == "16" and not rows["a"]["next"]
    assert rows["a"]["verdict"] == Verdict.MOST_LABELS.value and rows["c"]["verdict"] == ""
    assert statuses(tmp_path, "a").count("finished") == 18
    with open(tmp_path / "out" / "campaign.csv") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["a"]["status"] == rows["c"]["status"] == "done" and rows["b"]["status"] == "failed"
    assert rows["a"]["model"] == "computed" and rows["a"]["tested"] == "2" and rows["c"]["model"] == "own"
    (tmp_path / "b" / "XDATCAR").write_text(small.xdatcar(small.frames(100, seed=1)))
    before = (tmp_path / "out" / "a" / "alpha.h5").stat().st_mtime_ns
    done = run_command(0, ["label", "c.yaml"], tmp_path, 300)
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path, "b").count("finished") == 10 and table(tmp_path)["b"]["labels"] == "8"
    assert (tmp_path / "out" / "a" / "alpha.h5").stat().st_mtime_ns == before
    assert "<h2>Labels</h2>" in (tmp_path / "out" / "a" / "report.html").read_text()


WAITING = """#!/bin/bash
case "$PWD" in */a/*) other=b ;; *) other=a ;; esac
touch begun
for try in $(seq 1200); do
  ls {folder}/out/$other/calculations/*/begun > /dev/null 2>&1 && exec {python} {fake} "$1" "$2"
  sleep 0.05
done
exit 1
"""


@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=[pytest.mark.mpi, pytest.mark.slow])])
def test_calculations_of_the_materials_share_the_places(tmp_path, ranks):
    """Each waits until one of the other material has begun, which needs the last of eleven places."""
    (tmp_path / "wrapper").write_text(WAITING.format(folder=tmp_path, python=sys.executable, fake=FAKE))
    write(tmp_path, f"bash {tmp_path}/wrapper {{input}} {{output}}".join('""'))
    done = run_command(ranks, ["label", "c.yaml", "--set", "labelling.parallel=11"], tmp_path, 300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(tmp_path, "a").count("finished") == 18 and statuses(tmp_path, "b").count("finished") == 10


def test_a_command_that_is_not_found_is_told_of_every_material(tmp_path):
    write(tmp_path, "nosuchprogram")
    done = run_command(0, ["label", "c.yaml"], tmp_path, 300)
    assert done.returncode == 3 and "2 of 3 materials failed" in done.stderr
    assert "a, b: c.yaml:8: 'labelling.command': the shell finds no such program" in done.stderr


@pytest.mark.slow
def test_one_array_for_all_materials(tmp_path):
    write(tmp_path, "null")
    done = run_command(0, ["label", "c.yaml", "--set", "labelling.test=0"], tmp_path, 300)
    assert done.returncode == 75 and "16 calculations of 2 materials are to be run (sbatch" in done.stderr
    lines = (tmp_path / "out" / "label_folders.txt").read_text().split()
    assert len(lines) == 16 and {line.split("/")[0] for line in lines} == {"a", "b"}
    for line in lines:
        folder = tmp_path / "out" / line
        assert (folder / "calculation.inp").is_file() and (folder / "run.sh").is_file()
        subprocess.run([sys.executable, FAKE, "calculation.inp", "calculation.out"], cwd=folder, check=True)
    done = run_command(0, ["check", "c.yaml"], tmp_path)
    assert done.returncode == 0 and done.stdout.count("labelling: at most") == 2, done.stdout + done.stderr
    assert "#SBATCH --array=1-16" in (tmp_path / "out" / "label_array.sh").read_text()
    done = run_command(0, ["label", "c.yaml", "--set", "labelling.test=0"], tmp_path, 300)
    assert done.returncode == 75 and "8 calculations of 1 materials" in done.stderr  # b has as many as it may


def test_a_campaign_without_such_materials_says_so(tmp_path):
    write(tmp_path, "null")
    done = run_command(0, ["label", "c.yaml", "--set", "model.file=none"], tmp_path)
    assert done.returncode == 2 and "no material's labels are to be computed" in done.stderr
    done = run_command(0, ["campaign", "c.yaml", "--only", "a"], tmp_path)
    assert done.returncode == 3 and "'mlraman label' with the campaign's deck computes its labels" in done.stderr
