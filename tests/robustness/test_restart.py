"""learning-curve, converge and dynamics continue where they were stopped, to the same bits; others are refused."""

import os
import signal
from shutil import copytree

import pytest

from mlraman_hpc.base.errors import DataError, StoppedEarly
from mlraman_hpc.commands.converge import converge
from mlraman_hpc.commands.dynamics import dynamics
from mlraman_hpc.commands.learning_curve import learning_curve
from mlraman_hpc.commands.predict import predict
from mlraman_hpc.config.deck_reader import read_deck
from mlraman_hpc.pipeline import checkpointing
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.runtime.console import Console
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5
from tests import small_system as small
from tests.helpers import stop_signal, wait_for_line

CHANGES = [
    "figures=false",
    "learning_curve={sizes: [4, 8], draws: 3}",
    "convergence={train: [6, 10], fraction: [0.5]}",
    "dynamics={mobile: [Ag]}",
]
SET = [word for change in CHANGES for word in ("--set", change)]
TASKS = {"learning_curve": learning_curve, "convergence": converge, "dynamics": dynamics}
CHANGED = {
    "learning_curve": ("reference.seed=7", "reference.seed was 0, is 7"),
    "convergence": ("spectrum.smoothing=30", r"spectrum.smoothing was 20.0, is 30.0"),
    "dynamics": ("dynamics={drift: total}", "dynamics.drift was None, is total"),
}


@pytest.fixture(scope="module")
def begun(_trained, tmp_path_factory):
    """Deck, data and alpha.h5 of the small system, without what its deck trained."""
    folder = copytree(_trained, tmp_path_factory.mktemp("restart") / "run")
    (folder / "XDATCAR").write_text(small.xdatcar(small.frames(200)))
    predict(job(folder))
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    return copytree(begun, tmp_path / "run")


def job(folder, *changes, force=False):
    os.chdir(folder)
    session = Session()
    session.threads = 1
    return Job(read_deck(folder / "deck.yaml", [*CHANGES, *changes]), session, Console(session, 0), force)


def content(folder, name):
    return hdf5.content_of(folder / "out" / f"{name}.h5")


@pytest.fixture
def interrupted(monkeypatch):
    """interrupted(folder, name, count): the task is killed, or stopped, in the pause after its count-th piece."""

    def run(folder, name, count, end):
        left = [count]
        plain = checkpointing.Checkpoint.commit_if_due

        def pause(checkpoint, more=True):
            plain(checkpoint, more)
            left[0] -= 1
            if left[0] == 0:
                end(checkpoint)

        with monkeypatch.context() as patch:
            patch.setattr(checkpointing, "SECONDS", 0.0)
            patch.setattr(checkpointing, "COST", 0.0)
            patch.setattr(checkpointing.Checkpoint, "commit_if_due", pause)
            with pytest.raises((StoppedEarly, _Killed)):
                TASKS[name](job(folder))
        assert (folder / "out" / f"{name}.partial.h5").exists() and not (folder / "out" / f"{name}.h5").exists()

    return run


class _Killed(BaseException):
    """Nothing of ours catches it."""


def kill(checkpoint):
    raise _Killed


def stop(checkpoint):
    checkpoint._job.session.stop.request(signal.SIGUSR1)
    raise checkpoint._job.session.stop_requested()


@pytest.mark.parametrize("name", TASKS)
def test_an_interrupted_step_continues_to_the_same_bits(name, folder, interrupted, monkeypatch):
    TASKS[name](job(folder))
    expected = content(folder, name)
    (folder / "out" / f"{name}.h5").unlink()
    if name == "convergence":
        (folder / "out" / "convergence_alpha.h5").unlink()
    interrupted(folder, name, 1, kill)
    interrupted(folder, name, 1, stop)
    done = []
    plain = checkpointing.Checkpoint.commit_if_due
    monkeypatch.setattr(
        checkpointing.Checkpoint,
        "commit_if_due",
        lambda checkpoint, more=True: (done.append(1), plain(checkpoint, more)),
    )
    TASKS[name](job(folder))
    assert content(folder, name) == expected
    whole = {"learning_curve": 6, "convergence": 3, "dynamics": 2}[name]
    assert len(done) == whole - 2
    assert not list((folder / "out").glob("*.partial.h5"))


@pytest.mark.parametrize("name", TASKS)
def test_a_checkpoint_of_another_deck_is_refused(name, folder, interrupted):
    interrupted(folder, name, 1, kill)
    change, difference = CHANGED[name]
    with pytest.raises(DataError, match=f"{name}.partial.h5: an interrupted .* of another deck, .*: .*{difference}"):
        TASKS[name](job(folder, change))
    TASKS[name](job(folder, change, force=True))
    changed = content(folder, name)
    TASKS[name](job(folder, force=True))
    assert content(folder, name) != changed


def test_a_damaged_checkpoint_is_one_message(folder, interrupted):
    interrupted(folder, "dynamics", 1, kill)
    file = folder / "out" / "dynamics.partial.h5"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(
        DataError, match=r"dynamics\.partial\.h5: the interrupted dynamics cannot be read: the file is damaged"
    ):
        dynamics(job(folder))


def test_the_checkpoint_of_a_finished_result_is_removed(folder, interrupted):
    interrupted(folder, "dynamics", 1, kill)
    left = (folder / "out" / "dynamics.partial.h5").read_bytes()
    dynamics(job(folder))
    (folder / "out" / "dynamics.partial.h5").write_bytes(left)
    dynamics(job(folder))
    assert not list((folder / "out").glob("*.partial.h5"))


@pytest.mark.mpi
def test_begun_on_one_rank_finished_on_three(folder, interrupted, mlraman):
    dynamics(job(folder))
    expected = content(folder, "dynamics")
    (folder / "out" / "dynamics.h5").unlink()
    interrupted(folder, "dynamics", 1, kill)
    done = mlraman(3, "dynamics", "deck.yaml", *SET, folder=folder)
    assert "continuing with what an interrupted run left" in done.stdout
    assert content(folder, "dynamics") == expected


@pytest.mark.mpi
def test_stopped_on_three_ranks_finished_on_two(folder, background, mlraman):
    command = ["learning-curve", "deck.yaml", *SET]
    learning_curve(job(folder))
    expected = content(folder, "learning_curve")
    process = background(3, *command, "--force", folder=folder, env={"MLRAMAN_TEST_SLOW": "2"})
    wait_for_line(process, "learning curve:")
    process.send_signal(stop_signal(3))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert "start the same command again to go on" in err
    mlraman(2, *command, folder=folder)
    assert content(folder, "learning_curve") == expected
