"""The job scripts as they are shipped, under a real Slurm of one node: warning, own time limit, requeue, arrays.

Takes minutes (Slurm's limits are whole ones), so it runs only where MLRAMAN_SLURM_TESTS=1 asks for it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlraman_hpc.runtime.mpich_workarounds import job_hash
from mlraman_hpc.storage import hdf5, provenance
from tests import small_system as small
from tests.helpers import ROOT, environment

TOOLS = ROOT.parent / "shared" / "tools"
SCRIPTS = ROOT / "jobscripts"
# Job ids of this lab are its own: MPICH's ranks meet in a file named after job and step, so two labs on one machine
# whose jobs both counted from 1 would disturb each other.
FIRST = 100000 + 10 * os.getpid()
AMPLE = "00:15:00"  # a busy machine may get nowhere within the minute that a job has at first
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("MLRAMAN_SLURM_TESTS") != "1", reason="MLRAMAN_SLURM_TESTS=1 runs it"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Environment for sbatch: Slurm's configuration, and the home and modules that the job scripts expect."""
    start = TOOLS / "start-slurm.sh"
    if not (start.exists() and shutil.which("slurmctld") and shutil.which("munged") and os.getuid() == 0):
        pytest.skip("needs root, Debian's slurm-wlm and munge, and the script that starts them")
    folder = tmp_path_factory.mktemp("slurm")
    settings = {**os.environ, "SLURM_LAB_PORT": str(20000 + os.getpid() % 20000), "SLURM_LAB_CPUS": "16"}
    done = subprocess.run(["bash", start, folder / "lab"], env=settings, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"Slurm does not start here: {done.stderr}")
    settings["SLURM_CONF"] = str(folder / "lab" / "slurm.conf")
    with open(settings["SLURM_CONF"], "a") as file:
        file.write(f"FirstJobId={FIRST}\n")
    subprocess.run(["scontrol", "reconfigure"], env=settings, check=True, timeout=30)
    venv = folder / "mlraman" / "bin"
    venv.mkdir(parents=True)
    program = venv / "mlraman"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlraman_hpc "$@"\n')
    program.chmod(0o755)
    (venv / "activate").write_text(f"PATH={venv}:$PATH\n")
    yield {
        **environment(None),
        "SLURM_CONF": settings["SLURM_CONF"],
        "HOME": str(folder),
        "BASH_FUNC_module%%": "() { :; }",
        "SLURM_EXPORT_ENV": "ALL",
    }
    subprocess.run(["bash", TOOLS / "stop-slurm.sh", folder / "lab"], capture_output=True, timeout=60)


def submit(slurm, folder: Path, script: str, *arguments, options=(), env=None) -> str:
    command = ["sbatch", "--parsable", "--ntasks-per-node=2", "--time=1", *options, SCRIPTS / script, *arguments]
    done = subprocess.run(command, cwd=folder, env={**slurm, **(env or {})}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(slurm, jobs: dict[str, str], seconds: float) -> dict[str, dict[str, str]]:
    """What scontrol says of each job once all have ended. One that was queued again gets the time that it needs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = {name: _state(slurm, job) for name, job in jobs.items()}
        for state in found.values():
            if state["Restarts"] != "0" and state["TimeLimit"] != AMPLE:
                change = ["scontrol", "update", f"JobId={state['JobId']}", f"TimeLimit={AMPLE}"]
                subprocess.run(change, env=slurm, capture_output=True, timeout=30)
        if all(
            state["JobState"] in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
            for state in found.values()
        ):
            return found
        time.sleep(1)
    raise AssertionError(f"still running: {found}")


def _state(slurm, job: str) -> dict[str, str]:
    shown = subprocess.run(["scontrol", "show", "job", "-o", job], env=slurm, capture_output=True, text=True).stdout
    return dict(part.partition("=")[::2] for part in shown.split() if "=" in part)


def _spectra(trained: Path, folder: Path) -> None:
    """A folder for each of four jobs, and the decks of the array's two."""
    for name in ("warned", "asked", "first", "second"):
        small.write(shutil.copytree(trained, folder / name), count=9600)
    for name in ("first", "second"):
        deck = (folder / name / "deck.yaml").read_text().replace("output: out", f"output: {name}/out")
        (folder / f"{name}.yaml").write_text(deck.replace("files: ", f"files: {name}/"))


CAMPAIGN = """output: out
figures: false
trajectory: {frame_interval: 10}
model: {file: model.h5}
spectrum: {smoothing: 20, blocks: 4}
dynamics: {mobile: [Ag]}
materials:
  - {name: a, trajectory: a.xdatcar}
  - {name: b, trajectory: b.xdatcar}
  - {name: c, trajectory: c.xdatcar, model: none}
"""


def _campaign(trained: Path, folder: Path) -> Path:
    """Two materials of ten batches, and one without a model."""
    folder.mkdir()
    shutil.copy(trained / "out" / "model.h5", folder)
    (folder / "deck.yaml").write_text(CAMPAIGN)
    for seed, name in enumerate("abc"):
        (folder / f"{name}.xdatcar").write_text(small.xdatcar(small.frames(4000, seed)))
    return folder


def _hinder(job: int) -> None:
    """What a killed run of this job's first step leaves: MPICH would wait for ever for a rank to fill it."""
    left = Path("/dev/shm", f"mpich_shm_{job_hash(f'{job}.0')}_0")
    left.write_bytes(bytes(1 << 22))
    os.utime(left, (time.time() - 60,) * 2)


def test_job_scripts_end_complete(slurm, trained, mlraman, tmp_path):
    """All scripts side by side: warned by USR1, asking Slurm for their time, arrays, campaigns."""
    _spectra(trained, tmp_path)
    single, array = (_campaign(trained, tmp_path / name) for name in ("single", "array"))
    slow = {"MLRAMAN_TEST_SLOW": "6"}  # less than the margin before a limit
    # Slurm looks at limits every half minute, so the warning comes after 30 to 60 s, when there is still work to do.
    warned, asked = ["--time=3", "--signal=USR1@120"], ["--signal=USR1@0"]
    alone = ["--ntasks-per-node=1", "--time=15", "--array=0-1"]
    _hinder(FIRST)
    jobs = {
        "warned": submit(slurm, tmp_path / "warned", "slurm.sh", "deck.yaml", options=warned, env=slow),
        "asked": submit(slurm, tmp_path / "asked", "slurm.sh", "deck.yaml", options=asked, env=slow),
        "array": submit(slurm, tmp_path, "slurm_array.sh", "first.yaml", "second.yaml", options=alone),
        "campaign": submit(slurm, single, "slurm_campaign.sh", "deck.yaml", "--groups", "2", options=asked, env=slow),
        "campaign array": submit(slurm, array, "slurm_campaign.sh", "deck.yaml", options=alone),
    }
    assert jobs["warned"] == str(FIRST)
    arrays = {f"{name} {k}": f"{jobs[name]}_{k}" for name in ("array", "campaign array") for k in (0, 1)}
    states = wait_for(slurm, {name: jobs[name] for name in ("warned", "asked", "campaign")} | arrays, 600)
    logs = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*-*.log")}
    assert {state["JobState"] for state in states.values()} == {"COMPLETED"}, (states, logs)
    for name, log, reason in (
        ("warned", f"warned/mlraman-{jobs['warned']}", "SIGUSR1"),
        ("asked", f"asked/mlraman-{jobs['asked']}", "the time limit"),
        ("campaign", f"single/campaign-{jobs['campaign']}", "the time limit"),
    ):
        assert f"stopped by {reason}" in logs[f"{log}.log"], logs[f"{log}.log"]
        assert int(states[name]["Restarts"]) >= 1
    _same_spectra(trained, tmp_path, mlraman)
    _same_campaigns(single, array, mlraman)


def _same_spectra(trained: Path, folder: Path, mlraman) -> None:
    small.write(trained, count=9600)
    mlraman(0, "predict", "deck.yaml", folder=trained)
    expected = hdf5.content_of(trained / "out" / "alpha.h5")
    for name in ("warned", "asked", "first", "second"):
        out = folder / name / "out"
        assert hdf5.content_of(out / "alpha.h5") == expected
        assert (out / "raman.h5").exists() and not (out / "mlraman.lock").exists()


def _same_campaigns(single: Path, array: Path, mlraman) -> None:
    """As one run without Slurm makes them; files of the ranking too."""
    found = [_contents(folder / "out") for folder in (single, array)]
    for folder, files in zip((single, array), found):
        shutil.rmtree(folder / "out")
        mlraman(0, "campaign", "deck.yaml", folder=folder)
        assert _contents(folder / "out") == files
        assert {"campaign.csv", "campaign.h5", "a/raman.h5", "c/dynamics.h5"} <= set(files)


def _contents(out: Path) -> dict[str, str]:
    """{file: hash of content}; logs and reports have dates."""
    files = [
        path
        for path in sorted(out.rglob("*"))
        if path.is_file() and "cache" not in path.parts and path.name not in ("log.txt", "report.html")
    ]
    return {
        str(path.relative_to(out)): hdf5.content_of(path) if path.suffix == ".h5" else provenance.hash_of_file(path)
        for path in files
    }
