"""The loop with the real CP2K on eight atoms: two rounds, killed in between; what fails is named and kept apart."""

import json
import signal
import time

import pytest

from mlraman_hpc.readers.tensors.labels import read_labels
from tests.labelling import boron_nitride

WRAPPER = """#!/bin/bash
case "$PWD" in
  *{broken}*) exit 9 ;;
  *{hopeless}*) sed -i 's/MAX_SCF .*/MAX_SCF 2/' "$1" ;;
esac
exec cp2k.psmp -i "$1" -o "$2"
"""


@pytest.mark.slow
def test_two_rounds_with_a_kill_a_failure_and_one_that_does_not_converge(mlraman, background, tmp_path):
    boron_nitride.needs_cp2k()
    boron_nitride.write(tmp_path)
    command = ("--set", f"labelling.command=bash {tmp_path}/wrapper {{input}} {{output}}")
    mlraman(0, "select", "deck.yaml")
    path = tmp_path / "out" / "labels.json"
    train = [item["frame"] for item in json.loads(path.read_text())["calculations"] if item["purpose"] == "train"]
    broken, hopeless = (f"frame_{frame:06d}" for frame in train[:2])
    (tmp_path / "wrapper").write_text(WRAPPER.format(broken=broken, hopeless=hopeless))
    process = background(0, "label", "deck.yaml", *command, folder=tmp_path)
    time.sleep(8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    outputs = (tmp_path / "out" / "calculations").glob("*/calculation.out")
    before = {path: path.stat().st_mtime_ns for path in outputs if b"PROGRAM ENDED AT" in path.read_bytes()}
    done = mlraman(0, "label", "deck.yaml", *command, timeout=900)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert "stop: as many frames are labelled" in done.stdout
    found = {item["frame"]: item for item in json.loads(path.read_text())["calculations"]}
    assert [found[frame]["status"] for frame in train[:2]] == ["failed", "unconverged"]
    good = [frame for frame, item in found.items() if item["purpose"] == "train" and item["status"] == "finished"]
    assert len(good) == 8 and not set(good) & set(train[:2])
    labels = read_labels([tmp_path / "out" / "labels.extxyz"], "auto", None, "angstrom^3", pytest.fail)
    assert len(labels) == 10 and (labels.polarizability[:, [0, 1, 2], [0, 1, 2]] > 5).all()
