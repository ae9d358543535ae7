"""The job scripts as they are shipped, under a real Slurm of one node: warning, own time limit, requeue, array.

Depends on the clock (Slurm's limits are minutes), so it runs only where MLRAMAN_SLURM_TESTS=1 asks for it.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import small
from conftest import ROOT, _environment

from mlraman_hpc.schema import store

TOOLS = ROOT.parent / "shared" / "tools"
SCRIPTS = ROOT / "jobscripts"
pytestmark = [
    pytest.mark.mpi, pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("MLRAMAN_SLURM_TESTS") != "1", reason="MLRAMAN_SLURM_TESTS=1 runs it"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Environment for sbatch: Slurm's configuration, and the home and modules that the job scripts expect."""
    start = TOOLS / "start-slurm.sh"
    if not (start.exists() and shutil.which("slurmctld") and shutil.which("munged") and os.getuid() == 0):
        pytest.skip("needs root, Debian's slurm-wlm and munge, and the script that starts them")
    folder = tmp_path_factory.mktemp("slurm")
    settings = {**os.environ, "SLURM_LAB_PORT": str(20000 + os.getpid() % 20000)}
    # MPICH fails on what a killed run has left
    _sweep_shared_memory()
    done = subprocess.run(["bash", start, folder / "lab"], env=settings, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"Slurm does not start here: {done.stderr}")
    venv = folder / "mlraman" / "bin"
    venv.mkdir(parents=True)
    program = venv / "mlraman"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m mlraman_hpc \"$@\"\n")
    program.chmod(0o755)
    (venv / "activate").write_text(f"PATH={venv}:$PATH\n")
    yield {**_environment(None), "SLURM_CONF": str(folder / "lab" / "slurm.conf"), "HOME": str(folder),
           "BASH_FUNC_module%%": "() { :; }", "SLURM_EXPORT_ENV": "ALL"}
    subprocess.run(["bash", TOOLS / "stop-slurm.sh", folder / "lab"], capture_output=True, timeout=60)


def _sweep_shared_memory() -> None:
    """Remove MPICH's segments that no process maps."""
    mapped = ""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mapped += (process / "maps").read_text()
    for segment in Path("/dev/shm").glob("mpich_shm_*"):
        with suppress(OSError):
            if segment.name not in mapped and time.time() - segment.stat().st_mtime > 5:
                segment.unlink()


def submit(slurm, folder: Path, script: str, *arguments, options=(), env=None) -> str:
    command = ["sbatch", "--parsable", "--ntasks-per-node=2", "--time=1", *options, SCRIPTS / script, *arguments]
    done = subprocess.run(command, cwd=folder, env={**slurm, **(env or {})}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _wait_until_started(log: Path) -> None:
    """MPICH's jobs disturb each other if they start at one moment on one node."""
    end = time.monotonic() + 60
    while not (log.exists() and "MPI:" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.2)


def wait_for(slurm, jobs: list[str], seconds: float) -> dict[str, dict[str, str]]:
    """What scontrol says of each job once all have ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = {job: _state(slurm, job) for job in jobs}
        if all(state["JobState"] in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
               for state in found.values()):
            return found
        time.sleep(1)
    raise AssertionError(f"still running: {found}")


def _state(slurm, job: str) -> dict[str, str]:
    shown = subprocess.run(["scontrol", "show", "job", "-o", job], env=slurm, capture_output=True, text=True).stdout
    return dict(part.partition("=")[::2] for part in shown.split() if "=" in part)


def test_limits_requeue_and_arrays_end_complete(slurm, trained, mlraman, tmp_path):
    """Side by side: one job gets USR1 before its limit, one asks Slurm for its time, two are tasks of an array."""
    folders = {name: shutil.copytree(trained, tmp_path / name) for name in ("warned", "asked", "first", "second")}
    for folder in folders.values():
        small.write(folder, count=4800)
    slow = {"MLRAMAN_TEST_SLOW": "8"}  # six rounds on two ranks, in jobs of a minute
    for name in ("first", "second"):
        deck = (folders[name] / "deck.yaml").read_text().replace("output: out", f"output: {name}/out")
        (tmp_path / f"{name}.yaml").write_text(deck.replace("files: ", f"files: {name}/"))
    jobs = {}
    for name, warning in (("warned", "USR1@30"), ("asked", "USR1@0")):
        jobs[name] = submit(slurm, folders[name], "slurm.sh", "deck.yaml", options=[f"--signal={warning}"], env=slow)
        _wait_until_started(folders[name] / f"mlraman-{jobs[name]}.log")
    jobs["array"] = submit(slurm, tmp_path, "slurm_array.sh", "first.yaml", "second.yaml", options=["--array=0-1"])
    tasks = [f"{jobs['array']}_{number}" for number in (0, 1)]
    states = wait_for(slurm, [jobs["warned"], jobs["asked"], *tasks], 280)
    logs = {path.name: path.read_text() for path in tmp_path.rglob("mlraman-*.log")}
    assert {state["JobState"] for state in states.values()} == {"COMPLETED"}, (states, logs)
    for name, reason in (("warned", "SIGUSR1"), ("asked", "the time limit")):
        log = logs[f"mlraman-{jobs[name]}.log"]
        assert f"stopped by {reason}" in log and "are there already" in log, log
        assert int(states[jobs[name]]["Restarts"]) >= 1
    small.write(trained, count=4800)
    mlraman(0, "predict", "deck.yaml", folder=trained)
    expected = store.content_of(trained / "out" / "alpha.h5")
    for folder in folders.values():
        assert store.content_of(folder / "out" / "alpha.h5") == expected
        assert (folder / "out" / "raman.h5").exists() and not (folder / "out" / "mlraman.lock").exists()
