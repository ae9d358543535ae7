"""Labels that are wrong, and labels that are left out: what `check`, `train` and the report say."""

import numpy as np
import pytest

from mlraman_hpc.records.model import Model
from mlraman_hpc.storage import hdf5
from tests import small_system as small

SMALL = ("--set", "figures=false", "--set", "model={committee: 0}", "--set", "reference.train=null")


def write(folder, wrong: dict[int, float]):
    """The small system with the tensors of some labels times a factor."""
    small.write(folder)
    positions = small.frames(24, seed=1)
    alpha = small.alpha(positions)
    for row, factor in wrong.items():
        alpha[row] *= factor
    (folder / "labels.extxyz").write_text(small.extxyz(positions, alpha))


def test_a_wrong_label_is_named_and_left_out(mlraman, tmp_path):
    write(tmp_path, {9: 1.2})
    done = mlraman(0, "train", "deck.yaml", *SMALL)
    assert "1 of 24 labels do not fit the others" in done.stdout and "labels.extxyz, frame 9 (" in done.stdout
    model = hdf5.load(Model, tmp_path / "out")
    assert model.label_checks.outlier == ("labels.extxyz, frame 9",) and model.label_checks.deviation[0] > 5
    mlraman(0, "report", "deck.yaml", *SMALL)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "label that does not fit the others" in report and "1 of 24 labels do not fit the others" in report
    without = mlraman(0, "train", "deck.yaml", *SMALL, "--set", "reference.leave_out=outliers")
    assert "23 labels; training on" in without.stdout
    after = hdf5.load(Model, tmp_path / "out")
    assert len(after.train) + len(after.test) == 23
    assert not after.label_checks.outlier and "labels.extxyz, frame 9 (" in after.label_checks.left_out[0]


def test_good_labels_are_not_named(mlraman, tmp_path):
    write(tmp_path, {})
    done = mlraman(0, "check", "deck.yaml")
    assert "median tensor" not in done.stdout and "mean epsilon" in done.stdout
    done = mlraman(0, "train", "deck.yaml", *SMALL)
    assert "do not fit" not in done.stdout
    assert hdf5.load(Model, tmp_path / "out").label_checks.outlier == ()


def test_check_names_labels_far_from_the_median(mlraman, tmp_path):
    write(tmp_path, {3: 50, 17: 300})
    done = mlraman(0, "check", "deck.yaml")
    assert "2 of 24 labels are far from the median tensor" in done.stdout
    assert done.stdout.index("frame 17 (") < done.stdout.index("frame 3 (")


@pytest.mark.parametrize("item", ["9", "'labels.extxyz, frame 9'"])
def test_labels_of_a_list_are_left_out(mlraman, tmp_path, item):
    write(tmp_path, {9: 1.2})
    done = mlraman(0, "train", "deck.yaml", *SMALL, "--set", f"reference.leave_out=[{item}]")
    assert "1 of 24 labels are left out" in done.stdout and "do not fit" not in done.stdout
    checks = hdf5.load(Model, tmp_path / "out").label_checks
    assert checks.left_out == ("labels.extxyz, frame 9 (listed)",)


def test_an_entry_that_is_no_label_is_refused(mlraman, tmp_path):
    write(tmp_path, {})
    done = mlraman(0, "train", "deck.yaml", *SMALL, "--set", "reference.leave_out=[99]", code=3)
    assert "reference.leave_out" in done.stderr and "none of 24 labels is 99" in done.stderr
    mlraman(0, "train", "deck.yaml", *SMALL, "--set", "reference.leave_out={a: 1}", code=2)


@pytest.mark.mpi
def test_the_same_without_outliers_on_any_number_of_ranks(mlraman, tmp_path):
    write(tmp_path, {9: 1.2})
    contents = set()
    for ranks in (0, 2, 3):
        mlraman(ranks, "train", "deck.yaml", *SMALL, "--set", "reference.leave_out=outliers", "--force")
        contents.add(hdf5.content_of(tmp_path / "out" / "model.h5"))
    assert len(contents) == 1


def test_a_deck_without_the_new_keys_has_the_key_of_older_results(tmp_path):
    """What 0.4 trained stays up to date."""
    from mlraman_hpc.config.deck_reader import read_deck
    from mlraman_hpc.pipeline.job import Job
    from mlraman_hpc.pipeline.labels import reference_settings

    small.write(tmp_path)
    job = Job(read_deck(str(tmp_path / "deck.yaml"), []), None, None)
    settings = reference_settings(job, {"files", "derivatives"})
    assert "leave_out" not in settings and "unconverged" not in settings and settings["train"] == 16
    job.deck.reference.leave_out = "outliers"
    assert reference_settings(job, set())["leave_out"] == "outliers"
    assert np.isfinite(settings["seed"])
