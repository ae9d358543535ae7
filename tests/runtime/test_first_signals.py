"""Signals while Python still loads, Ctrl-C in a run, memory limits of control groups, foreign launchers."""

import os
import signal
import subprocess
import sys

import pytest

from mlraman_hpc.runtime import resources
from mlraman_hpc.runtime.launcher import Launch, idle_tasks
from tests.helpers import ROOT, environment, wait_for_line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_while_python_loads_is_a_stop(number):
    """Sent when the first module of the program is there, long before the command line is."""
    code = (
        "import os, sys, threading, mlraman_hpc.__main__ as first\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mlraman_hpc.cli':\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Late())\n"
        "first.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "info"], capture_output=True, text=True, cwd=ROOT, env=environment(None)
    )
    assert done.returncode == 75
    assert done.stderr == f"mlraman: stopped by {number.name} before it began; start the same command again\n"


@pytest.mark.slow
def test_ctrl_c_stops_with_what_was_computed(trained, background, mlraman):
    process = background(0, "predict", "deck.yaml", folder=trained, env={"MLRAMAN_TEST_SLOW": "0.5"})
    wait_for_line(process, "expected")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "stopped by Ctrl-C; what was computed is kept" in errors
    assert "there already" in mlraman(0, "predict", "deck.yaml", folder=trained).stdout


def test_ctrl_c_twice_ends_at_once():
    code = (
        "import os, signal, time\n"
        "from mlraman_hpc.runtime.interrupts import Stop, REPEAT_SECONDS\n"
        "stop = Stop()\n"
        "stop.install()\n"
        "with stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print(stop.requested, flush=True)\n"
        "    time.sleep(1.2 * REPEAT_SECONDS)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "print('not reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(None))
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "8\n")


def test_memory_of_control_groups_of_version_1(tmp_path, monkeypatch):
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"):
        monkeypatch.delenv(name, raising=False)
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemAvailable: 8192000 kB\n")
    (proc / "self" / "cgroup").write_text("5:cpu,memory:/slurm/job_1\n1:name=systemd:/\n")
    job = groups / "memory" / "slurm" / "job_1"
    job.mkdir(parents=True)
    (job / "memory.limit_in_bytes").write_text(str(1 << 30))
    (job / "memory.usage_in_bytes").write_text(str(300 << 20))
    (job / "memory.stat").write_text(f"total_inactive_file {100 << 20}\n")
    assert resources.free_memory(proc, groups) == 1024 - 300 + 100
    (job / "memory.limit_in_bytes").write_text(str(0x7FFFFFFFFFFFF000))
    assert resources.free_memory(proc, groups) == 8000
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "500")
    assert resources.free_memory(proc, groups) == 500
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "100")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert resources.free_memory(proc, groups) == 400


@pytest.mark.parametrize(
    ("launcher", "library", "fits"),
    [
        ("mpirun (Open MPI)", "Open MPI v5.0.11", True),
        ("mpirun (Open MPI)", "MPICH Version: 5.0.2", False),
        ("mpirun (PMI)", "MPICH Version: 5.0.2", True),
        ("mpirun (PMI)", "Intel(R) MPI Library 2021.18", True),
        ("mpirun (PMI)", "Open MPI v4.1.4", False),
        ("srun", "Open MPI v4.1.4", True),
    ],
)
def test_foreign_launchers_are_refused_before_mpi_starts(launcher, library, fits, capfd):
    launch = Launch(launcher, 3, 0)
    if fits:
        launch.refuse_foreign_library(library)
        return
    with pytest.raises(SystemExit) as leaving:
        launch.refuse_foreign_library(library)
    assert leaving.value.code == 2 and "launcher and library do not match" in capfd.readouterr().err


def test_idle_tasks_of_slurm():
    job = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}
    assert idle_tasks(job) == 3
    assert idle_tasks({**job, "SLURM_STEP_NUM_TASKS": "4"}) == 0
    assert (
        idle_tasks({"SLURM_NTASKS": "4"}) == idle_tasks({**job, "SLURM_NTASKS": "1"}) == idle_tasks(os.environ | {}) * 0
    )
