"""Fixtures: the command line, serial or under a real mpirun; small systems with a model or a prediction."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlraman_hpc.storage import hdf5
from tests import small_system
from tests.helpers import DATA, environment, launcher, run_command


@pytest.fixture
def mlraman(tmp_path):
    """mlraman(ranks, *arguments, code=0): runs the program in tmp_path and checks its exit code."""

    def run(ranks, *arguments, code=0, timeout=120, env=None, folder=tmp_path):
        done = run_command(ranks, list(arguments), folder, timeout, env)
        if code is not None and done.returncode != code:
            pytest.fail(
                f"exit code {done.returncode}, expected {code}: {done.args}\n--- out\n{done.stdout[-3000:]}\n"
                f"--- err\n{done.stderr[-6000:]}"
            )
        return done

    return run


@pytest.fixture
def background():
    """background(ranks, *arguments, folder=..., env=...): a command that is still running."""
    running = []

    def start(ranks, *arguments, folder, env=None):
        command = (launcher(ranks) if ranks else []) + [sys.executable, "-m", "mlraman_hpc", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def _trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    small_system.write(folder, count=2400)
    done = run_command(0, ["train", "deck.yaml"], folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def expected(_trained, tmp_path_factory) -> str:
    """Content of the alpha.h5 of the small system."""
    folder = shutil.copytree(_trained, tmp_path_factory.mktemp("expected") / "run")
    done = run_command(0, ["predict", "deck.yaml"], folder)
    assert done.returncode == 0, done.stderr
    return hdf5.content_of(folder / "out" / "alpha.h5")


@pytest.fixture
def trained(_trained, tmp_path):
    """A folder of its own with deck, data and out/model.h5 of the small system; 2400 frames in 6 batches."""
    return shutil.copytree(_trained, tmp_path / "trained")


@pytest.fixture
def disk(tmp_path):
    """disk(kilobytes): a small file system of its own; disk.read_only()."""
    folder = tmp_path / "disk"
    folder.mkdir()

    class Disk:
        path = folder

        def make(self, kilobytes):
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True
            )
            if done.returncode:
                pytest.skip("mounting a small file system needs root")

        def used(self):
            status = os.statvfs(folder)
            return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024

        def remount(self, options):
            subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield Disk()
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data beside the checkout; a test that needs it is skipped in a user's clone."""
    if not DATA.is_dir():
        pytest.skip("no real data beside this checkout")
    return DATA
