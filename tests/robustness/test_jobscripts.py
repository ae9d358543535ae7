"""The shell code of the job scripts, with stand-ins for the batch system; test_slurm.py has the real Slurm."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlraman_hpc.storage import hdf5
from tests.helpers import ROOT, environment, launcher

SCRIPTS = sorted((ROOT / "jobscripts").glob("*.sh"))
LOG = 'echo "$(basename "$0") $*" >> "$HOME/calls"\n'
# what each script is started with: arguments, variables, standard input
STARTS = {
    "slurm.sh": (["d.yaml"], {"SLURM_JOB_ID": "7"}),
    "slurm_array.sh": (["c.yaml", "d.yaml"], {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}),
    "slurm_campaign.sh": (["d.yaml", "--groups", "2"], {"SLURM_JOB_ID": "7"}),
    "pbs.sh": ([], {"deck": "d.yaml", "PBS_JOBID": "7.server", "PBS_ENVIRONMENT": "PBS_BATCH"}),
    "lsf.sh": ([], {"DECK": "d.yaml", "LSB_JOBID": "7"}),
}
AGAIN = {
    "slurm.sh": "scontrol requeue 7",
    "slurm_array.sh": "scontrol requeue 7",
    "slurm_campaign.sh": "scontrol requeue 7",
    "pbs.sh": "qsub -v deck=d.yaml",
    "lsf.sh": "",
}


@pytest.fixture
def home(tmp_path):
    """A home folder with the environment that the scripts activate, and stand-ins for what a cluster has."""
    programs = tmp_path / "mlraman" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={programs}:$PATH\n")
    for name in ("scontrol", "qsub"):
        _program(programs / name, LOG)
    for name in ("srun", "mpirun"):  # their options are not looked at here
        _program(programs / name, 'while [ "$1" != mlraman ]; do shift; done\nexec "$@"\n')
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}")
    path.chmod(0o755)


def _run(script: str, home: Path, more: dict | None = None) -> subprocess.CompletedProcess:
    """As the batch system runs it: a copy of the script, or its text on standard input."""
    arguments, variables = STARTS[script]
    env = {
        **environment(None),
        "HOME": str(home),
        "PBS_O_WORKDIR": str(home),
        "BASH_FUNC_module%%": "() { :; }",
        **variables,
        **(more or {}),
    }
    text = (ROOT / "jobscripts" / script).read_text()
    return subprocess.run(
        ["bash", "-s", *arguments], input=text, cwd=home, env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_correct_shell(script):
    assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    assert script.name in STARTS or script.name == "install_on_cluster.sh"


@pytest.mark.parametrize("script", STARTS)
@pytest.mark.parametrize("code", [0, 3, 75])
def test_a_job_that_stopped_early_is_queued_again(home, script, code):
    _program(home / "mlraman" / "bin" / "mlraman", LOG + f"exit {code}\n")
    done = _run(script, home)
    assert done.returncode == code, done.stderr
    calls = (home / "calls").read_text().splitlines()
    command = "campaign" if "campaign" in script else "run"
    assert calls[0].startswith(f"mlraman {command} d.yaml")
    again = [AGAIN[script]] if code == 75 and AGAIN[script] else []
    assert [line[: len(AGAIN[script])] for line in calls[1:]] == again


@pytest.mark.parametrize("more", [{"SLURM_RESTART_COUNT": "50"}])
def test_no_job_is_queued_for_ever(home, more):
    _program(home / "mlraman" / "bin" / "mlraman", LOG + "exit 75\n")
    _run("slurm.sh", home, more)
    assert "requeue" not in (home / "calls").read_text()


def test_tasks_of_a_campaigns_array_say_so(home):
    _program(home / "mlraman" / "bin" / "mlraman", LOG)
    assert _run("slurm_campaign.sh", home, {"SLURM_ARRAY_TASK_ID": "1"}).returncode == 0
    assert (home / "calls").read_text() == "mlraman campaign d.yaml --array --groups 2\n"


SERIES = """output: out
figures: false
series: {file: alpha.dat, format: table, order: [xx, yy, zz, xy, yz, zx], quantity: polarizability, unit: angstrom^3,
  frame_interval: 10}
spectrum: {smoothing: 50, blocks: 4}
"""


@pytest.mark.mpi
@pytest.mark.parametrize("script", ["pbs.sh", "lsf.sh"])
def test_pbs_and_lsf_run_the_program(home, script):
    programs = home / "mlraman" / "bin"
    _program(programs / "mlraman", f'exec {sys.executable} -m mlraman_hpc "$@"\n')
    _program(programs / "mpirun", f'exec {" ".join(launcher(2))} "$@"\n')
    np.savetxt(home / "alpha.dat", np.random.default_rng(0).normal(size=(400, 6)))
    (home / "d.yaml").write_text(SERIES)
    done = _run(script, home)
    assert done.returncode == 0, done.stderr
    assert "2 ranks of" in done.stdout and hdf5.read_origin(home / "out" / "raman.h5").task == "spectrum"
