"""`mlraman label`: rounds to the end, nothing computed twice, kills at any moment, failures named and kept apart.

A script stands for CP2K; with the real program the loop is run in test_real_cp2k.py.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlraman_hpc.labelling.runner import threads_of_a_calculation
from mlraman_hpc.readers.derivatives.labels import read_derivatives
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.helpers import stop_signal
from tests.labelling import fake_cp2k, system

FAKE = Path(__file__).parent / "fake_cp2k.py"


def command(seconds: float = 0.0) -> str:
    return f"{sys.executable} {FAKE} {{input}} {{output}} {seconds}"


DECK = """output: out
figures: false
descriptor: {{cutoff: 4.0, cutoff_width: 0.5, density_width: 0.4, max_angular: 3, max_radial: 3}}
model: {{committee: 4}}
trajectory: {{files: XDATCAR, frame_interval: 10}}
spectrum: {{smoothing: 20, blocks: 4}}
labelling: {{frames: 8, test: 4, most: 16, min_interval: 20, stop_share: 1.0e-9, code: cp2k, parallel: 2,
  command: "{command}"}}
"""


def write(folder: Path, seconds: float = 0.0) -> None:
    """A deck of two rounds of eight frames."""
    system.write(folder, 150)
    (folder / "deck.yaml").write_text(DECK.format(command=command(seconds)))


def calculations(folder: Path) -> dict[int, dict]:
    values = json.loads((folder / "out" / "labels.json").read_text())["calculations"]
    return {item["frame"]: item for item in values}


def starts(folder: Path) -> dict[str, int]:
    """How often the program was started in each folder."""
    return {path.parent.name: len(path.read_text()) for path in (folder / "out/calculations").glob("*/started")}


def contents(folder: Path) -> list[str]:
    return [hdf5.content_of(folder / "out" / name) for name in ("model.h5", "alpha.h5", "raman.h5")]


@pytest.mark.slow
def test_two_rounds_and_a_second_start_computes_nothing(mlraman, tmp_path):
    write(tmp_path)
    done = mlraman(0, "label", "deck.yaml")
    assert "stop: as many frames are labelled as labelling.most allows" in done.stdout
    found = calculations(tmp_path)
    assert len(found) == 20 and {item["status"] for item in found.values()} == {"finished"}
    assert set(starts(tmp_path).values()) == {1} and len(starts(tmp_path)) == 20
    with h5py.File(tmp_path / "out" / "labelling.h5") as file:
        assert file["labels"][:].tolist() == [8, 16] and file["round"][:].tolist() == [1, 2]
        assert np.isnan(file["change"][0]) and 0 < file["change"][1] < 1
        assert (file["error/model"][:] > 0).all() and (file["cpu_time"][:] > 0).all()
        assert np.isfinite(file["test_error"][:]).all()
    labels = read_labels([tmp_path / "out" / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    expected = small.alpha(small.frames(150)[sorted(found)])  # each frame has the tensor of its own positions
    np.testing.assert_allclose(labels.polarizability, expected, rtol=1e-5)
    with h5py.File(tmp_path / "out" / "model.h5") as file:
        assert len(file["train"]) == 16 and len(file["test"]) == 4
        rows = np.sort(list(found))
        assert [rows[k] for k in file["test"][:]] == sorted(k for k in found if found[k]["purpose"] == "test")
    before = (tmp_path / "out" / "model.h5").stat().st_mtime_ns
    again = mlraman(0, "label", "deck.yaml")
    assert "stop: as many frames" in again.stdout and set(starts(tmp_path).values()) == {1}
    assert (tmp_path / "out" / "model.h5").stat().st_mtime_ns == before
    mlraman(0, "report", "deck.yaml")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>Labels</h2>" in page and "as many frames are labelled as labelling.most allows" in page
    assert "nan" not in page.split("<h2>Labels</h2>")[1].split("<h2>")[0]


@pytest.mark.slow
def test_calculations_at_the_same_time_have_slots_of_their_own(mlraman, tmp_path):
    write(tmp_path)
    log = f"echo {{slot}} >> {tmp_path}/begun; {command(0.1)}; echo {{slot}} >> {tmp_path}/ended"
    mlraman(0, "label", "deck.yaml", "--set", f"labelling.command={log}", "--set", "labelling.most=8")
    begun, ended = ((tmp_path / name).read_text().split() for name in ("begun", "ended"))
    assert len(begun) == 12 and sorted(begun) == sorted(ended) and set(begun) == {"0", "1"}


@pytest.mark.slow
def test_derivatives_are_trained_on_and_tensors_tested(mlraman, tmp_path):
    write(tmp_path)
    changes = ["kind=derivatives", "frames=1", "most=2", "parallel=1"]
    mlraman(0, "label", "deck.yaml", *(word for change in changes for word in ("--set", f"labelling.{change}")))
    found = calculations(tmp_path)
    assert sorted(item["kind"] for item in found.values()) == ["derivatives"] * 2 + ["polarizability"] * 4
    labels = read_derivatives([tmp_path / "out" / "derivatives.extxyz"], "auto", None, None, pytest.fail)
    for k, frame in enumerate(sorted(frame for frame, item in found.items() if item["kind"] == "derivatives")):
        expected = fake_cp2k.derivatives(small.frames(150)[frame], small.CELL)
        np.testing.assert_allclose(labels.of_frame(k), expected, atol=2e-4 * np.abs(expected).max())
    with h5py.File(tmp_path / "out" / "model.h5") as file:
        assert len(file["train"]) == 0 and len(file["test"]) == 4 and file["derivatives/frames"][()] == 2
    with h5py.File(tmp_path / "out" / "labelling.h5") as file:
        assert file["labels"][:].tolist() == [1, 2] and (file["error/model"][:] > 0).all()


@pytest.mark.slow
def test_failures_are_named_and_the_rest_goes_on(mlraman, tmp_path):
    write(tmp_path)
    mlraman(0, "select", "deck.yaml")
    selected = calculations(tmp_path)
    crash, once, unconverged = [k for k, item in selected.items() if item["purpose"] == "train"][:3]
    lost = next(k for k, item in selected.items() if item["purpose"] == "test")
    faults = {crash: "crash", once: "crash once", unconverged: "unconverged", lost: "crash"}
    (tmp_path / "faults.json").write_text(json.dumps(faults))
    done = mlraman(0, "label", "deck.yaml", "--set", "labelling.most=8")
    found = calculations(tmp_path)
    assert [found[k]["status"] for k in (crash, once, unconverged)] == ["failed", "finished", "unconverged"]
    assert f"frame {crash} (train): failed" in done.stderr and "its command ended with code 3" in found[crash]["reason"]
    assert f"frame {unconverged} (train): unconverged" in done.stderr
    count = starts(tmp_path)
    assert [count[f"frame_{k:06d}_polarizability"] for k in (crash, once, unconverged)] == [2, 2, 1]
    trained = [k for k, item in found.items() if item["purpose"] == "train" and item["status"] == "finished"]
    assert len(trained) == 8  # others were selected in their place
    (new,) = [k for k, item in found.items() if item["purpose"] == "test" and k not in selected]
    assert f"test frames {lost} gave no label; the next of the draw take their place: {new}\n" in done.stdout
    assert found[new]["status"] == "finished"
    with h5py.File(tmp_path / "out" / "model.h5") as file:
        assert len(file["test"]) == 4
    assert (tmp_path / "out/calculations/again.txt").read_text().count("\n") == 3
    (tmp_path / "faults.json").write_text("{}")
    mlraman(0, "label", "deck.yaml", "--set", "labelling.most=8", "--force")
    found = calculations(tmp_path)
    assert {found[k]["status"] for k in faults} == {"finished"}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            ["labelling.command=nosuchprogram {input} {output}"],
            2,
            "'labelling.command': the shell finds no such program",
        ),
        (["labelling.command=exit 3"], 3, "none of the 8 calculations of round 1 gave a label"),
        (["labelling.code=null"], 2, "'labelling.code': is missing"),
    ],
)
def test_what_cannot_run_is_said(mlraman, tmp_path, changes, code, message):
    write(tmp_path)
    options = [word for change in changes for word in ("--set", change)]
    assert message in mlraman(0, "label", "deck.yaml", *options, code=code).stderr


@pytest.mark.slow
def test_without_a_command_it_stops_and_goes_on_when_the_array_has_run(mlraman, tmp_path):
    write(tmp_path)
    expected = [(12, "12 calculations are to be run (sbatch"), (8, "8 calculations are to be run (sbatch")]
    for count, message in expected:
        done = mlraman(0, "label", "deck.yaml", "--set", "labelling.command=null", code=75)
        assert message in done.stderr
        listing = (tmp_path / "out/calculations/folders.txt").read_text().splitlines()
        assert len(listing) == count
        for name in listing:
            text = command().format(input="calculation.inp", output="calculation.out")
            subprocess.run(text, shell=True, cwd=tmp_path / "out/calculations" / name, check=True)
    done = mlraman(0, "label", "deck.yaml", "--set", "labelling.command=null")
    assert "stop: as many frames" in done.stdout


@pytest.mark.mpi
@pytest.mark.slow
def test_on_ranks_it_ends_as_in_one_process(mlraman, tmp_path):
    results = []
    for ranks in (0, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        write(folder)
        mlraman(ranks, "label", "deck.yaml", folder=folder)
        results.append(contents(folder))
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_stop_ends_the_calculations_and_is_continued(mlraman, background, tmp_path):
    write(tmp_path, 0.5)
    process = background(0, "label", "deck.yaml", folder=tmp_path)
    _wait(lambda: len(list(tmp_path.glob("out/calculations/*/calculation.out"))) >= 3)
    process.send_signal(stop_signal(0))
    assert process.wait(60) == 75
    done = {path.parent.name for path in tmp_path.glob("out/calculations/*/calculation.out")}
    _wait(lambda: not _computing(tmp_path))
    mlraman(0, "label", "deck.yaml")
    assert {starts(tmp_path)[name] for name in done} == {1}


@pytest.mark.slow
def test_kills_at_ten_moments_lose_and_repeat_nothing(mlraman, background, tmp_path):
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole")
    mlraman(0, "label", "deck.yaml", folder=tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    write(folder, 0.4)
    chance, finished = random.Random(1), set()
    for _ in range(10):
        process = background(0, "label", "deck.yaml", folder=folder)
        time.sleep(chance.uniform(1.0, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = {path.parent.name for path in folder.glob("out/calculations/*/calculation.out")}
        assert finished <= now
        finished = now
    mlraman(0, "label", "deck.yaml", folder=folder)
    assert contents(folder) == contents(tmp_path / "whole")
    count = starts(folder)
    assert set(count.values()) == {1}  # what still computed after a kill was waited for


def _wait(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.02)


def _computing(folder: Path) -> bool:
    """Whether a program still runs in one of the folders."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(path).startswith(str(folder / "out" / "calculations")):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize(
    ("command", "parallel", "threads"),
    [
        ("{program} -i {input} -o {output}", 1, 8),
        ("{program} -i {input} -o {output}", 3, 2),
        ("{program} -i {input} -o {output}", 20, 1),
        ("srun --exact -n 4 {program} -i {input}", 1, 1),
        ("taskset -c {slot} mpirun -n 4 {program} -i {input}", 2, 1),
    ],
)
def test_calculations_share_the_cores(command, parallel, threads):
    assert threads_of_a_calculation(command, parallel, cores=8) == threads
