"""`prepare --converge` and `collect --converge`: every value on the same frames, and what it changes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.base.errors import DataError, DeckError
from mlraman_hpc.commands.collect import collect
from mlraman_hpc.commands.prepare import prepare
from mlraman_hpc.commands.select import select
from tests import small_system as small
from tests.labelling import system

FAKE = Path(__file__).parent / "fake_cp2k.py"
CHANGES = ("labelling.code=cp2k", "labelling.converge={cutoff: [100, 200], supercell: [[2, 1, 1], [1, 1, 1]]}")


@pytest.mark.slow
def test_a_supercell_and_a_cutoff(tmp_path):
    """The stand-in has a constant of 30 for each calculation, whatever its size, and does not know the cutoff."""
    system.write(tmp_path)
    select(system.job(tmp_path, *CHANGES))
    prepare(system.job(tmp_path, *CHANGES), converge=True)
    folder = tmp_path / "out" / "settings"
    runs = (folder / "folders.txt").read_text().split()
    assert len(runs) == 12
    assert {"CUTOFF 100", "CUTOFF 200"} == {
        next(line.strip() for line in (folder / run / "calculation.inp").read_text().splitlines() if " CUTOFF" in line)
        for run in runs
        if run.startswith("cutoff")
    }
    for run in runs[:-1]:
        subprocess.run([sys.executable, FAKE, "calculation.inp", "calculation.out"], cwd=folder / run, check=True)
    job = system.job(tmp_path, *CHANGES)
    collect(job, converge=True)
    log = job.console.stream.getvalue()
    assert runs[-1] in "".join(job.console.warnings)
    rows = {line.split("  ")[1]: line.split() for line in log.splitlines() if line.startswith("  ") and "%" in line}
    frames = [item["frame"] for item in json.loads((tmp_path / "out/labels.json").read_text())["calculations"]]
    alpha = small.alpha(small.frames(300)[frames[:2]])  # the third is missing
    mean = float(np.trace(alpha.mean(axis=0))) / 3
    assert float(rows["[2, 1, 1]"][-4]) == pytest.approx(-100 * 15 / (mean - 15), abs=0.02)  # of the doubled cell's
    assert float(rows["[2, 1, 1]"][-2]) == pytest.approx(0, abs=0.02)
    assert float(rows["100"][-4]) == 0 and float(rows["100"][-2]) == 0


@pytest.mark.parametrize(
    ("converge", "message"),
    [("{}", "is empty"), ("{supercell: [2]}", "three repetitions"), ("{cutof: [2]}", "no placeholder of this name")],
)
def test_mistakes_are_named(tmp_path, converge, message):
    system.write(tmp_path)
    select(system.job(tmp_path, CHANGES[0]))
    with pytest.raises(DeckError, match=message):
        prepare(system.job(tmp_path, CHANGES[0], f"labelling.converge={converge}"), converge=True)


def test_without_calculations_there_is_no_table(tmp_path):
    system.write(tmp_path)
    with pytest.raises(DataError, match="'mlraman prepare --converge' makes the calculations"):
        collect(system.job(tmp_path), converge=True)
