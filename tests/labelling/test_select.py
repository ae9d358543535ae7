"""`mlraman select`: frames apart in time, tests first, rounds one after another, the same on any number of ranks."""

import json

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.commands.select import select
from mlraman_hpc.labelling.selection import spaced
from tests import small_system as small
from tests.labelling import system


def calculations(folder) -> list[dict]:
    return json.loads((folder / "out" / "labels.json").read_text())["calculations"]


def frames(folder, purpose: str) -> list[int]:
    return [item["frame"] for item in calculations(folder) if item["purpose"] == purpose]


def log_of(folder, *changes: str, force: bool = False) -> str:
    """What select says."""
    job = system.job(folder, *changes, force=force)
    select(job)
    return job.console.stream.getvalue() + "".join(job.console.warnings)


def finish(folder) -> None:
    """As if all calculations had been collected."""
    path = folder / "out" / "labels.json"
    values = json.loads(path.read_text())
    for item in values["calculations"]:
        item["status"] = "finished"
    path.write_text(json.dumps(values))


def test_frames_are_apart_and_tests_do_not_depend_on_the_rule(tmp_path):
    system.write(tmp_path)
    tests = set()
    for rule in ("random", "spread", "informative"):
        log = log_of(tmp_path, f"labelling.rule={rule}", force=True)
        assert f"round 1: 6 frames ({rule}), polarizability; 4 frames are kept for testing" in log
        assert "expected error of the model" in log
        every = sorted(item["frame"] for item in calculations(tmp_path))
        assert len(every) == 10 and np.diff(every).min() >= 5
        tests.add(tuple(frames(tmp_path, "test")))
    assert len(tests) == 1
    text = (tmp_path / "out" / "selected.extxyz").read_text()
    assert text.count("purpose=test") == 4 and text.count("purpose=train round=1 rule=informative") == 6


def test_rounds_follow_one_another_up_to_the_most(tmp_path):
    system.write(tmp_path)
    log_of(tmp_path)
    first = frames(tmp_path, "train")
    log = log_of(tmp_path, "labelling.frames=3")
    assert "10 calculations are to be done before" in log and "was selected with other settings" in log
    assert frames(tmp_path, "train") == first
    for count in (12, 18):
        finish(tmp_path)
        log_of(tmp_path)
        assert len(set(frames(tmp_path, "train"))) == count and frames(tmp_path, "train")[:6] == first
    finish(tmp_path)
    assert "as many as labelling.most allows" in log_of(tmp_path)


def test_the_interval_is_estimated_where_the_deck_has_none(tmp_path):
    system.write(tmp_path)
    assert "correlation time of the descriptors: about" in log_of(tmp_path, "labelling.min_interval=null")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["labelling.min_interval=3000"], "4 frames, but only 1 are 300 or more frames from"),
        (["labelling.min_interval=3000", "labelling.test=1"], "no frame is left that is far enough in time"),
        (["trajectory.runs=true"], "'trajectory.runs': labelling takes the frames of one run"),
        (["labelling=null"], "needs the section 'labelling'"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, changes, message):
    system.write(tmp_path)
    with pytest.raises((DataError, DeckError), match=message):
        log_of(tmp_path, *changes)
    assert not (tmp_path / "out" / "labels.json").exists()


@pytest.mark.parametrize("rule", ["random", "spread", "informative"])
def test_frames_that_are_all_equal_are_no_bug(rule, tmp_path):
    system.write(tmp_path)
    (tmp_path / "XDATCAR").write_text(small.xdatcar(np.repeat(small.frames(1), 2, axis=0)))
    changes = ["labelling.frames=1", "labelling.test=0", "labelling.min_interval=0"]
    assert "expected error of the model" in log_of(tmp_path, f"labelling.rule={rule}", *changes)


def test_another_trajectory_is_refused_and_a_longer_one_is_not(tmp_path):
    system.write(tmp_path, 300)
    log_of(tmp_path)
    text = (tmp_path / "XDATCAR").read_text()
    more = text[text.index("Direct") :].replace("0.1", "0.2")
    (tmp_path / "XDATCAR").write_text(text + more)
    finish(tmp_path)
    log_of(tmp_path)
    (tmp_path / "XDATCAR").write_text(text.replace("0.1", "0.2"))
    finish(tmp_path)
    with pytest.raises(DataError, match="is not what it was when it was selected"):
        log_of(tmp_path)


@pytest.mark.mpi
@pytest.mark.parametrize("rule", ["spread", "informative"])
def test_the_same_frames_on_any_number_of_ranks(mlraman, tmp_path, rule):
    system.write(tmp_path)
    text = []
    for ranks in (0, 3):
        mlraman(ranks, "select", "deck.yaml", "--set", f"labelling.rule={rule}", "--force")
        finish(tmp_path)
        mlraman(ranks, "select", "deck.yaml", "--set", f"labelling.rule={rule}")
        text.append((tmp_path / "out" / "labels.json").read_bytes())
        (tmp_path / "out" / "labels.json").unlink()
    assert text[0] == text[1]


def test_spaced_keeps_its_distance_from_what_is_taken():
    assert spaced([5, 6, 8, 20, 9, 2], [10], 3, 9) == [5, 20, 2]
    assert spaced([1, 1, 2], [], 0, 9) == [1, 2]
