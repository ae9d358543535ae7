"""Campaigns: the same files however they are spread, restarted or run alone; failures are named and stop nobody."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from mlraman_hpc.base.errors import DeckError
from mlraman_hpc.campaign.check import proposal
from mlraman_hpc.campaign.plan import chosen_names
from mlraman_hpc.campaign.work_queue import WorkQueue
from mlraman_hpc.config.campaign_reader import read_campaign
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.training import LabelTest
from mlraman_hpc.storage import hdf5, provenance
from tests import small_system as small
from tests.helpers import environment, run_command

pytestmark = pytest.mark.slow  # whole runs

DECK = """title: four materials
output: out
figures: false
descriptor: {cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 2, max_radial: 2}
reference: {files: "{name}/labels.extxyz", quantity: polarizability, unit: angstrom^3, train: 16, test: 8}
trajectory: {files: "{name}/XDATCAR", frame_interval: 10}
spectrum: {smoothing: 20, blocks: 4}
dynamics: {mobile: [Ag]}
train_together: [a, b]
materials:
  - {name: a}
  - {name: b, temperature: 300}
  - {name: c, title: of its own}
  - {name: d, model: none}
"""


def prepare(folder, deck=DECK):
    for number, name in enumerate("abcd"):
        (folder / name).mkdir(parents=True)
        labelled = small.frames(24, seed=number + 1)
        (folder / name / "labels.extxyz").write_text(small.extxyz(labelled, small.alpha(labelled)))
        (folder / name / "XDATCAR").write_text(small.xdatcar(small.frames(100 + 20 * number, seed=number + 10)))
    (folder / "c.yaml").write_text(deck)
    return folder


def contents(folder):
    """{file: hash of content} of results; logs, reports and the status have dates."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or "cache" in path.parts or path.name in ("log.txt", "report.html", "status.json"):
            continue
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                found[str(path.relative_to(folder))] = file.attrs["content"] + file.attrs["key"]
        else:
            found[str(path.relative_to(folder))] = provenance.hash_of_file(path)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A campaign on one rank, and the files that it made."""
    folder = prepare(tmp_path_factory.mktemp("campaign"))
    done = run_command(0, ["campaign", "c.yaml"], folder)
    assert done.returncode == 0, done.stderr
    return folder, contents(folder / "out"), done.stdout


def again(folder):
    """Everything anew in the same place, since files name their parents."""
    shutil.rmtree(folder / "out")


def test_ranking_files_and_log(whole):
    folder, files, said = whole
    found = hdf5.load(Ranking, folder / "out/campaign.h5")
    assert set(found.name) == set("abcd") and found.status[-1] == "dynamics only" and found.name[-1] == "d"
    assert found.name[2] == "b" and "Bose-Einstein factor yes (the others: Bose" in found.unlike[2]
    assert found.unlike[:2] == ("", "") and found.weight[0] >= found.weight[1] and np.isnan(found.weight[3])
    assert np.isnan(found.relaxing).all() and not found.ranked.any()  # so short a series has no fit
    models = dict(zip(found.name, found.model))
    assert models == {"a": "common", "b": "common", "c": "own", "d": "none"}
    assert found.tested[found.name.index("c")] == 8 and found.tested[3] == 0
    with open(folder / "out/campaign.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(found.name)
    assert float(rows[0]["weight"]) == pytest.approx(found.weight[0]) and rows[3]["weight"] == ""
    page = (folder / "out/campaign.html").read_text()
    for part in (
        "Not ranked with the others",
        "b: Bose-Einstein",
        'href="c/report.html"',
        "dynamics only",
        "common model",
        "Too few materials",
        "own, left out",
    ):
        assert part in page
    assert "not ranked: Bose-Einstein factor yes" in said and "nan" not in said
    assert said.count("of 4]") == 4 and "dynamics only" in said
    assert "raman.png" not in " ".join(files) and "campaign_spectra.png" in files
    assert "predicting" in (folder / "out/a/log.txt").read_text()


def test_the_common_model_is_tested_on_each_materials_own_labels(whole):
    folder = whole[0]
    tests = {name: hdf5.load(LabelTest, folder / "out" / name / "label_test.h5") for name in "ab"}
    assert tests["a"].labels + tests["b"].labels == 8 and tests["a"].left_out  # 8 of the 48 were left out
    with h5py.File(folder / "out/common_model/model.h5") as file:
        rmse = float(file["scores/rmse/diagonal"][()])
    parts = sum(test.labels * test.rmse["diagonal"] ** 2 for test in tests.values())
    assert np.sqrt(parts / 8) == pytest.approx(rmse, rel=1e-6)


@pytest.mark.mpi
@pytest.mark.parametrize(("ranks", "groups"), [(2, 1), (3, 2)])
def test_groups_of_ranks_give_the_same_files(whole, ranks, groups):
    folder, files, _ = whole
    again(folder)
    done = run_command(ranks, ["campaign", "c.yaml", "--groups", groups], folder)
    assert done.returncode == 0, done.stderr
    assert contents(folder / "out") == files
    assert (", group 2)" in done.stdout) == (groups == 2)


def test_array_tasks_give_the_same_files(whole):
    folder, files, _ = whole
    again(folder)
    tasks = []
    for number in range(2):
        env = {"SLURM_ARRAY_TASK_ID": str(number + 1), "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
        tasks.append(
            subprocess.Popen(
                [sys.executable, "-m", "mlraman_hpc", "campaign", "c.yaml", "--array", "--quiet"],
                cwd=folder,
                env=environment(env),
                start_new_session=True,
            )
        )
    assert [task.wait(120) for task in tasks] == [0, 0]
    assert contents(folder / "out") == files


@pytest.mark.mpi
@pytest.mark.parametrize("fault", ["predict:1:kill:2", "spectrum:0:kill:1", "dynamics:1:kill:3"])
def test_killed_and_restarted(whole, fault):
    folder, files, _ = whole
    again(folder)
    assert run_command(2, ["campaign", "c.yaml"], folder, env={"MLRAMAN_TEST_FAIL": fault}).returncode != 0
    assert contents_differ(folder, files)
    done = run_command(2, ["campaign", "c.yaml", "--groups", 2], folder)
    assert done.returncode == 0, done.stderr
    assert contents(folder / "out") == files


def contents_differ(folder, files):
    return {name for name in files if not (folder / "out" / name).exists()}


def test_only_one_and_what_is_up_to_date(whole):
    folder, files, _ = whole
    before = os.stat(folder / "out/a/alpha.h5").st_mtime_ns
    run_command(0, ["campaign", "c.yaml", "--only", "a"], folder)
    assert "alpha.h5 is up to date" in (folder / "out/a/log.txt").read_text()
    assert os.stat(folder / "out/a/alpha.h5").st_mtime_ns == before and contents(folder / "out") == files


def test_an_expanded_deck_runs_alone_from_anywhere(whole, tmp_path):
    folder, files, _ = whole
    done = run_command(0, ["run", folder / "out/c/deck.yaml"], tmp_path)
    assert done.returncode == 0 and done.stdout.count("is up to date") == 5, done.stdout
    assert contents(folder / "out") == files
    shutil.rmtree(folder / "out/c")
    (tmp_path / "deck.yaml").write_text(deck_of(folder, "c"))
    assert run_command(0, ["run", "deck.yaml"], tmp_path).returncode == 0
    alone = contents(folder / "out")
    assert {name: alone[name] for name in alone if name.startswith("c/")} == {
        name: files[name] for name in files if name.startswith("c/") and name not in ("c/deck.yaml", "c/status.txt")
    }


def deck_of(folder, name):
    from mlraman_hpc.config.campaign_deck import ordinary_yaml

    here = os.getcwd()
    try:
        os.chdir(folder)
        return ordinary_yaml(next(one.deck for one in read_campaign("c.yaml").materials if one.name == name))
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """b has a damaged trajectory, d none at all."""
    folder = prepare(tmp_path_factory.mktemp("broken"), DECK.replace("train_together: [a, b]\n", ""))
    lines = (folder / "b/XDATCAR").read_text().splitlines()
    lines[300] = "nonsense"
    (folder / "b/XDATCAR").write_text("\n".join(lines) + "\n")
    (folder / "d/XDATCAR").unlink()
    return folder


@pytest.mark.mpi
@pytest.mark.parametrize(("ranks", "groups"), [(0, 1), (2, 1), (2, 2)])
def test_failures_are_named_and_the_others_are_finished(broken, ranks, groups):
    done = run_command(ranks, ["campaign", "c.yaml", "--groups", groups], broken)
    assert done.returncode == 3
    assert "2 of 4 materials failed" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("b: ") == 1 and "found 'nonsense'" in done.stderr
    assert "d: c.yaml:6: 'trajectory.files'" in done.stderr and "no such file" in done.stderr
    found = hdf5.load(Ranking, broken / "out/campaign.h5")
    assert dict(zip(found.name, found.status)) == {"a": "done", "c": "done", "b": "failed", "d": "failed"}
    assert "nonsense" in (broken / "out/b/status.txt").read_text()
    assert "Not computed" in (broken / "out/campaign.html").read_text()


@pytest.mark.mpi
def test_check_looks_at_everything(broken):
    done = run_command(2, ["check", "c.yaml"], broken)
    assert done.returncode == 3 and "no such file" in done.stderr
    assert "together about" in done.stdout and "proposal: 1 rank" in done.stdout


@pytest.mark.mpi
def test_a_stop_ends_all_groups_and_the_next_start_goes_on(mlraman, tmp_path):
    folder = prepare(tmp_path)
    from tests.helpers import launcher

    command = [*launcher(2), sys.executable, "-m", "mlraman_hpc", "campaign", "c.yaml", "--groups", "2"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment({"MLRAMAN_TEST_SLOW": "0.5"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if "common model for" in line:
            break
    os.kill(process.pid, signal.SIGUSR1)
    error = process.communicate(timeout=100)[1]
    assert process.returncode == 75 and not list((folder / "out").glob(".claims.*")), error
    assert "stopped by SIGUSR1" in error
    mlraman(2, "campaign", "c.yaml", "--groups", 2)


def test_chosen_materials(tmp_path):
    plan = read_campaign(prepare(tmp_path) / "c.yaml")
    assert chosen_names(plan, ["b", "d"], False) == ["b", "d"]
    shares = [
        chosen_names(
            plan, [], True, {"SLURM_ARRAY_TASK_ID": str(k), "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "3"}
        )
        for k in (5, 6, 7)
    ]
    assert shares == [["a", "d"], ["b"], ["c"]]
    with pytest.raises(DeckError, match="no such material"):
        chosen_names(plan, ["z"], False)
    with pytest.raises(DeckError, match="SLURM_ARRAY_TASK_ID is not set"):
        chosen_names(plan, [], True, {})


def test_claims_are_given_once_and_end_with_a_stop(tmp_path):
    one = WorkQueue.create(tmp_path, 5)
    other = WorkQueue(one.folder, 5)
    assert [one.take(), other.take(), other.take(), one.take()] == [0, 1, 2, 3]
    other.stop()
    assert one.take() is None and other.take() is None
    WorkQueue.remove_stale(tmp_path)
    assert not list(tmp_path.iterdir())


def test_proposal():
    assert proposal([10.0] * 6) == (1, 1, 60.0)
    ranks, groups, wall = proposal([3600.0] * 32)
    assert ranks == 128 and groups == 32 and wall == pytest.approx(900)
    assert proposal([36000.0, 10.0])[1] == 1


def test_models_of_another_program(tmp_path):
    """Of all materials, but for those without a spectrum; computed, ranked and named in the table."""
    prepare(tmp_path)
    shutil.copy(Path(__file__).parents[1] / "predictors" / "bonds.py", tmp_path)
    deck = yaml.safe_load(DECK)
    del deck["descriptor"], deck["reference"], deck["train_together"]
    deck["model"] = {"predictor": {"calculator": "bonds:Bonds", "unit": "angstrom^3"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(deck))
    checked = run_command(0, ["check", "c.yaml"], tmp_path)
    assert checked.returncode == 0 and checked.stdout.count("model: predictor") == 3, checked.stderr
    done = run_command(0, ["campaign", "c.yaml", "--only", "a", "--only", "d"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = hdf5.load(Ranking, tmp_path / "out/campaign.h5")
    row = found.name.index("a")
    assert found.status[row] == "done" and found.model[row] == "predictor" and found.tested[row] == 0
    assert found.weight[row] > 0 and np.isnan(found.r2_diagonal[row])
    alone = run_command(0, ["run", "out/a/deck.yaml"], tmp_path)
    assert alone.returncode == 0 and alone.stdout.count("is up to date") >= 3, alone.stdout + alone.stderr
    assert "model of another program: bonds:Bonds" in (tmp_path / "out/campaign.html").read_text()
